//! What an owner does: publish, monitor, carry proofs, audit.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::common::world::World;
use crate::common::{ALICE, BOB, Scene, binding, label, states, value, world};
use candor_core::account::{Change, VerifiedValue};
use candor_core::answer::HeadProof;
use candor_proto::v1::submit_update_response::Outcome;
use candor_proto::{head_to_wire, v1};
use candor_sdk::{
    AuditState, Client, ClientConfig, Error, Fault, Key, MemoryStore, OwnReport, Published, Store,
    StoreError, Verdict,
};

async fn publish(scene: &Scene, version: u32) -> Result<Published, Error> {
    scene.client.publish(version, &value(ALICE, version)).await
}

fn alerts(report: &OwnReport) -> Vec<u32> {
    report.alerts().map(|version| version.version).collect()
}

/// A log in which Alice has no account yet.
async fn scene() -> Scene {
    let mut world = World::new();
    world.add(&[(BOB, &value(BOB, 0).encode())]);
    Scene::new(world).await
}

#[tokio::test]
async fn what_this_device_published_is_expected() {
    let scene = scene().await;
    for version in 0..3 {
        let Published::Visible(shown) = publish(&scene, version).await.unwrap() else {
            panic!("not visible")
        };
        assert_eq!(shown.version(), version);
    }
    let bearer = scene.shared.lies.lock().unwrap().authorization.clone();
    assert_eq!(bearer.as_deref(), Some("Bearer secret"));
    let report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    let verdicts: Vec<_> = report
        .versions()
        .iter()
        .map(|version| version.verdict)
        .collect();
    let expected = |change| Verdict::Expected(change);
    assert_eq!(
        verdicts,
        [
            expected(Change::Enrolled),
            expected(Change::Updated),
            expected(Change::Updated)
        ]
    );
    // A report in order is settled, and what it covered is forgotten.
    let again = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    assert!(again.versions().is_empty() && again.missing().is_empty());
    assert!(
        scene
            .client
            .published(&label(ALICE))
            .await
            .unwrap()
            .is_empty()
    );
    publish(&scene, 3).await.unwrap();
    let report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    assert_eq!((report.versions().len(), alerts(&report).len()), (1, 0));
}

#[tokio::test]
async fn nothing_that_is_shown_for_debugging_tells_a_secret_or_a_person() {
    let scene = scene().await;
    let trust = scene.world().trust();
    let config = candor_sdk::ClientConfig::new("http://localhost", trust);
    let config = config.with_bearer_token("hunter2").unwrap();
    let Published::Visible(shown) = publish(&scene, 0).await.unwrap() else {
        panic!("not visible")
    };
    let lookup = scene.client.lookup(&label(ALICE)).await.unwrap();
    let refused = publish(&scene, 5).await.unwrap_err();
    let report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    let all = format!(
        "{config:?} {:?} {shown:?} {lookup:?} {refused:?} {report:?}",
        scene.client
    );
    assert!(!all.contains("hunter2") && !all.contains("alice"), "{all}");
    assert!(matches!(
        candor_sdk::ClientConfig::new("x", scene.world().trust()).with_bearer_token("a\nb"),
        Err(Error::Token)
    ));
}

#[tokio::test]
async fn an_alert_comes_again_until_it_is_acknowledged() {
    let scene = scene().await;
    publish(&scene, 0).await.unwrap();
    let reset = {
        let mallory = candor_core::crypto::Ed25519SecretKey::from_seed(&[66; 32]);
        let mut next = states(ALICE, 0)[0].successor().unwrap();
        next.reset = states(ALICE, 0)[0].state().account_key;
        VerifiedValue::State(next.sign(&label(ALICE), &mallory).unwrap())
    };
    scene.world().add(&[(ALICE, &reset.encode())]);
    let mut report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(alerts(&report), [1]);
        assert_eq!(
            report.versions()[1].verdict,
            Verdict::Unexpected(Change::Reset)
        );
        report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    }
    scene.client.acknowledge(&report).await.unwrap();
    let report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    assert!(report.versions().is_empty());
}

#[tokio::test]
async fn values_that_break_the_rules_are_reported_not_swallowed() {
    let scene = scene().await;
    publish(&scene, 0).await.unwrap();
    let rules = binding(ALICE, BOB).encode();
    for wrong in [&rules[..], b"\x07", &value(BOB, 0).encode()] {
        scene.world().add(&[(ALICE, wrong)]);
    }
    let report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    assert_eq!(alerts(&report), [1, 2, 3]);
    let verdicts: Vec<_> = report.alerts().map(|version| version.verdict).collect();
    assert!(matches!(
        verdicts[..],
        [
            Verdict::BreaksRules(_),
            Verdict::Invalid(_),
            Verdict::Invalid(_)
        ]
    ));
}

