//! The files of TLS: a chain of certificates, its key, and who signs certificates of clients.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ConfigBuilder, ServerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::durable::{self, ReadError};

/// Longest file in bytes: some hundred certificates.
const FILE_BYTES_MAX: usize = 256 << 10;

/// Why the files of TLS cannot be used. The operator is at fault, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFileError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Everybody on the machine may read the key.
    #[error("everybody may read {path}, repair it with: chmod o= {path}", path = path.display())]
    Exposed {
        /// The file of the key.
        path: PathBuf,
    },
    /// A file holds no certificate, or something that is none.
    #[error("{} is not a file of PEM certificates", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
    },
    /// A file holds no secret key.
    #[error("{} does not hold a PEM secret key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The key is not the certificate's, or of a kind that is not supported.
    #[error("{} and {} do not go together: {source}", certificate.display(), key.display())]
    Mismatch {
        /// The file of certificates.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The authorities of clients cannot be used.
    #[error("{}: {source}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: VerifierBuilderError,
    },
    /// TLS itself could not be set up: a bug.
    #[error(transparent)]
    Setup(#[from] rustls::Error),
}

/// The table `[tls]`: where the files are.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// PEM file of the server's certificate, followed by the certificates that lead to its
    /// authority.
    pub certificate: PathBuf,
    /// PEM file of the certificate's secret key.
    pub key: PathBuf,
    /// PEM file of the authorities whose certificates clients may show. Without it no client is
    /// asked for one.
    pub client_authorities: Option<PathBuf>,
}

/// What the files held. The bytes are compared to see whether they changed.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_authorities: Option<Vec<u8>>,
}

impl TlsFiles {
    /// Makes the paths relative to `directory`.
    pub fn resolve(&mut self, directory: &Path) {
        let Self {
            certificate,
            key,
            client_authorities,
        } = self;
        for path in [certificate, key].into_iter().chain(client_authorities) {
            *path = directory.join(&*path);
        }
    }

    /// Reads the files and makes sure that a listener could use them.
    ///
    /// # Errors
    ///
    /// [`TlsFileError`].
    pub fn check(&self) -> Result<(), TlsFileError> {
        self.config(&self.read()?).map(|_| ())
    }

    pub(super) fn read(&self) -> Result<Contents, TlsFileError> {
        let key = Zeroizing::new(durable::read_bounded(&self.key, FILE_BYTES_MAX)?);
        // A group may read it: that is how clusters and ACME clients hand keys on.
        let is_open = std::fs::metadata(&self.key).is_ok_and(|file| file.mode() & 0o007 != 0);
        if is_open {
            let path = self.key.clone();
            return Err(TlsFileError::Exposed { path });
        }
        let authorities = self.client_authorities.as_deref();
        Ok(Contents {
            certificate: durable::read_bounded(&self.certificate, FILE_BYTES_MAX)?,
            key,
            client_authorities: authorities
                .map(|path| durable::read_bounded(path, FILE_BYTES_MAX))
                .transpose()?,
        })
    }

    /// The configuration of a listener, and the certificates that it shows.
    pub(super) fn config(
        &self,
        contents: &Contents,
    ) -> Result<(ServerConfig, Vec<CertificateDer<'static>>), TlsFileError> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key);
        let path = || self.key.clone();
        let key = key.map_err(|_| TlsFileError::Key { path: path() })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match (&self.client_authorities, &contents.client_authorities) {
            (Some(path), Some(pem)) => with_clients(builder, provider, path, pem)?,
            _ => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(chain.clone(), key);
        let mut config = config.map_err(|source| TlsFileError::Mismatch {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })?;
        if self.client_authorities.is_some() {
            // A session that is resumed would not look at the client's certificate again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok((config, chain))
    }
}

type WantsVerifier = ConfigBuilder<ServerConfig, rustls::WantsVerifier>;
type WantsCertificate = ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>;

/// Asks clients for a certificate. One that shows none connects all the same: what it may do is
/// decided for each request.
fn with_clients(
    builder: WantsVerifier,
    provider: Arc<rustls::crypto::CryptoProvider>,
    path: &Path,
    pem: &[u8],
) -> Result<WantsCertificate, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        let added = roots.add(certificate);
        let path = path.to_owned();
        added.map_err(|_| TlsFileError::Certificates { path })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build();
    let verifier = verifier.map_err(|source| TlsFileError::Authorities {
        path: path.to_owned(),
        source,
    })?;
    Ok(builder.with_client_cert_verifier(verifier))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.ok().filter(|chain| !chain.is_empty());
    let path = path.to_owned();
    certificates.ok_or(TlsFileError::Certificates { path })
}
