//! Heads that devices pass on to each other.

use crate::common::world::{ORIGIN, World};
use crate::common::{ALICE, Scene, label, value, world};
use candor_core::Hash;
use candor_core::note::{GossipHead, NoteSigner as _, SignedNote};
use candor_proto::{hashes_to_wire, head_to_wire};
use candor_sdk::{Error, Evidence, Fault, Gossiped};

/// What a device that saw the first `size` records of this log passes on.
fn message(world: &World, size: u64) -> Vec<u8> {
    let note = SignedNote::parse(&world.head(size).checkpoint).unwrap();
    let head = GossipHead::new(&world.log_verifier(), &note).unwrap();
    head.unwrap().encode().to_vec()
}

/// Another history of the same log.
fn fork(records: u64) -> World {
    let mut fork = World::new();
    while fork.size() < records {
        fork.add(&[(ALICE, &value(ALICE, 0).encode())]);
    }
    fork
}

/// A client that knows the honest log at this many records, which is how long it is.
async fn scene(records: u64) -> Scene {
    let scene = Scene::new(world(u32::try_from(records).unwrap() - 3)).await;
    scene.client.head().await.unwrap();
    scene
}

/// Hands in a message; nothing of it may be remembered.
async fn receive(scene: &Scene, message: &[u8]) -> Result<Gossiped, Error> {
    let before = scene.memory();
    let result = scene.client.gossip_in(message).await;
    assert_eq!(scene.memory(), before, "gossip left a trace");
    result
}

/// Evidence that convinces whoever knows the log's key.
fn evidence(scene: &Scene, error: &Error) -> Evidence {
    assert_eq!(error.code(), "split-view");
    let Fault::ServerLied {
        evidence: Some(evidence),
    } = error.fault()
    else {
        panic!("{error} without evidence")
    };
    let log = scene.world().log_verifier();
    let received = Evidence::receive(&evidence.to_bytes(), &log).unwrap();
    assert_eq!(&received, evidence);
    received
}

#[tokio::test]
async fn a_device_passes_on_the_head_that_it_verified_last_and_asks_nobody() {
    let scene = Scene::new(world(1)).await;
    assert_eq!(scene.client.gossip_out().await.unwrap(), None);
    scene.client.head().await.unwrap();
    *scene.world() = world(3);
    scene.lie(|lies| lies.status = Some(tonic::Status::internal("asked")));
    let sent = scene.client.gossip_out().await.unwrap().unwrap();
    assert_eq!(sent, message(&scene.world(), 4));
    assert!(sent.len() < 200);
    // Its own head tells it nothing new, whoever sends it back.
    let received = receive(&scene, &sent).await;
    assert_eq!(received.unwrap(), Gossiped::Consistent);
}

#[tokio::test]
async fn the_longest_origin_makes_no_longer_message() {
    let mut world = World::of(&"o".repeat(255), 1);
    world.add(&[(ALICE, &value(ALICE, 0).encode())]);
    let scene = Scene::new(world).await;
    scene.client.head().await.unwrap();
    let sent = scene.client.gossip_out().await.unwrap().unwrap();
    assert_eq!(sent.len(), GossipHead::BYTES);
    assert_eq!(receive(&scene, &sent).await.unwrap(), Gossiped::Consistent);
}

#[tokio::test]
async fn every_earlier_head_of_the_same_log_is_consistent() {
    for known in 3..20 {
        let scene = scene(known).await;
        for size in 2..=known {
            let message = message(&scene.world(), size);
            let received = receive(&scene, &message).await;
            assert_eq!(received.unwrap(), Gossiped::Consistent, "{size} {known}");
        }
    }
}

#[tokio::test]
async fn a_later_head_is_compared_once_the_log_shows_it_and_only_then() {
    let scene = scene(4).await;
    let later = message(&world(3), 6);
    assert_eq!(receive(&scene, &later).await.unwrap(), Gossiped::Ahead);
    *scene.world() = world(4);
    let received = scene.client.gossip_in(&later).await.unwrap();
    assert_eq!(received, Gossiped::Consistent);
    assert_eq!(scene.client.known_head().await.unwrap().unwrap().size, 7);
}

#[tokio::test]
async fn a_device_that_knows_no_head_verifies_one_first() {
    let scene = Scene::new(world(3)).await;
    let message = message(&scene.world(), 5);
    let received = scene.client.gossip_in(&message).await.unwrap();
    assert_eq!(received, Gossiped::Consistent);
    assert!(scene.client.known_head().await.unwrap().is_some());
}

#[tokio::test]
async fn two_heads_of_one_size_are_evidence() {
    let scene = scene(4).await;
    let refused = receive(&scene, &message(&fork(4), 4)).await.unwrap_err();
    assert_eq!(evidence(&scene, &refused).beginning(), None);
    // No server is asked.
    scene.lie(|lies| lies.status = Some(tonic::Status::unavailable("")));
    let refused = receive(&scene, &message(&fork(4), 4)).await.unwrap_err();
    evidence(&scene, &refused);
}

#[tokio::test]
async fn two_heads_of_two_sizes_are_evidence() {
    for known in 3..20 {
        let scene = scene(known).await;
        let fork = fork(known);
        for size in 2..known {
            let refused = receive(&scene, &message(&fork, size)).await.unwrap_err();
            let evidence = evidence(&scene, &refused);
            let (earlier, later) = evidence.checkpoints();
            assert_eq!((earlier.size(), later.size()), (size, known));
            assert_eq!(earlier.root(), &fork.root(size));
            let beginning = evidence.beginning().unwrap();
            assert_eq!(beginning.root, scene.world().root(size));
        }
    }
}

