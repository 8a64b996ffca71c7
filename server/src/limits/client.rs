//! Who asks, as far as limits tell callers apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::access::Caller;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// Whoever shows no credential and connects from this network: an IPv4 address or a /64.
    Network(IpAddr),
    /// Whoever shows a credential of this name.
    Named(Arc<str>),
    /// Whoever connects from where there are no limits by client.
    Unlimited,
}

/// Bits of an IPv4 address that are one client's: all.
pub(super) const V4_BITS: u8 = 32;

/// Bits of an IPv6 address that are one client's. It has all addresses that begin so.
pub(super) const V6_BITS: u8 = 64;

/// Whose calls come without an address.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Client {
    /// Who sends a call, by what the gate found out. All calls that passed none, or come without
    /// an address, count as those of one client.
    pub fn of(caller: Option<&Caller>, unlimited: &[Prefix]) -> Self {
        let network = caller.and_then(|caller| caller.network).unwrap_or(NOWHERE);
        if unlimited.iter().any(|prefix| prefix.contains(network)) {
            return Self::Unlimited;
        }
        match caller.and_then(|caller| caller.name.clone()) {
            Some(name) => Self::Named(name),
            None => Self::Network(network),
        }
    }
}

/// Addresses with a common beginning, written as `192.0.2.0/24` or `2001:db8::/32`; of IPv6 at most
/// 64 bits, which is what is known of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    /// The first address, bits beyond the length are 0.
    bits: u128,
    is_v4: bool,
    length: u8,
}

/// A prefix that is none. Whoever wrote it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an address prefix is written as 192.0.2.0/24 or 2001:db8::/32")]
pub struct PrefixError;

impl Prefix {
    /// The prefix of this length around an address; at most as long as the address.
    pub fn of(address: IpAddr, length: u8) -> Self {
        let (bits, size, is_v4) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), Ipv4Addr::BITS, true),
            IpAddr::V6(address) => (address.to_bits(), Ipv6Addr::BITS, false),
        };
        let free = size.saturating_sub(u32::from(length));
        // A shift by all bits of the number would overflow: then nothing stays.
        let bits = bits.checked_shr(free).unwrap_or(0);
        let bits = bits.checked_shl(free).unwrap_or(0);
        Self {
            bits,
            is_v4,
            length: u8::try_from(size - free).unwrap_or(u8::MAX),
        }
    }

    /// Whether an address begins so.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::of(address, self.length) == *self
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = text.split_once('/').ok_or(PrefixError)?;
        let address: IpAddr = address.parse().map_err(|_| PrefixError)?;
        if !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PrefixError);
        }
        let length = length.parse().map_err(|_| PrefixError)?;
        let prefix = Self::of(address, length);
        let whole = Self::of(address, u8::MAX);
        let most = if prefix.is_v4 { V4_BITS } else { V6_BITS };
        // One that is too long, or that names an address within it, is a mistake.
        if length > most || prefix.length != length || prefix.bits != whole.bits {
            return Err(PrefixError);
        }
        Ok(prefix)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        let Prefix {
            bits,
            is_v4,
            length,
        } = prefix;
        match u32::try_from(bits) {
            Ok(bits) if is_v4 => format!("{}/{length}", Ipv4Addr::from(bits)),
            _ => format!("{}/{length}", Ipv6Addr::from(bits)),
        }
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::access::Roles;

    #[test]
    fn prefixes_are_written_in_one_way() {
        for text in [
            "127.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.7/32",
            "::/64",
            "::/0",
            "2001:db8::/32",
        ] {
            let prefix = text.parse::<Prefix>().unwrap();
            assert_eq!(String::from(prefix), text);
        }
        for text in [
            "127.0.0.1/8",
            "127.0.0.0",
            "127.0.0.0/",
            "127.0.0.0/33",
            "127.0.0.0/+8",
            "::1/64",
            "::1/128",
            "::/65",
            "::/256",
            "localhost/8",
            "/8",
            "",
            "2001:db8::1/32",
            "10.0.0.0/8 ",
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError), "{text}");
        }
    }

    #[test]
    fn a_prefix_contains_its_addresses_and_no_others() {
        let contains = |prefix: &str, address: &str| {
            let prefix: Prefix = prefix.parse().unwrap();
            prefix.contains(address.parse().unwrap())
        };
        assert!(contains("127.0.0.0/8", "127.255.0.1"));
        assert!(!contains("127.0.0.0/8", "128.0.0.1"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(!contains("0.0.0.0/0", "::"));
        assert!(!contains("::/0", "0.0.0.0"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::1"));
        assert!(contains("::/64", "::1"));
    }

    #[test]
    fn a_client_is_its_credential_or_else_its_network() {
        let unlimited = ["127.0.0.0/8".parse().unwrap()];
        let of = |name: Option<&str>, network: Option<&str>| {
            let caller = Caller {
                name: name.map(Into::into),
                network: network.map(|text| text.parse().unwrap()),
                roles: Roles::default(),
            };
            Client::of(Some(&caller), &unlimited)
        };
        let network = |text: &str| Client::Network(text.parse().unwrap());
        assert_eq!(of(None, Some("192.0.2.1")), network("192.0.2.1"));
        assert_eq!(
            of(Some("monitor"), Some("192.0.2.1")),
            Client::Named("monitor".into())
        );
        assert_eq!(of(Some("monitor"), Some("127.0.0.1")), Client::Unlimited);
        assert_eq!(of(None, None), Client::Network(NOWHERE));
        assert_eq!(Client::of(None, &unlimited), Client::Network(NOWHERE));
    }
}
