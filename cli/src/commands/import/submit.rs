//! Submits many updates over one stream, a bounded number of them on their way.
//!
//! Every update says which version it becomes, so submitting one twice can do no harm: the second
//! time the server says that the version is there, and it goes on after the greatest one. A state
//! says which one it follows, so what somebody else registered is not overwritten; a binding does
//! not, so what is there is looked up before one follows or is followed.
//!
//! What the server is too busy for is submitted again after a pause that doubles. A version is
//! submitted once the one before is answered. The server takes a binding only to a state that is in
//! the log, so what depends on others waits until those are answered.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeFrom;
use std::time::Duration;

use candor_core::account::{Label, VerifiedValue};
use candor_proto::v1::registrar_client::RegistrarClient;
use candor_proto::v1::submit_update_response::Outcome;
use candor_proto::v1::{Refused, SubmitUpdateRequest, SubmitUpdateResponse};
use candor_sdk::{AccountVersion, Client, FileStore, LOOKUP_BATCH_MAX};
use futures::StreamExt as _;
use futures::channel::mpsc as requests;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::registered::look_up;
use crate::failure::Failure;
use crate::output::Exit;
use crate::profile::Profile;

/// Updates on their way at once: a few epochs' worth, half of what the server takes of a stream.
const IN_FLIGHT_MAX: usize = 2048;

/// First pause before something is asked again.
pub const PAUSE: Duration = Duration::from_millis(250);

/// How often something is asked at most: pauses of 64 s together.
pub const ATTEMPTS_MAX: u32 = 9;

/// What is to be registered of a label, and what leads to it.
pub struct Registration {
    /// Its versions, from the first on; not empty.
    pub versions: VecDeque<VerifiedValue>,
    /// First versions of other labels, submitted once these versions are answered.
    pub bindings: Vec<VerifiedValue>,
    /// Whether everything that came before has to be answered first.
    pub waits: bool,
}

impl Registration {
    /// Of a label that has one version.
    pub fn of(value: VerifiedValue) -> Self {
        Self {
            versions: [value].into(),
            bindings: Vec::new(),
            waits: false,
        }
    }
}

/// What became of the updates.
#[derive(Default)]
pub struct Outcomes {
    /// In the published map.
    pub visible: u64,
    /// In the log; the witnesses' quorum was still missing.
    pub committed: u64,
    /// Labels that had all versions before, with the last one that was to be registered.
    pub taken: BTreeMap<Label, VerifiedValue>,
    /// Labels of which a version was refused otherwise, by the server's code.
    pub refused: BTreeMap<String, Vec<Label>>,
}

/// A registration whose first remaining version is on its way.
struct InFlight {
    registration: Registration,
    version: u32,
    attempts: u32,
    /// Whether it waits to be sent again.
    pauses: bool,
}

/// A registration that goes on if the newest version of its label is this one.
struct Doubtful {
    newest: VerifiedValue,
    update: InFlight,
}

struct Submission {
    requests: requests::Sender<SubmitUpdateRequest>,
    in_flight: HashMap<u64, InFlight>,
    ids: RangeFrom<u64>,
    /// What may be submitted now.
    ready: VecDeque<Registration>,
    doubtful: Vec<Doubtful>,
    pauses: FuturesUnordered<BoxFuture<'static, u64>>,
    outcomes: Outcomes,
}

