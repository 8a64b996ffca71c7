//! Speaking to ports as no client would.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than any limit of a port.
const ENOUGH: Duration = Duration::from_secs(100);

/// How a port ends a connection on which `bytes` were sent, and then one more byte every second
/// for as long as it lasts, if `dripping`: the first line of its answer, or that there is none.
pub async fn said(address: SocketAddr, bytes: &[u8], dripping: Option<u8>) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    // A port may close before it has read everything.
    let _closed = writer.write_all(bytes).await;
    let drip = async {
        while let Some(byte) = dripping {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(ENOUGH, reader.read_to_end(&mut answer));
    tokio::select! {
        // A reset is an end too.
        ended = reading => drop(ended.expect("a hostile connection is closed")),
        () = drip => {}
    }
    line(&answer)
}

/// What an answer says in its first line.
fn line(answer: &[u8]) -> String {
    if answer.is_empty() {
        return "closed".to_owned();
    }
    let text = String::from_utf8_lossy(answer);
    match text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
    {
        Some(status) => format!("HTTP {status}"),
        // What TLS says of what is no TLS (RFC 8446, section 6).
        None if answer[0] == 0x15 => "closed (TLS alert)".to_owned(),
        // The server's settings come first, and GOAWAY is told apart by nobody here.
        None => "closed (HTTP/2)".to_owned(),
    }
}
