//! What the operator asks of accounts: resets apart, capable devices, bindings that lead to a
//! state.

use std::sync::atomic::Ordering;
use std::time::Duration;

use candor_core::account::{AccountState, Device, Label, VerifiedState, VerifiedValue};
use candor_core::crypto::Ed25519SecretKey;
use candor_core::epoch::EpochRecord;
use candor_server::sequencer::admission::{Refusal, SubmitError};
use candor_server::sequencer::erasure::Scope;
use candor_server::storage::CommitFault;

use super::harness::{EAGER, Process, World, binding, device, value};
use super::sequencer::{one_epoch, refused};
use super::site::{self, Site};

const ALICE: &str = "acct:alice";
const BOB: &str = "acct:bob";
const TELEPHONE: &str = "tel:+15551234567";

const COOLDOWN_S: u64 = 100;

/// An account as its devices, or whoever has lost them, make its states. A state that is refused
/// was never made: who clones a person can go back.
#[derive(Clone)]
struct Person {
    /// Of the label, the newest included.
    versions: u32,
    newest: Option<VerifiedState>,
    key: u8,
}

impl Person {
    /// Without a state, and with this key.
    const fn new(key: u8) -> Self {
        Self {
            versions: 0,
            newest: None,
            key,
        }
    }

    /// The next state, signed and enrolled, changed by `change`.
    fn next(&mut self, change: impl FnOnce(&mut AccountState)) -> (u32, Vec<u8>) {
        let mut state = match &self.newest {
            Some(newest) => newest.successor().unwrap(),
            None => AccountState::first(),
        };
        state.enrolled = true;
        change(&mut state);
        let key = Ed25519SecretKey::from_seed(&[self.key; 32]);
        let state = state.sign(&Label::parse(ALICE).unwrap(), &key).unwrap();
        self.newest = Some(state.clone());
        self.versions += 1;
        (self.versions - 1, VerifiedValue::State(state).encode())
    }

    fn update(&mut self) -> (u32, Vec<u8>) {
        self.next(|_| {})
    }

    /// The next state, with another key.
    fn reset(&mut self) -> (u32, Vec<u8>) {
        let lost = self.newest.as_ref().and_then(|it| it.state().account_key);
        self.key += 1;
        self.next(|state| state.reset = lost)
    }
}

fn world() -> World {
    let mut world = World::new();
    world.rules.reset_cooldown = Duration::from_secs(COOLDOWN_S);
    world
}

async fn submit(process: &Process, made: &(u32, Vec<u8>)) -> Result<u64, SubmitError> {
    process.submit(ALICE, made.0, &made.1).await
}

fn wait(world: &World, seconds: u64) {
    world.now_ms.fetch_add(seconds * 1000, Ordering::Relaxed);
}

fn cooldown(left_s: u64) -> Result<u64, SubmitError> {
    Err(SubmitError::Refused(Refusal::ResetCooldown { left_s }))
}

/// The time of an epoch.
fn record_ms(world: &World, epoch: u64) -> u64 {
    let record = EpochRecord::decode(&world.ledger().record(epoch).unwrap());
    record.unwrap().timestamp_ms
}

#[tokio::test]
async fn a_second_reset_waits_for_the_cooldown_and_nothing_else_does() {
    let world = world();
    let process = world.start(EAGER);
    let mut alice = Person::new(1);
    submit(&process, &alice.update()).await.unwrap();
    let first = submit(&process, &alice.reset()).await.unwrap();
    let before = alice.clone();
    let early = alice.reset();
    assert_eq!(submit(&process, &early).await, cooldown(COOLDOWN_S));
    wait(&world, COOLDOWN_S - 1);
    let refusal = refused(submit(&process, &early).await);
    assert_eq!(refusal.code(), "reset-cooldown");
    assert!(refusal.is_retryable());
    assert!(refusal.to_string().contains("in 1 s"), "{refusal}");
    // The new key goes on meanwhile, and so do other accounts.
    alice = before;
    submit(&process, &alice.update()).await.unwrap();
    process.submit(BOB, 0, &value(BOB, 0)).await.unwrap();
    let due = alice.reset();
    assert_eq!(submit(&process, &due).await, cooldown(1));
    wait(&world, 1);
    let second = submit(&process, &due).await.unwrap();
    process.stop().await.unwrap();
    let apart_ms = record_ms(&world, second) - record_ms(&world, first);
    assert_eq!(apart_ms, COOLDOWN_S * 1000);
    world.check_store();
}

