//! Clients that write and read all the time, whether the server runs or not, and know what must be
//! there.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use candor_core::account::{AccountState, Device, DeviceKey, Label, VerifiedState, VerifiedValue};
use candor_proto::v1::registrar_client::RegistrarClient;
use candor_proto::v1::submit_update_response::Outcome;
use candor_proto::v1::{SubmitUpdateRequest, SubmitUpdateResponse};
use candor_sdk::{Client, Error, Fault, Lookup, MemoryStore};
use candor_system::process::PATIENCE;
use candor_system::system::System;
use fastrand::Rng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::heads::Heads;

/// Accounts that are updated one call at a time, each by a client of its own.
const SINGLE: usize = 4;

/// Accounts that share one stream of updates.
const STREAMED: usize = 12;

const READERS: u64 = 2;

/// How long a client waits before it tries again.
const PAUSE: Duration = Duration::from_millis(10);

/// One account, as its only writer knows it. Numbers of versions: version n is the n-th and last.
struct Account {
    label: Label,
    /// Sent at least once.
    attempted: AtomicU32,
    /// Acknowledged: it must be there, for ever.
    acknowledged: AtomicU32,
    /// Said to be visible: every lookup from now on must show it.
    visible: AtomicU32,
    /// The version to send next.
    next: AtomicU32,
    /// Its states, in order, as far as they were made.
    states: Mutex<Vec<VerifiedState>>,
}

#[derive(Default)]
pub struct Counts {
    pub acknowledged: AtomicU64,
    pub lookups: AtomicU64,
}

pub struct Load {
    accounts: Vec<Account>,
    heads: Arc<Heads>,
    token: String,
    stopped: AtomicBool,
    pub counts: Counts,
}

impl Account {
    /// The one value that a version has in this test: a state with a device that has the label's
    /// name, so that no two accounts have the same.
    fn value(&self, version: u32) -> VerifiedValue {
        let mut states = self.states.lock().unwrap();
        while states.len() <= version as usize {
            let next = match states.last() {
                Some(last) => last.successor().unwrap(),
                None => AccountState {
                    devices: vec![device(&self.label)],
                    ..AccountState::first()
                },
            };
            states.push(next.without_signature(&self.label).unwrap());
        }
        VerifiedValue::State(states[version as usize].clone())
    }
}

fn device(label: &Label) -> Device {
    Device {
        id: label.as_bytes().to_vec(),
        name: String::new(),
        platform: String::new(),
        os_version: String::new(),
        capability: 0,
        added_ms: 0,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "sign".to_owned(),
            public_key: vec![1],
        }],
    }
}

