//! Erasing what versions held: what is left verifies, what is gone is said to be, and nothing goes
//! that a lookup needs.

use std::num::NonZeroU64;
use std::sync::Arc;

use candor_core::account::{AccountState, Label, VerifiedValue};
use candor_core::answer::{Query, VerifiedAccount};
use candor_proto::v1;
use candor_server::control::Client;
use candor_server::fsck;
use candor_server::ledger::{FORMAT, FORMAT_MIN, Ledger, LedgerError};
use candor_server::sequencer::FatalError;
use candor_server::sequencer::erasure::{EraseError, Erased, Scope};
use candor_server::storage::{Batch, CommitFault, Storage, Table};
use tonic::Code;

use super::fsck::{ladder_stored, rows};
use super::harness::{EAGER, Process, World, binding, value};
use super::site::{Site, visible};

const ALICE: &str = "acct:alice";
const BOB: &str = "acct:bob";

async fn publish(process: &Process, label: &str, versions: std::ops::Range<u32>) {
    for version in versions {
        let value = value(label, version);
        process.submit(label, version, &value).await.unwrap();
    }
    process.newest().await.unwrap();
}

async fn erase(process: &Process, label: &str, scope: Scope) -> Result<Erased, EraseError> {
    process
        .eraser
        .erase(Label::parse(label).unwrap(), scope)
        .await
}

/// What the published head shows of a label, verified.
async fn look(process: &Process, label: &str, query: &Query) -> VerifiedAccount {
    let published = process.newest().await.unwrap();
    let answer = process.desk.ask_for(&published.signed, label, query);
    answer.unwrap().expect("what is proved verifies")
}

/// The versions that are opened from the first on, and of them those that still have a value.
async fn kept(process: &Process, label: &str) -> Vec<(u32, bool)> {
    let account = look(process, label, &Query::since(0)).await;
    let opened = account.opened().iter();
    opened
        .map(|it| (it.version(), it.value().is_some()))
        .collect()
}

/// The format of the store, as its row has it.
fn format(world: &World) -> u32 {
    let identity = world.store.get(Table::Meta, b"identity").unwrap().unwrap();
    u32::from_be_bytes(*identity.first_chunk().unwrap())
}

#[tokio::test]
async fn every_answer_verifies_after_every_erasure() {
    const VERSIONS: u32 = 6;
    let world = World::new();
    let process = world.start(EAGER);
    publish(&process, ALICE, 0..VERSIONS).await;
    publish(&process, BOB, 0..3).await;
    let whole = look(&process, ALICE, &Query::since(0)).await;
    assert_eq!(format(&world), FORMAT_MIN);
    let mut erased = 0;
    for before in [0, 1, 1, 3, 2, 5] {
        let answer = erase(&process, ALICE, Scope::Before(before)).await.unwrap();
        let newly = before.saturating_sub(erased);
        erased = erased.max(before);
        assert_eq!((answer.versions, answer.newest), (newly, VERSIONS - 1));
        assert!(!answer.is_partial);
        for from_version in [None].into_iter().chain((0..=VERSIONS).map(Some)) {
            for max_versions in [0, 1, 2] {
                let query = Query {
                    from_version,
                    max_versions,
                };
                let account = look(&process, ALICE, &query).await;
                assert_eq!(account.greatest(), Some(VERSIONS - 1));
                for found in account.opened() {
                    let version = found.version();
                    let before = &whole.opened()[version as usize];
                    assert_eq!(found.commitment(), before.commitment());
                    let expected = before.value().filter(|_| version >= erased);
                    assert_eq!(found.value(), expected, "{version} of {query:?}");
                }
            }
        }
        let bob = look(&process, BOB, &Query::since(0)).await;
        assert!(bob.opened().iter().all(|found| found.value().is_some()));
        world.check_store();
    }
    // The log goes on, and a restart finds all of it.
    publish(&process, ALICE, VERSIONS..VERSIONS + 2).await;
    process.stop().await.unwrap();
    assert_eq!(format(&world), FORMAT);
    world.check_store();
    world.audit();
    let process = world.start(EAGER);
    publish(&process, ALICE, VERSIONS + 2..VERSIONS + 3).await;
    let expected: Vec<_> = (0..VERSIONS + 3).map(|it| (it, it >= erased)).collect();
    assert_eq!(kept(&process, ALICE).await, expected);
    process.stop().await.unwrap();
}

/// An older program would open such a store, and find its rows damaged.
#[tokio::test]
async fn a_store_with_erased_rows_and_the_format_of_one_without_is_found() {
    let world = World::new();
    let process = world.start(EAGER);
    publish(&process, ALICE, 0..4).await;
    erase(&process, ALICE, Scope::Before(3)).await.unwrap();
    process.stop().await.unwrap();
    world.check_store();
    let mut identity = world.store.get(Table::Meta, b"identity").unwrap().unwrap();
    identity[..4].copy_from_slice(&FORMAT_MIN.to_be_bytes());
    let mut batch = Batch::new();
    batch.put(Table::Meta, b"identity", identity);
    world.store.commit(batch).unwrap();
    let report = fsck::check(&world.ledger(), NonZeroU64::MIN, &mut |_| {}).unwrap();
    let found: Vec<_> = report.findings().iter().map(|it| &it.problem).collect();
    assert_eq!(found, [&fsck::Problem::Format]);
}

