//! One witness: asking it to cosign, and comparing what it holds with the store
//! (c2sp.org/tlog-witness).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use candor_core::limits::{ADD_CHECKPOINT_BYTES_MAX, NOTE_BYTES_MAX};
use candor_core::note::{
    AddCheckpoint, Checkpoint, LogVerifier, Policy, SIZE_CONTENT_TYPE, SignatureLine, SignedNote,
    VerifierKey, monitoring_path, parse_cosignatures, parse_size,
};
use candor_host::fetch::{self, BodyError, Timeouts};
use reqwest::{StatusCode, header};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use super::{Cosigned, PublisherError, WitnessStatus, lock};
use crate::clock::Clock;
use crate::head::SignedHead;
use crate::ledger::{Ledger, LedgerError};
use crate::metrics::Metrics;

/// How long a witness may take to answer. A map witness checks the epoch meanwhile.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(10),
};

/// Shortest and longest pause after a failure.
const PAUSE: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(15)];

/// How often a size conflict is followed before the witness counts as failing.
const CONFLICTS_MAX: usize = 3;

/// A witness at one address. It may cosign under several keys.
#[derive(Clone, Debug)]
pub struct WitnessNode {
    url: String,
    keys: Vec<VerifierKey>,
    client: reqwest::Client,
}

