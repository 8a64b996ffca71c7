//! The drills of `docs/operating.md`: a backup under load, a lost store, a lost anchor.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candor_sdk::Published;
use candor_system::process::run;
use candor_system::system::System;

use super::{assert_published, label, started, value};

/// Runs a command of the server on the configuration of a system: what it printed, or why not.
fn command(system: &System, arguments: &[&str]) -> Result<String, String> {
    let config = system.server.folder().join("server.toml");
    let config = config.to_string_lossy();
    let arguments = [arguments, &["--config", &config]].concat();
    run("candor-server", &arguments).map_err(|error| error.to_string())
}

/// Stops the server and makes its final backup.
fn final_backup(system: &mut System) -> PathBuf {
    system.server.process().unwrap().terminate().unwrap();
    let to = system.folder().join("final");
    let told = command(system, &["backup", "--to", &to.to_string_lossy()]).unwrap();
    assert!(told.contains("Not in it: secret keys"), "{told}");
    to
}

fn lose(system: &System, names: &[&str]) {
    for name in names {
        let path = system.server.folder().join(name);
        let lost = system.folder().join(format!("lost-{name}"));
        std::fs::rename(path, lost).unwrap();
    }
}

fn restore(system: &System, from: &Path, more: &[&str]) -> Result<String, String> {
    let from = from.to_string_lossy();
    command(system, &[&["restore", "--from", &from], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_whole_and_no_place_to_go_on_from() {
    let (_folder, mut system) = started(3).await;
    let device = Arc::new(system.device().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (device, stop) = (Arc::clone(&device), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let outcome = device
                    .publish(0, &value(&label("load", count), count))
                    .await;
                assert!(matches!(outcome.unwrap(), Published::Visible(_)));
                count += 1;
            }
            count
        })
    };
    let to = system.folder().join("backup");
    let to_name = to.to_string_lossy().into_owned();
    command(&system, &["backup", "--to", &to_name]).unwrap();
    let again = command(&system, &["backup", "--to", &to_name]).unwrap_err();
    assert!(again.contains("exists already"), "{again}");
    let told = command(&system, &["verify-backup", &to_name]).unwrap();
    assert!(
        told.contains("The anchor agrees") || told.contains("Behind the anchor"),
        "{told}"
    );
    stop.store(true, Ordering::Relaxed);
    let count = load.await.unwrap();
    device
        .publish(0, &value(&label("load", count), count))
        .await
        .unwrap();

    system.server.process().unwrap().terminate().unwrap();
    lose(&system, &["store"]);
    let refused = restore(&system, &to, &[]).unwrap_err();
    assert!(refused.contains("the backup is behind by"), "{refused}");
    assert!(refused.contains("the anchor says"), "{refused}");
    // Without the anchor the witnesses say the same.
    lose(&system, &["anchor"]);
    let refused = restore(&system, &to, &["--the-anchor-is-lost"]).unwrap_err();
    assert!(refused.contains("the backup is behind by"), "{refused}");
    assert!(refused.contains("witness http"), "{refused}");
    let home = system.server.folder();
    assert!(!home.join("store").exists() && !home.join("anchor").exists());

    for name in ["store", "anchor"] {
        let lost = system.folder().join(format!("lost-{name}"));
        std::fs::rename(lost, home.join(name)).unwrap();
    }
    let told = command(&system, &["fsck"]).unwrap();
    assert!(told.contains("The anchor agrees"), "{told}");
    system.server.start().await.unwrap();
    assert_published(&device, "load", count + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_backup_is_restored_and_the_log_goes_on_with_its_witnesses() {
    let (_folder, mut system) = started(3).await;
    let device = system.device().unwrap();
    let publish = async |number| {
        let label = label("final", number);
        device.publish(0, &value(&label, number)).await.unwrap();
    };
    publish(0).await;
    let to = final_backup(&mut system);
    lose(&system, &["store"]);
    let told = restore(&system, &to, &[]).unwrap();
    assert_eq!(told.matches(" holds ").count(), 3, "{told}");
    system.server.start().await.unwrap();
    system.wait_published().await.unwrap();
    publish(1).await;
    assert_published(&device, "final", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_anchor_is_made_again_of_what_a_quorum_holds() {
    let (_folder, mut system) = started(3).await;
    let device = system.device().unwrap();
    let publish = async |number| {
        let label = label("anchor", number);
        device.publish(0, &value(&label, number)).await.unwrap();
    };
    publish(0).await;
    let to = final_backup(&mut system);
    lose(&system, &["store", "anchor"]);
    let refused = restore(&system, &to, &[]).unwrap_err();
    assert!(refused.contains("there is no anchor"), "{refused}");
    for witness in &mut system.witnesses[1..] {
        witness.process().unwrap().terminate().unwrap();
    }
    let lost = ["--the-anchor-is-lost"];
    let refused = restore(&system, &to, &lost).unwrap_err();
    assert!(
        refused.contains("a quorum of witnesses must hold"),
        "{refused}"
    );
    assert!(refused.contains("could not be asked"), "{refused}");
    system.witnesses[1].start().await.unwrap();
    restore(&system, &to, &lost).unwrap();
    system.server.start().await.unwrap();
    publish(1).await;
    assert_published(&device, "anchor", 2).await;
}