#[tokio::test]
async fn an_erased_reset_still_holds_up_the_next() {
    let world = world();
    let process = world.start(EAGER);
    let mut alice = Person::new(1);
    for made in [alice.update(), alice.reset(), alice.update()] {
        submit(&process, &made).await.unwrap();
    }
    process.newest().await.unwrap();
    let label = Label::parse(ALICE).unwrap();
    process.eraser.erase(label, Scope::Before(2)).await.unwrap();
    let next = alice.reset();
    assert_eq!(submit(&process, &next).await, cooldown(COOLDOWN_S));
    wait(&world, COOLDOWN_S);
    submit(&process, &next).await.unwrap();
    process.stop().await.unwrap();
    world.check_store();
}

#[tokio::test]
async fn without_a_cooldown_resets_follow_at_once() {
    let world = World::new();
    let mut alice = Person::new(1);
    let made = [alice.update(), alice.reset(), alice.reset(), alice.reset()];
    let updates = made.map(|(version, value)| (ALICE, version, value));
    let answers = one_epoch(&world, &updates).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    // Not even a clock that stepped back is in the way.
    let process = world.start(EAGER);
    world.now_ms.fetch_sub(5_000, Ordering::Relaxed);
    submit(&process, &alice.reset()).await.unwrap();
    process.stop().await.unwrap();
}

#[tokio::test]
async fn the_last_reset_is_known_after_a_crash_whatever_followed_it() {
    let mut world = world();
    let process = world.start(EAGER);
    let mut alice = Person::new(1);
    submit(&process, &alice.update()).await.unwrap();
    submit(&process, &alice.reset()).await.unwrap();
    wait(&world, 10);
    // Who has the new key turns verification off, lets the label lead to Bob, and comes back with
    // a new chain of states.
    process.submit(BOB, 0, &value(BOB, 0)).await.unwrap();
    for _ in 0..20 {
        submit(&process, &alice.update()).await.unwrap();
    }
    let off = alice.next(|state| state.enrolled = false);
    submit(&process, &off).await.unwrap();
    let bound = binding(ALICE, BOB);
    process.submit(ALICE, alice.versions, &bound).await.unwrap();
    (alice.versions, alice.newest) = (alice.versions + 1, None);
    submit(&process, &alice.update()).await.unwrap();
    process.stop().await.unwrap();
    wait(&world, 10);
    let made = alice.reset();
    for _ in 0..2 {
        process_after_crash(&mut world, &made, cooldown(COOLDOWN_S - 20)).await;
    }
    wait(&world, COOLDOWN_S - 20);
    let epoch = world.anchor_size();
    process_after_crash(&mut world, &made, Ok(epoch)).await;
    world.check_store();
}

