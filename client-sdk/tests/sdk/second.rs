//! Second heads: what a device accepts when it asks for what slower witnesses cosigned, too.

use crate::common::world::World;
use crate::common::{ALICE, Scene, label, value, world};
use candor_core::answer::SecondHead;
use candor_proto::{head_to_wire, second_to_wire};
use candor_sdk::{Client, ClientConfig, Error, Fault, MemoryStore};
use prost::bytes::Bytes;

const MAX_AGE_S: u64 = 3600;

/// A client that knows a log of 4 records with a second head of 3; the log has gone on to 6.
async fn scene() -> Scene {
    let known = world(1);
    let trust = known.trust_both(MAX_AGE_S);
    let now_s = known.now_s;
    let scene = Scene::with_trust(known, trust).await;
    set_second(&scene, Some((3, now_s)));
    scene.client.lookup(&label(ALICE)).await.unwrap();
    *scene.world() = world(3);
    scene
}

fn set_second(scene: &Scene, second: Option<(u64, u64)>) {
    *scene.shared.second.lock().unwrap() = second;
}

/// Another history of the same log.
fn fork(records: u64) -> World {
    let mut fork = World::new();
    while fork.size() < records {
        fork.add(&[(ALICE, &value(ALICE, 0).encode())]);
    }
    fork
}

/// A client that knows nothing yet.
async fn newcomer() -> Scene {
    let all = world(3);
    let trust = all.trust_both(MAX_AGE_S);
    Scene::with_trust(all, trust).await
}

/// Has the server send a second head that its witnesses do not vouch for. A client that remembers a
/// good one goes on with it, and keeps it; another refuses the answer, with this error.
async fn unvouched(
    knowing: &Scene,
    newcomer: &Scene,
    second: impl Fn(&World) -> SecondHead + Clone + Send + 'static,
) -> Error {
    let remembered = knowing.memory();
    lie_with(knowing, second.clone());
    knowing.client.lookup(&label(ALICE)).await.unwrap();
    assert_eq!(knowing.memory(), remembered);
    lie_with(newcomer, second);
    newcomer.refusal().await
}

/// Has the server send another second head.
fn lie_with(scene: &Scene, second: impl Fn(&World) -> SecondHead + Send + 'static) {
    scene.lie_in_lookups(move |world, response| {
        response.second = Some(second_to_wire(&second(world)));
    });
}

#[tokio::test]
async fn a_second_head_is_sent_once_and_then_remembered() {
    let scene = scene().await;
    let now_s = scene.world().now_s;
    // The first head moves on, the second is the one that is known.
    scene.lie_in_lookups(|_, response| assert_eq!(response.second, None));
    scene.client.lookup(&label(ALICE)).await.unwrap();
    // A newer one comes although the first head is known.
    set_second(&scene, Some((5, now_s)));
    scene.lie_in_lookups(|_, response| {
        assert!(response.second.is_some() && response.head.is_none());
    });
    scene.client.lookup(&label(ALICE)).await.unwrap();
    scene.lie_in_lookups(|_, response| {
        assert!(response.second.is_none() && response.head.is_none());
    });
    scene.client.lookup(&label(ALICE)).await.unwrap();
    let log = scene.memory().into_values().map(|entry| entry.len()).max();
    assert!(log.unwrap() < 2048, "{log:?} bytes are remembered of a log");
    // A client that asks for no second head gets none.
    scene.lie_in_lookups(|_, response| assert_eq!(response.second, None));
    let config = ClientConfig::new(&format!("http://{}", scene.address), scene.world().trust())
        .with_clock(move || now_s);
    let client = Client::new(config, MemoryStore::new()).unwrap();
    client.lookup(&label(ALICE)).await.unwrap();
}

#[tokio::test]
async fn a_missing_second_head_is_no_answer() {
    let known = world(1);
    let trust = known.trust_both(MAX_AGE_S);
    let scene = Scene::with_trust(known, trust).await;
    let refused = scene.refusal().await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("second-head-missing", Fault::ServerBehind)
    );
    for refused in [
        scene.client.head().await.unwrap_err(),
        scene.client.checkpoint().await.unwrap_err(),
        scene.client.save_proof(&label(ALICE)).await.unwrap_err(),
        scene.client.audit(None, |_, _| {}).await.unwrap_err(),
        scene
            .client
            .lookup_batch(&[label(ALICE)])
            .await
            .unwrap_err(),
    ] {
        assert_eq!(refused.code(), "second-head-missing");
    }
    assert!(scene.memory().is_empty());
}

