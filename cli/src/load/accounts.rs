//! The accounts that are asked for: who they are, and which version each has next.

use std::sync::atomic::{AtomicU32, Ordering};

use candor_core::account::{AccountState, Device, DeviceKey, Label, VerifiedState, VerifiedValue};
use fastrand::Rng;

/// Set while an update of the account is on its way.
const BUSY: u32 = 1 << 31;

/// Accounts that are tried before an update finds none that is free.
const TRIES: u32 = 64;

/// Accounts 0 to a number, in four bytes each.
pub struct Accounts {
    /// The next version of each, as far as it is known.
    next: Vec<AtomicU32>,
}

impl Accounts {
    /// So many accounts, of which nothing is known.
    pub fn new(count: u32) -> Self {
        Self {
            next: (0..count).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Numbers of the accounts that have no version as far as is known.
    pub fn missing(&self) -> impl Iterator<Item = u32> {
        let numbers = 0_u32..;
        let accounts = numbers.zip(&self.next);
        accounts
            .filter(|(_, next)| next.load(Ordering::Relaxed) == 0)
            .map(|(number, _)| number)
    }

    /// How many accounts have a version.
    pub fn registered(&self) -> u64 {
        let versions = self.next.iter().map(|next| next.load(Ordering::Relaxed));
        versions.filter(|next| next & !BUSY > 0).count() as u64
    }

    /// Takes an account, so that nobody else updates it, and tells its next version.
    pub fn take(&self, number: u32) -> Option<u32> {
        let next = &self.next[number as usize];
        let version = next.fetch_or(BUSY, Ordering::Relaxed);
        (version & BUSY == 0).then_some(version)
    }

    /// Takes any account that is free.
    pub fn take_any(&self, rng: &mut Rng) -> Option<(u32, u32)> {
        let count = u32::try_from(self.next.len()).unwrap_or(u32::MAX);
        (0..TRIES).find_map(|_| {
            let number = rng.u32(0..count);
            Some((number, self.take(number)?))
        })
    }

    /// Gives an account back, whose next version is this.
    pub fn give_back(&self, number: u32, next: u32) {
        self.next[number as usize].store(next & !BUSY, Ordering::Relaxed);
    }
}

/// The label of an account.
pub fn label(number: u32) -> Label {
    Label::parse(&format!("acct:load{number:010}")).expect("the label is in its normal form")
}

/// The encoded value of a version: every run makes the same, so that one can go on where another
/// ended.
pub fn value(number: u32, version: u32) -> Vec<u8> {
    let label = label(number);
    let keys = ["encrypt", "sign"].map(|purpose| DeviceKey {
        purpose: purpose.to_owned(),
        public_key: vec![number as u8; 32],
    });
    let device = Device {
        id: number.to_be_bytes().repeat(4),
        name: String::new(),
        platform: String::new(),
        os_version: String::new(),
        capability: 1,
        added_ms: 0,
        expires_ms: 0,
        keys: keys.into(),
    };
    let first = AccountState {
        devices: vec![device],
        ..AccountState::first()
    };
    let unsigned = |state: AccountState| -> VerifiedState {
        let made = state.without_signature(&label);
        made.expect("the state is within the limits")
    };
    let mut state = unsigned(first);
    for _ in 0..version {
        let next = state.successor();
        state = unsigned(next.expect("there are fewer than 2^64 states"));
    }
    VerifiedValue::State(state).encode()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use candor_core::account::{UnverifiedValue, check_successor};

    use super::*;

    #[test]
    fn an_account_has_one_update_at_a_time() {
        let accounts = Accounts::new(2);
        assert_eq!(accounts.take(1), Some(0));
        assert_eq!(accounts.take(1), None);
        let mut rng = Rng::with_seed(1);
        assert_eq!(accounts.take_any(&mut rng), Some((0, 0)));
        assert_eq!(accounts.take_any(&mut rng), None);
        accounts.give_back(1, 3);
        assert_eq!(accounts.take_any(&mut rng), Some((1, 3)));
        assert_eq!(accounts.missing().count(), 0);
        accounts.give_back(0, 0);
        assert_eq!(accounts.missing().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn values_are_of_their_label_and_may_follow_one_another() {
        let versions: Vec<_> = (0..4)
            .map(|version| {
                let value = UnverifiedValue::decode(&value(7, version)).unwrap();
                value.verify(&label(7)).unwrap()
            })
            .collect();
        for pair in versions.windows(2) {
            check_successor(Some(&pair[0]), &pair[1]).unwrap();
        }
    }
}