#[tokio::test]
async fn the_owners_devices_vouch_for_each_other() {
    let scene = scene().await;
    publish(&scene, 0).await.unwrap();
    let of_first = scene.client.published(&label(ALICE)).await.unwrap();
    let second = Scene::new(World::new()).await;
    second.world().epochs = scene.world().epochs.clone();
    let report = second.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    assert_eq!(alerts(&report), [0]);
    let report = second
        .client
        .monitor_own(&label(ALICE), &of_first)
        .await
        .unwrap();
    assert_eq!(alerts(&report), [0; 0]);
}

#[tokio::test]
async fn refused_and_lost_updates_are_told_apart() {
    let scene = scene().await;
    publish(&scene, 0).await.unwrap();
    let refused = publish(&scene, 5).await.unwrap_err();
    assert!(matches!(
        &refused,
        Error::Refused { code, greatest_version: Some(0), retryable: false }
            if code == "version-conflict"
    ));
    assert_eq!(
        scene.client.published(&label(ALICE)).await.unwrap().len(),
        1
    );
    // The server says it did, and did not.
    scene.lie(|lies| lies.drops_updates = true);
    let error = publish(&scene, 1).await.unwrap_err();
    assert_eq!(
        (error.code(), error.fault()),
        ("not-visible", Fault::ServerBehind)
    );
    let report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    assert_eq!(report.missing(), [1]);
    scene.lie(|lies| {
        lies.submitted = Some(Box::new(|_, response| response.outcome = None));
    });
    assert_eq!(
        publish(&scene, 1).await.unwrap_err().code(),
        "response-malformed"
    );
    scene.lie(|lies| {
        lies.submitted = Some(Box::new(|_, response| {
            response.outcome = Some(Outcome::Refused(v1::Refused {
                code: "Ask +1 555 for help".to_owned(),
                ..Default::default()
            }));
        }));
    });
    let error = publish(&scene, 1).await.unwrap_err();
    assert!(matches!(error, Error::Refused { code, .. } if code == "unknown"));
}

/// Publishes, with an answer that is lost after the update happened.
async fn publish_unanswered(scene: &Scene, version: u32, value: &VerifiedValue) -> Error {
    scene.lie(|lies| {
        lies.submitted = Some(Box::new(|_, response| response.outcome = None));
    });
    let error = scene.client.publish(version, value).await.unwrap_err();
    scene.be_honest();
    error
}

#[tokio::test]
async fn an_update_that_happened_unanswered_is_expected_whatever_is_tried_again() {
    for again in [value(ALICE, 0), binding(ALICE, BOB)] {
        let scene = scene().await;
        publish_unanswered(&scene, 0, &value(ALICE, 0)).await;
        let refused = scene.client.publish(0, &again).await.unwrap_err();
        assert_eq!(refused.code(), "update-refused");
        let report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
        assert_eq!((report.versions().len(), alerts(&report).len()), (1, 0));
        // Once it is monitored, a late attempt is nothing to remember.
        assert!(publish(&scene, 0).await.is_err());
        let left = scene.client.published(&label(ALICE)).await.unwrap();
        assert!(left.is_empty());
    }
}

#[tokio::test]
async fn a_refusal_takes_back_its_own_attempt_only() {
    let scene = scene().await;
    scene.lie(|lies| lies.status = Some(tonic::Status::unknown("")));
    let unknown = publish(&scene, 0).await.unwrap_err();
    assert_eq!(
        (unknown.code(), unknown.fault()),
        ("outcome-unknown", Fault::ServerBehind)
    );
    scene.be_honest();
    scene.lie(|lies| {
        lies.drops_updates = true;
        lies.submitted = Some(Box::new(|_, response| {
            response.outcome = Some(Outcome::Refused(v1::Refused {
                code: "overloaded".to_owned(),
                retryable: true,
                ..Default::default()
            }));
        }));
    });
    // The first attempt may be on its way still; another value was never accepted.
    assert!(publish(&scene, 0).await.unwrap_err().is_retryable());
    let other = binding(ALICE, BOB);
    assert!(scene.client.publish(0, &other).await.is_err());
    let left = scene.client.published(&label(ALICE)).await.unwrap();
    assert_eq!(left.len(), 1);
    scene.be_honest();
    publish_unanswered(&scene, 0, &other).await;
    let report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    assert_eq!((report.missing(), alerts(&report).len()), (&[][..], 0));
}