/// What a process answers of which nothing is in memory but what it recovered.
async fn process_after_crash(
    world: &mut World,
    made: &(u32, Vec<u8>),
    expected: Result<u64, SubmitError>,
) {
    world.crash();
    let process = world.start(EAGER);
    assert_eq!(submit(&process, made).await, expected);
    process.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_reset_in_the_same_epoch_is_refused_alone() {
    let world = world();
    let mut alice = Person::new(1);
    let made = [alice.update(), alice.reset(), alice.reset()];
    let mut updates = made
        .map(|(version, value)| (ALICE, version, value))
        .to_vec();
    updates.push((BOB, 0, value(BOB, 0)));
    let answers = one_epoch(&world, &updates).await;
    let accepted = answers[0].clone();
    assert!(accepted.is_ok());
    let expected = [
        accepted.clone(),
        accepted.clone(),
        cooldown(COOLDOWN_S),
        accepted,
    ];
    assert_eq!(answers, expected);
    assert_eq!(world.look_up(ALICE).0, Some(1));
}

#[tokio::test]
async fn a_second_reset_is_refused_while_the_first_is_in_commit() {
    for is_stored in [true, false] {
        let world = world();
        let mut process = world.start(EAGER);
        process.begun().await;
        let mut alice = Person::new(1);
        submit(&process, &alice.update()).await.unwrap();
        world.gate.shut(true);
        let [first, second] = [alice.reset(), alice.reset()].map(|(version, value)| {
            let admission = process.admission.clone();
            async move { admission.submit(ALICE, version, &value).await }
        });
        let first = tokio::spawn(first);
        world.gate.is_reached().await;
        let second = tokio::spawn(second);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!first.is_finished() && !second.is_finished());
        if !is_stored {
            world.store.fail_commit(0, CommitFault::NotCommitted);
        }
        world.gate.shut(false);
        let unavailable = || Err(SubmitError::Refused(Refusal::StorageUnavailable));
        let expected = match is_stored {
            true => [Ok(3), cooldown(COOLDOWN_S)],
            false => [unavailable(), unavailable()],
        };
        assert_eq!([first.await.unwrap(), second.await.unwrap()], expected);
        process.stop().await.unwrap();
        world.check_store();
    }
}

#[tokio::test]
async fn a_clock_that_steps_back_makes_resets_wait_longer() {
    let world = world();
    let process = world.start(EAGER);
    let mut alice = Person::new(1);
    submit(&process, &alice.update()).await.unwrap();
    wait(&world, 50);
    let first = submit(&process, &alice.reset()).await.unwrap();
    world.now_ms.fetch_sub(50_000, Ordering::Relaxed);
    let before = alice.clone();
    let early = alice.reset();
    assert_eq!(submit(&process, &early).await, cooldown(COOLDOWN_S + 50));
    // Records that stand still meanwhile do not count as time.
    alice = before;
    submit(&process, &alice.update()).await.unwrap();
    wait(&world, COOLDOWN_S);
    let due = alice.reset();
    assert_eq!(submit(&process, &due).await, cooldown(50));
    wait(&world, 50);
    let second = submit(&process, &due).await.unwrap();
    process.stop().await.unwrap();
    let apart_ms = record_ms(&world, second) - record_ms(&world, first);
    assert!(apart_ms >= COOLDOWN_S * 1000, "{apart_ms}");
}

#[tokio::test]
async fn an_enrolled_account_has_capable_devices_only() {
    let mut world = World::new();
    let mut alice = Person::new(1);
    let devices = |levels: &[u16]| -> Vec<Device> {
        let devices = levels.iter().enumerate();
        devices
            .map(|(at, level)| device(&at.to_string(), *level))
            .collect()
    };
    // Enrolled while nothing was asked for.
    let process = world.start(EAGER);
    let old = alice.next(|state| state.devices = devices(&[0, 3]));
    submit(&process, &old).await.unwrap();
    process.stop().await.unwrap();

    world.rules.enrolled_capability = 2;
    let process = world.start(EAGER);
    for levels in [&[1][..], &[0, 3], &[2, 3, 1]] {
        let before = alice.clone();
        let made = alice.next(|state| state.devices = devices(levels));
        let refusal = refused(submit(&process, &made).await);
        assert_eq!(refusal.code(), "capability-too-low", "{levels:?}");
        assert!(!refusal.is_retryable());
        alice = before;
    }
    // Off is always possible; on again is not, until the devices are.
    let off = alice.next(|state| state.enrolled = false);
    submit(&process, &off).await.unwrap();
    let before = alice.clone();
    let on = alice.update();
    assert_eq!(
        refused(submit(&process, &on).await).code(),
        "capability-too-low"
    );
    alice = before;
    let on = alice.next(|state| state.devices = devices(&[2, 3]));
    submit(&process, &on).await.unwrap();
    // Without devices there is none that is not.
    let none = alice.next(|state| state.devices.clear());
    submit(&process, &none).await.unwrap();
    // Accounts that are not enrolled are not asked.
    process.submit(BOB, 0, &value(BOB, 0)).await.unwrap();
    process.stop().await.unwrap();
}