#[tokio::test]
async fn a_later_head_of_another_history_is_evidence_once_the_log_has_grown() {
    for size in 5..9 {
        let scene = scene(4).await;
        let message = message(&fork(size), size);
        assert_eq!(receive(&scene, &message).await.unwrap(), Gossiped::Ahead);
        *scene.world() = world(6);
        let refused = scene.client.gossip_in(&message).await.unwrap_err();
        evidence(&scene, &refused);
        // The head that it was held against was verified, and is remembered.
        assert_eq!(scene.client.known_head().await.unwrap().unwrap().size, 9);
    }
}

#[tokio::test]
async fn the_second_head_is_compared_too() {
    let trust = world(3).trust_both(7 * 24 * 3600);
    let scene = Scene::with_trust(world(3), trust).await;
    let now_s = scene.world().now_s;
    *scene.shared.second.lock().unwrap() = Some((4, now_s));
    scene.client.head().await.unwrap();
    scene.lie(|lies| lies.status = Some(tonic::Status::unavailable("")));
    let honest = message(&scene.world(), 4);
    assert_eq!(
        receive(&scene, &honest).await.unwrap(),
        Gossiped::Consistent
    );
    let refused = receive(&scene, &message(&fork(4), 4)).await.unwrap_err();
    evidence(&scene, &refused);
}

#[tokio::test]
async fn a_server_that_refuses_or_garbles_the_proof_accuses_nobody() {
    // 8 is a power of two, where a second proof is asked for.
    for size in [7, 8] {
        let scene = scene(12).await;
        for other in [world(9), fork(12)] {
            let message = message(&other, size);
            let proofs = [
                Vec::new(),
                vec![Hash::ZERO; 4],
                scene.world().consistency(6, 12),
                fork(12).consistency(size, 12),
                vec![Hash::ZERO; 63],
            ];
            for proof in proofs {
                scene.lie(|lies| {
                    lies.consistency = Some(Box::new(move |_, response| {
                        response.consistency = hashes_to_wire(&proof);
                    }));
                });
                let refused = receive(&scene, &message).await.unwrap_err();
                assert_eq!(refused.code(), "log-inconsistent");
                assert_eq!(refused.fault(), Fault::ServerUnproven);
            }
            scene.be_honest();
            for (status, code) in [
                (tonic::Code::Unavailable, "unreachable"),
                (tonic::Code::FailedPrecondition, "server-failed"),
            ] {
                scene.lie(|lies| lies.status = Some(tonic::Status::new(status, "")));
                let refused = receive(&scene, &message).await.unwrap_err();
                assert_eq!(refused.code(), code);
                scene.be_honest();
            }
        }
    }
}

#[tokio::test]
async fn a_head_that_does_not_follow_is_not_believed_because_of_a_message() {
    let scene = scene(4).await;
    scene.lie(|lies| {
        lies.head = Some(Box::new(|_, response| {
            response.head = Some(head_to_wire(&fork(6).head(6)));
        }));
    });
    let refused = receive(&scene, &message(&fork(6), 6)).await.unwrap_err();
    assert_eq!(refused.code(), "log-inconsistent");
}

#[tokio::test]
async fn what_the_log_did_not_sign_is_nothing_and_accuses_nobody() {
    let scene = scene(4).await;
    // Whatever comes, nobody is asked.
    scene.lie(|lies| lies.status = Some(tonic::Status::internal("asked")));
    let honest = message(&scene.world(), 4);
    let mut stranger = World::of(ORIGIN, 2);
    stranger.add(&[]);
    let note = SignedNote::parse(&stranger.head(2).checkpoint).unwrap();
    let key = stranger.log.verifier_key().clone();
    let verifier = candor_core::note::LogVerifier::new(ORIGIN, vec![key]);
    let unsigned = GossipHead::new(&verifier, &note).unwrap().unwrap().encode();
    let mut forged = honest.clone();
    forged[8] ^= 1;
    for (message, code) in [
        (&honest[..108], "gossip-malformed"),
        (&[&honest[..], &[0]].concat(), "gossip-malformed"),
        (&[], "gossip-malformed"),
        (&unsigned, "gossip-unsigned"),
        (&forged, "gossip-unsigned"),
    ] {
        let refused = receive(&scene, message).await.unwrap_err();
        assert_eq!((refused.code(), refused.fault()), (code, Fault::Caller));
        assert!(!refused.is_retryable());
    }
}

#[tokio::test]
async fn a_lookup_that_a_message_carries_needs_no_server_and_no_head_that_is_known() {
    let sender = Scene::new(world(2)).await;
    let file = sender.client.save_proof(&label(ALICE)).await.unwrap();
    // A receiver whose head is older, the same, newer, or none at all; it asks nobody.
    for known in [3, 5, 8] {
        let receiver = scene(known).await;
        receiver.lie(|lies| lies.status = Some(tonic::Status::internal("asked")));
        let before = receiver.memory();
        let (found, answer) = receiver.client.verify_proof(&file).await.unwrap();
        assert_eq!(found, label(ALICE));
        assert_eq!(answer.account.greatest(), Some(2));
        assert_eq!(receiver.memory(), before);
    }
    let receiver = Scene::new(world(2)).await;
    receiver.lie(|lies| lies.status = Some(tonic::Status::internal("asked")));
    assert!(receiver.client.verify_proof(&file).await.is_ok());
    // The head in it is held against the log like any other that comes with a message.
    let head = sender.client.gossip_out().await.unwrap().unwrap();
    let receiver = scene(8).await;
    assert_eq!(
        receive(&receiver, &head).await.unwrap(),
        Gossiped::Consistent
    );
    receiver.set_clock(i64::try_from(candor_core::answer::MAX_AGE_S).unwrap() + 1);
    let refused = receiver.client.verify_proof(&file).await.unwrap_err();
    assert_eq!(refused.code(), "head-stale");
}
