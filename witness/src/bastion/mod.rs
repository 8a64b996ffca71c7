//! Behind NAT: the witness dials a bastion, and answers the requests that the bastion passes on
//! (c2sp.org/https-bastion).
//!
//! A bastion can drop requests and read answers, which are public; it cannot make one. So it is
//! trusted with nothing, and a broken one costs the witness a connection: a dial has a time limit,
//! a standing connection is asked for signs of life, and requests have the limits of the HTTP port.

mod identity;
mod place;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use candor_host::durable::{self, ReadError};
use candor_host::http::bounded;
use candor_host::http2::{self, Http2Limits, PATIENCE, PREFACE, Prefaced};
use candor_host::logging;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

pub use identity::{Identity, IdentityError, KEY_FILE};
pub use place::{BASTIONS_MAX, Place, PlaceError};
pub(crate) use place::{Section, check};

use crate::map::jittered;
use crate::metrics::Metrics;

/// The protocol's name in the TLS handshake.
const ALPN: &[u8] = b"bastion/0";

/// Longest file of roots in bytes: more than all roots of the web.
const CA_BYTES_MAX: usize = 1 << 20;

/// Most requests of one bastion at a time.
const REQUESTS_MAX: u32 = 256;

/// What a bastion may ask at a time; each request has the limits of the HTTP port.
fn limits() -> Http2Limits {
    let of_requests = crate::http::limits();
    Http2Limits {
        requests: REQUESTS_MAX,
        ping: of_requests.header_timeout,
        patience: PATIENCE,
        lifetime: None,
        drain: of_requests.drain_timeout,
    }
}

/// How long things take that depend on the bastion.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Until a connection stands, from the first packet to the first words of HTTP/2.
    pub dial: Duration,
    /// Between two connections. It doubles each time.
    pub retry: Duration,
    /// Longest time between two connections. After one that lived so long, `retry` begins again.
    pub retry_max: Duration,
}

impl Default for Times {
    /// 10 s to dial, 1 s to 1 min between connections.
    fn default() -> Self {
        Self {
            dial: Duration::from_secs(10),
            retry: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
        }
    }
}

/// Why no bastion can be connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BastionError {
    /// The file of roots cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file has no certificate, or one that is none. The operator is at fault.
    #[error("{} is not a PEM file of certificates", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
    },
    /// The roots of the system cannot be used. The environment is at fault.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Why a connection does not stand. The bastion or the network is at fault, or the operator who
/// has not made the witness's key known.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("cannot be reached")]
    Connect(#[source] std::io::Error),
    #[error("TLS failed")]
    Tls(#[source] std::io::Error),
    #[error("it does not speak bastion/0")]
    Protocol,
    #[error("it ended the connection before HTTP/2 began; does it know this witness's key?")]
    Refused(#[source] std::io::Error),
    #[error("it does not speak HTTP/2")]
    NotHttp2,
    #[error("it took too long")]
    Slow(#[from] tokio::time::error::Elapsed),
}

/// One bastion, to which a connection is kept.
#[derive(Debug)]
pub struct Bastion {
    place: Place,
    tls: Arc<ClientConfig>,
    metrics: Metrics,
    times: Times,
}

impl Bastion {
    /// A bastion that is to know this witness as `identity`.
    ///
    /// # Errors
    ///
    /// [`BastionError`].
    pub fn new(
        place: Place,
        identity: &Identity,
        metrics: Metrics,
        times: Times,
    ) -> Result<Self, BastionError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let config = match &place.ca {
            Some(path) => config.with_root_certificates(roots(path)?),
            None => config.with_platform_verifier()?,
        };
        let key = SingleCertAndKey::from(identity.certified_key());
        let mut config = config.with_client_cert_resolver(Arc::new(key));
        config.alpn_protocols = vec![ALPN.to_vec()];
        metrics.bastion_connected(&place.address, false);
        Ok(Self {
            place,
            tls: Arc::new(config),
            metrics,
            times,
        })
    }

    /// Serves `router` through the bastion until `stop` is cancelled and the requests in flight are
    /// answered. A connection that fails or ends is followed by another.
    pub async fn run(self, router: Router, stop: CancellationToken) {
        let router = bounded(router, crate::http::limits());
        let address = self.place.address.as_str();
        let mut retry = self.times.retry;
        loop {
            let began = Instant::now();
            let dialled = tokio::select! {
                dialled = self.dial() => dialled,
                () = stop.cancelled() => return,
            };
            match dialled {
                Ok(stream) => {
                    tracing::info!(bastion = address, "connected");
                    self.metrics.bastion_connected(address, true);
                    let router = router.clone();
                    let ended =
                        http2::serve_connection(stream, router, None, limits(), &stop).await;
                    self.metrics.bastion_connected(address, false);
                    if stop.is_cancelled() {
                        return;
                    }
                    let reason = ended.err().map(|error| logging::with_sources(&error));
                    tracing::warn!(bastion = address, reason, "the connection ended");
                }
                Err(error) => {
                    let reason = logging::with_sources(&error);
                    tracing::warn!(bastion = address, reason, "no connection");
                }
            }
            self.metrics.bastion_reconnect(address);
            if began.elapsed() >= self.times.retry_max {
                retry = self.times.retry;
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(retry)) => {}
                () = stop.cancelled() => return,
            }
            retry = (retry * 2).min(self.times.retry_max);
        }
    }

    async fn dial(&self) -> Result<impl AsyncRead + AsyncWrite + use<>, DialError> {
        tokio::time::timeout(self.times.dial, self.connect()).await?
    }

    /// A connection over which the bastion has begun to speak HTTP/2. Before that it stands in our
    /// eyes only: a bastion that does not know the key says so after its part of the handshake.
    async fn connect(&self) -> Result<impl AsyncRead + AsyncWrite + use<>, DialError> {
        let stream = TcpStream::connect(&self.place.address);
        let stream = stream.await.map_err(DialError::Connect)?;
        stream.set_nodelay(true).map_err(DialError::Connect)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(self.place.name.clone(), stream);
        let mut stream = stream.await.map_err(DialError::Tls)?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(DialError::Protocol);
        }
        let mut preface = [0; PREFACE.len()];
        let read = stream.read_exact(&mut preface).await;
        read.map_err(DialError::Refused)?;
        if preface != *PREFACE {
            return Err(DialError::NotHttp2);
        }
        Ok(Prefaced::new(stream))
    }
}

impl Place {
    /// Checks the roots for the bastion's certificate, if the configuration has some.
    ///
    /// # Errors
    ///
    /// [`BastionError`].
    pub fn check_roots(&self) -> Result<(), BastionError> {
        self.ca
            .as_deref()
            .map_or(Ok(()), |path| roots(path).map(drop))
    }
}

fn roots(path: &Path) -> Result<RootCertStore, BastionError> {
    let wrong = || BastionError::Roots {
        path: path.to_owned(),
    };
    let pem = durable::read_bounded(path, CA_BYTES_MAX)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| wrong())?;
        roots.add(certificate).map_err(|_| wrong())?;
    }
    if roots.is_empty() {
        return Err(wrong());
    }
    Ok(roots)
}
