//! Backups: whole at one point in time, never taken for more than they are, and restored only where
//! nothing was signed since.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candor_core::answer::Query;
use candor_proto::v1;
use candor_server::anchor::{Anchor, AnchorError};
use candor_server::backup::{
    self, Anchored, BackupError, MANIFEST, Manifest, Mismatch, RestoreError, STORE, Verified,
};
use candor_server::config::Config;
use candor_server::fsck::Problem;
use candor_server::ledger::Ledger;
use candor_server::storage::{Batch, Engine, KeyRange, Order, StoreOptions, Table};
use futures::StreamExt;

use super::harness::{World, value};
use super::site::{ALICE, Server, Site, visible};
use super::witnesses::{Mode, Witness};

const ALL: NonZeroU64 = NonZeroU64::MIN;

async fn take(config: &Config, to: &Path, engine: Engine) -> Result<Manifest, BackupError> {
    backup::take(config.clone(), to.to_owned(), engine, |_| {}).await
}

async fn restore(config: &Config, from: &Path, anchored: Anchored) -> Result<u64, RestoreError> {
    let restored = backup::restore(config.clone(), from.to_owned(), anchored, |_| {}).await?;
    Ok(restored.manifest.size)
}

fn verify(directory: &Path) -> Verified {
    backup::verify(directory, ALL, &mut |_| {}).unwrap()
}

/// A log with two versions of a label, and the names of what is made beside it.
struct Log {
    site: Site,
    config: Config,
    server: Option<Server>,
}

impl Log {
    async fn new() -> Self {
        let site = Site::new();
        let server = site.start().await;
        for version in 0..2 {
            visible(&server.submit(ALICE, version).await);
        }
        Self {
            config: site.config(),
            site,
            server: Some(server),
        }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.site.config.with_file_name(name)
    }

    fn lose_store(&self) {
        std::fs::remove_dir_all(&self.config.store).unwrap();
    }

    fn is_untouched(&self) -> bool {
        let copy = format!("{}.restoring", self.config.store.display());
        !self.config.store.exists() && !Path::new(&copy).exists()
    }

    /// A backup of the stopped server, which lost its store since.
    async fn final_backup() -> (Self, PathBuf) {
        let mut log = Self::new().await;
        log.stop().await;
        let to = log.beside("backup");
        take(&log.config, &to, Engine::Fjall).await.unwrap();
        log.lose_store();
        (log, to)
    }
}

/// The keys of the manifest that are wrong in a backup whose rows are not.
fn misstated(directory: &Path) -> Vec<&'static str> {
    let verified = verify(directory);
    assert!(verified.report.is_clean() && !verified.is_clean());
    let keys = verified.mismatches.iter().map(|mismatch| match mismatch {
        Mismatch::Value { what, .. } => *what,
        other => panic!("{other}"),
    });
    keys.collect()
}

/// Changes one byte of a row of a backup's store. The key of the row.
fn damage(backup: &Path, table: Table) -> Vec<u8> {
    let path = backup.join(STORE);
    let engine = Engine::of(&path).unwrap();
    let store = engine.open(&StoreOptions::new(path)).unwrap();
    let mut row = None;
    let mut last = |key: &[u8], value: &[u8]| {
        row = Some((key.to_vec(), value.to_vec()));
        std::ops::ControlFlow::Break(())
    };
    let all = KeyRange::all();
    store
        .scan(table, &all, Order::Descending, &mut last)
        .unwrap();
    let (key, mut value) = row.unwrap();
    value[0] ^= 1;
    let mut batch = Batch::new();
    batch.put(table, key.clone(), value);
    store.commit(batch).unwrap();
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_while_updates_go_on_is_one_point_in_time() {
    let log = Log::new().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let mut registrar = log.server().registrar();
        let requests: Vec<_> = (0..2000)
            .map(|number| {
                let label = format!("acct:person-{number}");
                let value = value(&label, 0).into();
                log.server().authorized(v1::SubmitUpdateRequest {
                    request_id: number,
                    label,
                    version: 0,
                    value,
                })
            })
            .collect();
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            let mut written = 0_u64;
            for request in requests {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                registrar.submit_update(request).await.unwrap();
                written += 1;
            }
            written
        })
    };
    let mut sizes = Vec::new();
    for (name, engine) in [("first", Engine::Fjall), ("second", Engine::Sled)] {
        let to = log.beside(name);
        let before = log.server().head().await.0.known().size;
        let manifest = take(&log.config, &to, engine).await.unwrap();
        assert!(manifest.size >= before && manifest.note.is_some());
        sizes.push(manifest.size);
        let verified = verify(&to);
        let wrong: Vec<_> = verified
            .report
            .findings()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(verified.is_clean(), "{wrong:?} {:?}", verified.mismatches);
        assert_eq!(Engine::of(&to.join(STORE)).unwrap(), engine);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);
    let last = log.server().head().await.0.known().size;
    assert!(sizes.is_sorted() && sizes[1] <= last, "{sizes:?} {last}");
    log.server.unwrap().stop().await;
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let mut log = Log::new().await;
    let to = log.beside("backup");
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("precious"), "").unwrap();
    let refused = take(&log.config, &to, Engine::Fjall).await;
    assert!(matches!(refused, Err(BackupError::Exists { .. })));
    assert!(to.join("precious").exists());
    log.stop().await;
}