#[tokio::test]
async fn a_second_head_is_accepted_up_to_its_own_age() {
    let scene = scene().await;
    let now_s = scene.world().now_s;
    let max_age = i64::try_from(MAX_AGE_S).unwrap();
    scene.set_clock(max_age);
    scene.client.lookup(&label(ALICE)).await.unwrap();
    scene.set_clock(max_age + 1);
    // The remembered one is too old, and so is the one that the server sends again.
    let refused = scene.refusal().await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("second-head-stale", Fault::ServerBehind)
    );
    set_second(&scene, None);
    assert_eq!(scene.refusal().await.code(), "second-head-stale");
    set_second(&scene, Some((4, now_s + 1)));
    scene.client.lookup(&label(ALICE)).await.unwrap();
    // One from the future is as good as none: what is remembered counts, as long as it does.
    let future = now_s + 2 * MAX_AGE_S;
    set_second(&scene, Some((5, future)));
    scene.client.lookup(&label(ALICE)).await.unwrap();
    scene.set_clock(max_age + 2);
    assert_eq!(scene.refusal().await.code(), "head-in-future");
}

#[tokio::test]
async fn a_second_head_is_part_of_the_first() {
    let scene = scene().await;
    scene.lie_in_lookups(|world, response| {
        response.head = Some(head_to_wire(&world.head(4)));
        response.consistency.clear();
        response.second = Some(second_to_wire(&world.second(5, 6, world.now_s)));
    });
    let refused = scene.refusal().await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("second-head-larger", Fault::ServerUnproven)
    );
    lie_with(&scene, |world| SecondHead {
        consistency: world.consistency(5, 6),
        ..fork(5).second(5, 5, world.now_s)
    });
    let refused = scene.refusal().await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("second-head-inconsistent", Fault::ServerUnproven)
    );
    lie_with(&scene, |world| SecondHead {
        consistency: Vec::new(),
        ..world.second(5, 6, world.now_s)
    });
    assert_eq!(scene.refusal().await.code(), "second-head-inconsistent");
    lie_with(&scene, |world| world.second(1, 6, world.now_s));
    assert_eq!(scene.refusal().await.code(), "second-head-empty");
}

#[tokio::test]
async fn a_second_head_is_signed_for() {
    let (scene, newcomer) = (scene().await, newcomer().await);
    scene.client.lookup(&label(ALICE)).await.unwrap();
    let by = |world: &World, witnesses: &[usize]| SecondHead {
        checkpoint: world.head_by(5, witnesses, world.now_s).checkpoint,
        consistency: world.consistency(5, 6),
    };
    let refused = unvouched(&scene, &newcomer, move |world| by(world, &[0, 2])).await;
    assert_eq!(
        (refused.code(), refused.fault()),
        ("quorum-not-met", Fault::ServerBehind)
    );
    let text = |second: SecondHead| String::from_utf8(second.checkpoint).unwrap();
    // Line 4 of a note is the log's, 5 that of the witness.
    for (line, code) in [(4, "signature-invalid"), (5, "cosignature-invalid")] {
        let forged = move |world: &World| {
            let second = world.second(5, 6, world.now_s);
            let (note, other) = (text(second.clone()), text(world.second(4, 6, world.now_s)));
            let nth = |text: &str| text.lines().nth(line).unwrap().to_owned();
            SecondHead {
                checkpoint: note.replace(&nth(&note), &nth(&other)).into_bytes(),
                ..second
            }
        };
        let refused = unvouched(&scene, &newcomer, forged).await;
        assert_eq!(
            (refused.code(), refused.fault()),
            (code, Fault::ServerUnproven)
        );
    }
    let unsigned = move |world: &World| {
        let second = world.second(5, 6, world.now_s);
        let note = text(second.clone());
        let lines = note.lines().enumerate().filter(|(at, _)| *at != 4);
        let lines: String = lines.map(|(_, line)| format!("{line}\n")).collect();
        SecondHead {
            checkpoint: lines.into_bytes(),
            ..second
        }
    };
    let refused = unvouched(&scene, &newcomer, unsigned).await;
    assert_eq!(refused.code(), "not-signed");
    let other = |world: &World| {
        let mut other = World::of("other.example", 2);
        other.add(&[]);
        other.second(2, 2, world.now_s)
    };
    let refused = unvouched(&scene, &newcomer, other).await;
    assert_eq!(refused.code(), "other-log");
    scene.lie_in_lookups(|world, response| {
        let mut second = second_to_wire(&world.second(5, 6, world.now_s));
        second.checkpoint = Bytes::from_static(b"garbage");
        response.second = Some(second);
    });
    assert_eq!(scene.refusal().await.code(), "checkpoint-malformed");
    scene.lie_in_lookups(|world, response| {
        let mut second = second_to_wire(&world.second(5, 6, world.now_s));
        second.consistency = vec![Bytes::from(vec![0; 32]); 64];
        response.second = Some(second);
    });
    assert_eq!(scene.refusal().await.code(), "response-malformed");
}