impl Load {
    pub fn new(system: &System, heads: Arc<Heads>) -> Self {
        let account = |number| Account {
            label: Label::parse(&format!("acct:person-{number}")).unwrap(),
            attempted: AtomicU32::new(0),
            acknowledged: AtomicU32::new(0),
            visible: AtomicU32::new(0),
            next: AtomicU32::new(0),
            states: Mutex::default(),
        };
        let token = std::fs::read_to_string(system.token_path()).unwrap();
        Self {
            accounts: (0..SINGLE + STREAMED).map(account).collect(),
            heads,
            token: format!("Bearer {}", token.trim()),
            stopped: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    /// Starts all clients.
    pub fn start(self: &Arc<Self>, system: &System, seed: u64, tasks: &mut JoinSet<()>) {
        let endpoint = Endpoint::from_shared(system.endpoint()).unwrap();
        let registrar = || {
            let endpoint = endpoint.clone().timeout(PATIENCE);
            RegistrarClient::new(endpoint.connect_lazy())
        };
        for account in 0..SINGLE {
            tasks.spawn(Arc::clone(self).write(account, registrar()));
        }
        tasks.spawn(Arc::clone(self).stream(registrar()));
        for reader in 0..READERS {
            let rng = Rng::with_seed(seed.wrapping_add(reader));
            tasks.spawn(Arc::clone(self).read(system.device().unwrap(), rng));
        }
        tasks.spawn(Arc::clone(self).watch(system.device().unwrap()));
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn is_running(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    fn authorized<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = self.token.parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        request
    }

    /// The next update of an account.
    fn update(&self, number: usize) -> SubmitUpdateRequest {
        let account = &self.accounts[number];
        let version = account.next.load(Ordering::Relaxed);
        account.attempted.fetch_max(version + 1, Ordering::Relaxed);
        SubmitUpdateRequest {
            request_id: (number as u64) << 32 | u64::from(version),
            label: account.label.as_str().to_owned(),
            version,
            value: account.value(version).encode().into(),
        }
    }

    /// What an answer says of an account; the account's number.
    fn learn(&self, answer: SubmitUpdateResponse) -> usize {
        let number = usize::try_from(answer.request_id >> 32).unwrap();
        let (account, version) = (&self.accounts[number], answer.request_id as u32);
        let acknowledged = || {
            account
                .acknowledged
                .fetch_max(version + 1, Ordering::Relaxed);
            account.next.store(version + 1, Ordering::Relaxed);
            self.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
        };
        match answer.outcome.unwrap() {
            Outcome::Visible(_) => {
                acknowledged();
                account.visible.fetch_max(version + 1, Ordering::Relaxed);
            }
            Outcome::Committed(committed) => {
                let head = committed.head.unwrap();
                self.heads.note(&head.checkpoint, "a receipt");
                acknowledged();
            }
            Outcome::Refused(refused) if refused.code == "version-conflict" => {
                // An attempt whose answer was lost has succeeded.
                let found = refused.greatest_version.map_or(0, |greatest| greatest + 1);
                let known = account.acknowledged.load(Ordering::Relaxed);
                let attempted = account.attempted.load(Ordering::Relaxed);
                assert!(
                    known <= found && found <= attempted,
                    "{known} {found} {attempted}"
                );
                account.next.store(found, Ordering::Relaxed);
            }
            Outcome::Refused(refused) => assert!(refused.retryable, "{refused:?}"),
        }
        number
    }

    /// Updates one account, one call after the other.
    async fn write(self: Arc<Self>, account: usize, mut registrar: RegistrarClient<Channel>) {
        while self.is_running() {
            let request = self.authorized(self.update(account));
            match registrar.submit_update(request).await {
                Ok(answer) => {
                    self.learn(answer.into_inner());
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Updates many accounts through one stream, as long as it holds.
    async fn stream(self: Arc<Self>, mut registrar: RegistrarClient<Channel>) {
        while self.is_running() {
            let (updates, sent) = mpsc::channel(STREAMED);
            for account in SINGLE..SINGLE + STREAMED {
                updates.try_send(self.update(account)).unwrap();
            }
            let request = self.authorized(ReceiverStream::new(sent));
            if let Ok(answers) = registrar.submit_updates(request).await {
                let mut answers = answers.into_inner();
                while let Ok(Some(answer)) = answers.message().await {
                    let account = self.learn(answer);
                    if !self.is_running() {
                        break;
                    }
                    // There is room: one update of each account is on its way.
                    let _broken = updates.send(self.update(account)).await;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Looks accounts up, and expects what was said to be visible.
    async fn read(self: Arc<Self>, device: Client<MemoryStore>, mut rng: Rng) {
        while self.is_running() {
            let account = rng.choice(&self.accounts).unwrap();
            let visible = account.visible.load(Ordering::Relaxed);
            match device.lookup(&account.label).await {
                Ok(found) => {
                    self.expect(account, visible, &found);
                    self.counts.lookups.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    assert_is_absence(&error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Follows the heads as they are published.
    async fn watch(self: Arc<Self>, device: Client<MemoryStore>) {
        while self.is_running() {
            if let Ok(mut heads) = device.watch_heads().await {
                loop {
                    let next = tokio::time::timeout(Duration::from_secs(1), heads.next());
                    match next.await {
                        Ok(Ok(Some(head))) => self.heads.see(head.size, head.root, "the stream"),
                        Ok(Ok(None)) | Err(_) => break,
                        Ok(Err(error)) => {
                            assert_is_absence(&error);
                            break;
                        }
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A verified lookup shows so many versions at least, none that was never sent, and the value
    /// that was sent.
    fn expect(&self, account: &Account, least: u32, found: &Lookup) {
        let head = found.head();
        self.heads.see(head.size, head.root, "a lookup");
        let versions = found.newest().map_or(0, |newest| newest.version() + 1);
        let attempted = account.attempted.load(Ordering::Relaxed);
        assert!(
            least <= versions && versions <= attempted,
            "{versions} versions, not {least} to {attempted}"
        );
        if let Some(newest) = found.newest() {
            assert_eq!(newest.value(), &account.value(newest.version()));
        }
    }

    /// Everything acknowledged until now is there, as soon as it is published. How many lookups
    /// that took.
    pub async fn check(&self, device: &Client<MemoryStore>, heads: &Heads) -> u64 {
        let mut lookups = 0;
        for account in &self.accounts {
            let visible = account.visible.load(Ordering::Relaxed);
            let acknowledged = account.acknowledged.load(Ordering::Relaxed);
            let deadline = Instant::now() + PATIENCE;
            loop {
                let found = device.lookup(&account.label).await.unwrap();
                lookups += 1;
                self.expect(account, visible, &found);
                let newest = found.newest().map_or(0, |newest| newest.version() + 1);
                if newest >= acknowledged {
                    break;
                }
                let size = heads.count();
                assert!(
                    Instant::now() < deadline,
                    "{newest} of {acknowledged} acknowledged versions are there, {size} heads"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
        lookups
    }

    /// Every version of every account is there with its value.
    pub async fn check_history(&self, device: &Client<MemoryStore>) {
        for account in &self.accounts {
            let history = device.history(&account.label, 0).await.unwrap();
            let acknowledged = account.acknowledged.load(Ordering::Relaxed);
            assert!(history.len() >= acknowledged as usize);
            for (version, found) in (0..).zip(&history) {
                assert_eq!(found.version(), version);
                assert_eq!(found.value(), Some(&account.value(version)));
            }
        }
    }
}

/// The server is down, or goes down; everything else would be its fault.
fn assert_is_absence(error: &Error) {
    let is_absence = matches!(error.fault(), Fault::Environment { retryable: true });
    assert!(is_absence, "{} {error}: {error:?}", error.code());
}
