//! Outgoing HTTP to peers that may be slow, endless or hostile.

use std::time::Duration;

use crate::tls;

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the response has been read to its end.
    pub total: Duration,
}

/// A client that goes where it is told and nowhere else: it follows no redirects and takes no
/// proxies from the environment.
///
/// # Errors
///
/// The environment's fault: TLS could not be set up.
pub fn client(timeouts: Timeouts) -> Result<reqwest::Client, reqwest::Error> {
    builder(timeouts).build()
}

/// The same, for servers whose certificates lead to one in `roots` (PEM).
///
/// # Errors
///
/// The caller's fault if `roots` holds no certificates, else the environment's.
pub fn client_trusting(
    roots: &[u8],
    timeouts: Timeouts,
) -> Result<reqwest::Client, reqwest::Error> {
    let roots = reqwest::Certificate::from_pem_bundle(roots)?;
    builder(timeouts).tls_certs_only(roots).build()
}

/// The same, but for whom it speaks to: it believes any certificate. Only for what nobody can lie
/// about to anybody's harm.
pub(crate) fn unverifying_client(timeouts: Timeouts) -> Result<reqwest::Client, reqwest::Error> {
    let builder = builder(timeouts);
    builder.tls_danger_accept_invalid_certs(true).build()
}

fn builder(timeouts: Timeouts) -> reqwest::ClientBuilder {
    tls::install_default_provider();
    reqwest::Client::builder()
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.total)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
}

/// Why a response's body was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The peer's fault: it sends more than it may.
    #[error("the response is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit that it exceeds.
        limit_bytes: usize,
    },
    /// The network or the peer failed.
    #[error("could not read the response")]
    Network {
        /// What happened.
        source: reqwest::Error,
    },
}

/// Reads a response's body if it is at most `limit_bytes` long, and holds no more than that.
///
/// # Errors
///
/// The peer's fault if it sends more, the network's or the peer's if reading fails.
pub async fn read_body_bounded(
    mut response: reqwest::Response,
    limit_bytes: usize,
) -> Result<Vec<u8>, BodyError> {
    // The length that the peer announces is not worth an allocation.
    let mut body = Vec::new();
    loop {
        let chunk = response
            .chunk()
            .await
            .map_err(|source| BodyError::Network { source })?;
        let Some(chunk) = chunk else { return Ok(body) };
        if chunk.len() > limit_bytes - body.len() {
            return Err(BodyError::TooLong { limit_bytes });
        }
        body.extend_from_slice(&chunk);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// The answer of a peer that writes `answer` to whoever connects, and closes.
    async fn fetch(answer: &'static [u8]) -> reqwest::Response {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _request = socket.read(&mut [0; 4096]).await.unwrap();
            socket.write_all(answer).await.unwrap();
        });
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(5),
        };
        client(timeouts).unwrap().get(url).send().await.unwrap()
    }

    #[tokio::test]
    async fn bodies_are_bounded_with_and_without_announced_length() {
        let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12345";
        let unannounced = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n12345";
        for answer in [&announced[..], unannounced] {
            assert_eq!(
                read_body_bounded(fetch(answer).await, 5).await.unwrap(),
                b"12345"
            );
            let error = read_body_bounded(fetch(answer).await, 4).await.unwrap_err();
            assert!(
                matches!(error, BodyError::TooLong { limit_bytes: 4 }),
                "{error:?}"
            );
        }
    }

    #[tokio::test]
    async fn truncated_body_is_an_error() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n12345";
        let error = read_body_bounded(fetch(answer).await, 100)
            .await
            .unwrap_err();
        assert!(matches!(error, BodyError::Network { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let answer = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n";
        assert_eq!(fetch(answer).await.status(), reqwest::StatusCode::FOUND);
    }
}