/// A store that, once told to, answers two reads from what it held before.
#[derive(Default)]
struct LateStore {
    inner: MemoryStore,
    before: Mutex<(BTreeMap<Key, Vec<u8>>, u32)>,
}

impl Store for LateStore {
    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let mut before = self.before.lock().unwrap();
        if before.1 > 0 {
            before.1 -= 1;
            return Ok(before.0.get(key).cloned());
        }
        self.inner.read(key)
    }

    fn write(&self, changes: &[candor_sdk::Change]) -> Result<(), StoreError> {
        self.inner.write(changes)
    }
}

#[tokio::test]
async fn what_is_published_while_it_is_monitored_is_expected() {
    let scene = scene().await;
    let now_s = scene.world().now_s;
    let config = ClientConfig::new(&format!("http://{}", scene.address), scene.world().trust());
    let config = config.with_clock(move || now_s);
    let client = Client::new(config, LateStore::default()).unwrap();
    let before = client.store().inner.entries();
    client.publish(0, &value(ALICE, 0)).await.unwrap();
    // Monitoring reads the log's entry and the account's as if it had begun before.
    *client.store().before.lock().unwrap() = (before, 2);
    let report = client.monitor_own(&label(ALICE), &[]).await.unwrap();
    assert_eq!((report.versions().len(), alerts(&report).len()), (1, 0));
}

#[tokio::test]
async fn a_receipt_binds_the_log() {
    let scene = scene().await;
    let committed = |head: fn(&World) -> HeadProof| {
        scene.lie(|lies| {
            lies.submitted = Some(Box::new(move |world, response| {
                response.outcome = Some(Outcome::Committed(v1::Committed {
                    epoch: 2,
                    head: Some(head_to_wire(&head(world))),
                }));
            }));
        });
    };
    // No witness has signed yet.
    committed(|world| world.head_by(3, &[], 0));
    let Published::Committed(receipt) = publish(&scene, 0).await.unwrap() else {
        panic!("no receipt")
    };
    assert_eq!((receipt.epoch(), receipt.record().leaves), (2, 2));
    committed(|world| HeadProof {
        record: world.head(2).record,
        ..world.head_by(3, &[], 0)
    });
    assert_eq!(
        publish(&scene, 1).await.unwrap_err().code(),
        "receipt-invalid"
    );
    committed(|_| {
        let mut other = World::of("other.example", 2);
        other.add(&[]).add(&[]);
        other.head(3)
    });
    assert_eq!(
        publish(&scene, 2).await.unwrap_err().code(),
        "receipt-invalid"
    );
}

#[tokio::test]
async fn unmonitored_publications_have_a_bound() {
    let scene = scene().await;
    scene.lie(|lies| lies.status = Some(tonic::Status::unavailable("")));
    for version in 0..128 {
        assert_eq!(publish_short(&scene, version).await.code(), "unreachable");
    }
    assert_eq!(publish_short(&scene, 128).await.code(), "not-monitored");
}

async fn publish_short(scene: &Scene, version: u32) -> Error {
    let value = binding(ALICE, BOB);
    scene.client.publish(version, &value).await.unwrap_err()
}

/// Statement 22.
#[tokio::test]
async fn a_proof_travels_and_verifies_offline() {
    let scene = Scene::new(world(2)).await;
    let file = scene.client.save_proof(&label(ALICE)).await.unwrap();
    let reader = Scene::new(world(2)).await;
    reader.lie(|lies| lies.status = Some(tonic::Status::unavailable("offline")));
    let (of, lookup) = reader.client.verify_proof(&file).await.unwrap();
    assert_eq!(of, label(ALICE));
    assert_eq!(
        lookup.account.newest().unwrap().value(),
        Some(&value(ALICE, 2).encode()[..])
    );
    assert!(reader.memory().is_empty());
    let error = reader.client.verify_proof(b"garbage").await.unwrap_err();
    assert_eq!(
        (error.code(), error.fault()),
        ("proof-file-malformed", Fault::Caller)
    );
    // An older file is no lie, a newer one that takes something back is.
    *scene.world() = world(4);
    let newer = scene.client.save_proof(&label(ALICE)).await.unwrap();
    assert!(scene.client.verify_proof(&file).await.is_ok());
    assert!(reader.client.verify_proof(&newer).await.is_ok());
}

