//! The map's keys sign what the follower has checked, and nothing else.

use crate::common::feed::{Epochs, FakeLog};
use crate::common::running::{Home, Running, cosigned, read_note};
use crate::common::{ORIGIN, log_verifier};
use candor_core::note::monitoring_path;
use reqwest::StatusCode;

/// Every request waits for the follower as long as it can: tests do not depend on its speed.
const PATIENT: &str = "map_wait_ms = 8000\n";

fn home(log: &FakeLog) -> Home {
    Home::new(PATIENT, &format!("grpc = \"{}\"\n", log.address()))
}

/// Whether the lines for a checkpoint from `old` to `new` are also by the map's keys.
async fn is_map_cosigned(
    home: &Home,
    witness: &Running,
    epochs: &Epochs,
    old: u64,
    new: u64,
) -> bool {
    let request = epochs.request(old, new);
    let (status, body) = witness.add(&request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let note = cosigned(&request, &body);
    home.policy(&[0, 1]).verify_checkpoint(&note).unwrap();
    let by_map = home.policy(&[0, 1, 2, 3]).verify_checkpoint(&note).is_ok();
    assert_eq!(body.lines().count(), if by_map { 4 } else { 2 });
    by_map
}

async fn assert_alarm(witness: &Running) {
    let (_, metrics) = witness.get("metrics").await;
    let alarm = format!("candor_witness_map_alarm{{origin=\"{ORIGIN}\"}} 1");
    assert!(metrics.contains(&alarm), "{metrics}");
    let (_, page) = witness.get("").await;
    assert!(page.contains("bad\">map no longer cosigned"), "{page}");
}

#[tokio::test]
async fn honest_epochs_are_cosigned_by_the_map_keys_across_restarts() {
    let epochs = Epochs::honest(6);
    let log = FakeLog::start(epochs.clone()).await;
    let home = home(&log);
    let witness = home.start().await;
    log.sign_up_to(3);
    assert!(is_map_cosigned(&home, &witness, &epochs, 0, 1).await);
    assert!(is_map_cosigned(&home, &witness, &epochs, 1, 4).await);
    let (_, monitored) = witness.get(&monitoring_path(ORIGIN)).await;
    assert!(monitored.contains("/map "));
    witness.stop().await;

    let witness = home.start().await;
    log.sign_up_to(6);
    assert!(is_map_cosigned(&home, &witness, &epochs, 4, 7).await);
    assert_eq!(log.first_epochs_asked(), [1, 4], "progress was kept");
    witness.stop().await;
    log.stop().await;
}

#[tokio::test]
async fn a_tampered_delta_ends_the_maps_cosignatures_for_good() {
    let epochs = Epochs::honest(4);
    let mut tampered = epochs.clone();
    tampered.tamper_with(3);
    let log = FakeLog::start(tampered).await;
    log.sign_up_to(4);
    let home = home(&log);
    let witness = home.start().await;
    assert!(is_map_cosigned(&home, &witness, &epochs, 0, 3).await);
    assert!(!is_map_cosigned(&home, &witness, &epochs, 3, 4).await);
    assert_alarm(&witness).await;
    witness.stop().await;
    log.stop().await;

    // Neither a restart nor a log that now tells the truth makes it forget.
    let log = FakeLog::start(epochs.clone()).await;
    log.sign_up_to(4);
    let witness = home.start().await;
    assert!(!is_map_cosigned(&home, &witness, &epochs, 4, 5).await);
    assert_alarm(&witness).await;
    witness.stop().await;
    log.stop().await;
}

#[tokio::test]
async fn a_signed_root_that_the_epochs_do_not_lead_to_is_kept() {
    let (epochs, others) = (Epochs::honest(3), Epochs::other(3));
    let log = FakeLog::start(epochs.clone()).await;
    log.sign_up_to(3);
    let home = home(&log);
    let witness = home.start().await;
    assert!(!is_map_cosigned(&home, &witness, &others, 0, 4).await);
    assert_alarm(&witness).await;
    let [case] = &home.evidence()[..] else {
        panic!("one case of evidence")
    };
    let received = read_note(case, "received.note");
    log_verifier().verify(&received).unwrap();
    let computed = std::fs::read_to_string(case.join("computed.txt")).unwrap();
    assert_ne!(received.text(), computed);
    assert_eq!(computed, epochs.request(0, 4).note.text());
    witness.stop().await;

    home.clear();
    assert!(home.paths().database.exists());
    log.stop().await;
}

#[tokio::test]
async fn without_the_feed_the_log_is_still_witnessed() {
    let epochs = Epochs::honest(2);
    let log = FakeLog::start(epochs.clone()).await;
    let grpc = format!("grpc = \"{}\"\n", log.address());
    log.stop().await;
    let home = Home::new("map_wait_ms = 0\n", &grpc);
    let witness = home.start().await;
    assert!(!is_map_cosigned(&home, &witness, &epochs, 0, 2).await);
    let (_, metrics) = witness.get("metrics").await;
    let alarm = format!("candor_witness_map_alarm{{origin=\"{ORIGIN}\"}} 0");
    assert!(metrics.contains(&alarm), "{metrics}");
    witness.stop().await;
}
