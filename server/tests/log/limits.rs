//! What callers get who ask for much, through the ports.

use std::time::Duration;

use candor_core::answer::Query;
use candor_proto::v1;
use candor_proto::v1::submit_update_response::Outcome;
use candor_server::config::Limits;
use candor_server::limits::RETRY_PUSHBACK;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::harness::LONG;
use super::site::{ALICE, Server, Site, refused, to_wire, update, visible};

/// A server whose callers on this machine have limits too.
async fn start(change: impl FnOnce(&mut Limits)) -> (Site, Server) {
    let site = Site::new();
    let mut config = site.config();
    config.limits.unlimited.clear();
    change(&mut config.limits);
    let server = site.start_with(config).await;
    (site, server)
}

fn batch(labels: std::ops::Range<u32>) -> v1::LookupBatchRequest {
    let query = |number| to_wire(&format!("acct:nobody{number}"), Query::GREATEST);
    v1::LookupBatchRequest {
        queries: labels.map(query).collect(),
        ..Default::default()
    }
}

impl Server {
    async fn ask(&self, label: &str) -> Result<v1::LookupResponse, Status> {
        let request = v1::LookupRequest {
            query: Some(to_wire(label, Query::GREATEST)),
            ..Default::default()
        };
        Ok(self.directory().lookup(request).await?.into_inner())
    }

    async fn is_serving(&self) -> bool {
        let mut health = HealthClient::new(self.channel.clone());
        let answer = health.check(HealthCheckRequest::default()).await.unwrap();
        let (ready, _) = self.fetch("/readyz").await;
        answer.get_ref().status() == ServingStatus::Serving && ready == 200
    }
}

/// The status of a refusal, and how long to wait in milliseconds.
fn limited(status: &Status) -> u64 {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let wait = status.metadata().get(RETRY_PUSHBACK).unwrap();
    wait.to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_client_that_asks_too_much_is_told_how_long_to_wait() {
    let (_site, server) = start(|limits| {
        (limits.lookups_per_second, limits.lookups_burst) = (1, 64);
    })
    .await;
    let wait_ms = loop {
        if let Err(status) = server.directory().lookup_batch(batch(0..64)).await {
            break limited(&status);
        }
    };
    assert!((1..=64_000).contains(&wait_ms), "{wait_ms}");
    let wait_ms = loop {
        if let Err(status) = server.ask(ALICE).await {
            break limited(&status);
        }
    };
    assert!((1..=1_000).contains(&wait_ms), "{wait_ms}");
    // It is the client who has to wait; the server is well.
    assert!(server.is_serving().await);
    let (_, text) = server.fetch("/metrics").await;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("candor_limited_total{limit=\"lookups\"}"));
    assert!(text.contains("candor_limits_tracked{limit=\"lookups\"} 1"));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    server.ask(ALICE).await.unwrap();
    server.stop().await;
}

