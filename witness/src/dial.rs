//! Connecting to logs and peers over gRPC. What they say is verified whoever says it; TLS is for
//! those that speak nothing else. Authorities are the system's (`SSL_CERT_FILE` names others).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use candor_host::durable::{self, ReadError};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{ClientTlsConfig, Endpoint, Uri};

/// Longest file of a token in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// Where a log serves its audit feed, and what it wants to be shown.
#[derive(Clone)]
pub struct LogAddress {
    /// `http` or `https`, host and port.
    pub uri: Uri,
    /// File of the token, if the log asks for one; read anew for each connection, as tokens end.
    pub token: Option<PathBuf>,
}

impl fmt::Debug for LogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl From<Uri> for LogAddress {
    fn from(uri: Uri) -> Self {
        Self { uri, token: None }
    }
}

/// Whether gRPC can be there: a scheme, a host, no path.
pub fn is_address(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https"))
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none()
        && uri.host().is_some_and(|host| !host.is_empty())
}

/// Whether nobody on the way can read what is sent there: TLS, or no way at all.
pub fn is_private(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<IpAddr>();
    uri.scheme_str() == Some("https") || address.is_ok_and(|address| address.is_loopback())
}

/// How to connect there.
///
/// # Errors
///
/// The environment's fault: the system has no authorities.
pub fn endpoint(uri: &Uri) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from(uri.clone());
    if uri.scheme_str() != Some("https") {
        return Ok(endpoint);
    }
    endpoint.tls_config(ClientTlsConfig::new().with_native_roots())
}

/// Why a token cannot be shown. The operator is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It holds characters that cannot be sent.
    #[error("{} holds no token", .0.display())]
    Malformed(PathBuf),
}

/// The header `authorization` with the token in a file.
///
/// # Errors
///
/// [`TokenFileError`].
pub fn authorization(path: &Path) -> Result<MetadataValue<Ascii>, TokenFileError> {
    let token = durable::read_bounded(path, TOKEN_BYTES_MAX)?;
    let malformed = || TokenFileError::Malformed(path.to_owned());
    let token = str::from_utf8(&token).map_err(|_| malformed())?.trim();
    let header = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
    let mut header = header
        .ok()
        .filter(|_| !token.is_empty())
        .ok_or_else(malformed)?;
    header.set_sensitive(true);
    Ok(header)
}
