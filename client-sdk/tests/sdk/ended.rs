//! A log that has ended: nothing is looked up there any more, and all that it did can be seen.

use crate::common::world::World;
use crate::common::{ALICE, BOB, Scene, label, value, world};
use candor_core::note::{GossipHead, SignedNote};
use candor_sdk::{AuditState, Client, Fault, MemoryStore, Verdict};

const NEXT: &str = "next.example/candor";

/// As [`world`], with a version of Alice's that none of her devices published, and then the end.
fn ended() -> World {
    let mut world = world(2);
    world.add(&[]).end_with_last(&World::of(NEXT, 2));
    world
}

/// A client that knows the log before its end.
async fn scene() -> Scene {
    let scene = Scene::new(world(1)).await;
    let report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    scene.client.acknowledge(&report).await.unwrap();
    *scene.world() = ended();
    scene
}

async fn assert_no_answer_for_now(client: &Client<MemoryStore>) {
    let alice = label(ALICE);
    let batch = [alice.clone()];
    for refused in [
        client.lookup(&alice).await.unwrap_err(),
        client.lookup_batch(&batch).await.unwrap_err(),
        client.lookup_version(&alice, 0).await.unwrap_err(),
        client.resolve(&alice).await.unwrap_err(),
        client.save_proof(&alice).await.unwrap_err(),
        client.head().await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), "log-ended", "{refused}");
        assert_eq!(refused.fault(), Fault::ServerIncompatible);
    }
}

#[tokio::test]
async fn a_false_version_just_before_the_end_is_found() {
    let scene = scene().await;
    let report = scene.client.monitor_own(&label(ALICE), &[]).await.unwrap();
    let alerts: Vec<_> = report.alerts().map(|alert| alert.version).collect();
    assert_eq!(alerts, [2]);
    let verdict = report.versions()[0].verdict;
    assert!(matches!(verdict, Verdict::Unexpected(_)), "{verdict:?}");
    let successor = scene.client.successor().await.unwrap().unwrap();
    assert_eq!(successor.origin(), NEXT);
}

