//! How a client reaches its server and what it trusts.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candor_core::answer::Trust;
use candor_core::limits::TLOG_PROOF_EXTRA_BYTES_MAX;
use candor_core::note::{Algorithm, Policy};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Uri};

use crate::error::Error;

/// Tells the time in POSIX seconds.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where the server is, what is trusted about its log, and the client's limits.
#[derive(Clone)]
pub struct ClientConfig {
    pub(crate) endpoint: String,
    pub(crate) trust: Trust,
    pub(crate) authorization: Option<MetadataValue<Ascii>>,
    root_certificate: Option<Certificate>,
    identity: Option<Identity>,
    pub(crate) timeout: Duration,
    pub(crate) submit_timeout: Duration,
    pub(crate) response_bytes_max: usize,
    pub(crate) clock: Clock,
}

impl ClientConfig {
    /// A client of the server at `endpoint` (`https://host:port`; `http://` sends in the clear what
    /// is looked up) that believes what `trust` allows.
    pub fn new(endpoint: &str, trust: Trust) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            trust,
            authorization: None,
            root_certificate: None,
            identity: None,
            timeout: Duration::from_secs(10),
            submit_timeout: Duration::from_secs(60),
            // An answer is at most as long as the part of a proof file that holds it.
            response_bytes_max: TLOG_PROOF_EXTRA_BYTES_MAX,
            clock: Arc::new(system_time_s),
        }
    }

    /// Sends `token` as `authorization: Bearer <token>` with every call: what the server's operator
    /// gave for updates, or for lookups where they are not everybody's.
    ///
    /// # Errors
    ///
    /// [`Error::Token`] if it cannot be sent; the caller is at fault.
    pub fn with_bearer_token(mut self, token: &str) -> Result<Self, Error> {
        let value = format!("Bearer {token}");
        let mut value: MetadataValue<Ascii> = value.parse().map_err(|_| Error::Token)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// Also accepts servers whose certificate leads to this one (PEM).
    #[must_use]
    pub fn with_root_certificate(mut self, pem: &[u8]) -> Self {
        self.root_certificate = Some(Certificate::from_pem(pem));
        self
    }

    /// Shows the server this certificate (PEM, with what leads to its authority) when it asks for
    /// one, and proves that the secret key (PEM) is there.
    #[must_use]
    pub fn with_identity(mut self, certificate: &[u8], key: &[u8]) -> Self {
        self.identity = Some(Identity::from_pem(certificate, key));
        self
    }

    /// Gives up on a call after this time; 10 s unless set.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives up on an update after this time; 60 s unless set. The update may still happen.
    #[must_use]
    pub const fn with_submit_timeout(mut self, timeout: Duration) -> Self {
        self.submit_timeout = timeout;
        self
    }

    /// Refuses messages longer than this; 16 MiB unless set.
    #[must_use]
    pub const fn with_response_bytes_max(mut self, bytes: usize) -> Self {
        self.response_bytes_max = bytes;
        self
    }

    /// Takes the time, in POSIX seconds, from `clock` instead of the system's clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How to connect to the server: with TLS unless the address says otherwise. For programs that
    /// speak to it beside a [`crate::Client`].
    ///
    /// # Errors
    ///
    /// [`Error::Address`] if the address is none; [`Error::Endpoint`] if a certificate or a key is
    /// none; [`Error::InClear`] if a credential is set, and the address neither has TLS nor is on
    /// this machine. The caller is at fault.
    pub fn connection(&self) -> Result<Endpoint, Error> {
        let uri: Uri = self.endpoint.parse().map_err(|_| Error::Address)?;
        let endpoint = Endpoint::from(uri.clone()).connect_timeout(self.timeout);
        let has_credential = self.authorization.is_some() || self.identity.is_some();
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if has_credential && !is_local(&uri) => {
                return Err(Error::InClear);
            }
            Some("http") => return Ok(endpoint),
            _ => return Err(Error::Address),
        }
        let mut tls = ClientTlsConfig::new().with_enabled_roots();
        if let Some(certificate) = &self.root_certificate {
            tls = tls.ca_certificate(certificate.clone());
        }
        if let Some(identity) = &self.identity {
            tls = tls.identity(identity.clone());
        }
        endpoint.tls_config(tls).map_err(Error::Endpoint)
    }

    /// Whether a policy cannot be met by Ed25519 signatures alone.
    pub fn needs_post_quantum(&self) -> bool {
        let is_classical = |algorithm| algorithm != Algorithm::MlDsa44;
        let needs = |policy: &Policy| {
            let mut logs = policy.logs().iter();
            !logs.any(|log| is_classical(log.key().algorithm()))
                || !policy.is_satisfied_by(|witness| is_classical(witness.key().algorithm()))
        };
        needs(self.trust.policy()) || self.trust.second().is_some_and(|it| needs(it.policy()))
    }
}

impl fmt::Debug for ClientConfig {
    /// Leaves out the credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("endpoint", &self.endpoint)
            .field("origin", &self.trust.origin())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Whether what is sent there does not leave this machine.
fn is_local(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let address = literal.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// A clock before 1970 reads as 1970: every head is then in the future, and refused as that.
fn system_time_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