/// Why a witness did not cosign.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The network or the witness failed; try again.
    #[error("no answer: {0}")]
    Network(#[from] reqwest::Error),
    /// The witness's answer could not be read.
    #[error("no answer: {0}")]
    Body(#[from] BodyError),
    /// The witness is overloaded or broken; try again.
    #[error("status {0}")]
    Unavailable(StatusCode),
    /// The witness does not know this log or its key: one side's configuration is wrong.
    #[error("the witness does not accept this log (status {0})")]
    NotConfigured(StatusCode),
    /// The witness keeps naming other sizes.
    #[error("the witness's size keeps changing")]
    Conflicts,
    /// The witness holds a larger log than this one.
    #[error("the witness claims to have cosigned size {size}")]
    Ahead {
        /// The size that it claims.
        size: u64,
    },
    /// The witness says that this log contradicts what it cosigned.
    #[error("the witness refuses the consistency proof")]
    Contradicted,
    /// The answer is not one that the protocol allows.
    #[error("the witness's answer is malformed")]
    Malformed,
    /// A line of the answer does not verify under a key of the policy.
    #[error("a cosignature of the witness does not verify")]
    InvalidCosignature,
    /// The store failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What a witness holds, compared with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Nothing, or nothing that this log signed.
    Unknown,
    /// A checkpoint that the store extends.
    Agrees,
    /// A checkpoint that this log signed, of a size that the store does not reach.
    Ahead,
    /// A checkpoint that this log signed, with another root than the store has at its size.
    Contradicts,
}

impl WitnessNode {
    /// The witnesses of a policy that have an address, one for each address.
    ///
    /// # Errors
    ///
    /// When no HTTP client can be made, or an address is not UTF-8; the operator is at fault.
    pub fn of_policy(policy: &Policy) -> Result<Vec<Self>, String> {
        let client = fetch::client(TIMEOUTS).map_err(|error| error.to_string())?;
        let mut nodes: Vec<Self> = Vec::new();
        for witness in policy.witnesses() {
            let Some(url) = witness.url() else { continue };
            let url = str::from_utf8(url).map_err(|_| "a witness's address is not UTF-8")?;
            let url = url.trim_end_matches('/').to_owned();
            let key = witness.key().clone();
            match nodes.iter_mut().find(|node| node.url == url) {
                Some(node) => node.keys.push(key),
                None => nodes.push(Self {
                    url,
                    keys: vec![key],
                    client: client.clone(),
                }),
            }
        }
        Ok(nodes)
    }

    /// Where the witness is asked.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for cosignatures on a head. `known_size` is the size that the witness cosigned last as
    /// far as is known, and is brought up to date.
    async fn ask(
        &self,
        head: &SignedHead,
        known_size: &mut u64,
        ledger: &Ledger,
    ) -> Result<Vec<SignatureLine>, Failure> {
        for _ in 0..CONFLICTS_MAX {
            let (old_size, size) = (*known_size, head.size);
            if old_size > size {
                return Err(Failure::Ahead { size: old_size });
            }
            let rows = ledger.clone();
            let proof = tokio::task::spawn_blocking(move || rows.consistency(old_size, size));
            let proof = proof.await.map_err(|_| LedgerError::OutOfRange)??;
            let body = AddCheckpoint {
                old_size,
                proof,
                note: head.note.clone(),
            }
            .to_bytes();
            let url = format!("{}/add-checkpoint", self.url);
            let response = self.client.post(url).body(body).send().await?;
            let status = response.status();
            let is_size = response
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes() == SIZE_CONTENT_TYPE.as_bytes());
            let body = fetch::read_body_bounded(response, ADD_CHECKPOINT_BYTES_MAX).await?;
            match status {
                StatusCode::OK => {
                    let lines = self.verified_lines(head, &body)?;
                    *known_size = size;
                    return Ok(lines);
                }
                StatusCode::CONFLICT if is_size => {
                    *known_size = parse_size(&body).map_err(|_| Failure::Malformed)?;
                }
                StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                    return Err(Failure::Contradicted);
                }
                StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => {
                    return Err(Failure::NotConfigured(status));
                }
                _ => return Err(Failure::Unavailable(status)),
            }
        }
        Err(Failure::Conflicts)
    }

    /// The lines of an answer that are by this witness's keys. One that does not verify condemns
    /// the answer; lines by keys that the policy does not list are left out.
    fn verified_lines(
        &self,
        head: &SignedHead,
        body: &[u8],
    ) -> Result<Vec<SignatureLine>, Failure> {
        let checkpoint = Checkpoint::parse(head.note.text()).map_err(|_| Failure::Malformed)?;
        let lines = parse_cosignatures(body).map_err(|_| Failure::Malformed)?;
        let mut verified = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            for line in lines.iter().filter(|line| line.claims(key)) {
                key.verify(&checkpoint, line)
                    .map_err(|_| Failure::InvalidCosignature)?;
                verified.push(line.clone());
            }
        }
        if verified.is_empty() {
            Err(Failure::Malformed)
        } else {
            Ok(verified)
        }
    }

    /// Compares the checkpoint that the witness serves with the store.
    ///
    /// # Errors
    ///
    /// [`Failure`]: the witness could not be asked, which says nothing about the log.
    pub async fn compare(
        &self,
        verifier: &LogVerifier,
        ledger: &Ledger,
    ) -> Result<Comparison, Failure> {
        let path = monitoring_path(verifier.origin());
        let response = self
            .client
            .get(format!("{}/{path}", self.url))
            .send()
            .await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Comparison::Unknown),
            status => return Err(Failure::Unavailable(status)),
        }
        let body = fetch::read_body_bounded(response, NOTE_BYTES_MAX).await?;
        let note = SignedNote::parse(&body).map_err(|_| Failure::Malformed)?;
        // Only a checkpoint that this log signed says anything against it.
        let Ok(signed) = verifier.verify(&note) else {
            return Ok(Comparison::Unknown);
        };
        let (size, root) = (signed.checkpoint().size(), *signed.checkpoint().root());
        let rows = ledger.clone();
        let own = tokio::task::spawn_blocking(move || {
            let head = rows.head()?;
            if size > head.size {
                Ok(None)
            } else {
                rows.root(size).map(Some)
            }
        });
        match own.await.map_err(|_| LedgerError::OutOfRange)?? {
            None => Ok(Comparison::Ahead),
            Some(own) if own == root => Ok(Comparison::Agrees),
            Some(_) => Ok(Comparison::Contradicts),
        }
    }
}