/// Submits everything that is to be registered.
pub async fn submit(
    profile: &Profile,
    client: &Client<FileStore>,
    mut registrations: mpsc::Receiver<Registration>,
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
        doubtful: Vec::new(),
        pauses: FuturesUnordered::new(),
        outcomes: Outcomes::default(),
    };
    let (mut all_read, mut waiting) = (false, None);
    while !(all_read && waiting.is_none() && submission.is_done()) {
        if submission.is_idle() && !submission.doubtful.is_empty() {
            submission.resolve(client).await?;
            continue;
        }
        if submission.is_done() {
            submission.ready.extend(waiting.take());
        }
        while submission.has_room()
            && let Some(registration) = submission.ready.pop_front()
        {
            submission.begin(registration);
        }
        let takes_more = submission.has_room() && waiting.is_none() && !all_read;
        tokio::select! {
            registration = registrations.recv(), if takes_more => match registration {
                Some(registration) if registration.waits => waiting = Some(registration),
                Some(registration) => submission.begin(registration),
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

    fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.ready.is_empty()
    }

    fn is_done(&self) -> bool {
        self.is_idle() && self.doubtful.is_empty()
    }

    /// Goes on with what is registered as far as it is to be; the rest is told at the end.
    async fn resolve(&mut self, client: &Client<FileStore>) -> Result<(), Failure> {
        let rest = self.doubtful.len().min(LOOKUP_BATCH_MAX);
        let doubtful: Vec<_> = self.doubtful.drain(..rest).collect();
        let labels = doubtful.iter().map(|it| it.newest.label().clone());
        let labels: Vec<_> = labels.collect();
        let found = look_up(client, &labels).await?;
        for (Doubtful { newest, update }, found) in doubtful.into_iter().zip(found) {
            let registered = found.newest().map(AccountVersion::value);
            if registered == Some(&newest) {
                self.go_on(update);
            } else {
                let label = newest.label().clone();
                self.outcomes.taken.insert(label, newest);
            }
        }
        Ok(())
    }

    fn begin(&mut self, registration: Registration) {
        self.go_on(InFlight {
            registration,
            version: 0,
            attempts: 0,
            pauses: false,
        });
    }

    fn go_on(&mut self, update: InFlight) {
        let id = self.ids.next().expect("fewer than 2^64 updates");
        self.in_flight.insert(id, update);
        self.send(id);
    }

    fn send(&mut self, id: u64) {
        let update = self.in_flight.get_mut(&id);
        let update = update.expect("only what is in flight is sent");
        update.attempts += 1;
        update.pauses = false;
        let value = update.registration.versions.front();
        let value = value.expect("a registration has a version");
        let request = SubmitUpdateRequest {
            request_id: id,
            label: value.label().as_str().to_owned(),
            version: update.version,
            value: value.encode().into(),
        };
        // Fails only once the stream has ended, which its answers tell.
        let _ = self.requests.try_send(request);
    }

    fn settle(&mut self, answer: SubmitUpdateResponse, bar: &ProgressBar) -> Result<(), Failure> {
        let id = answer.request_id;
        let outcomes = &mut self.outcomes;
        let sent = self.in_flight.get_mut(&id);
        let sent = sent.filter(|update| !update.pauses);
        let (Some(sent), Some(outcome)) = (sent, answer.outcome) else {
            return Err(malformed());
        };
        let attempts = sent.attempts;
        if let Outcome::Refused(Refused {
            retryable: true, ..
        }) = outcome
            && attempts < ATTEMPTS_MAX
        {
            sent.pauses = true;
            let pause = tokio::time::sleep(PAUSE * (1 << (attempts - 1)));
            self.pauses.push(Box::pin(async move {
                pause.await;
                id
            }));
            return Ok(());
        }
        let mut update = self.in_flight.remove(&id).ok_or_else(malformed)?;
        update.attempts = 0;
        let versions = &mut update.registration.versions;
        let left = versions.len();
        let value = versions.pop_front().ok_or_else(malformed)?;
        let submitted = update.version;
        update.version = submitted.saturating_add(1);
        match outcome {
            Outcome::Visible(_) => outcomes.visible += 1,
            Outcome::Committed(_) => outcomes.committed += 1,
            Outcome::Refused(Refused {
                greatest_version: Some(greatest),
                ..
            }) if greatest >= submitted => {
                // Those up to there were registered before.
                let mut last = value;
                while greatest >= update.version
                    && let Some(value) = versions.pop_front()
                {
                    last = value;
                    update.version += 1;
                }
                match versions.front() {
                    None => {
                        outcomes.taken.insert(last.label().clone(), last);
                    }
                    Some(next) if is_binding(&last) || is_binding(next) => {
                        bar.inc((left - versions.len()) as u64);
                        let newest = last;
                        self.doubtful.push(Doubtful { newest, update });
                        return Ok(());
                    }
                    Some(_) => {}
                }
            }
            Outcome::Refused(refused) => {
                let refused = outcomes.refused.entry(refused.code).or_default();
                refused.push(value.label().clone());
                // What comes after it cannot be there before it.
                versions.clear();
            }
        }
        bar.inc((left - versions.len()) as u64);
        if versions.is_empty() {
            let bindings = update.registration.bindings.into_iter();
            self.ready.extend(bindings.map(Registration::of));
        } else {
            self.go_on(update);
        }
        Ok(())
    }
}

fn is_binding(value: &VerifiedValue) -> bool {
    matches!(value, VerifiedValue::Binding(_))
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
