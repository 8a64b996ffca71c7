//! Witnesses in this process, each of which is a peer of every other.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use candor_core::crypto::Ed25519PublicKey;
use candor_witness::gossip::identity::KeyText;
use candor_witness::gossip::{GossipKey, Peer, Times};

use crate::common::running::{Home, Running};

/// How long a head waits in these tests before its log is unreconciled.
pub const PATIENCE: Duration = Duration::from_secs(4);

const TIMES: Times = Times {
    interval: Duration::from_secs(1),
    grace: Duration::ZERO,
    retry: Duration::from_secs(1),
    patience: PATIENCE,
};

pub struct Member {
    pub home: Home,
    address: SocketAddr,
    peers: Vec<Peer>,
    running: Option<Running>,
}

impl Member {
    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn gossip_key(&self) -> Ed25519PublicKey {
        GossipKey::open(&self.home.path().join("keys"))
            .unwrap()
            .public()
    }

    pub fn peer(&self) -> Peer {
        let key = KeyText(self.gossip_key()).to_string();
        Peer::new(&format!("http://{}", self.address), &key).unwrap()
    }

    pub async fn metrics(&self) -> String {
        self.running().get("metrics").await.1
    }

    /// Whether an exchange with each of so many peers succeeded since the start.
    pub async fn has_exchanged_with_all(&self, peers: usize) -> bool {
        let metrics = self.metrics().await;
        let name = "candor_witness_peer_exchange_timestamp_seconds{";
        metrics
            .lines()
            .filter(|line| line.starts_with(name))
            .count()
            == peers
    }
}

pub struct Ring(Vec<Member>);

impl Ring {
    /// Witnesses of the test log; `log` are further lines of its section.
    pub fn new(count: usize, log: &str) -> Self {
        // All stay bound until all are known, so that they differ.
        let listeners: Vec<TcpListener> = (0..count)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let member = |listener: &TcpListener| Member {
            home: Home::new("", log),
            address: listener.local_addr().unwrap(),
            peers: Vec::new(),
            running: None,
        };
        let mut members: Vec<Member> = listeners.iter().map(member).collect();
        let peers: Vec<Peer> = members.iter().map(Member::peer).collect();
        for (at, member) in members.iter_mut().enumerate() {
            let others = peers.iter().enumerate().filter(|(other, _)| *other != at);
            member.peers = others.map(|(_, peer)| peer.clone()).collect();
        }
        Self(members)
    }

    /// Makes `peer` one of everybody's.
    pub fn add_peer(&mut self, peer: Peer) {
        for member in &mut self.0 {
            member.peers.push(peer.clone());
        }
    }

    pub fn member(&self, at: usize) -> &Member {
        &self.0[at]
    }

    pub fn members<const N: usize>(&self) -> [&Member; N] {
        let members: Vec<&Member> = self.0.iter().collect();
        members.try_into().ok().unwrap()
    }

    pub async fn start(&mut self) {
        for at in 0..self.0.len() {
            self.start_one(at).await;
        }
    }

    pub async fn start_one(&mut self, at: usize) {
        let member = &mut self.0[at];
        let mut config = member.home.config();
        config.grpc = member.address;
        config.peers.clone_from(&member.peers);
        config.gossip = TIMES;
        member.running = Some(member.home.start_with(config).await);
    }

    pub async fn stop(&mut self, at: usize) {
        self.0[at].running.take().unwrap().stop().await;
    }

    pub async fn restart(&mut self, at: usize) {
        self.stop(at).await;
        self.start_one(at).await;
    }

    pub async fn end(self) {
        for member in self.0 {
            member.running.unwrap().stop().await;
        }
    }
}

/// Waits until it is so; a minute is far more than it takes.
pub async fn eventually<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within a minute")
}
