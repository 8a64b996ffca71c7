//! The one cryptographic provider of TLS in a process.

/// Makes ring the provider of TLS for this process. Later calls change nothing.
///
/// `rustls` chooses no provider by itself; without this call every TLS set-up fails.
pub fn install_default_provider() {
    // An error only says that there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