/// The task that asks one witness, round after round.
pub(super) struct Asker {
    pub witness: WitnessNode,
    pub index: usize,
    pub ledger: Ledger,
    pub verifier: LogVerifier,
    pub target: watch::Receiver<Option<Arc<SignedHead>>>,
    pub answers: mpsc::Sender<Cosigned>,
    pub alarms: mpsc::Sender<PublisherError>,
    pub statuses: Arc<Mutex<Vec<WitnessStatus>>>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

impl Asker {
    /// Runs until the publisher is gone.
    pub async fn run(mut self) {
        let mut known_size = 0;
        let mut done_size = 0;
        let mut pause = PAUSE[0];
        loop {
            let target = self.target.borrow_and_update().clone();
            let Some(head) = target.filter(|head| head.size > done_size) else {
                if self.target.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let asked_at = std::time::Instant::now();
            match self.witness.ask(&head, &mut known_size, &self.ledger).await {
                Ok(lines) => {
                    // A witness that could not check the map yet signs with some of its keys only:
                    // it is asked again, or a quorum that needs the others would never be met.
                    let is_complete = lines.len() >= self.witness.keys.len();
                    self.metrics.cosigned(&self.witness.url, asked_at.elapsed());
                    self.note_success(head.size);
                    if self
                        .answers
                        .send(Cosigned {
                            size: head.size,
                            lines,
                        })
                        .await
                        .is_err()
                    {
                        return;
                    }
                    if is_complete {
                        (pause, done_size) = (PAUSE[0], head.size);
                    } else {
                        pause = self.rest(pause).await;
                    }
                }
                Err(failure) => {
                    self.metrics.witness_failed(&self.witness.url);
                    let alarm = self.judge(&failure, &mut known_size).await;
                    tracing::warn!(witness = self.witness.url, %failure, alarm, "not cosigned");
                    self.note_failure(&failure, alarm);
                    pause = self.rest(pause).await;
                }
            }
        }
    }

    /// Waits before the witness is asked again; how long to wait the next time.
    async fn rest(&self, pause: Duration) -> Duration {
        tokio::time::sleep(jittered(pause)).await;
        (pause * 2).min(PAUSE[1])
    }

    /// Whether a failure is more than a failure; stops publication if the witness can prove it.
    async fn judge(&self, failure: &Failure, known_size: &mut u64) -> bool {
        if !matches!(failure, Failure::Ahead { .. } | Failure::Contradicted) {
            return matches!(
                failure,
                Failure::InvalidCosignature | Failure::NotConfigured(_)
            );
        }
        // The claim alone proves nothing: a lying witness must not stop the log.
        *known_size = 0;
        let what = match self.witness.compare(&self.verifier, &self.ledger).await {
            Ok(Comparison::Ahead) => "a larger log",
            Ok(Comparison::Contradicts) => "another root at the same size",
            _ => return true,
        };
        let url = self.witness.url.clone();
        let _stopping = self
            .alarms
            .try_send(PublisherError::StoreContradicted { url, what });
        true
    }

    fn note_success(&self, size: u64) {
        if let Some(status) = lock(&self.statuses).get_mut(self.index) {
            status.size = size;
            status.cosigned_s = self.clock.now_s();
            (status.failure, status.alarm) = (None, None);
        }
    }

    fn note_failure(&self, failure: &Failure, alarm: bool) {
        if let Some(status) = lock(&self.statuses).get_mut(self.index) {
            status.failure = Some(failure.to_string());
            if alarm {
                status.alarm = Some(failure.to_string());
            }
        }
    }
}

/// A pause of half to one and a half times the given one, so that askers do not march in step.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the pause is merely not jittered.
    let _unjittered = getrandom::fill(&mut byte);
    pause / 2 + pause * u32::from(byte[0]) / 255
}
