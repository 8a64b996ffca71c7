//! One witness: asking it to cosign, and comparing what it holds with the store
//! (c2sp.org/tlog-witness).

use std::collections::BTreeMap;
use std::time::Duration;

use candor_core::answer::SKEW_S;
use candor_core::limits::{ADD_CHECKPOINT_BYTES_MAX, NOTE_BYTES_MAX};
use candor_core::note::{
    AddCheckpoint, Checkpoint, LogCheckpoint, LogVerifier, Policy, SIZE_CONTENT_TYPE,
    SignatureLine, SignedNote, VerifierKey, monitoring_path, parse_cosignatures, parse_size,
};
use candor_host::fetch::{self, BodyError, Timeouts};
use reqwest::{StatusCode, header};
use thiserror::Error;

use super::pace::{jittered, retry_after};
use super::status::Clears;
use crate::clock::Clock;
use crate::ledger::{Ledger, LedgerError};

/// How long a witness may take to answer. A map witness checks the epoch meanwhile.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(10),
};

/// How often a size that the witness names is followed before the witness counts as failing.
const CONFLICTS_MAX: usize = 3;

/// Pause before a size is followed.
const CONFLICT_PAUSE: Duration = Duration::from_millis(100);

/// A witness at one address. It may cosign under several keys.
#[derive(Clone, Debug)]
pub struct WitnessNode {
    url: String,
    keys: Vec<VerifierKey>,
    interval: Duration,
    in_first: bool,
    in_second: bool,
    client: reqwest::Client,
}

/// Least time between two submissions to a witness, by the name that a policy gives it.
pub type Intervals = BTreeMap<String, Duration>;

