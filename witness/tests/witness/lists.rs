//! Logs that are added while the witness runs, and the pages that show them.

use std::path::PathBuf;
use std::time::Duration;

use crate::common::running::{Home, Running, client};
use crate::common::{History, ORIGIN, log_key, signed};
use candor_core::Hash;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{
    AddCheckpoint, KeyName, ListedLog, LogList, NoteSigner as _, SoftwareSigner, monitoring_path,
};
use candor_witness::added;
use reqwest::StatusCode;

const SCRIPT: &str = "<script>alert(\"1\")</script>";

fn key(seed: u8) -> SoftwareSigner {
    let name = KeyName::new("other.example").unwrap();
    SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[seed; 32]))
}

fn listed(origin: &str, seed: u8) -> ListedLog {
    let key = key(seed).verifier_key().clone();
    ListedLog::new(key, origin, 24, &format!("{SCRIPT} & co")).unwrap()
}

fn list(logs: &[ListedLog]) -> String {
    let list = LogList {
        logs: logs.to_vec(),
        unsupported: 0,
    };
    list.to_string()
}

fn request(origin: &str, seed: u8) -> AddCheckpoint {
    AddCheckpoint {
        note: signed(key(seed), origin, 5, Hash::ZERO),
        ..History::honest().request(0, 5)
    }
}

/// How often a witness looks at its files, and half as long again.
const FILE_INTERVAL: Duration = Duration::from_secs(3);

fn page_of(origin: &str) -> String {
    monitoring_path(origin).replace("/checkpoint", "")
}

/// Waits until `path` shows `text`: what is added is taken over after a while.
async fn wait_for(witness: &Running, path: &str, text: &str) -> String {
    for _ in 0..600 {
        let (_, page) = witness.get(path).await;
        if page.contains(text) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{text} is not shown at {path}")
}

fn added_path(home: &Home) -> PathBuf {
    home.paths().logs
}

#[tokio::test]
async fn a_log_that_is_added_is_witnessed_without_a_restart_and_after_one() {
    let home = Home::new("", "");
    let witness = home.start().await;
    let (status, _) = witness.add(&request("a b", 3)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    added::add(&added_path(&home), vec![listed("a b", 3)]).unwrap();
    wait_for(&witness, &page_of("a b"), "a b").await;
    assert_eq!(witness.add(&request("a b", 3)).await.0, StatusCode::OK);
    witness.stop().await;
    let witness = home.start().await;
    let (status, _) = witness.get(&monitoring_path("a b")).await;
    assert_eq!(status, StatusCode::OK);
    // A damaged file adds nothing and takes nothing away.
    std::fs::write(added_path(&home), "logs/v0\nvkey x").unwrap();
    tokio::time::sleep(2 * FILE_INTERVAL).await;
    assert_eq!(
        witness.add(&request("a b", 4)).await.0,
        StatusCode::FORBIDDEN
    );
    let (status, _) = witness.get(&monitoring_path("a b")).await;
    assert_eq!(status, StatusCode::OK);
    witness.stop().await;
}

#[tokio::test]
async fn a_list_adds_logs_and_a_changed_key_is_loud_and_changes_nothing() {
    let home = Home::new("lists = [\"list\"]\n", "");
    let path = home.path().join("list");
    std::fs::write(&path, list(&[listed("a", 3), listed("b", 3)])).unwrap();
    let witness = home.start().await;
    wait_for(&witness, "", ">b<").await;
    assert_eq!(witness.add(&request("a", 3)).await.0, StatusCode::OK);

    // Of a log that was added, of one that is configured, and of one that is there twice.
    let configured = ListedLog {
        origin: ORIGIN.to_owned(),
        ..listed("a", 4)
    };
    let changed = [listed("a", 4), configured, listed("c", 3), listed("c", 4)];
    std::fs::write(&path, list(&changed)).unwrap();
    let page = wait_for(&witness, "", "has another key").await;
    assert_eq!(page.matches("has another key").count(), 3, "{page}");
    let (_, metrics) = witness.get("metrics").await;
    for origin in ["a", ORIGIN, "c"] {
        let alarm = format!("candor_witness_key_alarm{{origin=\"{origin}\"}} 1");
        assert!(metrics.contains(&alarm), "{metrics}");
        let page = witness.get(&page_of(origin)).await.1;
        assert!(page.contains("has another key"), "{page}");
    }
    assert!(metrics.contains("candor_witness_logs 4"), "{metrics}");
    for origin in ["a", "c", ORIGIN] {
        let (status, _) = witness.add(&request(origin, 4)).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    let configured = History::honest().request(0, 5);
    assert_eq!(witness.add(&configured).await.0, StatusCode::OK);
    // What is no longer listed stays.
    assert_eq!(witness.add(&request("b", 3)).await.0, StatusCode::OK);
    witness.stop().await;
    // The keys stay, whatever the list says at the next start.
    let witness = home.start().await;
    wait_for(&witness, "", "has another key").await;
    assert_eq!(witness.add(&request("a", 4)).await.0, StatusCode::FORBIDDEN);
    witness.stop().await;
}

#[tokio::test]
async fn a_list_is_fetched_and_one_that_is_none_adds_nothing() {
    let good = list(&[listed("a", 3)]);
    let bad = format!("{}vkey x\n", list(&[listed("b", 3)]));
    let router = axum::Router::new()
        .route("/good", axum::routing::get(|| async { good }))
        .route("/bad", axum::routing::get(|| async { bad }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let urls = ["good", "bad", "missing"].map(|path| format!("http://{address}/{path}"));
    let home = Home::new(&format!("lists = {urls:?}\n"), "");
    let witness = home.start().await;
    wait_for(&witness, "", ">a<").await;
    for url in &urls[1..] {
        let count = format!("candor_witness_list_failures_total{{list=\"{url}\"}} 1");
        wait_for(&witness, "metrics", &count).await;
    }
    assert_eq!(witness.add(&request("a", 3)).await.0, StatusCode::OK);
    assert_eq!(witness.add(&request("b", 3)).await.0, StatusCode::NOT_FOUND);
    witness.stop().await;
    serving.abort();
}

#[tokio::test]
async fn pages_show_hostile_text_as_text_and_load_nothing() {
    let home = Home::new("", "");
    added::add(&added_path(&home), vec![listed(SCRIPT, 3)]).unwrap();
    let witness = home.start().await;
    assert_eq!(witness.add(&request(SCRIPT, 3)).await.0, StatusCode::OK);
    for path in ["", &page_of(SCRIPT)] {
        let url = format!("{}/{path}", witness.url);
        let response = client().get(url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let page = response.text().await.unwrap();
        assert!(!page.contains("<script"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(&quot;1&quot;)"),
            "{page}"
        );
    }
    let page = witness.get(&page_of(SCRIPT)).await.1;
    assert!(page.contains("24; 15 left now"), "{page}");
    let (status, _) = witness.get(&"0".repeat(64)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // Of the configured log everything is shown that is known.
    witness.add(&History::honest().request(0, 5)).await;
    let page = witness.get(&page_of(ORIGIN)).await.1;
    let root = History::honest().root(5).to_string();
    let vkey = log_key(1).verifier_key().to_string();
    for text in ["not limited", "not checked", &root, &vkey] {
        assert!(page.contains(text), "{text} not in {page}");
    }
    witness.stop().await;
}
