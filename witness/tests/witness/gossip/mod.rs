//! Witnesses that compare: logs that fork, peers that lie, and what the operator clears.

mod liar;
mod ring;
mod tiles;

use crate::common::running::Home;
use crate::common::{History, ORIGIN, log_verifier};
use candor_core::note::Evidence;
use candor_witness::config::{Config, ConfigError};
use candor_witness::gossip::PeerError;
use candor_witness::server::{Server, ServerError};
use liar::Liar;
use reqwest::StatusCode;
use ring::{Member, Ring, eventually};
use tiles::Tiles;

const HONEST: History = History::honest();

fn fork() -> History {
    History::new(1)
}

async fn assert_cosigns(member: &Member, history: History, old_size: u64, size: u64) {
    let request = history.request(old_size, size);
    assert_eq!(member.running().add(&request).await.0, StatusCode::OK);
}

async fn assert_stopped(member: &Member, history: History, old_size: u64, size: u64) {
    let request = history.request(old_size, size);
    let (status, text) = member.running().add(&request).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("contradict"), "{text}");
}

async fn is_convicted(member: &Member) -> bool {
    let alarm = format!("candor_witness_log_alarm{{origin=\"{ORIGIN}\"}} 1");
    member.metrics().await.contains(&alarm)
}

async fn until_convicted(members: &[&Member]) {
    for member in members {
        eventually(|| is_convicted(member)).await;
    }
}

