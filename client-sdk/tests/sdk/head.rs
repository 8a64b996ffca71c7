//! Heads: what a device accepts as the log's newest state.

use crate::common::world::{ORIGIN, World};
use crate::common::{ALICE, FailingStore, Scene, label, value, world};
use candor_core::answer::{HeadProof, MAX_AGE_S, SKEW_S, Trust};
use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{KeyName, NoteSigner as _, Policy, SignedNote, SoftwareSigner};
use candor_proto::{hashes_to_wire, head_to_wire, v1};
use candor_sdk::{Client, ClientConfig, Evidence, Fault, MemoryStore, Store as _};
use prost::bytes::Bytes;

/// A server whose log the client knows at 4 records, and that has gone on to 6.
async fn scene() -> Scene {
    let scene = Scene::new(world(1)).await;
    scene.client.lookup(&label(ALICE)).await.unwrap();
    *scene.world() = world(3);
    scene
}

/// Another history of the same log: as long as the client knows it, or longer.
fn fork(records: u64) -> World {
    let mut fork = World::new();
    while fork.size() < records {
        fork.add(&[(ALICE, &value(ALICE, 0).encode())]);
    }
    fork
}

/// Has the server send another head.
fn lie_with(scene: &Scene, head: impl Fn(&World) -> HeadProof + Send + 'static) {
    scene.lie_in_lookups(move |world, response| {
        response.head = Some(head_to_wire(&head(world)));
    });
}

#[tokio::test]
async fn a_quorum_vouches_for_the_present() {
    let scene = scene().await;
    lie_with(&scene, |world| world.head_by(6, &[0, 1], world.now_s));
    let refused = scene.refusal().await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("quorum-not-met", Fault::ServerBehind)
    );
    lie_with(&scene, |world| {
        world.head_by(6, &[0, 2], world.now_s - MAX_AGE_S - 1)
    });
    let refused = scene.refusal().await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("head-stale", Fault::ServerBehind)
    );
    lie_with(&scene, |world| {
        world.head_by(6, &[0, 2], world.now_s + SKEW_S + 1)
    });
    let refused = scene.refusal().await;
    assert_eq!(refused.code(), "head-in-future");
    assert_eq!(refused.fault(), Fault::Environment { retryable: false });
    lie_with(&scene, |world| world.head_by(6, &[1, 2], world.now_s));
    assert!(scene.client.lookup(&label(ALICE)).await.is_ok());
}

#[tokio::test]
async fn forged_signatures_condemn_a_head() {
    let scene = scene().await;
    // Line 4 of a note is the log's, 5 that of the first witness.
    for (line, code) in [(4, "signature-invalid"), (5, "cosignature-invalid")] {
        lie_with(&scene, move |world| {
            let text = |head: HeadProof| String::from_utf8(head.checkpoint).unwrap();
            let (note, other) = (text(world.head(6)), text(world.head(5)));
            let nth = |text: &str| text.lines().nth(line).unwrap().to_owned();
            HeadProof {
                checkpoint: note.replace(&nth(&note), &nth(&other)).into_bytes(),
                ..world.head(6)
            }
        });
        let refused = scene.refusal().await;
        assert_eq!(
            (refused.code(), refused.fault()),
            (code, Fault::ServerUnproven)
        );
    }
    lie_with(&scene, |world| {
        let note = String::from_utf8(world.head(6).checkpoint).unwrap();
        let lines = note.lines().enumerate().filter(|(at, _)| *at != 4);
        let lines: String = lines.map(|(_, line)| format!("{line}\n")).collect();
        HeadProof {
            checkpoint: lines.into_bytes(),
            ..world.head(6)
        }
    });
    assert_eq!(scene.refusal().await.code(), "not-signed");
    lie_with(&scene, |_| {
        let mut other = World::of("other.example", 2);
        other.add(&[]);
        other.head(2)
    });
    let refused = scene.refusal().await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("other-log", Fault::ServerIncompatible)
    );
}