#[tokio::test]
async fn nothing_is_left_in_the_rows_of_what_was_erased() {
    let world = World::new();
    let process = world.start(EAGER);
    publish(&process, ALICE, 0..4).await;
    let openings = || {
        let whole = rows(&world.store, Table::Versions);
        whole.into_iter().map(|(_, row)| row[8..24].to_vec())
    };
    let openings: Vec<_> = openings().collect();
    erase(&process, ALICE, Scope::Before(3)).await.unwrap();
    process.stop().await.unwrap();
    let is_in = |row: &[u8], part: &[u8]| row.windows(part.len()).any(|it| it == part);
    for table in Table::ALL {
        for (_, row) in rows(&world.store, table) {
            for (version, opening) in (0..).zip(&openings) {
                assert!(!is_in(&row, opening));
                assert!(!is_in(&row, &value(ALICE, version)));
            }
        }
    }
}

#[tokio::test]
async fn what_a_head_shows_as_the_newest_stays() {
    let world = World::new();
    let process = world.start(EAGER);
    assert_eq!(
        erase(&process, ALICE, Scope::Before(0)).await,
        Err(EraseError::Absent)
    );
    publish(&process, ALICE, 0..3).await;
    assert_eq!(
        erase(&process, BOB, Scope::Before(0)).await,
        Err(EraseError::Absent)
    );
    // Signed and not published: devices are still shown version 2.
    process.publishing.send_replace(false);
    process.submit(ALICE, 3, &value(ALICE, 3)).await.unwrap();
    assert_eq!(
        erase(&process, ALICE, Scope::Before(3)).await,
        Err(EraseError::Newest { newest: 2 })
    );
    assert_eq!(
        erase(&process, ALICE, Scope::Before(2))
            .await
            .unwrap()
            .versions,
        2
    );
    let published = process.published.current().unwrap();
    let answer = process.desk.look_up(&published.signed, ALICE).unwrap();
    assert_eq!(answer, (Some(2), value(ALICE, 2)));
    process.publishing.send_replace(true);
    process.newest().await.unwrap();
    assert_eq!(
        erase(&process, ALICE, Scope::Before(3))
            .await
            .unwrap()
            .versions,
        1
    );
    // A lookup that still has the head before is told to ask again, not something else.
    let late = process.desk.ask(&published.signed, ALICE);
    assert!(matches!(late, Err(LedgerError::Erased)));
    process.stop().await.unwrap();
    world.check_store();
}

#[tokio::test]
async fn all_goes_only_if_the_newest_version_holds_nothing() {
    let world = World::new();
    let process = world.start(EAGER);
    publish(&process, BOB, 0..1).await;
    publish(&process, ALICE, 0..1).await;
    let not_empty = |newest| Err(EraseError::NotEmpty { newest });
    assert_eq!(erase(&process, ALICE, Scope::All).await, not_empty(0));
    process
        .submit(ALICE, 1, &binding(ALICE, BOB))
        .await
        .unwrap();
    process.newest().await.unwrap();
    assert_eq!(erase(&process, ALICE, Scope::All).await, not_empty(1));
    let label = Label::parse(ALICE).unwrap();
    let nothing = AccountState::first().without_signature(&label).unwrap();
    let nothing = VerifiedValue::State(nothing).encode();
    process.submit(ALICE, 2, &nothing).await.unwrap();
    process.newest().await.unwrap();
    let erased = erase(&process, ALICE, Scope::All).await.unwrap();
    assert_eq!(
        (erased.versions, erased.kept_from, erased.newest),
        (2, 2, 2)
    );
    assert_eq!(
        kept(&process, ALICE).await,
        [(0, false), (1, false), (2, true)]
    );
    // The account can be used again, by compare and swap as ever.
    process.stop().await.unwrap();
    world.check_store();
}