/// What a witness is asked to cosign.
#[derive(Debug)]
pub(super) struct Target {
    pub size: u64,
    /// When the newest record was made, in POSIX seconds.
    pub time_s: u64,
    /// The checkpoint with the log's own signatures.
    pub note: SignedNote,
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
    /// The witness is overloaded or broken; try again, but not before it asks for it.
    #[error("status {status}")]
    Unavailable {
        /// What it answered.
        status: StatusCode,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The witness does not know this log or its key: one side's configuration is wrong.
    #[error("the witness does not accept this log (status {0})")]
    NotConfigured(StatusCode),
    /// The witness keeps naming other sizes.
    #[error("the witness's size keeps changing")]
    Conflicts,
    /// The witness has cosigned a newer head of this log already: it will be asked for the next.
    #[error("the witness has cosigned a newer head, of size {size}")]
    Overtaken {
        /// The size that it names.
        size: u64,
    },
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
    /// No line of the answer is by a key that the policy has for this witness.
    #[error("the witness signs with none of the policy's keys")]
    OtherKeys,
    /// A line of the answer does not verify under a key of the policy.
    #[error("a cosignature of the witness does not verify")]
    InvalidCosignature,
    /// A line of the answer says another time than now: devices would not count it, whatever the
    /// policy says.
    #[error("a cosignature of the witness is of another time: {timestamp_s} s")]
    Time {
        /// The time that it says, in POSIX seconds.
        timestamp_s: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Failure {
    /// One word for metrics.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Network(_) | Self::Body(_) => "network",
            Self::Unavailable { .. } => "unavailable",
            Self::NotConfigured(_) => "configuration",
            Self::Conflicts => "conflict",
            Self::Overtaken { .. } => "overtaken",
            Self::Ahead { .. } => "ahead",
            Self::Contradicted => "contradicted",
            Self::Malformed => "malformed",
            Self::OtherKeys | Self::InvalidCosignature => "signature",
            Self::Time { .. } => "time",
            Self::Ledger(_) => "store",
        }
    }

    /// Whether the failure is one that retrying cannot explain away, and what would end the alarm.
    pub(super) const fn alarm(&self) -> Option<Clears> {
        match self {
            Self::NotConfigured(_)
            | Self::OtherKeys
            | Self::InvalidCosignature
            | Self::Time { .. } => Some(Clears::WithAnswer),
            Self::Ahead { size } => Some(Clears::WithSize(*size)),
            Self::Contradicted => Some(Clears::ByOperator),
            _ => None,
        }
    }

    /// How long the witness wants to be left alone.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A head of this log that a witness serves.
#[derive(Clone, Debug)]
pub struct HeldHead {
    /// What the log signed, whoever says so.
    pub signed: LogCheckpoint,
    /// The witness's keys that cosigned it: none if somebody else answers in its place.
    pub cosigned_by: Vec<VerifierKey>,
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
    /// The witnesses of the policies that have an address, one for each address. A key that both
    /// policies list is asked where the first one says.
    ///
    /// # Errors
    ///
    /// When no HTTP client can be made, an address is not UTF-8, or an interval is for a witness
    /// that is in no policy; the operator is at fault.
    pub fn of_policies(
        policy: &Policy,
        second: Option<&Policy>,
        intervals: &Intervals,
    ) -> Result<Vec<Self>, String> {
        let client = fetch::client(TIMEOUTS).map_err(|error| error.to_string())?;
        let first = policy.witnesses().iter().map(|witness| (witness, false));
        let second = second.into_iter().flat_map(|policy| policy.witnesses());
        let all = first.chain(second.map(|witness| (witness, true)));
        for name in intervals.keys() {
            let mut names = all.clone().map(|(witness, _)| witness.name().as_bytes());
            if !names.any(|other| other == name.as_bytes()) {
                return Err(format!(
                    "witness_interval_s: no policy has a witness {name}"
                ));
            }
        }
        let mut nodes: Vec<Self> = Vec::new();
        for (witness, is_second) in all {
            let Some(url) = witness.url() else { continue };
            let url = str::from_utf8(url).map_err(|_| "a witness's address is not UTF-8")?;
            let url = url.trim_end_matches('/').to_owned();
            let key = witness.key();
            let known = |node: &Self| node.keys.contains(key) || node.url == url;
            let at = nodes.iter().position(known).unwrap_or_else(|| {
                nodes.push(Self {
                    url,
                    keys: Vec::new(),
                    interval: Duration::ZERO,
                    in_first: false,
                    in_second: false,
                    client: client.clone(),
                });
                nodes.len() - 1
            });
            let node = &mut nodes[at];
            if !node.keys.contains(key) {
                node.keys.push(key.clone());
            }
            let name = str::from_utf8(witness.name().as_bytes()).ok();
            let interval = name.and_then(|name| intervals.get(name)).copied();
            node.interval = node.interval.max(interval.unwrap_or_default());
            node.in_first |= !is_second;
            node.in_second |= is_second;
        }
        Ok(nodes)
    }

    /// Whether the witness is asked in the rounds of the second policy.
    pub fn is_second(&self) -> bool {
        self.in_second && (!self.in_first || !self.interval.is_zero())
    }

    /// Whether this is one of the witness's keys.
    pub fn has_key(&self, key: &VerifierKey) -> bool {
        self.keys.contains(key)
    }

    /// Where the witness is asked.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Least time between two submissions.
    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether these lines are all that the policy expects of the witness.
    pub(super) const fn is_complete(&self, lines: &[SignatureLine]) -> bool {
        lines.len() >= self.keys.len()
    }

    /// Asks for cosignatures on a head. `known_size` is the size that the witness cosigned last as
    /// far as is known, and is brought up to date.
    pub(super) async fn ask(
        &self,
        target: &Target,
        known_size: &mut u64,
        ledger: &Ledger,
        clock: &Clock,
    ) -> Result<Vec<SignatureLine>, Failure> {
        for attempt in 0..=CONFLICTS_MAX {
            if attempt > 0 {
                tokio::time::sleep(jittered(CONFLICT_PAUSE)).await;
            }
            let (old_size, size) = (*known_size, target.size);
            if old_size > size {
                return Err(beyond(old_size, ledger).await?);
            }
            let rows = ledger.clone();
            let proof = tokio::task::spawn_blocking(move || rows.consistency(old_size, size));
            let proof = proof.await.map_err(|_| LedgerError::OutOfRange)??;
            let body = AddCheckpoint {
                old_size,
                proof,
                note: target.note.clone(),
            }
            .to_bytes();
            let url = format!("{}/add-checkpoint", self.url);
            let response = self.client.post(url).body(body).send().await?;
            let status = response.status();
            let is_size = response
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes() == SIZE_CONTENT_TYPE.as_bytes());
            let retry_after = retry_after(response.headers());
            let body = fetch::read_body_bounded(response, ADD_CHECKPOINT_BYTES_MAX).await;
            match status {
                StatusCode::OK => {
                    let lines = self.verified_lines(target, &body?, clock.now_s())?;
                    *known_size = size;
                    return Ok(lines);
                }
                StatusCode::CONFLICT if is_size => {
                    *known_size = parse_size(&body?).map_err(|_| Failure::Contradicted)?;
                }
                StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                    return Err(Failure::Contradicted);
                }
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                    return Err(Failure::Unavailable {
                        status,
                        retry_after,
                    });
                }
                _ if status.is_server_error() => {
                    return Err(Failure::Unavailable {
                        status,
                        retry_after,
                    });
                }
                _ if status.is_success() => return Err(Failure::Malformed),
                _ => return Err(Failure::NotConfigured(status)),
            }
        }
        Err(Failure::Conflicts)
    }

    /// The lines of an answer that are by this witness's keys, one for each. One that does not
    /// verify condemns the answer, and so does one of another time than between the head and now:
    /// it would count here, and make what is published stale to devices. Lines by keys that the
    /// policy does not list are left out.
    fn verified_lines(
        &self,
        target: &Target,
        body: &[u8],
        now_s: u64,
    ) -> Result<Vec<SignatureLine>, Failure> {
        let checkpoint = Checkpoint::parse(target.note.text()).map_err(|_| Failure::Malformed)?;
        let lines = parse_cosignatures(body).map_err(|_| Failure::Malformed)?;
        let mut verified = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            let mut newest = None;
            for line in lines.iter().filter(|line| line.claims(key)) {
                let signature = key.verify(&checkpoint, line);
                let signature = signature.map_err(|_| Failure::InvalidCosignature)?;
                let timestamp_s = signature.timestamp_s().unwrap_or(0);
                let earliest_s = target.time_s.saturating_sub(SKEW_S);
                if !(earliest_s..=now_s.saturating_add(SKEW_S)).contains(&timestamp_s) {
                    return Err(Failure::Time { timestamp_s });
                }
                newest = Some(line.clone());
            }
            verified.extend(newest);
        }
        if verified.is_empty() {
            Err(Failure::OtherKeys)
        } else {
            Ok(verified)
        }
    }

    /// The checkpoint of the log `origin` that the witness serves, if it does. Nothing of it is
    /// verified. A witness serves the lines of those keys that it knows.
    ///
    /// # Errors
    ///
    /// [`Failure`]: the witness could not be asked, or its answer is none.
    pub async fn served(&self, origin: &str) -> Result<Option<SignedNote>, Failure> {
        let path = monitoring_path(origin);
        let response = self
            .client
            .get(format!("{}/{path}", self.url))
            .send()
            .await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => {
                return Err(Failure::Unavailable {
                    status,
                    retry_after: None,
                });
            }
        }
        let body = fetch::read_body_bounded(response, NOTE_BYTES_MAX).await?;
        let note = SignedNote::parse(&body).map_err(|_| Failure::Malformed)?;
        Ok(Some(note))
    }

    /// The checkpoint that the witness serves, if it is one that this log signed: no other says
    /// anything of it.
    ///
    /// # Errors
    ///
    /// [`Failure`]: the witness could not be asked, which says nothing about the log.
    pub async fn held(&self, verifier: &LogVerifier) -> Result<Option<HeldHead>, Failure> {
        let Some(note) = self.served(verifier.origin()).await? else {
            return Ok(None);
        };
        let Ok(signed) = verifier.verify(&note) else {
            return Ok(None);
        };
        let is_valid = |key: &VerifierKey| {
            let mut lines = note.signatures().iter().filter(|line| line.claims(key));
            lines.any(|line| key.verify(signed.checkpoint(), line).is_ok())
        };
        let cosigned_by = self.keys.iter().filter(|key| is_valid(key));
        Ok(Some(HeldHead {
            cosigned_by: cosigned_by.cloned().collect(),
            signed,
        }))
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
        let Some(held) = self.held(verifier).await? else {
            return Ok(Comparison::Unknown);
        };
        let checkpoint = held.signed.checkpoint();
        let (size, root) = (checkpoint.size(), *checkpoint.root());
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

/// What it means that a witness names a size beyond the head that it is asked for: heads leave the
/// log before they are published, so others may have shown it a newer one.
async fn beyond(size: u64, ledger: &Ledger) -> Result<Failure, LedgerError> {
    let rows = ledger.clone();
    let head = tokio::task::spawn_blocking(move || rows.head());
    let head = head.await.map_err(|_| LedgerError::OutOfRange)??;
    Ok(match size <= head.size {
        true => Failure::Overtaken { size },
        false => Failure::Ahead { size },
    })
}
