//! Garbage, oversized and never-ending requests on every port of a running system: each gets a
//! clear refusal, nothing is lost, and memory does not grow.

use std::net::SocketAddr;
use std::time::Duration;

use candor_system::process::http;
use candor_system::system::{Node, System};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Memory of a process that is in use, in kibibytes.
fn resident_kib(node: &mut Node) -> u64 {
    let id = node.process().unwrap().id();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends bytes that no client would, and reads whatever comes back.
async fn send_raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server may well close before it has read everything.
    let _closed = stream.write_all(bytes).await;
    let _closed = stream.shutdown().await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _reset = tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("a hostile connection is closed");
    answer
}

fn garbage(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..length).map(|_| next()).collect()
}

/// One round of everything hostile, on one port.
async fn attack(address: SocketAddr, round: u32) {
    send_raw(address, &garbage(round, 4096)).await;
    send_raw(
        address,
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n",
    )
    .await;
    let long_header = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20));
    send_raw(address, long_header.as_bytes()).await;
    let mut http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    http2.extend(garbage(round, 64 << 10));
    send_raw(address, &http2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_port_survives_garbage_without_growing() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), 1).unwrap();
    system.start().await.unwrap();
    let ports: Vec<SocketAddr> = [&system.server, &system.witnesses[0]]
        .iter()
        .flat_map(|node| [node.grpc, node.http])
        .collect();
    // The first rounds fill caches and pools; the later ones must find them filled.
    for round in 0..10 {
        for port in &ports {
            attack(*port, round).await;
        }
    }
    let before = [
        resident_kib(&mut system.server),
        resident_kib(&mut system.witnesses[0]),
    ];
    for round in 10..60 {
        for port in &ports {
            attack(*port, round).await;
        }
    }
    let after = [
        resident_kib(&mut system.server),
        resident_kib(&mut system.witnesses[0]),
    ];
    for (before, after) in before.into_iter().zip(after) {
        // 50 rounds send each process 100 MiB; a leak of what was sent would show.
        assert!(
            after < before + (32 << 10),
            "{before} KiB grew to {after} KiB"
        );
    }
    system.device().unwrap().head().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn http_refusals_are_clear() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), 1).unwrap();
    system.start().await.unwrap();
    let client = http().unwrap();
    let server = format!("http://{}", system.server.http);
    for (path, status) in [
        ("/tile/0/000.p/255", 404),
        ("/tile/0/0", 400),
        ("/tile/99/000", 400),
        ("/tile/entries/../../etc", 404),
        ("/nothing", 404),
    ] {
        let answer = client.get(format!("{server}{path}")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
    let witness = format!("http://{}/add-checkpoint", system.witnesses[0].http);
    for (body, status) in [
        (vec![], 400),
        (garbage(1, 1000), 400),
        (b"old 0\n\nsomebody.else/log\n1\n".to_vec(), 400),
        (vec![b'a'; 1 << 20], 413),
    ] {
        let length = body.len();
        let answer = client.post(&witness).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{length} bytes");
    }
    let answer = client.get(&witness).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 405);
}
