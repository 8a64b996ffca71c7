//! The witness over real sockets: every status code, and what must outlive a restart.

use crate::common::running::{Home, cosigned, read_note};
use crate::common::{History, ORIGIN, log_key, log_verifier, signed};
use candor_core::Hash;
use candor_core::limits::{ADD_CHECKPOINT_BYTES_MAX, SIGN_SUBTREE_BYTES_MAX};
use candor_core::note::{AddCheckpoint, NoteSigner as _, SignedNote, monitoring_path};
use reqwest::StatusCode;

const HONEST: History = History::honest();

#[tokio::test]
async fn every_status_code_has_its_request() {
    let home = Home::new("", "");
    let witness = home.start().await;
    let honest = HONEST.request(0, 5);
    let text = |status: StatusCode, answer: (StatusCode, String)| {
        assert_eq!(answer.0, status, "{}", answer.1);
    };
    for body in [
        vec![],
        b"old 0\n".to_vec(),
        vec![0xff; 100],
        honest.to_bytes()[1..].to_vec(),
        [&honest.to_bytes()[..], b"\n"].concat(),
        vec![b'a'; ADD_CHECKPOINT_BYTES_MAX + 1],
    ] {
        assert_eq!(witness.post(body).await.status(), StatusCode::BAD_REQUEST);
    }
    let oversize = vec![b'a'; SIGN_SUBTREE_BYTES_MAX + 1];
    assert_eq!(
        witness.post(oversize).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let (status, _) = witness.get("add-checkpoint").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);

    let line = honest.note.signatures().to_vec();
    let note = SignedNote::new("no checkpoint\n".to_owned(), line).unwrap();
    let garbled = AddCheckpoint {
        note,
        ..honest.clone()
    };
    text(StatusCode::BAD_REQUEST, witness.add(&garbled).await);
    let unknown = AddCheckpoint {
        note: signed(log_key(1), "other.example", 5, Hash::ZERO),
        ..honest.clone()
    };
    text(StatusCode::NOT_FOUND, witness.add(&unknown).await);
    let stranger = AddCheckpoint {
        note: signed(log_key(2), ORIGIN, 5, HONEST.root(5)),
        ..honest.clone()
    };
    text(StatusCode::FORBIDDEN, witness.add(&stranger).await);
    let above = AddCheckpoint {
        old_size: 6,
        ..honest.clone()
    };
    text(StatusCode::BAD_REQUEST, witness.add(&above).await);

    let response = witness.post(HONEST.request(3, 5).to_bytes()).await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert_eq!(response.headers()["content-type"], "text/x.tlog.size");
    assert_eq!(response.text().await.unwrap(), "0\n");

    let proof = vec![Hash::ZERO];
    let padded = AddCheckpoint {
        proof,
        ..honest.clone()
    };
    text(StatusCode::UNPROCESSABLE_ENTITY, witness.add(&padded).await);
    let empty = AddCheckpoint {
        note: signed(log_key(1), ORIGIN, 0, Hash::ZERO),
        ..honest.clone()
    };
    text(StatusCode::UNPROCESSABLE_ENTITY, witness.add(&empty).await);

    let path = monitoring_path(ORIGIN);
    text(StatusCode::NOT_FOUND, witness.get(&path).await);
    text(StatusCode::OK, witness.add(&honest).await);
    text(StatusCode::OK, witness.get(&path).await);
    text(
        StatusCode::NOT_FOUND,
        witness.get(&monitoring_path("other.example")).await,
    );
    assert_eq!(
        witness.add(&honest).await,
        (StatusCode::CONFLICT, "5\n".to_owned())
    );
    for path in ["livez", "readyz", ""] {
        text(StatusCode::OK, witness.get(path).await);
    }
    witness.stop().await;
}

#[tokio::test]
async fn the_lines_satisfy_a_policy_of_the_log_keys_and_only_of_them() {
    let home = Home::new("", "");
    let witness = home.start().await;
    for (old, new) in [(0, 5), (5, 9), (9, 9)] {
        let request = HONEST.request(old, new);
        let (status, body) = witness.add(&request).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body.lines().count(), 2);
        let note = cosigned(&request, &body);
        let verified = home.policy(&[0, 1]).verify_checkpoint(&note).unwrap();
        assert!(verified.quorum_timestamp_s().unwrap() > 0);
        for map_key in [2, 3] {
            assert!(home.policy(&[map_key]).verify_checkpoint(&note).is_err());
        }
        // Monitors get the log's lines and exactly what the log got.
        let (_, monitored) = witness.get(&monitoring_path(ORIGIN)).await;
        assert_eq!(monitored, note.to_string());
    }
    let (_, metrics) = witness.get("metrics").await;
    for line in [
        format!("candor_witness_log_size_entries{{origin=\"{ORIGIN}\"}} 9"),
        "candor_witness_requests_total{outcome=\"cosigned\"} 3".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line} not in\n{metrics}");
    }
    let (_, page) = witness.get("").await;
    assert!(
        page.contains(ORIGIN) && page.contains("data-name=\"Size\">9<td"),
        "{page}"
    );
    witness.stop().await;
}