#[tokio::test]
async fn the_log_only_grows() {
    let scene = scene().await;
    lie_with(&scene, |world| world.head(3));
    let refused = scene.refusal().await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("log-rolled-back", Fault::ServerBehind)
    );
    lie_with(&scene, |_| fork(6).head(6));
    let refused = scene.refusal().await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("log-inconsistent", Fault::ServerUnproven)
    );
    scene.lie_in_lookups(|world, response| {
        response.consistency = hashes_to_wire(&world.consistency(3, 6));
    });
    assert_eq!(scene.refusal().await.code(), "log-inconsistent");
    scene.lie_in_lookups(|_, response| response.consistency.clear());
    assert_eq!(scene.refusal().await.code(), "log-inconsistent");
}

#[tokio::test]
async fn a_split_view_leaves_evidence_that_convinces_others() {
    let scene = scene().await;
    // Cosigned by all, or by nobody but the log itself: it is evidence either way.
    for witnesses in [&[0, 1, 2][..], &[]] {
        lie_with(&scene, move |world| {
            fork(4).head_by(4, witnesses, world.now_s)
        });
        let refused = scene.refusal().await;
        assert_eq!(refused.code(), "split-view");
        let Fault::ServerLied {
            evidence: Some(evidence),
        } = refused.fault()
        else {
            panic!("{refused} without evidence")
        };
        let bytes = evidence.to_bytes();
        let log = scene.world().log_verifier();
        assert_eq!(&Evidence::verify(&bytes, &log).unwrap(), evidence);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Evidence::verify(&changed, &log).is_err(), "byte {at}");
        }
    }
    // The same checkpoint twice is none.
    let log = scene.world().log_verifier();
    let note = candor_core::note::SignedNote::parse(&scene.world().head(4).checkpoint).unwrap();
    assert!(Evidence::new(&log, &note, &note).is_err());
}

/// The other key of a log between two keys.
fn other_key() -> SoftwareSigner {
    let name = KeyName::new(ORIGIN).unwrap();
    SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[99; 32]))
}

/// A head that the other key signed as well, or instead.
fn signed_by_other(world: &World, size: u64, is_by_both: bool) -> HeadProof {
    let head = world.head(size);
    let note = SignedNote::parse(&head.checkpoint).unwrap();
    let signed = other_key().sign(&world.checkpoint(size), 0).unwrap();
    let lines = note.signatures().iter().skip(usize::from(!is_by_both));
    let lines = std::iter::once(signed).chain(lines.cloned()).collect();
    let note = SignedNote::new(note.text().to_owned(), lines).unwrap();
    HeadProof {
        checkpoint: note.to_bytes(),
        ..head
    }
}

#[tokio::test]
async fn what_both_keys_signed_is_evidence_when_one_is_dropped() {
    let new = world(1);
    let old_line = format!("log {}\n", new.log.verifier_key());
    let new_line = format!("log {}\n", other_key().verifier_key());
    let trust = |lines: &str| {
        let policy = new.policy().replace(&old_line, lines);
        Trust::new(Policy::parse(policy.as_bytes()).unwrap(), ["M"]).unwrap()
    };
    let scene = Scene::with_trust(world(1), trust(&(old_line.clone() + &new_line))).await;
    lie_with(&scene, |world| signed_by_other(world, 4, true));
    scene.client.lookup(&label(ALICE)).await.unwrap();
    // The next version of the application knows the new key only.
    let store = MemoryStore::new();
    let entries = scene.memory().into_iter();
    let changes: Vec<_> = entries.map(|(key, value)| (key, Some(value))).collect();
    store.write(&changes).unwrap();
    let now_s = scene.world().now_s;
    let config = ClientConfig::new(&format!("http://{}", scene.address), trust(&new_line));
    let client = Client::new(config.with_clock(move || now_s), store).unwrap();
    lie_with(&scene, |_| signed_by_other(&fork(4), 4, false));
    let refused = client.lookup(&label(ALICE)).await.unwrap_err();
    assert_eq!(refused.code(), "split-view", "{refused}");
    let evidence = Fault::ServerLied { evidence: None };
    assert_ne!(refused.fault(), evidence, "it convinces others");
}