#[tokio::test]
async fn an_erasure_is_whole_or_not_there_and_can_be_repeated() {
    for fault in [
        CommitFault::NotCommitted,
        CommitFault::DiskFull,
        CommitFault::OutcomeUnknown { written: false },
        CommitFault::OutcomeUnknown { written: true },
    ] {
        let mut world = World::new();
        let process = world.start(EAGER);
        publish(&process, ALICE, 0..4).await;
        ladder_stored(&world, ALICE).await;
        world.store.fail_commit(0, fault);
        let answer = erase(&process, ALICE, Scope::Before(3)).await;
        let process = match fault {
            CommitFault::OutcomeUnknown { .. } => {
                assert_eq!(answer, Err(EraseError::Stopped));
                let ended = process.ended().await;
                assert!(matches!(ended, Err(FatalError::OutcomeUnknown(_))));
                world.crash();
                world.start(EAGER)
            }
            _ => {
                assert_eq!(answer, Err(EraseError::NotStored));
                process
            }
        };
        publish(&process, ALICE, 4..5).await;
        let is_written = matches!(fault, CommitFault::OutcomeUnknown { written: true });
        let expected: Vec<_> = (0..5).map(|it| (it, it >= 3 || !is_written)).collect();
        assert_eq!(kept(&process, ALICE).await, expected);
        let again = erase(&process, ALICE, Scope::Before(3)).await.unwrap();
        assert_eq!(again.versions, if is_written { 0 } else { 3 });
        let expected: Vec<_> = (0..5).map(|it| (it, it >= 3)).collect();
        assert_eq!(kept(&process, ALICE).await, expected);
        process.stop().await.unwrap();
        world.check_store();
    }
}

#[tokio::test]
async fn damage_is_not_sealed_in_as_an_erasure() {
    let world = World::new();
    let process = world.start(EAGER);
    publish(&process, ALICE, 0..3).await;
    let (key, mut row) = rows(&world.store, Table::Versions)[1].clone();
    row[30] ^= 1;
    let mut batch = Batch::new();
    batch.put(Table::Versions, key, row);
    world.store.commit(batch).unwrap();
    let before = rows(&world.store, Table::Versions);
    assert_eq!(
        erase(&process, ALICE, Scope::Before(2)).await,
        Err(EraseError::Unreadable)
    );
    assert_eq!(rows(&world.store, Table::Versions), before);
    process.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_left_of_an_erased_version_is_checked() {
    let world = World::new();
    let process = world.start(EAGER);
    publish(&process, ALICE, 0..3).await;
    erase(&process, ALICE, Scope::Before(2)).await.unwrap();
    process.stop().await.unwrap();
    let (key, row) = rows(&world.store, Table::Versions)[0].clone();
    // The mark, the epoch, both ends of the commitment, the mark of the search key, and the key.
    for at in [0, 7, 8, 39, 40, 41] {
        let store = world.store.crash();
        let mut damaged = row.clone();
        damaged[at] ^= 4;
        let mut batch = Batch::new();
        batch.put(Table::Versions, key.clone(), damaged);
        store.commit(batch).unwrap();
        let ledger = Ledger::new(Arc::new(store), 0);
        let report = fsck::check(&ledger, NonZeroU64::MIN, &mut |_| {}).unwrap();
        let mut findings = report.findings().iter();
        let found = findings.any(|found| found.table == Table::Versions && found.key.0 == key);
        assert!(found, "byte {at}: {:?}", report.findings());
    }
}

#[tokio::test]
async fn other_formats_are_refused_with_what_they_are() {
    let world = World::new();
    let identity = world.store.get(Table::Meta, b"identity").unwrap().unwrap();
    for format in [0, FORMAT_MIN - 1, FORMAT_MIN, FORMAT, FORMAT + 1, u32::MAX] {
        let row = [&format.to_be_bytes()[..], &identity[4..]].concat();
        let mut batch = Batch::new();
        batch.put(Table::Meta, b"identity", row);
        world.store.commit(batch).unwrap();
        let found = world.ledger().identity();
        match format {
            FORMAT_MIN..=FORMAT => assert!(found.is_ok()),
            0..FORMAT_MIN => assert!(matches!(found, Err(LedgerError::OlderFormat { .. }))),
            _ => assert!(matches!(found, Err(LedgerError::NewerFormat { .. }))),
        }
    }
}

#[tokio::test]
async fn the_operator_erases_at_the_socket() {
    let site = Site::new();
    let config = site.config();
    let server = site.start().await;
    for version in 0..3 {
        visible(&server.submit(ALICE, version).await);
    }
    let mut client = Client::connect(&config).await.unwrap().unwrap();
    let mut ask = async |label: &str, before_version| {
        let label = label.to_owned();
        let request = v1::EraseRequest {
            label,
            before_version,
        };
        client
            .admin
            .erase(request)
            .await
            .map(tonic::Response::into_inner)
    };
    for (label, before, code) in [
        ("Alice", Some(1), Code::InvalidArgument),
        (BOB, Some(1), Code::NotFound),
        (ALICE, Some(3), Code::FailedPrecondition),
        (ALICE, None, Code::FailedPrecondition),
    ] {
        assert_eq!(
            ask(label, before).await.unwrap_err().code(),
            code,
            "{label}"
        );
    }
    let erased = ask(ALICE, Some(2)).await.unwrap();
    let numbers = (erased.erased, erased.kept_from, erased.newest_version);
    assert_eq!((numbers, erased.partial), ((2, 2, 2), false));
    let account = server.look_up(ALICE, Query::since(0)).await;
    let kept = account.opened().iter().map(|it| it.value().is_some());
    assert_eq!(kept.collect::<Vec<_>>(), [false, false, true]);
    server.stop().await;
}
