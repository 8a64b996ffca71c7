//! Whether an account may turn verification on: the application says what is, this library judges.
//!
//! There is one mode and no weaker one: every device of the account must meet everything, or be
//! signed out first.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use candor_core::account::Device;

/// What the application knows of the account's devices, when verification is turned on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountFacts {
    /// Whether a password alone does not give access to the account.
    pub has_two_factor: bool,
    /// Each device, by its identifier in the account's state.
    pub devices: BTreeMap<Vec<u8>, DeviceFacts>,
}

/// What the application knows of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFacts {
    /// It is signed in to this account.
    pub is_signed_in: bool,
    /// It takes part in the encrypted exchange of keys among the account's devices.
    pub has_key_sync: bool,
    /// It cannot be used without a passcode.
    pub has_passcode: bool,
}

impl DeviceFacts {
    /// A device that meets everything.
    pub const fn all() -> Self {
        Self {
            is_signed_in: true,
            has_key_sync: true,
            has_passcode: true,
        }
    }
}

/// The least version of the operating system, by platform as devices name it: numbers with dots. A
/// platform that is not listed is not accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The table.
    pub minimum_os: BTreeMap<String, String>,
}

/// Why verification cannot be turned on yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The account is open to who knows its password.
    TwoFactor,
    /// A device does not meet something.
    Device {
        /// Its name, as the account's state gives it.
        name: String,
        /// What.
        what: UnmetByDevice,
    },
}

/// What a device does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnmetByDevice {
    /// The application knows nothing of it: it has to be signed out.
    Unknown,
    /// Its system is older than this.
    System {
        /// The least version; `None` if the platform is not supported.
        needs: Option<String>,
    },
    /// It is not signed in to the account.
    SignedIn,
    /// It takes no part in the exchange of keys.
    KeySync,
    /// It has no passcode.
    Passcode,
}

impl Requirements {
    /// Everything that keeps the account from turning verification on; nothing if it may.
    pub fn unmet(&self, devices: &[Device], facts: &AccountFacts) -> Vec<Unmet> {
        let two_factor = (!facts.has_two_factor).then_some(Unmet::TwoFactor);
        let each = devices.iter().flat_map(|device| {
            let name = device.name.clone();
            let unmet = self.unmet_by(device, facts.devices.get(&device.id));
            unmet.into_iter().map(move |what| Unmet::Device {
                name: name.clone(),
                what,
            })
        });
        two_factor.into_iter().chain(each).collect()
    }

    fn unmet_by(&self, device: &Device, facts: Option<&DeviceFacts>) -> Vec<UnmetByDevice> {
        let Some(facts) = facts else {
            return vec![UnmetByDevice::Unknown];
        };
        let needs = self.minimum_os.get(&device.platform);
        let is_new_enough = needs.is_some_and(|needs| is_at_least(&device.os_version, needs));
        let system = UnmetByDevice::System {
            needs: needs.cloned(),
        };
        [
            (is_new_enough, system),
            (facts.is_signed_in, UnmetByDevice::SignedIn),
            (facts.has_key_sync, UnmetByDevice::KeySync),
            (facts.has_passcode, UnmetByDevice::Passcode),
        ]
        .into_iter()
        .filter_map(|(is_met, what)| (!is_met).then_some(what))
        .collect()
    }
}

/// Compares versions number by number; one that is no version is older than any.
fn is_at_least(version: &str, needs: &str) -> bool {
    let (Some(version), Some(needs)) = (numbers(version), numbers(needs)) else {
        return false;
    };
    let length = version.len().max(needs.len());
    let at = |numbers: &[u32], index: usize| numbers.get(index).copied().unwrap_or(0);
    let different = (0..length)
        .map(|index| at(&version, index).cmp(&at(&needs, index)))
        .find(|order| order.is_ne());
    different != Some(Ordering::Less)
}

fn numbers(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_numbers() {
        for (version, needs, expected) in [
            ("17.2", "17.2", true),
            ("17.10", "17.2", true),
            ("17.2.1", "17.2", true),
            ("17", "17.0", true),
            ("17.1.9", "17.2", false),
            ("9", "17.2", false),
            ("", "17.2", false),
            ("17.2-beta", "17.2", false),
            ("17.2", "x", false),
        ] {
            assert_eq!(is_at_least(version, needs), expected, "{version} {needs}");
        }
    }
}
