//! The files of TLS: a chain of certificates, its key, who signs certificates of clients, and which
//! of those are withdrawn.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ConfigBuilder, ServerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::durable::{self, ReadError};

/// Longest file in bytes: some hundred certificates, some thousand withdrawn ones.
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
    /// A file holds no revocation list, or something that is none.
    #[error("{} is not a file of PEM certificate revocation lists", path.display())]
    Revocations {
        /// The file.
        path: PathBuf,
    },
    /// There are lists of withdrawn certificates, and nobody is asked for one.
    #[error("client_revocations needs client_authorities")]
    NoAuthorities,
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
    /// PEM file of the certificate revocation lists of `client_authorities`, and of every authority
    /// between these and a client: a certificate of one that has no list here is refused. A list
    /// counts for as long as it is here, also after its next update was due.
    pub client_revocations: Option<PathBuf>,
}

/// What the files held. The bytes are compared to see whether they changed.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_authorities: Option<Vec<u8>>,
    client_revocations: Option<Vec<u8>>,
}

impl TlsFiles {
    /// Makes the paths relative to `directory`.
    pub fn resolve(&mut self, directory: &Path) {
        let Self {
            certificate,
            key,
            client_authorities,
            client_revocations,
        } = self;
        let of_clients = client_authorities.iter_mut().chain(client_revocations);
        for path in [certificate, key].into_iter().chain(of_clients) {
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
        let read = |path: &Path| durable::read_bounded(path, FILE_BYTES_MAX);
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key,
            client_authorities: self.client_authorities.as_deref().map(read).transpose()?,
            client_revocations: self.client_revocations.as_deref().map(read).transpose()?,
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
        let authorities = with_path(&self.client_authorities, &contents.client_authorities);
        let revocations = with_path(&self.client_revocations, &contents.client_revocations);
        let builder = match (authorities, revocations) {
            (Some(authorities), revocations) => {
                with_clients(builder, provider, authorities, revocations)?
            }
            (None, Some(_)) => return Err(TlsFileError::NoAuthorities),
            (None, None) => builder.with_no_client_auth(),
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

/// A file: where it is, and what it held.
type File<'a> = (&'a Path, &'a [u8]);

fn with_path<'a>(path: &'a Option<PathBuf>, held: &'a Option<Vec<u8>>) -> Option<File<'a>> {
    path.as_deref().zip(held.as_deref())
}

/// Asks clients for a certificate. One that shows none connects all the same: what it may do is
/// decided for each request. One that shows a withdrawn one does not.
fn with_clients(
    builder: WantsVerifier,
    provider: Arc<rustls::crypto::CryptoProvider>,
    (path, pem): File<'_>,
    revocations: Option<File<'_>>,
) -> Result<WantsCertificate, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        let added = roots.add(certificate);
        let path = path.to_owned();
        added.map_err(|_| TlsFileError::Certificates { path })?;
    }
    let lists = revocations.map(|(path, pem)| revocation_lists(path, pem));
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(lists.transpose()?.unwrap_or_default())
        .allow_unauthenticated()
        .build();
    let verifier = verifier.map_err(|source| match (source, revocations) {
        (VerifierBuilderError::InvalidCrl(_), Some((path, _))) => {
            let path = path.to_owned();
            TlsFileError::Revocations { path }
        }
        (source, _) => TlsFileError::Authorities {
            path: path.to_owned(),
            source,
        },
    })?;
    Ok(builder.with_client_cert_verifier(verifier))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.ok().filter(|chain| !chain.is_empty());
    let path = path.to_owned();
    certificates.ok_or(TlsFileError::Certificates { path })
}

fn revocation_lists(
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsFileError> {
    let lists = CertificateRevocationListDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let lists = lists.ok().filter(|lists| !lists.is_empty());
    let path = path.to_owned();
    lists.ok_or(TlsFileError::Revocations { path })
}
