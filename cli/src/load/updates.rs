//! Updates, over one stream of each connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_proto::v1::registrar_client::RegistrarClient;
use candor_proto::v1::submit_update_response::Outcome;
use candor_proto::v1::{SubmitUpdateRequest, SubmitUpdateResponse};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::Target;
use super::accounts::{Accounts, label, value};
use super::device::code;
use super::measured::{Measured, Recorder};
use super::mix::Operation;

/// Updates of a stream that are on their way: as many as a server takes of one.
const IN_FLIGHT_MAX: usize = 4096;

/// How long to wait before a stream is opened again.
const PAUSE: Duration = Duration::from_millis(100);

/// How long no account may be registered before it is given up.
const STUCK: Duration = Duration::from_secs(15);

/// An update to submit. Whoever makes one has taken the account.
pub struct Order {
    account: u32,
    version: u32,
    due: Instant,
    /// Whether it is submitted again with another version if this one is not the next.
    is_corrected: bool,
}

impl Order {
    /// An update that is due since `due`.
    pub const fn new(account: u32, version: u32, due: Instant) -> Self {
        Self {
            account,
            version,
            due,
            is_corrected: true,
        }
    }

    /// A registration, which is done if the account exists.
    fn registration(account: u32) -> Self {
        Self {
            is_corrected: false,
            ..Self::new(account, 0, Instant::now())
        }
    }
}

/// Submits what is ordered.
pub struct Updater {
    channel: Channel,
    target: Target,
    accounts: Arc<Accounts>,
    recorder: Arc<Recorder>,
    waiting: HashMap<u64, Order>,
    last_id: u64,
}

impl Updater {
    pub fn new(
        channel: Channel,
        target: Target,
        accounts: Arc<Accounts>,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self {
            channel,
            target,
            accounts,
            recorder,
            waiting: HashMap::new(),
            last_id: 0,
        }
    }