#[tokio::test]
async fn a_second_head_of_another_history_is_evidence() {
    let scene = scene().await;
    // Against the remembered second head, the remembered first one, and the first of the answer;
    // cosigned or not.
    for size in [3, 4, 6] {
        for witnesses in [&[1][..], &[]] {
            lie_with(&scene, move |world| SecondHead {
                checkpoint: fork(size).head_by(size, witnesses, world.now_s).checkpoint,
                consistency: world.consistency(size, 6),
            });
            let refused = scene.refusal().await;
            assert_eq!(refused.code(), "split-view", "{size}");
            let Fault::ServerLied {
                evidence: Some(evidence),
            } = refused.fault()
            else {
                panic!("{refused} without evidence")
            };
            let log = scene.world().log_verifier();
            let bytes = evidence.to_bytes();
            assert_eq!(
                &candor_sdk::Evidence::verify(&bytes, &log).unwrap(),
                evidence
            );
        }
    }
}

#[tokio::test]
async fn an_older_second_head_does_not_take_the_place_of_a_newer_one() {
    let scene = scene().await;
    let now_s = scene.world().now_s;
    set_second(&scene, Some((5, now_s)));
    scene.client.lookup(&label(ALICE)).await.unwrap();
    let remembered = scene.memory();
    lie_with(&scene, |world| world.second(4, 6, world.now_s));
    scene.client.lookup(&label(ALICE)).await.unwrap();
    assert_eq!(scene.memory(), remembered);
}

#[tokio::test]
async fn a_file_of_another_history_is_evidence_though_nothing_else_is_wrong_with_it() {
    // The device knows the honest log of 6 records and a second head of 3 or 4. The file is of a
    // log that forked after record 2: its own heads are in order, and one of them is of a size of
    // which the device knows the other history.
    for (known_second, file_size, file_second) in [(4, 4, 2), (3, 8, 6)] {
        let scene = scene().await;
        let now_s = scene.world().now_s;
        set_second(&scene, Some((known_second, now_s)));
        scene.client.lookup(&label(ALICE)).await.unwrap();
        let forked = fork(file_size);
        let trust = forked.trust_both(MAX_AGE_S);
        let accomplice = Scene::with_trust(forked, trust).await;
        set_second(&accomplice, Some((file_second, now_s)));
        let file = accomplice.client.save_proof(&label(ALICE)).await.unwrap();
        let refused = scene.client.verify_proof(&file).await.unwrap_err();
        assert_eq!(refused.code(), "split-view", "{file_size}");
    }
}

#[tokio::test]
async fn streams_and_files_carry_it_too() {
    let scene = scene().await;
    let now_s = scene.world().now_s;
    set_second(&scene, Some((5, now_s)));
    let mut watch = scene.client.watch_heads().await.unwrap();
    let mut last = None;
    while let Some(head) = watch.next().await.unwrap() {
        last = Some(head.size);
    }
    assert_eq!(last, Some(6));
    scene.lie_in_lookups(|_, response| assert_eq!(response.second, None));
    scene.client.lookup(&label(ALICE)).await.unwrap();
    scene.be_honest();
    let file = scene.client.save_proof(&label(ALICE)).await.unwrap();
    let (_, found) = scene.client.verify_proof(&file).await.unwrap();
    assert_eq!(found.second.unwrap().checkpoint().size(), 5);
    // A file that was made without one does not do.
    let config = ClientConfig::new(&format!("http://{}", scene.address), scene.world().trust())
        .with_clock(move || now_s);
    let other = Client::new(config, MemoryStore::new()).unwrap();
    let file = other.save_proof(&label(ALICE)).await.unwrap();
    let refused = scene.client.verify_proof(&file).await.unwrap_err();
    assert_eq!(refused.code(), "second-head-missing");
}
