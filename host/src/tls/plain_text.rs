//! Where listeners may speak plain text.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where listeners without certificates may listen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PlainText {
    /// On loopback addresses only.
    #[default]
    Loopback,
    /// On every address: something in front encrypts, or everybody may read along.
    Anywhere,
}

impl PlainText {
    /// What an address without certificates has to be.
    pub const EXPECTED: &str =
        "a loopback address, unless there is a table [tls] or plain_text = \"anywhere\"";

    /// Whether a listener without certificates may be there.
    pub fn allows(self, address: SocketAddr) -> bool {
        match self {
            Self::Loopback => address.ip().is_loopback(),
            Self::Anywhere => true,
        }
    }
}
