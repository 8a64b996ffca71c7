//! What the operator asks of a running server: `candor.v1.Admin` on a socket in the file system.
//!
//! Who may open the socket may do all of it, so it is made for the server's own user, in a way
//! that leaves no moment in which others may open it, and who connects is asked for their user
//! again. Nothing of this is served on the network.
//!
//! Commands reach it with [`Client::connect`]. Without a server they do their work themselves,
//! under the anchor's lock, which a running server holds.

mod client;
mod copy;
mod service;
mod socket;

use std::path::PathBuf;
use std::time::Duration;

use candor_proto::v1::admin_server::AdminServer;
use futures::StreamExt;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

pub use self::client::{Client, ConnectError};
pub use self::service::Admin;
pub use self::socket::ControlSocket;

/// Most calls of one connection at a time.
const STREAMS_MAX: u32 = 8;

/// Longest request message in bytes: a label or a path, and room for the rest.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// Why the control socket was not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another server answers there: two configurations that name one socket. The operator's fault.
    #[error("another server serves {}", path.display())]
    Served {
        /// The socket.
        path: PathBuf,
    },
    /// There is something that is no socket. The operator's fault.
    #[error("{} exists and is no socket", path.display())]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The environment failed, or the directory may not be written to.
    #[error("could not make the control socket {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// How long accepting waits after a failure.
const ACCEPT_DELAY: Duration = Duration::from_millis(100);

/// Serves the operator until `shutdown`, then removes the socket.
pub async fn serve(socket: ControlSocket, admin: Admin, shutdown: CancellationToken) {
    let (listener, path) = socket.into_parts();
    let own_user = rustix::process::geteuid().as_raw();
    let incoming = UnixListenerStream::new(listener).filter_map(async |accepted| match accepted {
        Ok(stream) => is_allowed(&stream, own_user).then_some(Ok::<_, std::io::Error>(stream)),
        Err(error) => {
            // No descriptors are left, most likely. Trying at once again would keep a core busy.
            tracing::warn!(%error, "could not accept at the control socket");
            tokio::time::sleep(ACCEPT_DELAY).await;
            None
        }
    });
    let service = AdminServer::new(admin).max_decoding_message_size(REQUEST_BYTES_MAX);
    let served = Server::builder()
        .concurrency_limit_per_connection(STREAMS_MAX as usize)
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(service)
        .serve_with_incoming_shutdown(Box::pin(incoming), async {
            shutdown.cancelled().await;
            // Before calls that are under way end: who comes now gets no answer any more.
            drop(path);
        })
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the control socket is not served any more");
    }
}

/// The server's own user, and root, who may do everything anyway.
fn is_allowed(stream: &UnixStream, own_user: u32) -> bool {
    let user = stream.peer_cred().map(|peer| peer.uid());
    let allowed = user.as_ref().is_ok_and(|user| [own_user, 0].contains(user));
    if !allowed {
        tracing::warn!("another user was refused at the control socket");
    }
    allowed
}
