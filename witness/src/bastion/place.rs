//! Where a bastion is, and who says that it is the one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most bastions of a witness.
pub const BASTIONS_MAX: usize = 16;

/// Why the `[[bastion]]` sections cannot be used. The operator is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// More than a witness connects to.
    #[error("{count} bastions are more than {BASTIONS_MAX}")]
    Count {
        /// How many.
        count: usize,
    },
    /// Two connections with one key: a bastion keeps the newer, so they would end each other.
    #[error("bastion {address} is there twice")]
    Repeated {
        /// The address.
        address: String,
    },
    /// The address is none.
    #[error("bastion {address}: the address must be host:port")]
    Address {
        /// The address.
        address: String,
    },
}

/// A section of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    /// Where it is, `host:port`.
    address: String,
    /// PEM file of the roots to which its certificate leads, if it is none that the system has.
    ca: Option<PathBuf>,
}

/// A bastion to connect to.
#[derive(Clone, Debug)]
pub struct Place {
    /// As the configuration has it.
    pub(super) address: String,
    /// The name that the bastion's certificate must have.
    pub(super) name: ServerName<'static>,
    /// The file of roots for that certificate; those of the system without it.
    pub(super) ca: Option<PathBuf>,
}

impl Place {
    /// The bastion at `address`, a host and port, whose certificate leads to one in the PEM file
    /// `ca`, or to a root of the system.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Address`].
    pub fn new(address: &str, ca: Option<PathBuf>) -> Result<Self, PlaceError> {
        let wrong = || PlaceError::Address {
            address: address.to_owned(),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port != 0);
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(wrong)?,
            None => host,
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
        if !is_port {
            return Err(wrong());
        }
        Ok(Self {
            address: address.to_owned(),
            name,
            ca,
        })
    }
}

/// The bastions of a configuration, whose paths are relative to `directory`.
pub(crate) fn check(sections: Vec<Section>, directory: &Path) -> Result<Vec<Place>, PlaceError> {
    let count = sections.len();
    if count > BASTIONS_MAX {
        return Err(PlaceError::Count { count });
    }
    let mut seen = BTreeSet::new();
    let mut places = Vec::with_capacity(count);
    for Section { address, ca } in sections {
        places.push(Place::new(&address, ca.map(|path| directory.join(path)))?);
        if !seen.insert(address.clone()) {
            return Err(PlaceError::Repeated { address });
        }
    }
    Ok(places)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_host_and_a_port() {
        for good in ["b.example:443", "127.0.0.1:8443", "[::1]:1"] {
            Place::new(good, None).unwrap();
        }
        let bad = [
            "",
            ":",
            "b.example",
            "b.example:",
            "b.example:0",
            "b.example:65536",
            "b.example:+1",
            ":443",
            "https://b.example:443",
            "b.example:443/",
            "a@b.example:443",
            "[::1:1",
            "a b:1",
        ];
        for bad in bad {
            assert!(Place::new(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_bastion_is_there_once_and_there_are_not_too_many() {
        let section = |number: usize| Section {
            address: format!("b{number}.example:443"),
            ca: Some("ca.pem".into()),
        };
        let sections = |count| (0..count).map(section).collect::<Vec<_>>();
        let places = check(sections(BASTIONS_MAX), Path::new("w")).unwrap();
        assert_eq!(places.len(), BASTIONS_MAX);
        assert_eq!(places[0].ca.as_deref(), Some(Path::new("w/ca.pem")));
        let error = check(sections(BASTIONS_MAX + 1), Path::new("w")).unwrap_err();
        assert!(
            matches!(error, PlaceError::Count { count: 17 }),
            "{error:?}"
        );
        let error = check(vec![section(1), section(1)], Path::new("w")).unwrap_err();
        assert!(matches!(error, PlaceError::Repeated { .. }), "{error:?}");
    }
}
