//! The lines of a log: every request can be found, and nothing of people is in them.

use candor_core::account::{AccountState, Device, DeviceKey, Label, VerifiedValue};
use candor_proto::v1::directory_client::DirectoryClient;
use candor_proto::v1::{LookupRequest, Query};
use candor_system::process::http;
use candor_system::system::System;

/// Everything that our own crates have to say.
const EVERYTHING: &str = "info,candor_server=debug,candor_witness=debug,candor_host=debug";

/// In every label, value and header of a caller here.
const PERSONAL: &str = "magdalena";

fn value(label: &Label) -> VerifiedValue {
    let device = Device {
        id: vec![1],
        name: format!("phone of {PERSONAL}"),
        platform: "test".to_owned(),
        os_version: "1".to_owned(),
        capability: 0,
        added_ms: 0,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "encrypt".to_owned(),
            public_key: vec![0xa7; 32],
        }],
    };
    let state = AccountState {
        devices: vec![device],
        ..AccountState::first()
    };
    VerifiedValue::State(state.without_signature(label).unwrap())
}

/// Looks up what is no label, and returns the id of the request.
async fn ask_nonsense(system: &System) -> String {
    let mut directory = DirectoryClient::connect(system.endpoint()).await.unwrap();
    let mut request = tonic::Request::new(LookupRequest {
        query: Some(Query {
            label: format!("acct:{PERSONAL} @ nowhere"),
            ..Query::default()
        }),
        ..LookupRequest::default()
    });
    let own = PERSONAL.parse().unwrap();
    request.metadata_mut().insert("x-request-id", own);
    let refused = directory.lookup(request).await.unwrap_err();
    let id = refused.metadata().get("x-request-id").unwrap();
    id.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_name_requests_and_no_people() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), 1).unwrap();
    system.server.log_filter = Some(EVERYTHING);
    system.witnesses[0].log_filter = Some(EVERYTHING);
    system.start().await.unwrap();

    let label = Label::parse(&format!("acct:{PERSONAL}")).unwrap();
    let device = system.device().unwrap();
    device.publish(0, &value(&label)).await.unwrap();
    let _again = device.publish(0, &value(&label)).await;
    assert!(device.lookup(&label).await.unwrap().newest().is_some());
    let id = ask_nonsense(&system).await;
    for node in [&system.server, &system.witnesses[0]] {
        let url = format!("http://{}/{PERSONAL}?of={PERSONAL}", node.http);
        let answer = http().unwrap().get(url).send().await.unwrap();
        assert!(answer.headers().contains_key("x-request-id"));
        let metrics = format!("http://{}/metrics", node.http);
        let metrics = http().unwrap().get(metrics).send().await.unwrap();
        assert!(!metrics.text().await.unwrap().contains(PERSONAL));
    }

    let token = std::fs::read_to_string(system.token_path()).unwrap();
    let mut lines = String::new();
    for node in [&mut system.server, &mut system.witnesses[0]] {
        node.process().unwrap().terminate().unwrap();
        lines += &std::fs::read_to_string(node.log()).unwrap();
    }
    let quoted = lines.lines().filter(|line| line.contains(&id));
    let quoted: Vec<_> = quoted.collect();
    assert!(
        quoted.iter().any(|line| line.contains("invalid_argument")),
        "request {id} is not found in\n{lines}"
    );
    for of_people in [PERSONAL, token.trim(), "a7a7a7a7", "167, 167"] {
        assert!(!lines.contains(of_people), "{of_people} in\n{lines}");
    }
    // Programs say where they listen and whom they ask; whoever comes from elsewhere is a client.
    let mut without_ours = lines;
    for node in [&system.server, &system.witnesses[0]] {
        for address in [node.grpc, node.http] {
            without_ours = without_ours.replace(&address.to_string(), "");
        }
    }
    assert!(!without_ours.contains("127.0.0.1"), "{without_ours}");
}
