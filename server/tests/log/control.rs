//! The operator's socket: who reaches it, and how it comes and goes.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use candor_proto::v1;
use candor_proto::v1::admin_client::AdminClient;
use candor_server::config::Config;
use candor_server::control::{Client, ConnectError, SocketError};
use candor_server::run::{RunError, start};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::site::{ORIGIN, Site};

async fn refused(config: Config) -> RunError {
    start(config, CancellationToken::new()).await.err().unwrap()
}

#[tokio::test]
async fn nothing_of_it_is_on_the_network() {
    let server = Site::new().start().await;
    let mut admin = AdminClient::new(server.channel.clone());
    let refused = admin.get_status(v1::GetStatusRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    // Nor is it for who may do the most.
    let request = server.authorized(v1::GetStatusRequest {});
    let refused = admin.get_status(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    server.stop().await;
}

#[tokio::test]
async fn the_socket_is_the_operators_and_goes_with_the_server() {
    let site = Site::new();
    let config = site.config();
    let path = &config.control_socket;
    assert!(Client::connect(&config).await.unwrap().is_none());
    let server = site.start().await;
    let found = path.symlink_metadata().unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let mut client = Client::connect(&config).await.unwrap().unwrap();
    let status = client.admin.get_status(v1::GetStatusRequest {}).await;
    let status = status.unwrap().into_inner();
    assert_eq!(status.origin, ORIGIN);
    assert_eq!(status.published_size, server.head().await.0.known().size);
    assert!(status.signed_size >= status.published_size);

    let other = Config {
        origin: "other.example".to_owned(),
        ..config.clone()
    };
    let refused = Client::connect(&other).await.err();
    assert!(matches!(refused, Some(ConnectError::OtherLog { .. })));
    drop(client);
    server.stop().await;
    assert!(!path.exists());
    assert!(Client::connect(&config).await.unwrap().is_none());
}

#[tokio::test]
async fn only_a_dead_servers_socket_is_replaced() {
    let site = Site::new();
    let config = site.config();
    let path = &config.control_socket;

    std::fs::write(path, "precious").unwrap();
    let error = refused(config.clone()).await;
    assert!(matches!(
        error,
        RunError::Control(SocketError::NotASocket { .. })
    ));
    assert_eq!(std::fs::read(path).unwrap(), b"precious");
    std::fs::remove_file(path).unwrap();

    let living = UnixListener::bind(path).unwrap();
    let error = refused(config.clone()).await;
    assert!(matches!(
        error,
        RunError::Control(SocketError::Served { .. })
    ));
    drop(living);
    assert!(path.exists(), "a dead server leaves its socket");
    assert!(Client::connect(&config).await.unwrap().is_none());

    let server = site.start().await;
    assert!(Client::connect(&config).await.unwrap().is_some());
    // A second server of the same log stops at the anchor's lock, and leaves the socket alone.
    let error = refused(config.clone()).await;
    assert!(matches!(error, RunError::Anchor(_)), "{error}");
    assert!(Client::connect(&config).await.unwrap().is_some());
    server.stop().await;
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_is_reached_all_the_same() {
    let site = Site::new();
    let mut config = site.config();
    let folder = site.config.with_file_name("f".repeat(120));
    std::fs::create_dir(&folder).unwrap();
    config.control_socket = folder.join("control.sock");
    let shutdown = CancellationToken::new();
    let running = start(config.clone(), shutdown.clone()).await.unwrap();
    let running = tokio::spawn(running.finish());
    let client = Client::connect(&config).await;
    assert_eq!(
        client.is_ok_and(|client| client.is_some()),
        cfg!(target_os = "linux")
    );
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
