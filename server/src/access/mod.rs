//! Who may do what: nobody anything, unless the configuration says so.
//!
//! Each call needs one [`Role`]. A caller has the roles that everybody has, those of the client
//! certificate that he showed when he connected, and those of the [`token`] that he shows with the
//! call. A credential that is wrong is refused whatever it was shown for: silence would hide from
//! its bearer that it is about to be needed. Administration is no role: it does not come over the
//! network at all.

mod gate;
mod role;
pub mod token;

use std::net::IpAddr;
use std::sync::Arc;

use candor_core::Hash;
use candor_host::listener::Peer;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use quick_cache::sync::Cache;
use rustls::pki_types::ServerName;
use tonic::Status;

pub use self::gate::Guarded;
pub use self::role::{Role, Roles};
use self::token::{Grant, Issuer, TokenError};
use crate::clock::Clock;

/// Tokens that were verified and are remembered, so that only a new one costs a signature.
const TOKENS_KEPT: usize = 1024;

/// A client that shows certificates.
#[derive(Clone, Debug)]
pub struct CertifiedClient {
    /// What limits call it.
    pub name: Arc<str>,
    /// The DNS name in its certificate.
    pub certified: ServerName<'static>,
    /// What it may do.
    pub roles: Roles,
}

/// Who may do what.
pub struct Access {
    /// For which log tokens must be.
    pub origin: String,
    /// What everybody may do.
    pub anonymous: Roles,
    /// Clients with certificates.
    pub clients: Vec<CertifiedClient>,
    /// Who makes tokens.
    pub issuers: Vec<Issuer>,
    known: Cache<Hash, Grant>,
    clock: Clock,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name that his credential gives him, if he showed one.
    pub name: Option<Arc<str>>,
    /// The network that he connects from, if that is known.
    pub network: Option<IpAddr>,
    /// What he may do.
    pub roles: Roles,
}

impl Caller {
    /// Refuses a caller who may not do this.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` if he showed no credential, else `PERMISSION_DENIED`.
    pub fn may(&self, role: Role) -> Result<(), Status> {
        if self.roles.has(role) {
            return Ok(());
        }
        let needed = format!("this call needs the role {}", role.name());
        Err(match self.name {
            None => Status::unauthenticated(needed),
            Some(_) => Status::permission_denied(needed),
        })
    }
}

impl Access {
    /// Nobody may do anything yet.
    pub fn new(origin: &str, clock: Clock) -> Self {
        Self {
            origin: origin.to_owned(),
            anonymous: Roles::default(),
            clients: Vec::new(),
            issuers: Vec::new(),
            known: Cache::new(TOKENS_KEPT),
            clock,
        }
    }

    /// Who asks, by where he connects from, his certificate and the header
    /// `authorization`.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`: the header is there, and no valid token.
    pub fn caller(&self, peer: Option<&Peer>, headers: &HeaderMap) -> Result<Caller, Status> {
        let mut caller = Caller {
            name: None,
            network: peer.map(Peer::network),
            roles: self.anonymous,
        };
        let certified = peer.and_then(|peer| {
            let mut clients = self.clients.iter();
            clients.find(|client| peer.is_named(&client.certified))
        });
        if let Some(client) = certified {
            caller.name = Some(Arc::clone(&client.name));
            caller.roles = caller.roles.and(client.roles);
        }
        let mut credentials = headers.get_all(AUTHORIZATION).iter();
        if let Some(header) = credentials.next() {
            // Which of several counted would depend on who looks.
            let grant = match credentials.next() {
                None => self.grant(header),
                Some(_) => Err(TokenError::Malformed),
            };
            let grant = grant.map_err(|error| Status::unauthenticated(error.to_string()))?;
            caller.roles = caller.roles.and(grant.roles);
            caller.name = Some(grant.subject);
        }
        Ok(caller)
    }

    /// Whether a token was shown that would have to be verified first.
    fn has_to_verify(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION);
        let token = shown.and_then(bearer);
        token.is_some_and(|token| self.known.peek(&digest(token)).is_none())
    }

    fn grant(&self, header: &HeaderValue) -> Result<Grant, TokenError> {
        let token = bearer(header).ok_or(TokenError::Malformed)?;
        let now_s = self.clock.now_s();
        let digest = digest(token);
        if let Some(grant) = self.known.get(&digest) {
            return if grant.expires_s > now_s {
                Ok(grant)
            } else {
                Err(TokenError::Expired)
            };
        }
        let grant = token::verify(token, &self.origin, &self.issuers, now_s)?;
        self.known.insert(digest, grant.clone());
        Ok(grant)
    }
}

fn bearer(header: &HeaderValue) -> Option<&str> {
    header.to_str().ok()?.strip_prefix("Bearer ")
}

/// What a token is remembered by. It is of what the caller sent, so how long the search takes tells
/// him nothing.
fn digest(token: &str) -> Hash {
    candor_core::log::leaf_hash(token.as_bytes())
}
