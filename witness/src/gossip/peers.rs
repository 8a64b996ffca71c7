//! Who the peers are: the `[[peer]]` sections of the configuration.

use std::collections::BTreeSet;

use candor_core::crypto::Ed25519PublicKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::transport::{Endpoint, Uri};

use super::identity::KeyText;
use crate::dial;

/// Most peers of a witness.
pub const PEERS_MAX: usize = 16;

/// Why the `[[peer]]` sections cannot be used. The operator is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// More than a witness compares with.
    #[error("{count} peers are more than {PEERS_MAX}")]
    Count {
        /// How many.
        count: usize,
    },
    /// Two sections with one key or address.
    #[error("peer {url} is there twice, or has another's key")]
    Repeated {
        /// The address.
        url: String,
    },
    /// The address is none.
    #[error("peer {url}: the address must be http(s)://host:port")]
    Url {
        /// The address.
        url: String,
    },
    /// TLS could not be set up: the environment's fault.
    #[error("peer {url}: no TLS: {source}")]
    Tls {
        /// The address.
        url: String,
        /// What is wrong.
        source: tonic::transport::Error,
    },
    /// The key is none.
    #[error("peer {url}: the key must be what `gossip-key` prints there")]
    Key {
        /// The address.
        url: String,
    },
    /// The key is this witness's own.
    #[error("peer {url} has the key of this witness")]
    Own {
        /// The address.
        url: String,
    },
}

/// A section of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    /// Address of its gRPC, `http://host:port`. What it sends is signed.
    url: String,
    /// What `gossip-key` prints there.
    key: String,
}

/// A witness to compare with.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it answers, as the configuration has it.
    pub url: String,
    pub(super) endpoint: Endpoint,
    /// Its gossip key.
    pub key: Ed25519PublicKey,
}

impl Peer {
    /// The peer at `url`, which has the key that `key` spells.
    ///
    /// # Errors
    ///
    /// [`PeerError::Url`], [`PeerError::Tls`] or [`PeerError::Key`].
    pub fn new(url: &str, key: &str) -> Result<Self, PeerError> {
        let wrong = || PeerError::Url {
            url: url.to_owned(),
        };
        let address: Uri = url.parse().map_err(|_| wrong())?;
        if !dial::is_address(&address) || address.port_u16().is_none() {
            return Err(wrong());
        }
        let endpoint = dial::endpoint(&address).map_err(|source| PeerError::Tls {
            url: url.to_owned(),
            source,
        })?;
        let key = KeyText::parse(key).ok_or_else(|| PeerError::Key {
            url: url.to_owned(),
        })?;
        Ok(Self {
            url: url.to_owned(),
            endpoint,
            key: key.0,
        })
    }
}

/// The peers of a configuration.
pub(crate) fn check(sections: Vec<Section>) -> Result<Vec<Peer>, PeerError> {
    let count = sections.len();
    if count > PEERS_MAX {
        return Err(PeerError::Count { count });
    }
    let (mut urls, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let mut peers = Vec::with_capacity(count);
    for Section { url, key } in sections {
        let peer = Peer::new(&url, &key)?;
        if !urls.insert(url.clone()) || !keys.insert(*peer.key.as_bytes()) {
            return Err(PeerError::Repeated { url });
        }
        peers.push(peer);
    }
    Ok(peers)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use candor_core::crypto::Ed25519SecretKey;

    fn key(seed: u8) -> String {
        KeyText(Ed25519SecretKey::from_seed(&[seed; 32]).public_key()).to_string()
    }

    fn section(number: u8) -> Section {
        Section {
            url: format!("http://w{number}.example:7381"),
            key: key(number),
        }
    }

    #[test]
    fn addresses_have_a_scheme_and_a_port() {
        for good in [
            "http://w.example:7381",
            "http://127.0.0.1:1/",
            "https://w.example:7381",
            "http://[::1]:7381",
        ] {
            Peer::new(good, &key(1)).unwrap();
        }
        for bad in [
            "",
            "w.example:7381",
            "ftp://w.example:7381",
            "http://w.example",
            "http://w.example:7381/path",
            "http://w.example:7381/?query",
            "http://:7381",
        ] {
            let error = Peer::new(bad, &key(1)).unwrap_err();
            assert!(matches!(error, PeerError::Url { .. }), "{bad}");
        }
        let error = Peer::new("http://w.example:1", "00").unwrap_err();
        assert!(matches!(error, PeerError::Key { .. }), "{error:?}");
    }

    #[test]
    fn each_peer_is_there_once_and_there_are_not_too_many() {
        let sections = |count: usize| (0..count as u8).map(section).collect::<Vec<_>>();
        assert_eq!(check(sections(PEERS_MAX)).unwrap().len(), PEERS_MAX);
        let error = check(sections(PEERS_MAX + 1)).unwrap_err();
        assert!(matches!(error, PeerError::Count { count: 17 }), "{error:?}");
        let same_key = Section {
            key: key(1),
            ..section(2)
        };
        let same_url = Section {
            key: key(2),
            ..section(1)
        };
        for second in [section(1), same_key, same_url] {
            let error = check(vec![section(1), second]).unwrap_err();
            assert!(matches!(error, PeerError::Repeated { .. }), "{error:?}");
        }
    }
}
