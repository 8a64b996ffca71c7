//! How a command finds the running server of its configuration.

use std::io;
use std::path::{Path, PathBuf};

use candor_proto::v1::GetStatusRequest;
use candor_proto::v1::admin_client::AdminClient;
use thiserror::Error;
use tonic::transport::{Channel, Endpoint};

use super::socket::{Reachable, dial};
use crate::config::Config;

/// Why no server could be asked, although there may be one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The socket could not be opened: another user's, perhaps.
    #[error("could not open the control socket {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The connection failed.
    #[error("the server at the control socket does not answer")]
    Transport(#[from] tonic::transport::Error),
    /// The server refused.
    #[error("the server refused: {0}")]
    Refused(#[from] tonic::Status),
    /// The socket is another log's: two configurations name one socket. The operator's fault.
    #[error("the control socket is served by the log {origin}")]
    OtherLog {
        /// The log that answered.
        origin: String,
    },
}

/// A connection to the running server of a configuration.
pub struct Client {
    /// The calls.
    pub admin: AdminClient<Channel>,
    /// Kept for as long as the connection may be made anew.
    _path: Reachable,
}

impl Client {
    /// Connects to the server of this configuration; `None` if none is running.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; the operator or the environment is at fault.
    pub async fn connect(config: &Config) -> Result<Option<Self>, ConnectError> {
        let path: &Path = &config.control_socket;
        let failed = |source| ConnectError::Io {
            path: path.to_owned(),
            source,
        };
        match dial(path) {
            Ok(()) => {}
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let path = Reachable::new(path).map_err(failed)?;
        let endpoint = Endpoint::from_shared(format!("unix:{}", path.path().display()))?;
        let mut admin = AdminClient::new(endpoint.connect().await?);
        let status = admin.get_status(GetStatusRequest {}).await?.into_inner();
        if status.origin != config.origin {
            let origin = status.origin;
            return Err(ConnectError::OtherLog { origin });
        }
        Ok(Some(Self { admin, _path: path }))
    }
}

/// Whether nobody listens: no socket, or that of a dead server.
fn is_nobody(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    kinds.contains(&error.kind())
}
