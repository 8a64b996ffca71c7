//! A server on loopback, honest unless told to lie, over the small log of core's tests.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

#[path = "../../../../core/tests/world/mod.rs"]
pub mod world;

mod services;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use candor_core::account::{AccountState, Binding, Label, VerifiedState, VerifiedValue};
use candor_core::answer::Trust;
use candor_core::crypto::Ed25519SecretKey;
use candor_proto::v1;
use candor_sdk::{Client, ClientConfig, Error, Key, MemoryStore, Store, StoreError};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use world::World;

pub const ALICE: &str = "acct:alice";
pub const BOB: &str = "acct:bob";

/// Changes an answer before it is sent.
pub type Lie<T> = Option<Box<dyn Fn(&World, &mut T) + Send>>;

/// How the server departs from the truth.
#[derive(Default)]
pub struct Lies {
    pub head: Lie<v1::GetHeadResponse>,
    pub lookup: Lie<v1::LookupResponse>,
    pub consistency: Lie<v1::GetConsistencyResponse>,
    pub batch: Lie<v1::LookupBatchResponse>,
    pub config: Lie<v1::GetConfigResponse>,
    pub chunk: Lie<v1::EpochChunk>,
    pub submitted: Lie<v1::SubmitUpdateResponse>,
    /// Fails every call with this.
    pub status: Option<tonic::Status>,
    /// Whether updates are put into the log.
    pub drops_updates: bool,
    /// The `authorization` of the last update.
    pub authorization: Option<String>,
}

/// What the services answer from.
pub struct Shared {
    pub world: Mutex<World>,
    pub lies: Mutex<Lies>,
    /// Size of the second head, and when it was cosigned, in POSIX seconds.
    pub second: Mutex<Option<(u64, u64)>>,
}

/// A client, its server, and the time of both.
pub struct Scene {
    pub client: Client<MemoryStore>,
    pub shared: Arc<Shared>,
    pub address: SocketAddr,
    clock_s: Arc<AtomicU64>,
}

impl Scene {
    /// Serves `world` and makes a client that trusts it.
    pub async fn new(world: World) -> Self {
        let trust = world.trust();
        Self::with_trust(world, trust).await
    }

    /// Serves `world`, and makes a client that trusts this.
    pub async fn with_trust(world: World, trust: Trust) -> Self {
        let clock_s = Arc::new(AtomicU64::new(world.now_s));
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            lies: Mutex::default(),
            second: Mutex::default(),
        });
        let address = serve(&shared).await;
        let clock = Arc::clone(&clock_s);
        let config = ClientConfig::new(&format!("http://{address}"), trust)
            .with_clock(move || clock.load(Ordering::Relaxed))
            .with_bearer_token("secret")
            .unwrap();
        Self {
            client: Client::new(config, MemoryStore::new()).unwrap(),
            shared,
            address,
            clock_s,
        }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }

    /// Tells the server how to lie.
    pub fn lie(&self, change: impl FnOnce(&mut Lies)) {
        change(&mut self.shared.lies.lock().unwrap());
    }

    pub fn be_honest(&self) {
        *self.shared.lies.lock().unwrap() = Lies::default();
    }

    /// Lies in lookups.
    pub fn lie_in_lookups(&self, lie: impl Fn(&World, &mut v1::LookupResponse) + Send + 'static) {
        self.lie(|lies| lies.lookup = Some(Box::new(lie)));
    }

    /// Sets the client's clock this many seconds apart from the witnesses'.
    pub fn set_clock(&self, ahead_s: i64) {
        let now_s = self.world().now_s.saturating_add_signed(ahead_s);
        self.clock_s.store(now_s, Ordering::Relaxed);
    }

    pub fn memory(&self) -> BTreeMap<Key, Vec<u8>> {
        self.client.store().entries()
    }

    /// Looks Alice up while the server lies, and then, when it does no more: the lie must have
    /// left nothing behind. Returns the refusal.
    pub async fn refusal(&self) -> Error {
        let before = self.memory();
        let refused = self.client.lookup(&label(ALICE)).await.unwrap_err();
        assert_eq!(self.memory(), before, "a refused answer left a trace");
        self.be_honest();
        refused
    }
}

async fn serve(shared: &Arc<Shared>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (directory, log, registrar, audit) = services::all(shared);
    let server = Server::builder()
        .add_service(directory)
        .add_service(log)
        .add_service(registrar)
        .add_service(audit);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

pub fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

pub fn account_key() -> Ed25519SecretKey {
    Ed25519SecretKey::from_seed(&[77; 32])
}

/// The states 0 to `greatest` of an enrolled account.
pub fn states(name: &str, greatest: u32) -> Vec<VerifiedState> {
    let label = label(name);
    let mut first = AccountState::first();
    first.enrolled = true;
    let mut states = vec![first.sign(&label, &account_key()).unwrap()];
    for _ in 0..greatest {
        let next = states.last().unwrap().successor().unwrap();
        states.push(next.sign(&label, &account_key()).unwrap());
    }
    states
}

/// The state of `version` as it is logged.
pub fn value(name: &str, version: u32) -> VerifiedValue {
    VerifiedValue::State(states(name, version).pop().unwrap())
}

pub fn binding(from: &str, to: &str) -> VerifiedValue {
    VerifiedValue::Binding(Binding::new(label(from), label(to)).unwrap())
}

/// Bob has one version; then Alice has versions 0 to `greatest`, one an epoch.
pub fn world(greatest: u32) -> World {
    let mut world = World::new();
    world.add(&[(BOB, &value(BOB, 0).encode())]);
    for state in states(ALICE, greatest) {
        world.add(&[(ALICE, &VerifiedValue::State(state).encode())]);
    }
    world
}

/// A store that can be told to fail.
#[derive(Default)]
pub struct FailingStore {
    pub inner: MemoryStore,
    pub fails: std::sync::atomic::AtomicBool,
}

impl Store for FailingStore {
    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.read(key)
    }

    fn write(&self, changes: &[candor_sdk::Change]) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::failed("told to fail"));
        }
        self.inner.write(changes)
    }
}