/// The one file of evidence, which convinces whoever has the log's key.
fn evidence_of(member: &Member) -> Evidence {
    let cases = member.home.evidence();
    let [case] = &cases[..] else {
        panic!("one case of evidence, not {cases:?}")
    };
    let bytes = std::fs::read(case.join("fork.evidence")).unwrap();
    Evidence::verify(&bytes, &log_verifier()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_shows_two_histories_of_one_size_is_stopped_everywhere() {
    let mut ring = Ring::new(3, "");
    ring.start().await;
    let [a, b, c] = ring.members();
    assert_cosigns(a, HONEST, 0, 9).await;
    assert_cosigns(b, fork(), 0, 9).await;
    assert_cosigns(c, HONEST, 0, 5).await;
    until_convicted(&[a, b, c]).await;
    for member in [a, b, c] {
        assert_eq!(evidence_of(member).beginning(), None);
    }
    assert_stopped(a, HONEST, 9, 10).await;
    assert_stopped(b, fork(), 9, 10).await;
    assert_stopped(c, HONEST, 5, 10).await;
    let (_, page) = a.running().get("").await;
    assert!(page.contains("no longer cosigned"), "{page}");
    assert!(page.contains("Last exchange"), "{page}");

    // A restart changes nothing. Only the operator clears it, for this witness alone, and the peers
    // that still hold the evidence do not raise it again.
    ring.restart(0).await;
    assert_stopped(ring.member(0), HONEST, 9, 10).await;
    ring.stop(0).await;
    let home = &ring.member(0).home;
    home.clear();
    ring.start_one(0).await;
    eventually(|| async { ring.member(0).has_exchanged_with_all(2).await }).await;
    assert!(!is_convicted(ring.member(0)).await);
    assert_cosigns(ring.member(0), HONEST, 9, 10).await;
    assert_stopped(ring.member(2), HONEST, 5, 10).await;
    ring.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_larger_tree_begins_otherwise_is_convicted_by_its_own_tiles() {
    for public in [HONEST, fork()] {
        let tiles = Tiles::serve(public).await;
        let mut ring = Ring::new(3, &format!("url = \"{}\"\n", tiles.url()));
        ring.start().await;
        let [a, b, c] = ring.members();
        assert_cosigns(a, HONEST, 0, 9).await;
        assert_cosigns(b, fork(), 0, 7).await;
        assert_cosigns(c, HONEST, 0, 3).await;
        // One of both branches is public. If it is the shorter one, the other has to grow.
        if public.root(7) == fork().root(7) {
            assert_cosigns(b, fork(), 7, 12).await;
        }
        until_convicted(&[a, b, c]).await;
        for member in [a, b, c] {
            let found = evidence_of(member);
            let (earlier, later) = found.checkpoints();
            assert!(earlier.size() < later.size());
            assert!(found.beginning().is_some());
        }
        assert_stopped(a, HONEST, 9, 10).await;
        ring.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_log_whose_sizes_differ_is_shown_to_be_consistent() {
    let tiles = Tiles::serve(HONEST).await;
    let mut ring = Ring::new(2, &format!("url = \"{}\"\n", tiles.url()));
    ring.start().await;
    let [a, b] = ring.members();
    assert_cosigns(a, HONEST, 0, 8).await;
    assert_cosigns(b, HONEST, 0, 13).await;
    eventually(|| async { tiles.requests() >= 2 }).await;
    // Longer than a head may wait.
    tokio::time::sleep(2 * ring::PATIENCE).await;
    for member in [a, b] {
        let alarm = format!("candor_witness_unreconciled{{origin=\"{ORIGIN}\"}} 0");
        assert!(member.metrics().await.contains(&alarm));
        assert!(member.home.evidence().is_empty());
    }
    assert_cosigns(a, HONEST, 8, 21).await;
    assert_cosigns(b, HONEST, 13, 21).await;
    ring.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_asked_and_shows_nothing_does_not_grow_until_it_does() {
    let tiles = Tiles::serve(HONEST).await;
    tiles.pause(true);
    let mut ring = Ring::new(2, &format!("url = \"{}\"\n", tiles.url()));
    ring.start().await;
    let [a, b] = ring.members();
    assert_cosigns(a, HONEST, 0, 8).await;
    assert_cosigns(b, HONEST, 0, 13).await;
    let alarm = format!("candor_witness_unreconciled{{origin=\"{ORIGIN}\"}} 1");
    eventually(|| async { a.metrics().await.contains(&alarm) }).await;
    let (status, text) = a.running().add(&HONEST.request(8, 9)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("consistent"), "{text}");
    // What was cosigned is cosigned again.
    assert_cosigns(a, HONEST, 8, 8).await;
    let (_, page) = a.running().get("").await;
    assert!(page.contains("not shown to be consistent"), "{page}");
    tiles.pause(false);
    eventually(|| async { !a.metrics().await.contains(&alarm) }).await;
    assert_cosigns(a, HONEST, 8, 9).await;
    ring.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_peer_cannot_stop_an_honest_log() {
    let mut ring = Ring::new(1, "");
    let liar = Liar::start().await;
    ring.add_peer(liar.peer());
    ring.start().await;
    let [a] = ring.members();
    assert_cosigns(a, HONEST, 0, 9).await;
    for (fault, reason) in [
        (liar::Fault::Head, "head"),
        (liar::Fault::Evidence, "evidence"),
    ] {
        liar.tell(fault);
        let dropped = format!("reason=\"{reason}\"");
        eventually(|| async { a.metrics().await.contains(&dropped) }).await;
    }
    // Answers that another key signed.
    liar.tell(liar::Fault::Signature);
    let failures = "candor_witness_peer_failures_total";
    eventually(|| async { a.metrics().await.contains(failures) }).await;
    assert!(!is_convicted(a).await);
    assert!(a.home.evidence().is_empty());
    assert_cosigns(a, HONEST, 9, 10).await;
    ring.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_repeated_questions_are_refused() {
    let mut ring = Ring::new(1, "");
    let liar = Liar::start().await;
    ring.add_peer(liar.peer());
    ring.start().await;
    let [a] = ring.members();
    let refused = tonic::Code::Unauthenticated;
    let key = a.gossip_key();
    let good = liar.question(&key, liar::now_ms());
    assert_eq!(liar::put(a, &good).await, Ok(()));
    assert_eq!(liar::put(a, &good).await, Err(refused));
    let older = liar.question(&key, good.time_ms - 1);
    assert_eq!(liar::put(a, &older).await, Err(refused));
    let stranger = Liar::start().await.question(&key, liar::now_ms());
    assert_eq!(liar::put(a, &stranger).await, Err(refused));
    let mut long = liar.question(&key, good.time_ms + 1);
    long.body = vec![0; 20_000];
    assert_eq!(liar::put(a, &long).await, Err(tonic::Code::OutOfRange));
    let metrics = a.metrics().await;
    for reason in ["time", "unknown_peer"] {
        let dropped =
            format!("candor_witness_gossip_dropped_total{{peer=\"asker\",reason=\"{reason}\"}}");
        assert!(metrics.contains(&dropped), "{metrics}");
    }
    ring.end().await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_at_the_start() {
    for top in ["gossip_interval_s = 0\n", "gossip_interval_s = 3601\n"] {
        let home = Home::new(top, "");
        let refused = Config::read(&home.path().join("witness.toml"));
        assert!(matches!(refused, Err(ConfigError::Settings(_))), "{top}");
    }
    for url in [
        "ftp://log.example",
        "https://log.example/?a",
        "log.example",
        "/log",
    ] {
        let home = Home::new("", &format!("url = \"{url}\"\n"));
        let refused = Config::read(&home.path().join("witness.toml"));
        assert!(
            matches!(refused, Err(ConfigError::Tiles { log: 1 })),
            "{url}"
        );
    }
    let peer = "[[peer]]\nurl = \"ftp://w.example:7381\"\nkey = \"00\"\n";
    let home = Home::new("", peer);
    let refused = Config::read(&home.path().join("witness.toml"));
    assert!(matches!(
        refused,
        Err(ConfigError::Peer(PeerError::Url { .. }))
    ));

    let ring = Ring::new(1, "");
    let [own] = ring.members();
    let mut config = own.home.config();
    config.peers = vec![own.peer()];
    let refused = Server::start(config).await;
    assert!(matches!(
        refused,
        Err(ServerError::Peer(PeerError::Own { .. }))
    ));
}
