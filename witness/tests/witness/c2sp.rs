//! What c2sp.org/tlog-witness has beside `add-checkpoint`, and what keeps a log from asking too
//! often.

use crate::common::running::{Home, Running, cosigned};
use crate::common::{History, ORIGIN, log_key, signed};
use candor_core::Hash;
use candor_core::limits::SIGN_SUBTREE_BYTES_MAX;
use candor_core::log::{NodeSource as _, Subtree};
use candor_core::note::{
    SignSubtree, SignedNote, SubtreeHead, monitoring_path, parse_cosignatures,
};
use reqwest::StatusCode;

const HONEST: History = History::honest();

/// Entries 4..8 of a log of 9, which `note` is a checkpoint of.
fn request(note: SignedNote) -> SignSubtree {
    let node = |level, index| HONEST.node(level, index).unwrap();
    SignSubtree {
        subtree: Subtree::new(4, 8).unwrap(),
        hash: node(2, 1),
        proof: vec![node(2, 0), node(0, 8)],
        note,
    }
}

async fn sign(witness: &Running, request: &SignSubtree) -> (StatusCode, String) {
    let response = witness.post_to("sign-subtree", request.to_bytes()).await;
    (response.status(), response.text().await.unwrap())
}

/// A witness that cosigned size 9, and the cosigned note.
async fn start(home: &Home) -> (Running, SignedNote) {
    let witness = home.start().await;
    let first = HONEST.request(0, 9);
    let (status, body) = witness.add(&first).await;
    assert_eq!(status, StatusCode::OK);
    (witness, cosigned(&first, &body))
}

#[tokio::test]
async fn a_part_of_a_cosigned_checkpoint_is_cosigned_by_ml_dsa_without_time() {
    let home = Home::new("", "");
    let (witness, note) = start(&home).await;
    // Either of the witness's lines is enough, the log's is not needed.
    for lines in [&note.signatures()[1..2], &note.signatures()[2..]] {
        let note = SignedNote::new(note.text().to_owned(), lines.to_vec()).unwrap();
        let request = request(note);
        let (status, body) = sign(&witness, &request).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let [line] = &parse_cosignatures(body.as_bytes()).unwrap()[..] else {
            panic!("one line")
        };
        let part = SubtreeHead {
            origin: ORIGIN,
            subtree: request.subtree,
            hash: request.hash,
        };
        let keys: Vec<_> = home.cosigner.keys().collect();
        assert_eq!(part.verify(keys[1], line), Ok(()));
    }
    let (_, metrics) = witness.get("metrics").await;
    let count = "candor_witness_subtree_requests_total{outcome=\"cosigned\"} 2";
    assert!(metrics.contains(count), "{metrics}");
    witness.stop().await;
}

#[tokio::test]
async fn every_refusal_of_a_part_has_its_status_code() {
    let home = Home::new("", "");
    let (witness, note) = start(&home).await;
    let good = request(note.clone());
    let (status, _) = witness.get("sign-subtree").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    for body in [
        vec![],
        b"subtree 4 8\n".to_vec(),
        good.to_string()
            .replace("subtree 4 8", "subtree 3 8")
            .into_bytes(),
        good.to_string()
            .replace("subtree 4 8", "subtree 8 4")
            .into_bytes(),
        good.to_bytes()[1..].to_vec(),
    ] {
        let response = witness.post_to("sign-subtree", body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    let oversize = vec![b'a'; SIGN_SUBTREE_BYTES_MAX + 1];
    let response = witness.post_to("sign-subtree", oversize).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let own = |line: usize, origin: &str, size: u64, root: Hash| {
        let mut other = signed(log_key(1), origin, size, root);
        other.add(note.signatures()[line].clone()).unwrap();
        other
    };
    let with = |note: SignedNote| SignSubtree {
        note,
        ..good.clone()
    };
    let beyond = SignSubtree {
        subtree: Subtree::new(8, 10).unwrap(),
        ..good.clone()
    };
    let other_part = SignSubtree {
        hash: Hash::ZERO,
        ..good.clone()
    };
    let log_only = signed(log_key(1), ORIGIN, 9, HONEST.root(9));
    let stranger = signed(log_key(2), ORIGIN, 9, HONEST.root(9));
    let fork = History::new(1);
    let node = |level, index| fork.node(level, index).unwrap();
    let forked = |line| SignSubtree {
        subtree: good.subtree,
        hash: node(2, 1),
        proof: vec![node(2, 0), node(0, 8)],
        note: own(line, ORIGIN, 9, fork.root(9)),
    };
    for (request, status) in [
        (beyond, StatusCode::BAD_REQUEST),
        (
            with(own(1, "other.example", 9, HONEST.root(9))),
            StatusCode::NOT_FOUND,
        ),
        (other_part, StatusCode::UNPROCESSABLE_ENTITY),
        (with(log_only), StatusCode::FORBIDDEN),
        (with(stranger), StatusCode::FORBIDDEN),
        // The witness's own lines, put under another tree.
        (forked(1), StatusCode::FORBIDDEN),
        (forked(2), StatusCode::FORBIDDEN),
    ] {
        let (answer, body) = sign(&witness, &request).await;
        assert_eq!(answer, status, "{request}\n{body}");
    }
    // A log that contradicted itself gets nothing any more.
    witness.add(&fork.request(9, 9)).await;
    let (status, _) = sign(&witness, &good).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    witness.stop().await;
}

#[tokio::test]
async fn a_log_grows_as_often_as_it_may_and_repeats_do_not_use_that_up() {
    let home = Home::new("", "qpd = 24\n");
    let witness = home.start().await;
    let mut size = 0;
    for next in 1..=16 {
        assert_eq!(
            witness.add(&HONEST.request(size, next)).await.0,
            StatusCode::OK
        );
        size = next;
        // Anybody can send these again and again.
        for _ in 0..3 {
            let (status, body) = witness.add(&HONEST.request(size, size)).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            assert_eq!(
                witness.add(&HONEST.request(0, size)).await.0,
                StatusCode::CONFLICT
            );
        }
    }
    let response = witness.post(HONEST.request(16, 17).to_bytes()).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let retry_after = response.headers()["retry-after"].to_str().unwrap();
    assert!((1..=3_600).contains(&retry_after.parse::<u64>().unwrap()));
    // What it has is still confirmed and shown.
    assert_eq!(witness.add(&HONEST.request(16, 16)).await.0, StatusCode::OK);
    assert_eq!(
        witness.get(&monitoring_path(ORIGIN)).await.0,
        StatusCode::OK
    );
    let (_, metrics) = witness.get("metrics").await;
    let count = "candor_witness_requests_total{outcome=\"rate_limited\"} 1";
    assert!(metrics.contains(count), "{metrics}");
    witness.stop().await;
}
