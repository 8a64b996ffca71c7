//! What may fail in service: witnesses, disks, backups; kills are in `crash`. After each fault
//! every acknowledged update is there, and nothing that was signed is contradicted.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "faults/backup.rs"]
mod backup;

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use candor_core::account::{AccountState, Device, DeviceKey, Label, VerifiedValue};
use candor_sdk::{Client, Error, Published, Store};
use candor_system::process::http;
use candor_system::system::{System, copy, edit};

/// A first value for a label, with a device of this number.
fn value(label: &Label, number: u32) -> VerifiedValue {
    let device = Device {
        id: vec![1],
        name: format!("device {number}"),
        platform: "test".to_owned(),
        os_version: "1".to_owned(),
        capability: 0,
        added_ms: 0,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "encrypt".to_owned(),
            public_key: vec![7; 32],
        }],
    };
    let state = AccountState {
        devices: vec![device],
        ..AccountState::first()
    };
    VerifiedValue::State(state.without_signature(label).unwrap())
}

fn label(name: &str, number: u32) -> Label {
    Label::parse(&format!("acct:{name}-{number}")).unwrap()
}

async fn started(witnesses: usize) -> (tempfile::TempDir, System) {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), witnesses).unwrap();
    system.start().await.unwrap();
    (folder, system)
}

/// Every label of a run is there, at version 0.
async fn assert_published<S: Store>(device: &Client<S>, name: &str, count: u32) {
    for number in 0..count {
        let label = label(name, number);
        let found = device.lookup(&label).await.unwrap();
        let newest = found
            .newest()
            .unwrap_or_else(|| panic!("{name}-{number} was lost"));
        assert_eq!(newest.value(), &value(&label, number));
    }
}

/// A page of the server's HTTP port.
async fn page(system: &System, path: &str) -> String {
    let url = format!("http://{}{path}", system.server.http);
    let answer = http().unwrap().get(url).send().await.unwrap();
    answer.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_witness_down_delays_nobody_and_a_lost_quorum_recovers() {
    let (_folder, mut system) = started(3).await;
    let device = system.device().unwrap();
    system.witnesses[2].process().unwrap().kill().unwrap();
    let first = label("quorum", 0);
    let outcome = device.publish(0, &value(&first, 0)).await.unwrap();
    assert!(matches!(outcome, Published::Visible(_)), "{outcome:?}");

    // Without a quorum the log signs for the update, and says that it is not visible yet.
    system.witnesses[1].process().unwrap().kill().unwrap();
    let second = label("quorum", 1);
    let outcome = device.publish(0, &value(&second, 1)).await.unwrap();
    assert!(matches!(outcome, Published::Committed(_)), "{outcome:?}");
    assert!(device.lookup(&second).await.unwrap().newest().is_none());
    assert!(
        page(&system, "/metrics")
            .await
            .contains("candor_quorum_lost 1")
    );
    assert!(page(&system, "/").await.contains("LOST"));
    let ready = page(&system, "/readyz").await;
    assert!(ready.starts_with("ready; the quorum"), "{ready}");
    let told = std::fs::read_to_string(system.server.log()).unwrap();
    let lines = told.matches("the quorum of witnesses is lost").count();
    assert_eq!(lines, 1, "told once, not in every round");

    system.witnesses[1].start().await.unwrap();
    let visible = async {
        while device.lookup(&second).await.unwrap().newest().is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), visible)
        .await
        .expect("publication recovers");
    assert!(
        page(&system, "/metrics")
            .await
            .contains("candor_quorum_lost 0")
    );
    assert_eq!(page(&system, "/readyz").await, "ready\n");
}

