//! A whole server on disk and on real sockets, with clients that verify what they are answered.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use candor_core::account::Label;
use candor_core::answer::{
    AccountProof, ConfigProof, Query, Trust, VerifiedAccount, VerifiedConfig, VerifiedHead,
};
use candor_proto::v1::directory_client::DirectoryClient;
use candor_proto::v1::log_client::LogClient;
use candor_proto::v1::registrar_client::RegistrarClient;
use candor_proto::v1::submit_update_response::Outcome;
use candor_proto::{hashes_from_wire, head_from_wire, v1};
use candor_server::config::Config;
use candor_server::init;
use candor_server::run::{RunError, Running, start};
use candor_server::storage::Engine;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::transport::Channel;

use super::harness::{LONG, value};

pub const ORIGIN: &str = "log.example/kt";
pub const ALICE: &str = "acct:alice";

/// A log on disk.
pub struct Site {
    pub config: PathBuf,
    _dir: tempfile::TempDir,
}

impl Site {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let (config, _) = init::init(
            &dir.path().join("log"),
            ORIGIN,
            any,
            any,
            Engine::Fjall,
            &Default::default(),
        )
        .unwrap();
        Self { config, _dir: dir }
    }

    pub fn config(&self) -> Config {
        let mut config = Config::read(&self.config).unwrap();
        (
            config.epoch_interval_ms,
            config.disk_reserve_mib,
            config.cache_mib,
        ) = (0, 0, 8);
        config
    }

    /// The token of the registrar that came with the log.
    pub fn token(&self) -> String {
        let path = self.config.with_file_name("registrar-token");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    pub async fn start(&self) -> Server {
        self.start_with(self.config()).await
    }

    pub async fn start_with(&self, config: Config) -> Server {
        let trust = Trust::danger_without_map_witnesses(config.read_policy().unwrap()).unwrap();
        let token = self.token();
        let shutdown = CancellationToken::new();
        let running = start(config, shutdown.clone()).await.unwrap();
        Server::over(running, shutdown, trust, &token)
            .await
            .published()
            .await
    }
}

/// A running server, and clients of it.
pub struct Server {
    pub http: String,
    pub channel: Channel,
    pub trust: Trust,
    pub token: String,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<Result<(), RunError>>,
}

impl Server {
    pub async fn over(
        running: Running,
        shutdown: CancellationToken,
        trust: Trust,
        token: &str,
    ) -> Self {
        let http = format!("http://{}", running.http_address);
        let grpc = format!("http://{}", running.grpc_address);
        let running = tokio::spawn(running.finish());
        let channel = Channel::from_shared(grpc).unwrap().connect().await.unwrap();
        Self {
            http,
            channel,
            trust,
            token: token.to_owned(),
            shutdown,
            running,
        }
    }

    /// Waits until a head is published; the first one comes by itself.
    pub async fn published(self) -> Self {
        let request = v1::WatchHeadsRequest::default();
        let mut heads = self.log().watch_heads(request).await.unwrap();
        let first = tokio::time::timeout(LONG, heads.get_mut().message()).await;
        assert!(first.unwrap().unwrap().is_some());
        self
    }

    pub fn log(&self) -> LogClient<Channel> {
        LogClient::new(self.channel.clone())
    }

    pub fn directory(&self) -> DirectoryClient<Channel> {
        DirectoryClient::new(self.channel.clone())
    }

    pub fn registrar(&self) -> RegistrarClient<Channel> {
        RegistrarClient::new(self.channel.clone())
    }

    pub fn authorized<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", self.token);
        request
            .metadata_mut()
            .insert("authorization", bearer.parse().unwrap());
        request
    }

    pub async fn submit(&self, label: &str, version: u32) -> Outcome {
        self.submit_value(label, version, value(label, version))
            .await
    }

    pub async fn submit_value(&self, label: &str, version: u32, value: Vec<u8>) -> Outcome {
        let request = self.authorized(v1::SubmitUpdateRequest {
            request_id: version.into(),
            label: label.to_owned(),
            version,
            value: value.into(),
        });
        let answer = self
            .registrar()
            .submit_update(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.request_id, u64::from(version));
        answer.outcome.unwrap()
    }

    /// The head, verified as a device would, and the configuration at it.
    pub async fn head(&self) -> (VerifiedHead, VerifiedConfig) {
        let answer = self
            .log()
            .get_head(v1::GetHeadRequest::default())
            .await
            .unwrap();
        let head = self.verify_head(answer.into_inner().head.unwrap());
        let size = head.checkpoint().checkpoint().size();
        let config = self
            .log()
            .get_config(v1::GetConfigRequest { size })
            .await
            .unwrap();
        let config = config.into_inner();
        assert_eq!(config.size, size);
        let proof = ConfigProof {
            config: config.config.to_vec(),
            inclusion: hashes_from_wire(&config.inclusion).unwrap(),
        };
        let config = proof.verify(head.checkpoint()).unwrap();
        (head, config)
    }

    pub fn verify_head(&self, head: v1::Head) -> VerifiedHead {
        let proof = head_from_wire(head).unwrap();
        proof.verify(&self.trust, None, &[], now_s()).unwrap()
    }

    /// Looks a label up and verifies the answer.
    pub async fn look_up(&self, label: &str, query: Query) -> VerifiedAccount {
        let (_, config) = self.head().await;
        let request = v1::LookupRequest {
            query: Some(to_wire(label, query)),
            ..Default::default()
        };
        let answer = self.directory().lookup(request).await.unwrap().into_inner();
        let head = self.verify_head(answer.head.unwrap());
        verify_account(label, query, &answer.account, &config, &head)
    }

    pub async fn fetch(&self, path: &str) -> (u16, Vec<u8>) {
        candor_host::tls::install_default_provider();
        let response = reqwest::get(format!("{}{path}", self.http)).await.unwrap();
        (
            response.status().as_u16(),
            response.bytes().await.unwrap().to_vec(),
        )
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.finished().await.unwrap();
    }

    pub async fn finished(self) -> Result<(), RunError> {
        tokio::time::timeout(LONG, self.running)
            .await
            .expect("it stops in time")
            .unwrap()
    }
}

pub fn update(label: &str, version: u32) -> v1::SubmitUpdateRequest {
    v1::SubmitUpdateRequest {
        request_id: version.into(),
        label: label.to_owned(),
        version,
        value: value(label, version).into(),
    }
}

pub fn to_wire(label: &str, query: Query) -> v1::Query {
    v1::Query {
        label: label.to_owned(),
        from_version: query.from_version,
        max_versions: query.max_versions,
    }
}

pub fn verify_account(
    label: &str,
    query: Query,
    account: &[u8],
    config: &VerifiedConfig,
    head: &VerifiedHead,
) -> VerifiedAccount {
    let proof = AccountProof::decode(account).unwrap();
    let label = Label::parse(label).unwrap();
    proof
        .verify(
            label.as_bytes(),
            &query,
            config.vrf(),
            &head.record().prefix_tree,
        )
        .unwrap()
}

pub fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

pub fn visible(outcome: &Outcome) -> &v1::Visible {
    match outcome {
        Outcome::Visible(visible) => visible,
        other => panic!("not visible: {other:?}"),
    }
}

pub fn refused(outcome: &Outcome) -> &v1::Refused {
    match outcome {
        Outcome::Refused(refused) => refused,
        other => panic!("not refused: {other:?}"),
    }
}