    /// Starts it, and tells where orders go. It ends when nobody can order any more and all is
    /// answered.
    pub fn spawn(self, tasks: &mut JoinSet<()>) -> mpsc::Sender<Order> {
        let (orders, ordered) = mpsc::channel(1);
        tasks.spawn(self.run(ordered));
        orders
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        // No stream is opened before it is needed: a load without updates needs no credential.
        while let Some(first) = orders.recv().await {
            if let Err(status) = self.stream(first, &mut orders).await {
                let code = code(status.code());
                for order in std::mem::take(&mut self.waiting).into_values() {
                    self.fail(&order, &code);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Submits orders as long as there are some, and the stream holds.
    async fn stream(
        &mut self,
        first: Order,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<(), Status> {
        // Holds all that is on its way, so there is always room.
        let (requests, outgoing) = mpsc::channel(IN_FLIGHT_MAX);
        self.send(first, &requests);
        let mut answers = self.open(outgoing).await?;
        let mut is_ending = false;
        while !(is_ending && self.waiting.is_empty()) {
            let has_room = self.waiting.len() < IN_FLIGHT_MAX;
            tokio::select! {
                order = orders.recv(), if has_room && !is_ending => match order {
                    Some(order) => self.send(order, &requests),
                    None => is_ending = true,
                },
                answer = answers.message() => {
                    let ended = || Status::unavailable("the stream ended");
                    self.settle(answer?.ok_or_else(ended)?, &requests);
                }
            }
        }
        Ok(())
    }

    async fn open(
        &self,
        outgoing: mpsc::Receiver<SubmitUpdateRequest>,
    ) -> Result<Streaming<SubmitUpdateResponse>, Status> {
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(value) = &self.target.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", value.clone());
        }
        let mut registrar = RegistrarClient::new(self.channel.clone());
        Ok(registrar.submit_updates(request).await?.into_inner())
    }

    fn send(&mut self, order: Order, requests: &mpsc::Sender<SubmitUpdateRequest>) {
        self.last_id += 1;
        let request = SubmitUpdateRequest {
            request_id: self.last_id,
            label: label(order.account).as_str().to_owned(),
            version: order.version,
            value: value(order.account, order.version).into(),
        };
        self.waiting.insert(self.last_id, order);
        // Fails only once the stream has ended, which its answers tell.
        let _ended = requests.try_send(request);
    }

    fn settle(
        &mut self,
        answer: SubmitUpdateResponse,
        requests: &mpsc::Sender<SubmitUpdateRequest>,
    ) {
        let Some(mut order) = self.waiting.remove(&answer.request_id) else {
            return;
        };
        match answer.outcome {
            Some(Outcome::Visible(_)) => {
                self.recorder.answered(Operation::Update, order.due, 0);
                self.accounts.give_back(order.account, order.version + 1);
            }
            Some(Outcome::Committed(_)) => {
                self.accounts.give_back(order.account, order.version + 1);
                self.recorder
                    .failed(Operation::Update, order.due, "not-visible-yet", true);
            }
            Some(Outcome::Refused(refused)) if refused.code == "version-conflict" => {
                let found = refused.greatest_version.map_or(0, |greatest| greatest + 1);
                // An earlier run was here, or an answer was lost.
                order.version = found;
                if order.is_corrected {
                    order.is_corrected = false;
                    self.send(order, requests);
                } else {
                    self.fail(&order, &refused.code);
                }
            }
            Some(Outcome::Refused(refused)) => self.fail(&order, &refused.code),
            None => self.fail(&order, "no-outcome"),
        }
    }

    fn fail(&self, order: &Order, code: &str) {
        self.accounts.give_back(order.account, order.version);
        let late = order.due.elapsed() >= super::CALL_TIMEOUT;
        self.recorder
            .failed(Operation::Update, order.due, code, late);
    }
}

/// Registers all accounts that have no version, over as many connections.
///
/// # Errors
///
/// What the server said, when it registered none of those that were missing.
pub async fn register(
    target: &Target,
    accounts: &Arc<Accounts>,
    channels: u16,
    progress: impl Fn(u64),
) -> Result<(), Status> {
    loop {
        let missing: Vec<u32> = accounts.missing().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let recorder = Arc::new(Recorder::new(Instant::now()));
        let mut tasks = JoinSet::new();
        let share = missing.len().div_ceil(usize::from(channels.max(1)));
        for numbers in missing.chunks(share) {
            let connected = target.endpoint.connect().await;
            let channel = connected.map_err(|_| Status::unavailable("not connected"))?;
            let (accounts, recorder) = (Arc::clone(accounts), Arc::clone(&recorder));
            let updater = Updater::new(channel, target.clone(), Arc::clone(&accounts), recorder);
            let orders = updater.spawn(&mut tasks);
            let numbers = numbers.to_vec();
            tasks.spawn(async move {
                for number in numbers {
                    if accounts.take(number).is_some() {
                        let _ended = orders.send(Order::registration(number)).await;
                    }
                }
            });
        }
        let stuck = async {
            let (mut last, mut since) = (0, Instant::now());
            while since.elapsed() < STUCK {
                tokio::time::sleep(PAUSE).await;
                let registered = accounts.registered();
                progress(registered);
                if registered > last {
                    (last, since) = (registered, Instant::now());
                }
            }
        };
        tokio::select! {
            () = async { while tasks.join_next().await.is_some() {} } => {}
            () = stuck => return Err(Status::aborted(reasons(&recorder.measured()))),
        }
        progress(accounts.registered());
        if accounts.missing().count() == missing.len() {
            return Err(Status::aborted(reasons(&recorder.measured())));
        }
    }
}

/// The codes of what failed.
fn reasons(measured: &Measured) -> String {
    let codes = measured.errors.keys().map(|(_, code)| code.as_str());
    let codes: Vec<_> = codes.collect();
    format!("no more accounts are registered: {}", codes.join(", "))
}