/// A witness that answers everything with lies: sizes that do not exist, and nonsense lines.
async fn lying_witness() -> String {
    let lies = Router::new()
        .route(
            "/add-checkpoint",
            post(async |body: String| {
                use axum::http::{StatusCode, header};
                // The first time a larger size, then a line that nobody made.
                if body.starts_with("old 0\n") {
                    let kind = [(header::CONTENT_TYPE, "text/x.tlog.size")];
                    return (StatusCode::CONFLICT, kind, "999999\n".to_owned());
                }
                let kind = [(header::CONTENT_TYPE, "text/plain")];
                (
                    StatusCode::OK,
                    kind,
                    "\u{2014} witness-3.example AAAAAAAA\n".to_owned(),
                )
            }),
        )
        .route("/{origin}/checkpoint", get(async || "not even a note"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, lies).await });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_witness_neither_stops_the_log_nor_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), 3).unwrap();
    let liar = lying_witness().await;
    let honest = format!("http://{}", system.witnesses[2].http);
    let policy = system.server.folder().join("policy.txt");
    edit(&policy, &[(&honest, &liar)]).unwrap();
    system.start().await.unwrap();
    let device = system.device().unwrap();
    let label = label("liar", 0);
    device.publish(0, &value(&label, 0)).await.unwrap();
    let page = page(&system, "/").await;
    assert!(page.contains("ALARM"), "the operator is not told:\n{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_updates_and_nothing_else() {
    let (_folder, mut system) = started(1).await;
    let device = system.device().unwrap();
    let before = label("disk", 0);
    device.publish(0, &value(&before, 0)).await.unwrap();

    let config = system.server.folder().join("server.toml");
    system.server.process().unwrap().terminate().unwrap();
    // No disk has this much to spare: to the server, it is full.
    let (enough, full) = ("disk_reserve_mib = 64", "disk_reserve_mib = 1048576");
    edit(&config, &[(enough, full)]).unwrap();
    system.server.start().await.unwrap();
    let refused = device
        .publish(0, &value(&label("disk", 1), 1))
        .await
        .unwrap_err();
    assert!(matches!(&refused, Error::Refused { .. }), "{refused}");
    assert!(refused.is_retryable());
    assert_published(&device, "disk", 1).await;

    system.server.process().unwrap().terminate().unwrap();
    edit(&config, &[(full, enough)]).unwrap();
    system.server.start().await.unwrap();
    device
        .publish(0, &value(&label("disk", 1), 1))
        .await
        .unwrap();
    assert_published(&device, "disk", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_older_store_refuses_to_sign() {
    let (_folder, mut system) = started(1).await;
    let device = system.device().unwrap();
    device
        .publish(0, &value(&label("old", 0), 0))
        .await
        .unwrap();
    system.server.process().unwrap().terminate().unwrap();
    let home = system.server.folder().to_owned();
    let old = system.folder().join("old-store");
    copy(&home.join("store"), &old).unwrap();
    std::fs::copy(home.join("anchor"), system.folder().join("old-anchor")).unwrap();
    system.server.start().await.unwrap();
    device
        .publish(0, &value(&label("old", 1), 1))
        .await
        .unwrap();
    system.server.process().unwrap().terminate().unwrap();

    std::fs::rename(home.join("store"), home.join("current")).unwrap();
    copy(&old, &home.join("store")).unwrap();
    assert!(refused(&mut system).contains("behind the anchor"));
    std::fs::copy(system.folder().join("old-anchor"), home.join("anchor")).unwrap();
    assert!(refused(&mut system).contains("a larger log"));
}

/// Starts the server, which must end by itself; what it wrote.
fn refused(system: &mut System) -> String {
    system.server.spawn().unwrap();
    let process = system.server.process().unwrap();
    assert!(!process.wait().unwrap().success());
    process.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_on_the_same_log_does_not_start() {
    let (_folder, mut system) = started(0).await;
    let config = system.server.folder().join("second.toml");
    std::fs::copy(system.server.folder().join("server.toml"), &config).unwrap();
    let (grpc, http) = (
        system.server.grpc.to_string(),
        system.server.http.to_string(),
    );
    edit(&config, &[(&grpc, "127.0.0.1:0"), (&http, "127.0.0.1:0")]).unwrap();
    let arguments = ["run", "--config", &config.to_string_lossy()];
    let log = system.folder().join("second.log");
    let mut second =
        candor_system::process::Process::start("candor-server", &arguments, &log).unwrap();
    assert!(!second.wait().unwrap().success());
    let output = second.output().unwrap();
    assert!(output.contains("another instance"), "{output}");
    system.wait_published().await.unwrap();
}
