//! Lookups: every check, and what is left behind when it fails.

use crate::common::world::World;
use crate::common::{ALICE, BOB, Scene, binding, label, value, world};
use candor_core::answer::{AccountProof, Disclosure, Query};
use candor_sdk::{Error, Fault};
use prost::bytes::Bytes;

/// A server whose log the client knows up to Alice's version 1, and that has gone on to `greatest`.
async fn scene(greatest: u32) -> Scene {
    let scene = Scene::new(world(1)).await;
    scene.client.lookup(&label(ALICE)).await.unwrap();
    *scene.world() = world(greatest);
    scene
}

/// Has the server change the account proof of the next lookup.
fn change_account(scene: &Scene, change: impl Fn(&mut AccountProof) + Send + 'static) {
    scene.lie_in_lookups(move |_, response| {
        let mut proof = AccountProof::decode(&response.account).unwrap();
        change(&mut proof);
        response.account = proof.encode().into();
    });
}

#[tokio::test]
async fn honest_answers_are_believed_and_remembered() {
    let scene = Scene::new(world(1)).await;
    let first = scene.client.lookup(&label(ALICE)).await.unwrap();
    assert_eq!(first.newest().unwrap().value(), &value(ALICE, 1));
    assert_eq!(first.remembered(), None);
    assert_eq!(first.head().size, 4);
    // The head is known now, so the server leaves it out.
    let again = scene.client.lookup(&label(ALICE)).await.unwrap();
    assert_eq!((again.remembered(), again.head().size), (Some(1), 4));
    *scene.world() = world(5);
    let later = scene.client.lookup(&label(ALICE)).await.unwrap();
    assert_eq!(later.newest().unwrap().version(), 5);
    assert_eq!((later.remembered(), later.head().size), (Some(1), 8));
    let nobody = scene.client.lookup(&label("acct:nobody")).await.unwrap();
    assert!(nobody.newest().is_none());
}

#[tokio::test]
async fn a_device_remembers_little() {
    let scene = Scene::new(world(1)).await;
    scene.client.head().await.unwrap();
    let of_log = scene.memory();
    let size = |(key, value): (&candor_sdk::Key, &Vec<u8>)| key.len() + value.len();
    let log_bytes: usize = of_log.iter().map(size).sum();
    assert!(log_bytes < 1024, "{log_bytes} bytes for the log");
    scene.client.lookup(&label(ALICE)).await.unwrap();
    let all_bytes: usize = scene.memory().iter().map(size).sum();
    let contact_bytes = all_bytes - log_bytes;
    assert!(
        0 < contact_bytes && contact_bytes < 200,
        "{contact_bytes} bytes for a contact"
    );
}

