//! Certificates in use, and taking up new ones.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::{IntCounter, IntGauge};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::files::Contents;
use super::{TlsFileError, TlsFiles};
use crate::logging;
use crate::metrics::Registry;

/// How often the files are looked at. A renewal leaves days; an exposed key does not leave hours.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// When the certificate ends that listeners show, in seconds since the Unix epoch.
pub const EXPIRES: &str = "candor_tls_certificate_expires_timestamp_seconds";
/// Times that changed files of TLS could not be used.
pub const FAILURES: &str = "candor_tls_reload_failures_total";

/// What a listener speaks, and says so while it shakes hands (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2, for gRPC.
    Http2,
    /// HTTP/1.1.
    Http1,
}

/// The certificates of a process's listeners.
pub struct Certificates {
    files: TlsFiles,
    current: ArcSwap<Loaded>,
    expires: IntGauge,
    failures: IntCounter,
}

/// What was read last and could be used.
struct Loaded {
    contents: Contents,
    http2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
    expires_s: i64,
}

impl Certificates {
    /// Reads the files, and counts in `registry` what becomes of them.
    ///
    /// # Errors
    ///
    /// [`TlsFileError`]; the operator is at fault.
    pub fn open(files: TlsFiles, registry: &Registry) -> Result<Self, TlsFileError> {
        let loaded = load(&files, files.read()?)?;
        let expires = registry.gauge(
            EXPIRES,
            "When the certificate ends that listeners show, in seconds since the Unix epoch.",
        );
        expires.set(loaded.expires_s);
        let failures = registry.counter(
            FAILURES,
            "Times that changed files of TLS could not be used.",
        );
        Ok(Self {
            files,
            current: ArcSwap::from_pointee(loaded),
            expires,
            failures,
        })
    }

    /// What the next handshake uses.
    pub fn config(&self, protocol: Protocol) -> Arc<ServerConfig> {
        let current = self.current.load();
        Arc::clone(match protocol {
            Protocol::Http2 => &current.http2,
            Protocol::Http1 => &current.http1,
        })
    }

    /// Takes up changed files until `shutdown`.
    pub async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        let mut told = String::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(RELOAD_INTERVAL) => {}
                () = shutdown.cancelled() => return,
            }
            let this = Arc::clone(&self);
            let Ok(reloaded) = tokio::task::spawn_blocking(move || this.reload()).await else {
                continue;
            };
            match reloaded {
                Ok(is_new) => {
                    told.clear();
                    if is_new {
                        let expires_s = self.expires.get();
                        tracing::info!(expires_s, "new certificates are in use");
                    }
                }
                Err(error) => {
                    let error = logging::with_sources(&error);
                    // Each failure once: half a renewal stays so for a while.
                    if error != told {
                        self.failures.inc();
                        tracing::warn!(error, "changed certificates cannot be used; old ones are");
                        told = error;
                    }
                }
            }
        }
    }

    /// Takes up the files if they changed; whether they did.
    ///
    /// # Errors
    ///
    /// [`TlsFileError`]: what was read before stays in use.
    pub fn reload(&self) -> Result<bool, TlsFileError> {
        let contents = self.files.read()?;
        if contents == self.current.load().contents {
            return Ok(false);
        }
        let loaded = load(&self.files, contents)?;
        self.expires.set(loaded.expires_s);
        self.current.store(Arc::new(loaded));
        Ok(true)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.files).finish()
    }
}

fn load(files: &TlsFiles, contents: Contents) -> Result<Loaded, TlsFileError> {
    let (config, chain) = files.config(&contents)?;
    let with_protocol = |name: &[u8]| {
        let mut config = config.clone();
        config.alpn_protocols = vec![name.to_vec()];
        Arc::new(config)
    };
    Ok(Loaded {
        http2: with_protocol(b"h2"),
        http1: with_protocol(b"http/1.1"),
        expires_s: chain.first().map_or(0, expires_s),
        contents,
    })
}

/// When a certificate ends; 0 if it does not say so legibly.
fn expires_s(certificate: &CertificateDer<'_>) -> i64 {
    let parsed = X509Certificate::from_der(certificate);
    parsed.map_or(0, |(_, parsed)| parsed.validity().not_after.timestamp())
}
