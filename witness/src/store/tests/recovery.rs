//! States that are not the newest: every way in which a file can come from a backup.

use super::*;

/// A state where the log had come to `sizes`, one after the other.
async fn grow(paths: &Paths, sizes: &[u64]) {
    let (store, thread) = open(paths);
    for size in sizes {
        let entry = store.entry(ORIGIN);
        let change = Change::Advance {
            expected: entry.recorded(),
            quarantine: entry.quarantine,
            next: state(*size),
        };
        store.apply(ORIGIN, change).await.unwrap();
    }
    close((store, thread));
}

fn entry(paths: &Paths, origin: &str) -> Entry {
    let (store, thread) = open(paths);
    let entry = store.entry(origin);
    close((store, thread));
    entry
}

fn quarantine(paths: &Paths) -> Option<(Doubt, Option<u64>)> {
    let quarantine = entry(paths, ORIGIN).quarantine?;
    Some((quarantine.doubt, quarantine.floor.map(|floor| floor.size)))
}

/// A state that had come to 5 when the file was copied, and to 6 and 7 since.
async fn with_old(file: fn(&Paths) -> &Path) -> (TempDir, Paths) {
    let (directory, paths) = new_state();
    grow(&paths, &[5]).await;
    let backup = directory.path().join("backup");
    std::fs::copy(file(&paths), &backup).unwrap();
    grow(&paths, &[6, 7]).await;
    std::fs::copy(&backup, file(&paths)).unwrap();
    (directory, paths)
}

#[tokio::test]
async fn a_database_behind_the_anchor_waits_for_a_proof_from_the_anchor() {
    let (_directory, paths) = with_old(|paths| &paths.database).await;
    let expected = Some((Doubt::DatabaseBehind, Some(7)));
    // It does not end with a restart.
    for _ in 0..2 {
        assert_eq!(quarantine(&paths), expected);
    }
    assert_eq!(entry(&paths, "other").quarantine, None);
    grow(&paths, &[8]).await;
    assert_eq!(quarantine(&paths), None);
    assert_eq!(entry(&paths, ORIGIN).recorded().size, 8);
}

#[tokio::test]
async fn an_anchor_behind_the_database_waits_for_a_proof_from_the_database() {
    let (_directory, paths) = with_old(|paths| &paths.anchor).await;
    let expected = Some((Doubt::AnchorBehind, Some(7)));
    // Not even when both agree again.
    for _ in 0..2 {
        assert_eq!(quarantine(&paths), expected);
    }
    let anchor = anchor::read(&paths.anchor).unwrap();
    assert_eq!(anchor.recorded(ORIGIN).size, 7);
    grow(&paths, &[8]).await;
    assert_eq!(quarantine(&paths), None);
}

#[tokio::test]
async fn one_old_file_after_another_does_not_make_the_witness_forget() {
    let (directory, paths) = new_state();
    grow(&paths, &[5]).await;
    let copy = |file: &Path| {
        directory
            .path()
            .join(file.file_name().unwrap())
            .with_extension("old")
    };
    for file in [&paths.database, &paths.anchor] {
        std::fs::copy(file, copy(file)).unwrap();
    }
    grow(&paths, &[6, 7]).await;
    let expected = Some((Doubt::DatabaseBehind, Some(7)));
    // The second database agrees with an anchor that forgot what the first quarantine was for.
    for file in [&paths.database, &paths.anchor, &paths.database] {
        std::fs::copy(copy(file), file).unwrap();
        assert_eq!(quarantine(&paths), expected);
    }
}

#[tokio::test]
async fn a_crash_between_database_and_anchor_is_no_reason_for_doubt() {
    let (directory, paths) = new_state();
    grow(&paths, &[5]).await;
    let before = directory.path().join("before");
    std::fs::copy(&paths.anchor, &before).unwrap();
    grow(&paths, &[6]).await;
    std::fs::copy(&before, &paths.anchor).unwrap();
    assert_eq!(quarantine(&paths), None);
    assert_eq!(
        anchor::read(&paths.anchor).unwrap().recorded(ORIGIN).size,
        6
    );
}

#[tokio::test]
async fn a_decision_that_does_not_know_of_the_quarantine_is_stale() {
    let (_directory, paths) = with_old(|paths| &paths.database).await;
    let (store, thread) = open(&paths);
    let unaware = advance(state(5).recorded(), 8);
    assert_eq!(store.apply(ORIGIN, unaware).await, Err(ApplyError::Stale));
    let found = Quarantine {
        doubt: Doubt::Forgotten,
        floor: None,
    };
    store
        .apply(ORIGIN, Change::Quarantine(found))
        .await
        .unwrap();
    close((store, thread));
    assert_eq!(quarantine(&paths), Some((Doubt::Forgotten, None)));
}

