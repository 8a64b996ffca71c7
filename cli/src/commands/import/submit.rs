//! Submits many updates over one stream, a bounded number of them on their way.
//!
//! Every update is version 0 of its label, so submitting one twice can do no harm: the second time
//! the server says that the version is there. What the server is too busy for is submitted again
//! after a pause that doubles. The server takes a binding only to a state that is in the log, so a
//! person's bindings are submitted once the state is answered.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeFrom;
use std::time::Duration;

use candor_core::account::{Label, VerifiedValue};
use candor_proto::v1::registrar_client::RegistrarClient;
use candor_proto::v1::submit_update_response::Outcome;
use candor_proto::v1::{Refused, SubmitUpdateRequest, SubmitUpdateResponse};
use futures::StreamExt as _;
use futures::channel::mpsc as requests;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use crate::failure::Failure;
use crate::output::Exit;
use crate::profile::Profile;

/// Updates on their way at once: a few epochs' worth, half of what the server takes of a stream.
const IN_FLIGHT_MAX: usize = 2048;

/// First pause before an update is submitted again.
const PAUSE: Duration = Duration::from_millis(250);

/// How often an update is submitted at most: pauses of 64 s together.
const ATTEMPTS_MAX: u32 = 9;

/// What became of the updates.
#[derive(Default)]
pub struct Outcomes {
    /// In the published map.
    pub visible: u64,
    /// In the log; the witnesses' quorum was still missing.
    pub committed: u64,
    /// Labels that had a version before, with what was to be registered.
    pub taken: BTreeMap<Label, VerifiedValue>,
    /// Refused otherwise, by the server's code.
    pub refused: BTreeMap<String, u64>,
}

struct InFlight {
    value: VerifiedValue,
    attempts: u32,
    /// What is submitted after it.
    bindings: Vec<VerifiedValue>,
}

struct Submission {
    requests: requests::Sender<SubmitUpdateRequest>,
    in_flight: HashMap<u64, InFlight>,
    ids: RangeFrom<u64>,
    /// Bindings whose states were answered.
    ready: VecDeque<VerifiedValue>,
    pauses: FuturesUnordered<BoxFuture<'static, u64>>,
    outcomes: Outcomes,
}

/// Submits all values of `people` as first versions: of each person the state first.
pub async fn submit(
    profile: &Profile,
    mut people: mpsc::Receiver<Vec<VerifiedValue>>,
    bar: &ProgressBar,
) -> Result<Outcomes, Failure> {
    // Holds all that is on its way, so there is always room.
    let (requests, outgoing) = requests::channel(IN_FLIGHT_MAX);
    let mut answers = open(profile, outgoing).await?;
    let mut submission = Submission {
        requests,
        in_flight: HashMap::new(),
        ids: 0..,
        ready: VecDeque::new(),
        pauses: FuturesUnordered::new(),
        outcomes: Outcomes::default(),
    };
    let mut all_read = false;
    while !(all_read && submission.is_done()) {
        while submission.has_room()
            && let Some(binding) = submission.ready.pop_front()
        {
            submission.begin(binding, Vec::new());
        }
        let has_room = submission.has_room();
        tokio::select! {
            values = people.recv(), if has_room && !all_read => match values {
                Some(values) => {
                    let mut values = values.into_iter();
                    if let Some(state) = values.next() {
                        submission.begin(state, values.collect());
                    }
                }
                None => all_read = true,
            },
            Some(id) = submission.pauses.next() => submission.send(id),
            answer = answers.message() => {
                let answer = answer.map_err(failure)?;
                submission.settle(answer.ok_or_else(ended)?, bar)?;
            }
        }
    }
    Ok(submission.outcomes)
}

impl Submission {
    fn has_room(&self) -> bool {
        self.in_flight.len() < IN_FLIGHT_MAX
    }

    fn is_done(&self) -> bool {
        self.in_flight.is_empty() && self.ready.is_empty()
    }

    fn begin(&mut self, value: VerifiedValue, bindings: Vec<VerifiedValue>) {
        let id = self.ids.next().expect("fewer than 2^64 updates");
        let update = InFlight {
            value,
            attempts: 0,
            bindings,
        };
        self.in_flight.insert(id, update);
        self.send(id);
    }

    fn send(&mut self, id: u64) {
        let InFlight {
            value, attempts, ..
        } = self
            .in_flight
            .get_mut(&id)
            .expect("only what is in flight is sent");
        *attempts += 1;
        let request = SubmitUpdateRequest {
            request_id: id,
            label: value.label().as_str().to_owned(),
            version: 0,
            value: value.encode().into(),
        };
        // Fails only once the stream has ended, which its answers tell.
        let _ = self.requests.try_send(request);
    }

    fn settle(&mut self, answer: SubmitUpdateResponse, bar: &ProgressBar) -> Result<(), Failure> {
        let id = answer.request_id;
        let outcomes = &mut self.outcomes;
        let attempts = self.in_flight.get(&id).map(|update| update.attempts);
        let (Some(attempts), Some(outcome)) = (attempts, answer.outcome) else {
            return Err(malformed());
        };
        if let Outcome::Refused(Refused {
            retryable: true, ..
        }) = outcome
            && attempts < ATTEMPTS_MAX
        {
            let pause = tokio::time::sleep(PAUSE * (1 << (attempts - 1)));
            self.pauses.push(Box::pin(async move {
                pause.await;
                id
            }));
            return Ok(());
        }
        let update = self.in_flight.remove(&id).ok_or_else(malformed)?;
        bar.inc(1);
        self.ready.extend(update.bindings);
        match outcome {
            Outcome::Visible(_) => outcomes.visible += 1,
            Outcome::Committed(_) => outcomes.committed += 1,
            Outcome::Refused(refused) if refused.greatest_version.is_some() => {
                outcomes
                    .taken
                    .insert(update.value.label().clone(), update.value);
            }
            Outcome::Refused(refused) => *outcomes.refused.entry(refused.code).or_default() += 1,
        }
        Ok(())
    }
}

async fn open(
    profile: &Profile,
    outgoing: requests::Receiver<SubmitUpdateRequest>,
) -> Result<Streaming<SubmitUpdateResponse>, Failure> {
    let mut client = RegistrarClient::new(connect(profile).await?);
    let mut request = Request::new(outgoing);
    if let Some(authorization) = profile.authorization()? {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", authorization);
    }
    let response = client.submit_updates(request).await.map_err(failure)?;
    Ok(response.into_inner())
}

async fn connect(profile: &Profile) -> Result<Channel, Failure> {
    let endpoint = profile.client_config()?.connection()?;
    let connected = endpoint.connect().await;
    connected.map_err(|_| failure(Status::unavailable("not connected")))
}

/// What a failed stream means.
fn failure(status: Status) -> Failure {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => candor_sdk::Error::Unauthorized.into(),
        Code::Unavailable => candor_sdk::Error::Unreachable(Box::new(status)).into(),
        code => candor_sdk::Error::ServerFailed { code }.into(),
    }
}

fn ended() -> Failure {
    failure(Status::unavailable("the stream ended early"))
}

fn malformed() -> Failure {
    Failure::new(
        Exit::Alarm,
        "response-malformed",
        "the server answered what was not asked",
        "run the import again; what was registered is skipped",
    )
}