#[tokio::test]
async fn what_has_no_manifest_is_no_backup() {
    let (log, to) = Log::final_backup().await;
    std::fs::remove_file(to.join(MANIFEST)).unwrap();
    let refused = backup::verify(&to, ALL, &mut |_| {}).err();
    assert!(matches!(refused, Some(BackupError::Incomplete { .. })));
    let refused = restore(&log.config, &to, Anchored::Present).await;
    assert!(matches!(
        refused,
        Err(RestoreError::Backup(BackupError::Incomplete { .. }))
    ));
    assert!(log.is_untouched());
}

#[tokio::test]
async fn a_manifest_that_states_something_else_is_found() {
    let (log, to) = Log::final_backup().await;
    let path = to.join(MANIFEST);
    let text = std::fs::read_to_string(&path).unwrap();
    let manifest = Manifest::read(&to).unwrap();
    let size = manifest.size;
    let lie = |from: String, to: String| {
        assert!(text.contains(&from), "{from}");
        std::fs::write(&path, text.replace(&from, &to)).unwrap();
    };
    lie(format!("size = {size}"), format!("size = {}", size - 1));
    assert_eq!(misstated(&to), ["size"]);
    lie(format!("rows = {}", manifest.rows), "rows = 1".to_owned());
    assert_eq!(misstated(&to), ["rows"]);
    lie(manifest.root.clone(), "00".repeat(32));
    assert_eq!(misstated(&to), ["root"]);
    lie("— ".to_owned(), "— other.".to_owned());
    assert!(matches!(verify(&to).mismatches[..], [Mismatch::Note(_)]));
    let refused = restore(&log.config, &to, Anchored::Present).await;
    assert!(matches!(refused, Err(RestoreError::Damaged { .. })));
    assert!(log.is_untouched());
    lie("format = 1".to_owned(), "format = 2".to_owned());
    assert!(matches!(
        Manifest::read(&to),
        Err(BackupError::Manifest { .. })
    ));
    lie("format = 1".to_owned(), "format = 1\ncolour = 1".to_owned());
    assert!(matches!(
        Manifest::read(&to),
        Err(BackupError::Manifest { .. })
    ));
}

#[tokio::test]
async fn damage_is_named_and_not_restored() {
    let (log, to) = Log::final_backup().await;
    let key = damage(&to, Table::Leaves);
    let verified = verify(&to);
    let finding = &verified.report.findings()[0];
    assert_eq!((finding.table, &finding.key.0), (Table::Leaves, &key));
    assert_eq!(finding.problem, Problem::Leaf);
    drop(verified);
    match restore(&log.config, &to, Anchored::Present).await {
        Err(RestoreError::Damaged { report, .. }) => {
            assert_eq!(report.findings()[0].key.0, key);
        }
        other => panic!("{other:?}"),
    }
    assert!(log.is_untouched());
}