#[tokio::test]
async fn unknown_lines_are_not_kept() {
    let home = Home::new("", "");
    let witness = home.start().await;
    let mut request = HONEST.request(0, 5);
    let stranger = signed(log_key(2), ORIGIN, 5, HONEST.root(5)).signatures()[0].clone();
    request.note.add(stranger.clone()).unwrap();
    assert_eq!(witness.add(&request).await.0, StatusCode::OK);
    let (_, monitored) = witness.get(&monitoring_path(ORIGIN)).await;
    let monitored = SignedNote::parse(monitored.as_bytes()).unwrap();
    assert_eq!(monitored.signatures().len(), 3);
    assert!(!monitored.signatures().contains(&stranger));
    witness.stop().await;
}

#[tokio::test]
async fn of_two_histories_at_once_one_is_cosigned() {
    let home = Home::new("", "");
    let witness = home.start().await;
    let requests: Vec<_> = (0..6)
        .map(|number| History::new(number).request(0, 9))
        .collect();
    let answers = tokio::join!(
        witness.add(&requests[0]),
        witness.add(&requests[1]),
        witness.add(&requests[2]),
        witness.add(&requests[3]),
        witness.add(&requests[4]),
        witness.add(&requests[5]),
    );
    let (a, b, c, d, e, f) = answers;
    let statuses = [a, b, c, d, e, f].map(|answer| answer.0);
    let cosigned = statuses
        .iter()
        .filter(|status| **status == StatusCode::OK)
        .count();
    assert_eq!(cosigned, 1, "{statuses:?}");
    witness.stop().await;
}

#[tokio::test]
async fn what_was_cosigned_outlives_a_restart() {
    let home = Home::new("", "");
    let witness = home.start().await;
    assert_eq!(witness.add(&HONEST.request(0, 5)).await.0, StatusCode::OK);
    let before = witness.get(&monitoring_path(ORIGIN)).await;
    witness.stop().await;

    let witness = home.start().await;
    assert_eq!(witness.get(&monitoring_path(ORIGIN)).await, before);
    let fork = History::new(1).request(0, 9);
    assert_eq!(
        witness.add(&fork).await,
        (StatusCode::CONFLICT, "5\n".to_owned())
    );
    assert_eq!(witness.add(&HONEST.request(5, 9)).await.0, StatusCode::OK);
    witness.stop().await;
}

#[tokio::test]
async fn two_trees_of_one_size_suspend_the_log_until_the_operator_says_otherwise() {
    let home = Home::new("", "");
    let witness = home.start().await;
    assert_eq!(witness.add(&HONEST.request(0, 9)).await.0, StatusCode::OK);
    let fork = History::new(1).request(9, 9);
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    assert_eq!(witness.add(&fork).await.0, refused);
    assert_eq!(
        witness.add(&HONEST.request(9, 10)).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    witness.stop().await;

    // Two notes, each of which verifies under the log's key alone.
    let [case] = &home.evidence()[..] else {
        panic!("one case of evidence")
    };
    let notes = ["recorded.note", "received.note"].map(|file| read_note(case, file));
    let [recorded, received] = notes.map(|note| log_verifier().verify(&note).unwrap());
    assert_eq!(recorded.checkpoint().size(), received.checkpoint().size());
    assert_ne!(recorded.checkpoint().root(), received.checkpoint().root());

    let witness = home.start().await;
    assert_eq!(
        witness.add(&HONEST.request(9, 10)).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let (_, metrics) = witness.get("metrics").await;
    let alarm = format!("candor_witness_log_alarm{{origin=\"{ORIGIN}\"}} 1");
    assert!(metrics.contains(&alarm), "{metrics}");
    let (_, page) = witness.get("").await;
    assert!(page.contains("no longer cosigned"), "{page}");
    witness.stop().await;

    home.clear();
    let witness = home.start().await;
    assert_eq!(witness.add(&HONEST.request(9, 10)).await.0, StatusCode::OK);
    witness.stop().await;
}

#[tokio::test]
async fn a_missing_proof_accuses_nobody_but_is_kept_once() {
    let home = Home::new("", "");
    let witness = home.start().await;
    assert_eq!(witness.add(&HONEST.request(0, 5)).await.0, StatusCode::OK);
    for _ in 0..3 {
        let (status, _) = witness.add(&History::new(1).request(5, 9)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let [case] = &home.evidence()[..] else {
        panic!("one case of evidence")
    };
    assert!(
        case.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("unresolved-")
    );
    assert_eq!(witness.add(&HONEST.request(5, 9)).await.0, StatusCode::OK);
    witness.stop().await;
}

#[tokio::test]
async fn logs_may_have_keys_of_another_name() {
    let home = Home::new("", "origin = \"go.sum database tree\"\n");
    let witness = home.start().await;
    let key = log_key(1);
    assert_ne!(key.verifier_key().name().as_str(), "go.sum database tree");
    let request = AddCheckpoint {
        note: signed(key, "go.sum database tree", 5, Hash::ZERO),
        ..HONEST.request(0, 5)
    };
    assert_eq!(witness.add(&request).await.0, StatusCode::OK);
    witness.stop().await;
}
