//! Spans reach a collector that the environment names.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::process::Command;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use candor_host::logging::{self, Format};
use tokio::sync::mpsc;

const CHILD: &str = "CANDOR_TEST_SENDS_SPANS";
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// In a process of its own, since the endpoint is in the environment and logging is for ever.
#[tokio::main]
async fn send() {
    let traces = logging::init("candor-test", Format::Human).unwrap();
    tracing::info_span!("request", method = "/candor.v1.Directory/Lookup").in_scope(|| {
        tracing::debug_span!("hidden").in_scope(|| ());
    });
    tokio::task::spawn_blocking(move || drop(traces))
        .await
        .unwrap();
}

#[test]
fn spans_reach_the_collector() {
    if std::env::var_os(CHILD).is_some() {
        send();
        return;
    }
    let received = collect();
    let sees = |text: &str| {
        let mut windows = received.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    };
    for text in ["candor-test", "request", "/candor.v1.Directory/Lookup"] {
        assert!(sees(text), "{text} did not arrive");
    }
    assert!(!sees("hidden"), "the filter is that of the lines");
}

/// A collector that takes what one child process sends.
#[tokio::main]
async fn collect() -> Vec<u8> {
    let (sender, mut received) = mpsc::channel(1);
    let export = move |body: Bytes| async move {
        sender.send(body.to_vec()).await.unwrap();
        // An empty message, and all is well.
        let headers = [
            (CONTENT_TYPE.as_str(), "application/grpc"),
            ("grpc-status", "0"),
        ];
        (headers, vec![0_u8; 5])
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route(EXPORT, post(export));
    tokio::spawn(async { axum::serve(listener, routes).await });
    let child = tokio::task::spawn_blocking(move || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "spans_reach_the_collector"])
            .env(CHILD, "1")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .output()
            .unwrap()
    });
    let output = child.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    received.try_recv().expect("the child sent nothing")
}