#[tokio::test]
async fn a_final_backup_is_restored_to_either_engine_and_the_log_goes_on() {
    for engine in Engine::ALL {
        let (log, to) = Log::final_backup().await;
        let text = std::fs::read_to_string(&log.site.config).unwrap();
        let engine_line = format!("engine = \"{}\"", engine.name());
        let text = text.replace("engine = \"fjall\"", &engine_line);
        std::fs::write(&log.site.config, text).unwrap();
        let size = restore(&log.site.config(), &to, Anchored::Present)
            .await
            .unwrap();
        assert_eq!(size, Manifest::read(&to).unwrap().size);
        let server = log.site.start().await;
        let found = server.look_up(ALICE, Query::GREATEST).await;
        assert_eq!(found.greatest(), Some(1));
        visible(&server.submit(ALICE, 2).await);
        server.stop().await;
        // Now it is behind, and never again what the log goes on from.
        log.lose_store();
        let refused = restore(&log.config, &to, Anchored::Present).await;
        match refused {
            Err(RestoreError::Behind {
                size: has, signed, ..
            }) => {
                assert!(has == size && signed > size);
            }
            other => panic!("{other:?}"),
        }
        assert!(log.is_untouched());
    }
}

#[tokio::test]
async fn the_anchor_and_the_store_are_asked_first() {
    let (log, to) = Log::final_backup().await;
    let kept = std::fs::read(&log.config.anchor).unwrap();
    std::fs::remove_file(&log.config.anchor).unwrap();
    let refused = restore(&log.config, &to, Anchored::Present).await;
    assert!(matches!(refused, Err(RestoreError::NoAnchor { .. })));
    // The policy has no witnesses who could say what was signed.
    let refused = restore(&log.config, &to, Anchored::Lost).await;
    assert!(matches!(refused, Err(RestoreError::NoQuorum { .. })));
    assert!(log.is_untouched() && !log.config.anchor.exists());
    std::fs::write(&log.config.anchor, kept).unwrap();

    std::fs::create_dir(&log.config.store).unwrap();
    std::fs::write(log.config.store.join("precious"), "").unwrap();
    let refused = restore(&log.config, &to, Anchored::Present).await;
    assert!(matches!(refused, Err(RestoreError::StoreExists { .. })));
    std::fs::remove_file(log.config.store.join("precious")).unwrap();
    restore(&log.config, &to, Anchored::Present).await.unwrap();

    let server = log.site.start().await;
    let refused = restore(&log.config, &to, Anchored::Present).await;
    let error = refused.unwrap_err();
    assert!(
        matches!(
            error,
            RestoreError::Backup(BackupError::Anchor(AnchorError::Lock(_)))
        ),
        "{error}"
    );
    server.stop().await;
}

#[tokio::test]
async fn an_anchor_that_is_older_than_the_backup_is_not_the_newest() {
    let mut log = Log::new().await;
    let old = std::fs::read(&log.config.anchor).unwrap();
    visible(&log.server().submit(ALICE, 2).await);
    log.stop().await;
    let to = log.beside("backup");
    take(&log.config, &to, Engine::Fjall).await.unwrap();
    log.lose_store();
    std::fs::write(&log.config.anchor, old).unwrap();
    let refused = restore(&log.config, &to, Anchored::Present).await;
    let error = refused.unwrap_err();
    assert!(
        matches!(error, RestoreError::AnchorBehind { .. }),
        "{error}"
    );
    assert!(log.is_untouched());
}

