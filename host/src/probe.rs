//! Asking a program on this machine whether it is ready: what a container's health check does
//! where there is no other program that could ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::fetch::{self, BodyError, Timeouts};

/// Longest answer that is read in bytes: `/readyz` says one line.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Below the time that supervisors give a check by default, so that they are told why it failed.
const PATIENCE: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(4),
};

/// Why the program does not count as ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The program's fault: it does not run, or does not answer.
    #[error("{address} does not answer")]
    Silent {
        /// Where it was asked.
        address: SocketAddr,
        /// What happened.
        source: reqwest::Error,
    },
    /// The program's fault: its answer cannot be read.
    #[error("{address} answers what cannot be read")]
    Unreadable {
        /// Where it was asked.
        address: SocketAddr,
        /// What happened.
        source: BodyError,
    },
    /// The program answers that it is not ready.
    #[error("not ready: {answer}")]
    NotReady {
        /// What it says.
        answer: String,
    },
}

/// Asks `/readyz` of the HTTP port that listens on `listen`, over TLS if `is_encrypted`, and
/// returns what it says. Whose certificate it shows does not matter: who can listen in its place on
/// this machine could as well answer the supervisor.
///
/// # Errors
///
/// [`ProbeError`]: the program does not answer, or not well.
pub async fn ready(listen: SocketAddr, is_encrypted: bool) -> Result<String, ProbeError> {
    let address = local(listen);
    let silent = |source| ProbeError::Silent { address, source };
    let client = fetch::unverifying_client(PATIENCE).map_err(silent)?;
    let scheme = if is_encrypted { "https" } else { "http" };
    let request = client.get(format!("{scheme}://{address}/readyz"));
    let response = request.send().await.map_err(silent)?;
    let is_ready = response.status().is_success();
    let body = fetch::read_body_bounded(response, ANSWER_BYTES_MAX)
        .await
        .map_err(|source| ProbeError::Unreadable { address, source })?;
    let answer = printable(&body);
    match is_ready {
        true => Ok(answer),
        false => Err(ProbeError::NotReady { answer }),
    }
}

/// Where something on this machine is reached that listens on `listen`.
fn local(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// One line that a terminal shows as it is: anything may listen on a port.
fn printable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|char| !char.is_control()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::tls;
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// Somebody who gives one caller `answer`.
    async fn somebody(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let length = socket.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            socket.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn only_success_is_ready() {
        let fine = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nready\n";
        assert_eq!(ready(somebody(fine).await, false).await.unwrap(), "ready");
        for status in ["503 Service Unavailable", "302 Found", "404 Not Found"] {
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\nold\nmore\n");
            let error = ready(somebody(answer.leak()).await, false)
                .await
                .unwrap_err();
            assert_eq!(error.to_string(), "not ready: old", "{status}");
        }
    }

    #[tokio::test]
    async fn hostile_answers_are_bounded_and_harmless() {
        let escape = "HTTP/1.1 503 No\r\nconnection: close\r\n\r\n\u{1b}[2Jgone\u{7}\n";
        let error = ready(somebody(escape).await, false).await.unwrap_err();
        assert_eq!(error.to_string(), "not ready: [2Jgone");

        let long = format!(
            "HTTP/1.1 200 OK\r\n\r\n{}",
            "a".repeat(ANSWER_BYTES_MAX + 1)
        );
        let error = ready(somebody(long.leak()).await, false).await.unwrap_err();
        assert!(matches!(error, ProbeError::Unreadable { .. }), "{error:?}");

        let error = ready(somebody("what\r\n\r\n").await, false)
            .await
            .unwrap_err();
        assert!(matches!(error, ProbeError::Silent { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn any_certificate_will_do() {
        tls::install_default_provider();
        let made = rcgen::generate_simple_self_signed(["kt.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let Ok(mut socket) = acceptor.accept(socket).await else {
                    continue;
                };
                let _request = socket.read(&mut [0; 4096]).await.unwrap();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n";
                socket.write_all(answer).await.unwrap();
            }
        });
        let plain = ready(address, false).await.unwrap_err();
        assert!(matches!(plain, ProbeError::Silent { .. }), "{plain:?}");
        assert_eq!(ready(address, true).await.unwrap(), "ready");
    }

    #[tokio::test]
    async fn nobody_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = ready(address, false).await.unwrap_err();
        assert!(matches!(error, ProbeError::Silent { .. }), "{error:?}");
    }

    #[test]
    fn all_addresses_are_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8431", "127.0.0.1:8431"),
            ("[::]:8431", "[::1]:8431"),
            ("192.0.2.1:8431", "192.0.2.1:8431"),
        ] {
            assert_eq!(local(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