/// When too many labels were absent, nobody looks whether the next one is.
#[tokio::test]
async fn who_guesses_labels_gets_the_same_refusal_for_those_that_exist() {
    let (_site, server) = start(|limits| {
        (limits.absent_per_minute, limits.absent_burst) = (1, 64);
    })
    .await;
    visible(&server.submit(ALICE, 0).await);
    for _ in 0..100 {
        server.ask(ALICE).await.unwrap();
    }
    server.directory().lookup_batch(batch(0..63)).await.unwrap();
    server.ask("acct:nobody").await.unwrap();
    let present = server.ask(ALICE).await.unwrap_err();
    let absent = server.ask("acct:nobody").await.unwrap_err();
    for status in [&present, &absent] {
        assert!((1..=60_000).contains(&limited(status)));
    }
    let words = |status: &Status| status.message().replace(char::is_numeric, "");
    assert_eq!(words(&present), words(&absent));
    // What says nothing of labels is answered.
    server
        .log()
        .get_head(v1::GetHeadRequest::default())
        .await
        .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn answers_for_present_and_absent_labels_are_equally_long() {
    let (_site, server) = start(|_| {}).await;
    for version in 0..3 {
        visible(&server.submit(ALICE, version).await);
    }
    let bob = "acct:bob";
    visible(&server.submit(bob, 0).await);
    let (present, young) = (
        server.ask(ALICE).await.unwrap(),
        server.ask(bob).await.unwrap(),
    );
    let absent = server.ask("acct:nobody").await.unwrap();
    assert_ne!(present.account.len(), absent.account.len());
    assert_ne!(present.account.len(), young.account.len());
    assert_eq!(present.encoded_len(), absent.encoded_len());
    assert_eq!(present.encoded_len(), young.encoded_len());
    let lengths = async |labels: [&str; 3]| {
        let request = v1::LookupBatchRequest {
            queries: labels.map(|label| to_wire(label, Query::GREATEST)).to_vec(),
            ..Default::default()
        };
        let answer = server.directory().lookup_batch(request).await.unwrap();
        answer.get_ref().encoded_len()
    };
    let all_absent = lengths(["acct:one", "acct:two", "acct:three"]).await;
    assert_eq!(lengths([ALICE, bob, "acct:nobody"]).await, all_absent);
    server.stop().await;
}

#[tokio::test]
async fn updates_of_one_label_have_a_limit_and_others_go_on() {
    let (_site, server) = start(|limits| limits.account_updates_per_hour = 2).await;
    visible(&server.submit(ALICE, 0).await);
    visible(&server.submit(ALICE, 1).await);
    let outcome = server.submit(ALICE, 2).await;
    let limited = refused(&outcome);
    assert_eq!(limited.code, "rate-limited");
    assert!(limited.retryable);
    assert!(
        (1..=1_800_000).contains(&limited.retry_after_ms),
        "{}",
        limited.retry_after_ms
    );
    assert!(!limited.message.contains(ALICE));
    // A stream goes on after a refusal.
    let updates = [update(ALICE, 2), update("acct:bob", 0)];
    let request = server.authorized(tokio_stream::iter(updates));
    let mut answers = server
        .registrar()
        .submit_updates(request)
        .await
        .unwrap()
        .into_inner();
    let mut codes = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        codes.push(match answer.outcome.unwrap() {
            Outcome::Refused(refused) => refused.code,
            outcome => visible(&outcome).epoch.to_string(),
        });
    }
    assert_eq!(codes.len(), 2);
    assert!(codes.contains(&"rate-limited".to_owned()), "{codes:?}");
    server.stop().await;
}

#[tokio::test]
async fn streams_of_one_client_have_a_limit_and_end_with_it() {
    let (_site, server) = start(|limits| limits.streams_per_client = 2).await;
    let watch = async || {
        let request = v1::WatchHeadsRequest::default();
        server.log().watch_heads(request).await
    };
    // The one that the client began with may not have ended yet.
    let patiently = async || {
        let waiting = async {
            loop {
                match watch().await {
                    Ok(heads) => break heads,
                    Err(status) => assert_eq!(limited(&status), 60_000),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, waiting)
            .await
            .expect("a stream ends with its reader")
    };
    let one = patiently().await;
    let _two = patiently().await;
    limited(&watch().await.err().unwrap());
    drop(one);
    let _three = patiently().await;
    server.stop().await;
}

/// What takes long is refused beyond its room; what is at hand, updates and health go on.
#[tokio::test]
async fn costly_lookups_keep_nobody_else_waiting() {
    let (_site, server) = start(|limits| {
        // One costly read at a time.
        (limits.reads, limits.read_patience_ms) = (8, 5_000);
        (limits.lookups_burst, limits.absent_burst) = (1_000_000, 1_000_000);
    })
    .await;
    visible(&server.submit(ALICE, 0).await);
    server.ask(ALICE).await.unwrap();
    let flood = (0..40_u32).map(|at| {
        let mut directory = server.directory();
        async move { directory.lookup_batch(batch(64 * at..64 * (at + 1))).await }
    });
    let mut flood: tokio::task::JoinSet<_> = flood.collect();
    let mut served = 0;
    let mut turned_away = 0;
    let mut count = |answer: Result<_, Status>| match answer {
        Ok(_) => served += 1,
        Err(status) => {
            assert_eq!(limited(&status), 5_000);
            turned_away += 1;
        }
    };
    // The first answers are refusals: the others are at work or wait.
    count(flood.join_next().await.unwrap().unwrap());
    server.ask(ALICE).await.unwrap();
    visible(&server.submit("acct:bob", 0).await);
    assert!(server.is_serving().await);
    while let Some(answer) = flood.join_next().await {
        count(answer.unwrap());
    }
    assert!(
        served > 0 && turned_away > 0,
        "{served} served, {turned_away} refused"
    );
    server.ask(ALICE).await.unwrap();
    server.stop().await;
}