#[tokio::test]
async fn a_store_is_restored_to_where_a_link_leads() {
    let (log, to) = Log::final_backup().await;
    let elsewhere = log.beside("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, &log.config.store).unwrap();
    let refused = restore(&log.config, &to, Anchored::Present).await;
    assert!(matches!(refused, Err(RestoreError::Place { .. })));
    std::fs::create_dir(&elsewhere).unwrap();
    restore(&log.config, &to, Anchored::Present).await.unwrap();
    assert!(log.config.store.is_symlink());
    let server = log.site.start().await;
    visible(&server.submit(ALICE, 2).await);
    server.stop().await;
}

#[tokio::test]
async fn who_says_what_was_signed_has_cosigned_it() {
    let (log, to) = Log::final_backup().await;
    let signed = std::fs::read(&log.config.anchor).unwrap();
    std::fs::remove_file(&log.config.anchor).unwrap();
    let world = World::new();
    let witness = Witness::start(&world, 1, Mode::Honest).await;
    let other = Witness::start(&world, 2, Mode::Honest).await;
    let policy = std::fs::read_to_string(&log.config.policy).unwrap();
    let (name, key, url) = (&witness.name, witness.key(), &witness.url);
    let with = format!("\nwitness {name} {key} {url}\nquorum {name}");
    std::fs::write(&log.config.policy, policy.replace("\nquorum none", &with)).unwrap();
    // What the log signed, also with another's line, shows only that the log signed it.
    for shown in [signed.clone(), other.cosigned(&signed)] {
        *witness.shown.lock().unwrap() = Some(shown);
        let refused = restore(&log.config, &to, Anchored::Lost).await;
        let error = refused.unwrap_err();
        assert!(matches!(error, RestoreError::NoQuorum { .. }), "{error}");
        assert!(log.is_untouched() && !log.config.anchor.exists());
    }
    *witness.shown.lock().unwrap() = Some(witness.cosigned(&signed));
    restore(&log.config, &to, Anchored::Lost).await.unwrap();
    assert_eq!(std::fs::read(&log.config.anchor).unwrap(), signed);
}

#[tokio::test]
async fn another_logs_backup_is_refused() {
    let (_other, to) = Log::final_backup().await;
    let (log, _) = Log::final_backup().await;
    // It has the same name, and other keys.
    let refused = restore(&log.config, &to, Anchored::Present).await;
    assert!(matches!(refused, Err(RestoreError::OtherLog)));
    assert!(log.is_untouched());
}

#[tokio::test]
async fn a_store_that_lost_what_was_signed_gets_no_backup() {
    let mut log = Log::new().await;
    log.stop().await;
    let verifier = backup::configured_verifier(&log.config).unwrap();
    let old = log.beside("old");
    take(&log.config, &old, Engine::Fjall).await.unwrap();
    let server = log.site.start().await;
    visible(&server.submit(ALICE, 2).await);
    server.stop().await;
    log.lose_store();
    std::fs::rename(old.join(STORE), &log.config.store).unwrap();
    let to = log.beside("backup");
    let refused = take(&log.config, &to, Engine::Fjall).await;
    assert!(matches!(refused, Err(BackupError::SignedHead { .. })));
    assert!(!to.exists());
    // The lock was given back, and the store is as it was.
    let anchor = Anchor::open(&log.config.anchor, verifier).unwrap();
    let options = StoreOptions::new(&log.config.store);
    let ledger = Ledger::new(log.config.engine.open(&options).unwrap(), 0);
    assert!(ledger.head().unwrap().size < anchor.newest().unwrap().0);
}

/// How long single updates take, with and without a backup beside them.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout)]
#[ignore = "a measurement: cargo test -p candor-server --test log -- --ignored --nocapture latency"]
async fn latency_of_updates_beside_a_backup() {
    const ACCOUNTS: u64 = 20_000;
    let log = Log::new().await;
    let server = log.server();
    let submit = async |number: u64| {
        let label = format!("acct:measured-{number}");
        let value = value(&label, 0).into();
        let request = server.authorized(v1::SubmitUpdateRequest {
            request_id: number,
            label,
            version: 0,
            value,
        });
        let started = std::time::Instant::now();
        server.registrar().submit_update(request).await.unwrap();
        started.elapsed()
    };
    futures::stream::iter(0..ACCOUNTS)
        .map(&submit)
        .buffer_unordered(512)
        .collect::<Vec<_>>()
        .await;
    let told = |what: &str, mut times: Vec<std::time::Duration>| {
        times.sort_unstable();
        let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{what}: {} updates, median {median:?}, longest {last:?}",
            times.len()
        );
    };
    let mut next = ACCOUNTS;
    let mut alone = Vec::new();
    for _ in 0..200 {
        alone.push(submit(next).await);
        next += 1;
    }
    told("alone", alone);
    for engine in Engine::ALL {
        let to = log.beside(engine.name());
        let (config, begun) = (log.config.clone(), std::time::Instant::now());
        let backup = tokio::spawn(async move { take(&config, &to, engine).await.unwrap() });
        let mut beside = Vec::new();
        while !backup.is_finished() {
            beside.push(submit(next).await);
            next += 1;
        }
        let (rows, took) = (backup.await.unwrap().rows, begun.elapsed());
        println!("backup of {rows} rows to {}: {took:?}", engine.name());
        told("beside it", beside);
    }
    log.server.unwrap().stop().await;
}