/// Statement 22.
#[tokio::test]
async fn a_proof_is_held_against_what_is_remembered() {
    let reader = Scene::new(world(2)).await;
    reader.client.lookup(&label(ALICE)).await.unwrap();
    let mut fork = World::new();
    while fork.size() < 5 {
        fork.add(&[(BOB, &value(BOB, 0).encode())]);
    }
    let liar = Scene::new(fork).await;
    let file = liar.client.save_proof(&label(ALICE)).await.unwrap();
    let before = reader.memory();
    let error = reader.client.verify_proof(&file).await.unwrap_err();
    assert_eq!(error.code(), "split-view");
    liar.world().add(&[]);
    let file = liar.client.save_proof(&label(ALICE)).await.unwrap();
    let error = reader.client.verify_proof(&file).await.unwrap_err();
    assert_eq!(error.code(), "version-went-back");
    liar.world().add(&[(ALICE, &value(ALICE, 0).encode())]);
    liar.world().add(&[(ALICE, &value(ALICE, 1).encode())]);
    liar.world().add(&[(ALICE, &value(ALICE, 1).encode())]);
    let file = liar.client.save_proof(&label(ALICE)).await.unwrap();
    let error = reader.client.verify_proof(&file).await.unwrap_err();
    assert_eq!(error.code(), "content-changed");
    assert_eq!(reader.memory(), before);
}

#[tokio::test]
async fn an_audit_covers_every_epoch() {
    let scene = Scene::new(world(3)).await;
    let mut seen = Vec::new();
    let (head, state) = scene
        .client
        .audit(None, |at, last| seen.push((at, last)))
        .await
        .unwrap();
    assert_eq!(seen, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
    assert_eq!((head.size, state.map().leaves), (6, 5));
    *scene.world() = world(4);
    let bytes = state.encode();
    let state = AuditState::decode(&bytes).unwrap();
    assert!(AuditState::decode(&bytes[..bytes.len() - 1]).is_err());
    let (_, state) = scene.client.audit(Some(state), |_, _| ()).await.unwrap();
    assert_eq!(state.next_epoch(), 7);
    // Nothing is left to audit.
    assert!(scene.client.audit(Some(state), |_, _| ()).await.is_ok());
}

#[tokio::test]
async fn an_audit_refuses_every_lie() {
    let scene = Scene::new(world(3)).await;
    let refusal = async |lie: fn(&World, &mut v1::EpochChunk)| {
        scene.lie(|lies| lies.chunk = Some(Box::new(lie)));
        scene
            .client
            .audit(None, |_, _| ())
            .await
            .unwrap_err()
            .code()
    };
    assert_eq!(refusal(|_, chunk| chunk.epoch += 1).await, "audit-stream");
    assert_eq!(refusal(|_, chunk| chunk.last = true).await, "audit-delta");
    assert_eq!(refusal(|_, chunk| chunk.last = false).await, "audit-stream");
    assert_eq!(
        refusal(|_, chunk| chunk.delta_part.clear()).await,
        "audit-stream"
    );
    assert_eq!(
        refusal(|_, chunk| chunk.record.clear()).await,
        "audit-stream"
    );
    let malformed = refusal(|world, chunk| {
        if chunk.epoch == 2 && !chunk.record.is_empty() {
            chunk.record = world.config(6).config.into();
        }
    });
    assert_eq!(malformed.await, "audit-record");
    let other_time = refusal(|_, chunk| {
        if chunk.epoch == 3 && !chunk.record.is_empty() {
            let mut record = chunk.record.to_vec();
            record[8] ^= 1;
            chunk.record = record.into();
        }
    });
    assert_eq!(other_time.await, "audit-root");
}

#[tokio::test]
async fn an_audit_finds_what_a_log_must_not_do() {
    type Forge = fn(&mut World);
    let cases: [(Forge, &str); 3] = [
        (
            |world| world.forge_last(|record| record.leaves += 1),
            "audit-order",
        ),
        (
            |world| world.forge_last(|record| record.timestamp_ms = 0),
            "audit-order",
        ),
        (
            |world| world.forge_last(|record| record.prefix_tree.0[0] ^= 1),
            "audit-delta",
        ),
    ];
    for (forge, code) in cases {
        let mut world = world(1);
        forge(&mut world);
        let scene = Scene::new(world).await;
        let error = scene.client.audit(None, |_, _| ()).await.unwrap_err();
        assert_eq!(error.code(), code);
    }
}