#[tokio::test]
async fn batches_versions_and_histories_are_verified_alike() {
    let scene = scene(4).await;
    let client = &scene.client;
    let batch = client
        .lookup_batch(&[label(ALICE), label(BOB), label("acct:x")])
        .await
        .unwrap();
    let newest: Vec<_> = batch
        .iter()
        .map(|each| each.newest().map(|v| v.version()))
        .collect();
    assert_eq!(newest, [Some(4), Some(0), None]);
    let two = client
        .lookup_version(&label(ALICE), 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(two.value(), &value(ALICE, 2));
    assert!(
        client
            .lookup_version(&label(ALICE), 5)
            .await
            .unwrap()
            .is_none()
    );
    let history = client.history(&label(ALICE), 1).await.unwrap();
    let versions: Vec<_> = history.iter().map(|version| version.version()).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
    assert!(client.history(&label(ALICE), 5).await.unwrap().is_empty());
    assert!(
        client
            .history(&label("acct:x"), 0)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_long_history_comes_in_pages() {
    let mut world = World::new();
    let label = label(BOB);
    for _ in 0..132 {
        // Alternating bindings: the shortest values.
        let to = if world.size().is_multiple_of(2) {
            "acct:x"
        } else {
            "acct:y"
        };
        world.add(&[(BOB, &binding(BOB, to).encode())]);
    }
    let scene = Scene::new(world).await;
    let history = scene.client.history(&label, 0).await.unwrap();
    assert!(history.iter().map(|version| version.version()).eq(0..132));
}

#[tokio::test]
async fn batches_have_a_size() {
    let scene = scene(1).await;
    for count in [0, 65] {
        let labels = vec![label(ALICE); count];
        let error = scene.client.lookup_batch(&labels).await.unwrap_err();
        assert_eq!(
            (error.code(), error.fault()),
            ("lookup-batch-size", Fault::Caller)
        );
    }
    scene.lie(|lies| lies.batch = Some(Box::new(|_, response| drop(response.accounts.pop()))));
    let error = scene
        .client
        .lookup_batch(&[label(ALICE), label(BOB)])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "account-count");
    // One account in a batch is as good a place for a lie as any.
    scene.lie(|lies| lies.batch = Some(Box::new(|_, response| response.accounts.swap(0, 1))));
    let before = scene.memory();
    let error = scene
        .client
        .lookup_batch(&[label(ALICE), label(BOB)])
        .await
        .unwrap_err();
    assert_eq!(error.fault(), Fault::ServerUnproven);
    assert_eq!(scene.memory(), before);
}

#[tokio::test]
async fn bindings_lead_to_an_account_in_one_step() {
    let mut world = world(1);
    let telephone = "tel:+15551234567";
    world.add(&[(telephone, &binding(telephone, ALICE).encode())]);
    world.add(&[("acct:chain", &binding("acct:chain", telephone).encode())]);
    world.add(&[("acct:gone", &binding("acct:gone", "acct:nobody").encode())]);
    let scene = Scene::new(world).await;
    let resolve = async |name| scene.client.resolve(&label(name)).await;
    let found = resolve(telephone).await.unwrap();
    assert_eq!(found.state().unwrap().label(), &label(ALICE));
    assert!(found.primary().is_some());
    assert_eq!(
        resolve(ALICE)
            .await
            .unwrap()
            .state()
            .unwrap()
            .state()
            .sequence,
        1
    );
    assert!(resolve("acct:gone").await.unwrap().state().is_none());
    let error = resolve("acct:chain").await.unwrap_err();
    assert_eq!(error.code(), "binding-chain");
}

#[tokio::test]
async fn lies_about_an_account_are_refused() {
    let scene = scene(4).await;
    // The lookups are those of greatest version 4, and version 1, which the client remembers.
    change_account(&scene, |proof| {
        for lookup in &mut proof.lookups {
            if let Disclosure::Opened { value, .. } = &mut lookup.disclosure {
                *value = crate::common::value(ALICE, 0).encode();
            }
        }
    });
    assert_eq!(scene.refusal().await.code(), "map-proof-invalid");
    change_account(&scene, |proof| proof.lookups[0].vrf_proof.0[5] ^= 1);
    assert_eq!(scene.refusal().await.code(), "search-key-invalid");
    change_account(&scene, |proof| drop(proof.lookups.pop()));
    assert_eq!(scene.refusal().await.code(), "ladder-wrong");
    change_account(&scene, |proof| {
        proof.lookups[0].disclosure = Disclosure::Absent
    });
    assert_eq!(scene.refusal().await.code(), "ladder-contradicted");
    change_account(&scene, |proof| {
        let opened = proof
            .lookups
            .iter()
            .find(|lookup| matches!(lookup.disclosure, Disclosure::Opened { .. }));
        proof.lookups[0].disclosure = opened.unwrap().disclosure.clone();
    });
    assert_eq!(scene.refusal().await.code(), "disclosure-wrong");
    scene.lie_in_lookups(|_, response| response.account = Bytes::from_static(b"garbage"));
    assert_eq!(scene.refusal().await.code(), "account-malformed");
    for claimed in [None, Some(0), Some(2), Some(3), Some(5)] {
        scene.lie_in_lookups(move |world, response| {
            let query = Query {
                from_version: Some(1),
                max_versions: 1,
            };
            let proof = world.account_claiming(ALICE, &query, world.size(), claimed);
            response.account = proof.encode().into();
        });
        let refused = scene.refusal().await;
        assert_eq!(
            refused.fault(),
            Fault::ServerUnproven,
            "{claimed:?}: {refused}"
        );
    }
    assert_eq!(
        scene
            .client
            .lookup(&label(ALICE))
            .await
            .unwrap()
            .newest()
            .unwrap()
            .version(),
        4
    );
}

#[tokio::test]
async fn a_logged_value_that_is_none_of_its_label_is_refused() {
    let mut unknown = world(1);
    unknown.add(&[(ALICE, b"\x07 of a later format")]);
    let mut foreign = world(1);
    foreign.add(&[(ALICE, &value(BOB, 0).encode())]);
    for (log, code) in [(unknown, "value-unsupported"), (foreign, "value-invalid")] {
        let scene = Scene::new(log).await;
        assert_eq!(scene.refusal().await.code(), code);
    }
}

#[tokio::test]
async fn what_was_verified_cannot_be_taken_back() {
    // Every witness colludes: the log goes on consistently, and the map does not.
    let rewrite = |greatest: u32, change: &dyn Fn(&mut World)| {
        let mut forged = world(greatest);
        change(&mut forged);
        forged
    };
    let scene = scene(1).await;
    *scene.world() = rewrite(1, &|world| {
        let before = world.epochs[2].clone();
        world.add(&[]);
        let last = world.epochs.last_mut().unwrap();
        last.accounts = before.accounts;
        last.leaves = before.leaves;
        let root = candor_core::map::Leaves::root(&last.leaves).subtree_hash();
        world.forge_last(|record| record.prefix_tree = root);
    });
    let refused = scene.refusal().await;
    assert_eq!(refused.fault(), Fault::ServerLied { evidence: None });
    let Error::VersionWentBack {
        remembered: 1,
        greatest: Some(0),
    } = refused
    else {
        panic!("{refused}")
    };
    *scene.world() = rewrite(0, &|world| {
        // The same log up to where it is known, then another version 1.
        let known = crate::common::world(1);
        let other = value(ALICE, 0).encode();
        world.add(&[(ALICE, &other)]);
        let forged = world.epochs.last().unwrap().clone();
        world.epochs[3] = known.epochs[3].clone();
        world.add(&[]);
        let last = world.epochs.last_mut().unwrap();
        last.accounts = forged.accounts;
        last.leaves = forged.leaves;
        let root = candor_core::map::Leaves::root(&last.leaves).subtree_hash();
        world.forge_last(|record| record.prefix_tree = root);
    });
    let refused = scene.refusal().await;
    assert_eq!(refused.fault(), Fault::ServerLied { evidence: None });
    assert_eq!(refused.code(), "content-changed");
}