#[tokio::test]
async fn the_record_is_the_last_and_in_order() {
    let scene = scene().await;
    lie_with(&scene, |world| HeadProof {
        record: world.head(5).record,
        ..world.head(6)
    });
    assert_eq!(scene.refusal().await.code(), "record-not-newest");
    lie_with(&scene, |world| HeadProof {
        record: world.config(6).config,
        ..world.head(6)
    });
    assert_eq!(scene.refusal().await.code(), "record-malformed");
    let mut backwards = world(3);
    backwards.forge_last(|record| record.timestamp_ms = 0);
    *scene.world() = backwards;
    let refused = scene.refusal().await;
    assert_eq!(refused.code(), "record-order");
    assert_eq!(refused.fault(), Fault::ServerLied { evidence: None });
}

#[tokio::test]
async fn messages_have_the_shape_of_messages() {
    let scene = scene().await;
    scene.lie_in_lookups(|_, response| {
        response.head.as_mut().unwrap().checkpoint = Bytes::from_static(b"garbage");
    });
    assert_eq!(scene.refusal().await.code(), "checkpoint-malformed");
    scene.lie_in_lookups(|_, response| {
        response.consistency = vec![Bytes::from_static(b"short")];
    });
    assert_eq!(scene.refusal().await.code(), "response-malformed");
    scene.lie_in_lookups(|_, response| {
        response.head.as_mut().unwrap().inclusion = vec![Bytes::from(vec![0; 32]); 64];
    });
    assert_eq!(scene.refusal().await.code(), "response-malformed");
    scene.lie_in_lookups(|_, response| response.account = Bytes::from(vec![0; 17 << 20]));
    let refused = scene.refusal().await;
    assert_eq!(refused.code(), "response-too-large");
    assert_eq!(refused.fault(), Fault::ServerIncompatible);
}

#[tokio::test]
async fn the_head_may_be_left_out_while_the_known_one_is_current() {
    let scene = Scene::new(world(1)).await;
    scene.lie_in_lookups(|_, response| response.head = None);
    let refused = scene.refusal().await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("head-missing", Fault::ServerBehind)
    );
    scene.client.lookup(&label(ALICE)).await.unwrap();
    let max_age_s = i64::try_from(MAX_AGE_S).unwrap();
    scene.set_clock(max_age_s);
    assert!(scene.client.lookup(&label(ALICE)).await.is_ok());
    scene.set_clock(max_age_s + 1);
    assert_eq!(scene.refusal().await.code(), "head-stale");
    // A server that has gone on and hides it cannot show its accounts under the old head.
    scene.set_clock(0);
    *scene.world() = world(3);
    scene.lie_in_lookups(|_, response| {
        response.head = None;
        response.consistency.clear();
    });
    assert_eq!(scene.refusal().await.fault(), Fault::ServerUnproven);
}

#[tokio::test]
async fn the_configuration_is_that_of_the_log() {
    let scene = Scene::new(world(1)).await;
    scene.lie(|lies| {
        lies.config = Some(Box::new(|_, response| {
            response.config = World::of(crate::common::world::ORIGIN, 2)
                .config(1)
                .config
                .into();
        }));
    });
    assert_eq!(scene.refusal().await.code(), "config-not-first");
    scene.lie(|lies| lies.config = Some(Box::new(|_, response| response.inclusion.clear())));
    assert_eq!(scene.refusal().await.code(), "config-not-first");
    for (first, code) in [
        (
            World::of("other.example", 1).config(1).config,
            "config-other-log",
        ),
        (world(0).head(2).record, "config-unsupported"),
    ] {
        let mut world = World::new();
        world.epochs[0].record = first;
        world.add(&[(ALICE, &value(ALICE, 0).encode())]);
        let scene = Scene::new(world).await;
        assert_eq!(scene.refusal().await.code(), code);
    }
}

