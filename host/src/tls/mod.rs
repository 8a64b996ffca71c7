//! TLS of a process: its one cryptographic provider, and the certificates of its listeners.
//!
//! Certificates are files of others (an ACME client, a secret of the cluster), who replace them
//! when they like. They are looked at again every [`RELOAD_INTERVAL`]; what is there then serves
//! every later handshake, and connections that stand go on. Files that do not fit together are
//! not used, and what was read before serves on: a renewal in two steps is never a moment in which
//! clients are refused.

mod certificates;
mod files;
mod plain_text;

pub use self::certificates::{Certificates, EXPIRES, FAILURES, Protocol, RELOAD_INTERVAL};
pub use self::files::{TlsFileError, TlsFiles};
pub use self::plain_text::PlainText;

/// Makes ring the provider of TLS for this process. Later calls change nothing.
///
/// `rustls` chooses no provider by itself; without this call every TLS set-up fails.
pub fn install_default_provider() {
    // An error only says that there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