#[tokio::test]
async fn without_an_anchor_a_restored_state_needs_the_operator_for_every_log() {
    let (_directory, paths) = new_state();
    grow(&paths, &[5]).await;
    std::fs::remove_file(&paths.anchor).unwrap();
    assert!(matches!(open_error(&paths), StoreError::Anchor(_)));
    let done = restore(&paths, AnchorKept::Yes).unwrap();
    assert!(done.is_blind);
    assert_eq!(quarantine(&paths), Some((Doubt::Restored, None)));
    // It may have been cosigned after the backup.
    assert!(entry(&paths, "other").quarantine.is_some());

    release(&paths, ORIGIN).unwrap();
    assert_eq!(quarantine(&paths), None);
    assert!(entry(&paths, "other").quarantine.is_some());
    grow(&paths, &[6]).await;
    assert_eq!(quarantine(&paths), None);
    release(&paths, "other").unwrap();
    assert_eq!(entry(&paths, "other").quarantine, None);
}

#[tokio::test]
async fn with_files_of_one_backup_a_restored_state_needs_the_operator_too() {
    let (_directory, paths) = new_state();
    grow(&paths, &[5]).await;
    assert!(restore(&paths, AnchorKept::Yes).unwrap().is_blind);
    assert_eq!(quarantine(&paths), Some((Doubt::Restored, None)));
    // Once more changes nothing.
    assert!(restore(&paths, AnchorKept::Yes).unwrap().is_blind);
    assert_eq!(quarantine(&paths), Some((Doubt::Restored, None)));
}

#[tokio::test]
async fn a_restored_database_beside_the_newest_anchor_waits_for_proofs() {
    let (_directory, paths) = with_old(|paths| &paths.database).await;
    assert!(!restore(&paths, AnchorKept::Yes).unwrap().is_blind);
    assert_eq!(quarantine(&paths), Some((Doubt::Restored, Some(7))));
    assert_eq!(entry(&paths, "other").quarantine, None);
    grow(&paths, &[7]).await;
    assert_eq!(quarantine(&paths), None);
}

/// The copy of the anchor may have been made a moment after the database's.
#[tokio::test]
async fn an_anchor_of_which_the_operator_is_not_sure_tells_nothing() {
    let (_directory, paths) = with_old(|paths| &paths.database).await;
    assert!(restore(&paths, AnchorKept::Unknown).unwrap().is_blind);
    assert_eq!(quarantine(&paths), Some((Doubt::Restored, None)));
    // Being sure afterwards does not help: the anchor was written since.
    restore(&paths, AnchorKept::Yes).unwrap();
    assert_eq!(quarantine(&paths), Some((Doubt::Restored, None)));
}

#[tokio::test]
async fn nothing_eases_a_quarantine_that_only_the_operator_ends() {
    let (_directory, paths) = new_state();
    grow(&paths, &[5]).await;
    let (store, thread) = open(&paths);
    let forgotten = Quarantine {
        doubt: Doubt::Forgotten,
        floor: None,
    };
    store
        .apply(ORIGIN, Change::Quarantine(forgotten))
        .await
        .unwrap();
    close((store, thread));
    // An anchor that is newer and knows more would give a floor.
    let mut anchor = anchor::read(&paths.anchor).unwrap();
    let newer = Recorded {
        size: 7,
        root: Hash::ZERO,
    };
    anchor.logs.insert(ORIGIN.to_owned(), newer);
    anchor.generation += 3;
    anchor::write(&paths.anchor, &anchor).unwrap();
    restore(&paths, AnchorKept::Yes).unwrap();
    assert_eq!(quarantine(&paths), Some((Doubt::Forgotten, None)));
    release(&paths, "other").unwrap();
    assert_eq!(quarantine(&paths), Some((Doubt::Forgotten, None)));
}

#[tokio::test]
async fn the_operator_releases_one_log_and_no_other() {
    let (_directory, paths) = with_old(|paths| &paths.database).await;
    let mut anchor = anchor::read(&paths.anchor).unwrap();
    let other = Recorded {
        size: 3,
        root: Hash::ZERO,
    };
    anchor.logs.insert("other".to_owned(), other);
    anchor::write(&paths.anchor, &anchor).unwrap();
    let found = quarantine_of(&paths, ORIGIN).unwrap().unwrap();
    assert_eq!(found.doubt, Doubt::DatabaseBehind);
    release(&paths, ORIGIN).unwrap();
    assert_eq!(quarantine_of(&paths, ORIGIN).unwrap(), None);
    assert_eq!(entry(&paths, ORIGIN).recorded().size, 5);
    let left = entry(&paths, "other").quarantine.unwrap();
    assert_eq!(left.floor, Some(other));
    grow(&paths, &[6]).await;
    assert_eq!(quarantine(&paths), None);
}

#[test]
fn nothing_is_done_to_a_running_or_missing_state() {
    let (_directory, paths) = new_state();
    let running = open(&paths);
    assert!(matches!(
        restore(&paths, AnchorKept::Yes),
        Err(StoreError::Lock(_))
    ));
    assert!(matches!(release(&paths, ORIGIN), Err(StoreError::Lock(_))));
    close(running);
    std::fs::write(&paths.anchor, "damaged").unwrap();
    assert!(matches!(
        restore(&paths, AnchorKept::Yes),
        Err(StoreError::Anchor(_))
    ));
    std::fs::remove_file(&paths.anchor).unwrap();
    std::fs::remove_file(&paths.database).unwrap();
    assert!(matches!(
        restore(&paths, AnchorKept::Yes),
        Err(StoreError::Database(_))
    ));
    assert!(!paths.database.exists());
}
