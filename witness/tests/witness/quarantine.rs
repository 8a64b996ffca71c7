//! A witness that may have forgotten what it signed, over real sockets.

use std::path::{Path, PathBuf};

use crate::common::running::{Home, Running, cosigned};
use crate::common::{History, ORIGIN};
use candor_core::log::{NodeSource as _, Subtree};
use candor_core::note::{SignSubtree, SignedNote};
use candor_witness::store::{self, AnchorKept, Paths};
use reqwest::StatusCode;

const HONEST: History = History::honest();

/// Runs a witness while the log goes from one size to the other; its last answer.
async fn grow(home: &Home, old: u64, new: u64) -> SignedNote {
    let witness = home.start().await;
    let request = HONEST.request(old, new);
    let (status, body) = witness.add(&request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    witness.stop().await;
    cosigned(&request, &body)
}

fn backup(home: &Home, file: impl Fn(&Paths) -> PathBuf) -> PathBuf {
    let copy = home.path().join("backup");
    std::fs::copy(file(&home.paths()), &copy).unwrap();
    copy
}

/// Everything is answered 503 with a reason, but what proves that the log grew from `floor`.
async fn assert_in_quarantine(witness: &Running, floor: Option<u64>) {
    let fork = History::new(1);
    for request in [
        HONEST.request(0, 10),
        HONEST.request(5, 10),
        fork.request(5, 10),
        fork.request(9, 10),
    ] {
        let (status, reason) = witness.add(&request).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(reason.contains("quarantine"), "{reason}");
        if let Some(floor) = floor {
            assert!(reason.contains(&format!("from size {floor}")), "{reason}");
        }
    }
    let (_, metrics) = witness.get("metrics").await;
    let alarm = format!("candor_witness_quarantine{{origin=\"{ORIGIN}\"}} 1");
    assert!(metrics.contains(&alarm), "{metrics}");
    let (_, page) = witness.get("").await;
    assert!(page.contains("quarantine"), "{page}");
}

async fn assert_ended(witness: &Running) {
    let (status, _) = witness.add(&HONEST.request(10, 11)).await;
    assert_eq!(status, StatusCode::OK);
    let (_, metrics) = witness.get("metrics").await;
    let alarm = format!("candor_witness_quarantine{{origin=\"{ORIGIN}\"}} 0");
    assert!(metrics.contains(&alarm), "{metrics}");
}

async fn old_file(file: impl Fn(&Paths) -> PathBuf) -> Home {
    let home = Home::new("", "");
    grow(&home, 0, 5).await;
    let copy = backup(&home, &file);
    grow(&home, 5, 7).await;
    grow(&home, 7, 9).await;
    std::fs::copy(copy, file(&home.paths())).unwrap();
    home
}

#[tokio::test]
async fn a_log_ends_its_quarantine_by_a_proof_from_the_larger_size() {
    let files: [fn(&Paths) -> PathBuf; 2] =
        [|paths| paths.database.clone(), |paths| paths.anchor.clone()];
    for file in files {
        let home = old_file(file).await;
        // A restart ends nothing.
        for _ in 0..2 {
            let witness = home.start().await;
            assert_in_quarantine(&witness, Some(9)).await;
            witness.stop().await;
        }
        let witness = home.start().await;
        let (status, body) = witness.add(&HONEST.request(9, 10)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_ended(&witness).await;
        witness.stop().await;
    }
}

#[tokio::test]
async fn a_restored_state_without_its_anchor_waits_for_the_operator() {
    let home = old_file(|paths| paths.database.clone()).await;
    std::fs::remove_file(home.paths().anchor).unwrap();
    assert!(
        candor_witness::server::Server::start(home.config())
            .await
            .is_err()
    );
    store::restore(&home.paths(), AnchorKept::Unknown).unwrap();
    let witness = home.start().await;
    assert_in_quarantine(&witness, None).await;
    // Nobody knows whether 9, or 5, is the largest.
    for old in [5, 9] {
        let (status, _) = witness.add(&HONEST.request(old, 10)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    witness.stop().await;
    store::release(&home.paths(), ORIGIN).unwrap();
    let witness = home.start().await;
    let (status, _) = witness.add(&HONEST.request(5, 10)).await;
    assert_eq!(status, StatusCode::OK);
    assert_ended(&witness).await;
    witness.stop().await;
}

#[tokio::test]
async fn two_signed_trees_of_one_size_are_a_fork_in_quarantine_too() {
    let home = old_file(|paths| paths.anchor.clone()).await;
    let witness = home.start().await;
    let (status, _) = witness.add(&History::new(1).request(9, 9)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(home.evidence().len(), 1);
    // No proof ends that.
    let (status, _) = witness.add(&HONEST.request(9, 10)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    witness.stop().await;
}

/// Database and anchor of one backup agree; only what the witness signed since gives them away.
#[tokio::test]
async fn a_cosignature_that_the_witness_does_not_remember_stops_it() {
    let home = Home::new("", "");
    grow(&home, 0, 5).await;
    let copies = [home.paths().database, home.paths().anchor].map(|file| {
        let copy: PathBuf = format!("{}.copy", file.display()).into();
        std::fs::copy(&file, &copy).unwrap();
        (copy, file)
    });
    let note = grow(&home, 5, 9).await;
    for (copy, file) in &copies {
        std::fs::copy(copy, file as &Path).unwrap();
    }
    let witness = home.start().await;
    let node = |level, index| HONEST.node(level, index).unwrap();
    let request = SignSubtree {
        subtree: Subtree::new(4, 8).unwrap(),
        hash: node(2, 1),
        proof: vec![node(2, 0), node(0, 8)],
        note,
    };
    let response = witness.post_to("sign-subtree", request.to_bytes()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let reason = response.text().await.unwrap();
    assert!(reason.contains("does not remember"), "{reason}");
    let (status, _) = witness.add(&HONEST.request(5, 10)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    witness.stop().await;
    // It does not forget that.
    let witness = home.start().await;
    let (status, _) = witness.add(&HONEST.request(5, 10)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    witness.stop().await;
}
