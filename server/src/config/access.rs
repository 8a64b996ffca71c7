//! The table `[access]`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_core::crypto::Ed25519PublicKey;
use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::access::token::Issuer;
use crate::access::{Access, CertifiedClient, Role};
use crate::clock::Clock;

/// Most issuers: a token that nobody signed costs a verification for each.
const ISSUERS_MAX: usize = 4;

/// Most clients with certificates: each is compared with the certificate of each call.
const CLIENTS_MAX: usize = 64;

/// Who may do what. Without this table nobody may do anything.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessTable {
    /// What everybody may do, without a credential: `lookup`, `monitor`, `audit`, `update`,
    /// `metrics`.
    #[serde(default)]
    pub anonymous: Vec<Role>,
    /// Who makes bearer tokens.
    #[serde(default)]
    pub issuer: Vec<IssuerTable>,
    /// Clients that show certificates of `tls.client_authorities`.
    #[serde(default)]
    pub client: Vec<ClientTable>,
}

/// Who makes bearer tokens.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerTable {
    /// Ed25519 public key in base64, as `candor-server token` prints it.
    pub public_key: String,
    /// The roles that its tokens may have.
    pub roles: Vec<Role>,
}

/// A client that shows a certificate.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientTable {
    /// The DNS name in its certificate.
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
}

impl AccessTable {
    /// What the table says of the log `origin`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`]; the operator is at fault.
    pub fn access(&self, origin: &str, clock: Clock) -> Result<Access, ConfigError> {
        let value = |key, expected| ConfigError::Value { key, expected };
        if self.issuer.len() > ISSUERS_MAX {
            return Err(value("access.issuer", "at most 4"));
        }
        if self.client.len() > CLIENTS_MAX {
            return Err(value("access.client", "at most 64"));
        }
        let mut access = Access::new(origin, clock);
        access.anonymous = self.anonymous.iter().copied().collect();
        for issuer in &self.issuer {
            let key = public_key(&issuer.public_key);
            let wrong = || {
                value(
                    "access.issuer.public_key",
                    "an Ed25519 public key in base64",
                )
            };
            access.issuers.push(Issuer {
                key: key.ok_or_else(wrong)?,
                roles: issuer.roles.iter().copied().collect(),
            });
        }
        for client in &self.client {
            let name = ServerName::try_from(client.name.clone());
            let name = name.map_err(|_| value("access.client.name", "a DNS name"))?;
            access.clients.push(CertifiedClient {
                name: client.name.as_str().into(),
                certified: name,
                roles: client.roles.iter().copied().collect(),
            });
        }
        Ok(access)
    }
}

fn public_key(text: &str) -> Option<Ed25519PublicKey> {
    let bytes = STANDARD.decode(text).ok()?;
    Ed25519PublicKey::from_bytes(&bytes.try_into().ok()?).ok()
}