#[tokio::test]
async fn nothing_is_looked_up_and_all_that_was_can_be_seen() {
    let scene = scene().await;
    assert_no_answer_for_now(&scene.client).await;
    let watched = scene.client.watch_heads().await.unwrap().next().await;
    assert_eq!(watched.unwrap_err().code(), "log-ended");
    let size = ended().size();
    let known = scene.client.known_head().await.unwrap().unwrap();
    assert_eq!(known.size, size, "the end is remembered");
    // Now the server leaves the head out, and it does not get too old.
    scene.set_clock(400 * 86_400);
    assert_no_answer_for_now(&scene.client).await;
    let history = scene.client.history(&label(ALICE), 0).await.unwrap();
    assert_eq!(history.len(), 3);
    let (_, head) = scene.client.checkpoint().await.unwrap();
    assert_eq!(head.size, size);
    // Nor for who has seen nothing of the log before.
    let late = Scene::new(ended()).await;
    late.set_clock(400 * 86_400);
    assert_no_answer_for_now(&late.client).await;
    assert_eq!(late.client.history(&label(BOB), 0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_second_head_of_an_ended_log_has_the_age_that_it_had_at_the_end() {
    let trust = ended().trust_both(86_400);
    let scene = Scene::with_trust(ended(), trust.clone()).await;
    let cosigned_s = scene.world().now_s;
    *scene.shared.second.lock().unwrap() = Some((4, cosigned_s));
    scene.set_clock(400 * 86_400);
    assert_no_answer_for_now(&scene.client).await;
    // The server leaves out what is remembered, however long ago that was.
    scene.lie_in_lookups(|_, response| {
        assert!(response.second.is_none() && response.head.is_none());
    });
    assert_eq!(scene.client.history(&label(BOB), 0).await.unwrap().len(), 1);
    // But it has to be there, and from no other time.
    let later_s = cosigned_s + 500 * 86_400;
    for (second, code) in [
        (None, "second-head-missing"),
        (Some((4, later_s)), "head-in-future"),
        (Some((4, cosigned_s - 86_401)), "second-head-stale"),
    ] {
        let late = Scene::with_trust(ended(), trust.clone()).await;
        *late.shared.second.lock().unwrap() = second;
        late.set_clock(400 * 86_400);
        let refused = late.client.lookup(&label(BOB)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
}

#[tokio::test]
async fn a_log_that_goes_on_after_its_end_lies() {
    let scene = scene().await;
    scene.client.head().await.unwrap_err();
    scene.world().add(&[]);
    let refused = scene.refusal().await;
    assert_eq!(refused.code(), "record-order");
    assert!(matches!(refused.fault(), Fault::ServerLied { .. }));
    let audited = scene.client.audit(None, |_, _| ()).await.unwrap_err();
    assert_eq!(audited.code(), "record-order");
    // Who knew nothing of the end finds it by an audit.
    let late = Scene::new(ended()).await;
    late.world().add(&[]);
    late.client.lookup(&label(ALICE)).await.unwrap();
    let audited = late.client.audit(None, |_, _| ()).await.unwrap_err();
    assert_eq!(audited.code(), "audit-order", "{audited}");
}

#[tokio::test]
async fn an_end_for_some_is_a_split_view() {
    let scene = scene().await;
    scene.client.head().await.unwrap_err();
    let living = {
        let mut world = world(2);
        world.add(&[]);
        world
    };
    let note = SignedNote::parse(&living.head(living.size()).checkpoint).unwrap();
    let head = GossipHead::new(&living.log_verifier(), &note).unwrap();
    let message = head.unwrap().encode();
    let told = scene.client.gossip_in(&message).await.unwrap_err();
    assert_eq!(told.code(), "split-view");
    // Who has not seen the end asks for it then.
    let scene = self::scene().await;
    let told = scene.client.gossip_in(&message).await.unwrap_err();
    assert_eq!(told.code(), "split-view");
}

#[tokio::test]
async fn a_head_beyond_the_end_belongs_to_no_log() {
    let scene = scene().await;
    scene.client.head().await.unwrap_err();
    let mut living = world(2);
    living.add(&[]).add(&[]).add(&[]);
    let note = SignedNote::parse(&living.head(living.size()).checkpoint).unwrap();
    let head = GossipHead::new(&living.log_verifier(), &note).unwrap();
    let told = scene.client.gossip_in(&head.unwrap().encode()).await;
    assert_eq!(told.unwrap_err().code(), "record-order");
}

#[tokio::test]
async fn who_knows_the_end_takes_no_proof_file_and_publishes_nothing() {
    let scene = Scene::new(world(1)).await;
    let earlier = scene.client.save_proof(&label(ALICE)).await.unwrap();
    scene.client.verify_proof(&earlier).await.unwrap();
    let mut longer = world(2);
    longer.add(&[]).add(&[]);
    let later = Scene::new(longer).await.client;
    let later = later.save_proof(&label(ALICE)).await.unwrap();
    *scene.world() = ended();
    scene.client.head().await.unwrap_err();
    let refused = scene.client.verify_proof(&earlier).await.unwrap_err();
    assert_eq!(refused.code(), "log-ended");
    let refused = scene.client.verify_proof(&later).await.unwrap_err();
    assert_eq!(refused.code(), "record-order");
    let before = scene.memory();
    let published = scene.client.publish(3, &value(ALICE, 3)).await;
    assert_eq!(published.unwrap_err().code(), "log-ended");
    assert_eq!(scene.memory(), before);
}

#[tokio::test]
async fn an_audit_covers_the_last_record() {
    let scene = scene().await;
    let (head, state) = scene.client.audit(None, |_, _| ()).await.unwrap();
    assert_eq!(head.size, ended().size());
    let state = AuditState::decode(&state.encode()).unwrap();
    assert_eq!(state.next_epoch(), ended().size());
    let (_, state) = scene.client.audit(Some(state), |_, _| ()).await.unwrap();
    // It remembers the end too, where the client does not.
    let late = Scene::new(ended()).await;
    late.world().add(&[]);
    let refused = late.client.audit(Some(state), |_, _| ()).await;
    assert_eq!(refused.unwrap_err().code(), "audit-order");
    // The last record inserts nothing.
    let mut inserting = world(2);
    inserting.end_with_last(&World::of(NEXT, 2));
    let late = Scene::new(inserting).await;
    let refused = late.client.audit(None, |_, _| ()).await.unwrap_err();
    assert_eq!(refused.code(), "audit-order");
}