#[tokio::test]
async fn watching_skips_what_is_known_and_verifies_the_rest() {
    let scene = scene().await;
    let mut watch = scene.client.watch_heads().await.unwrap();
    let mut sizes = Vec::new();
    while let Some(head) = watch.next().await.unwrap() {
        sizes.push(head.size);
    }
    assert_eq!(sizes, [4, 5, 6]);
    assert_eq!(scene.client.known_head().await.unwrap().unwrap().size, 6);
    *scene.world() = fork(7);
    let mut watch = scene.client.watch_heads().await.unwrap();
    assert_eq!(watch.next().await.unwrap_err().code(), "split-view");
}

#[tokio::test]
async fn the_head_alone_is_verified_too() {
    let scene = Scene::new(world(1)).await;
    assert_eq!(scene.client.known_head().await.unwrap(), None);
    let head = scene.client.head().await.unwrap();
    assert_eq!(scene.client.known_head().await.unwrap(), Some(head));
    scene.lie(|lies| {
        lies.head = Some(Box::new(|_, response: &mut v1::GetHeadResponse| {
            response.head = Some(head_to_wire(&fork(4).head(4)));
        }));
    });
    assert_eq!(scene.client.head().await.unwrap_err().code(), "split-view");
}

#[tokio::test]
async fn being_offline_is_no_attack() {
    let scene = Scene::new(world(1)).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let config = ClientConfig::new(&endpoint, scene.world().trust());
    let client = Client::new(config, MemoryStore::new()).unwrap();
    let error = client.lookup(&label(ALICE)).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert_eq!(error.fault(), Fault::Environment { retryable: true });
    for (status, code) in [
        (tonic::Code::Unavailable, "unreachable"),
        (tonic::Code::DeadlineExceeded, "timeout"),
        (tonic::Code::ResourceExhausted, "overloaded"),
        (tonic::Code::Unimplemented, "unsupported"),
        (tonic::Code::Unauthenticated, "unauthorized"),
        (tonic::Code::PermissionDenied, "unauthorized"),
        (tonic::Code::InvalidArgument, "request-rejected"),
        (tonic::Code::OutOfRange, "response-too-large"),
        (tonic::Code::FailedPrecondition, "server-failed"),
        (tonic::Code::Unknown, "server-failed"),
        (tonic::Code::Internal, "server-failed"),
        (tonic::Code::DataLoss, "server-failed"),
    ] {
        scene.lie(|lies| lies.status = Some(tonic::Status::new(status, "")));
        let refused = scene.refusal().await;
        assert_eq!(refused.code(), code);
        assert!(!matches!(refused.fault(), Fault::ServerLied { .. }));
    }
}

#[tokio::test]
async fn a_store_that_fails_fails_the_lookup_and_nothing_else() {
    let scene = Scene::new(world(1)).await;
    let endpoint = format!("http://{}", scene.address);
    let now_s = scene.world().now_s;
    let config = ClientConfig::new(&endpoint, scene.world().trust()).with_clock(move || now_s);
    let client = Client::new(config, FailingStore::default()).unwrap();
    let fails = |fails| {
        client
            .store()
            .fails
            .store(fails, std::sync::atomic::Ordering::Relaxed)
    };
    fails(true);
    let error = client.lookup(&label(ALICE)).await.unwrap_err();
    assert_eq!(error.code(), "store-failed");
    assert_eq!(client.known_head().await.unwrap(), None);
    fails(false);
    assert!(client.lookup(&label(ALICE)).await.is_ok());
    // What the store holds is not what this library wrote: it does not start over.
    let entries = client.store().inner.entries();
    let damage: Vec<_> = entries
        .into_keys()
        .map(|key| (key, Some(vec![9])))
        .collect();
    candor_sdk::Store::write(client.store(), &damage).unwrap();
    let error = client.lookup(&label(ALICE)).await.unwrap_err();
    assert_eq!(error.code(), "store-damaged");
}