#[tokio::test]
async fn a_binding_leads_to_a_state_or_is_refused() {
    let world = World::new();
    let process = world.start(EAGER);
    let to_alice = binding(TELEPHONE, ALICE);
    let refusal = refused(process.submit(TELEPHONE, 0, &to_alice).await);
    assert_eq!(refusal.code(), "binding-target");
    assert!(!refusal.is_retryable());
    assert!(!refusal.to_string().contains("lice"), "{refusal}");
    process.submit(ALICE, 0, &value(ALICE, 0)).await.unwrap();
    process.submit(TELEPHONE, 0, &to_alice).await.unwrap();
    // Not to a label that is bound itself.
    let chain = binding(BOB, TELEPHONE);
    let refusal = refused(process.submit(BOB, 0, &chain).await);
    assert_eq!(refusal, Refusal::BindingTarget);
    // A primary that becomes a binding later is its own label's affair.
    process.submit(BOB, 0, &value(BOB, 0)).await.unwrap();
    let moved = binding(ALICE, BOB);
    process.submit(ALICE, 1, &moved).await.unwrap();
    let again = binding("acct:carol", ALICE);
    let refusal = refused(process.submit("acct:carol", 0, &again).await);
    assert_eq!(refusal, Refusal::BindingTarget);
    process.stop().await.unwrap();
    assert_eq!(world.audit().leaves, 4);
}

#[tokio::test]
async fn where_a_binding_leads_is_decided_in_the_order_of_the_log() {
    let world = World::new();
    let updates = [
        (TELEPHONE, 0, binding(TELEPHONE, ALICE)),
        (ALICE, 0, value(ALICE, 0)),
        (TELEPHONE, 0, binding(TELEPHONE, ALICE)),
        (BOB, 0, value(BOB, 0)),
        (ALICE, 1, binding(ALICE, BOB)),
        (TELEPHONE, 1, binding(TELEPHONE, BOB)),
        (BOB, 1, binding(BOB, ALICE)),
    ];
    let answers = one_epoch(&world, &updates).await;
    let target = |answer: &Result<u64, SubmitError>| {
        *answer == Err(SubmitError::Refused(Refusal::BindingTarget))
    };
    let refused: Vec<_> = answers.iter().map(target).collect();
    assert_eq!(refused, [true, false, false, false, false, false, true]);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
    assert_eq!(world.audit().leaves, 5);
}

#[tokio::test]
async fn a_binding_does_not_rest_on_a_state_that_the_store_refuses() {
    let world = World::new();
    let mut process = world.start(EAGER);
    process.begun().await;
    world.gate.shut(true);
    let admission = process.admission.clone();
    let state = tokio::spawn(async move { admission.submit(ALICE, 0, &value(ALICE, 0)).await });
    world.gate.is_reached().await;
    let admission = process.admission.clone();
    let bound = binding(TELEPHONE, ALICE);
    let bound = tokio::spawn(async move { admission.submit(TELEPHONE, 0, &bound).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!state.is_finished() && !bound.is_finished());
    world.store.fail_commit(0, CommitFault::NotCommitted);
    world.gate.shut(false);
    for answer in [state.await.unwrap(), bound.await.unwrap()] {
        assert_eq!(refused(answer), Refusal::StorageUnavailable);
    }
    process.stop().await.unwrap();
    assert_eq!(world.audit().leaves, 0);
}

#[tokio::test]
async fn a_registrar_is_told_how_long_a_reset_has_to_wait() {
    let log = Site::new();
    let server = log.start().await;
    let mut alice = Person::new(1);
    for made in [alice.update(), alice.reset()] {
        site::visible(&server.submit_value(ALICE, made.0, made.1).await);
    }
    let made = alice.reset();
    let outcome = server.submit_value(ALICE, made.0, made.1).await;
    let refused = site::refused(&outcome);
    assert_eq!(refused.code, "reset-cooldown");
    assert!(refused.retryable);
    assert_eq!(refused.greatest_version, None);
    let digits = refused.message.chars().filter(char::is_ascii_digit);
    let left_s: u64 = digits.collect::<String>().parse().unwrap();
    assert!((1..=86_400).contains(&left_s), "{}", refused.message);
    server.stop().await;
}
