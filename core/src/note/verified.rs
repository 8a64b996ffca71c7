//! Checkpoints that keys vouch for: the log's alone, or with a quorum of witnesses.

use thiserror::Error;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::key::{KeyName, VerifierKey};
use super::policy::{Policy, PolicyName};
use super::signature::VerifiedSignature;
use super::signed_note::{SignatureLine, SignedNote};

/// Why a log does not vouch for a note. Who made the note is at fault, unless the origin is just
/// not configured.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LogVerifyError {
    /// The text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of another log.
    #[error("checkpoint is of an unknown log")]
    UnknownOrigin,
    /// No line is by a key of the log.
    #[error("checkpoint has no signature by a known key of the log")]
    NotSigned,
    /// A line by a known key does not verify, which condemns the note.
    #[error("signature by {name} does not verify")]
    InvalidSignature {
        /// The name of the key.
        name: KeyName,
    },
}

/// Why a note does not satisfy a policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The log does not vouch for the note.
    #[error(transparent)]
    Log(#[from] LogVerifyError),
    /// A line by a known witness does not verify, which condemns the note: who made it is at
    /// fault.
    #[error("cosignature by {name} does not verify")]
    InvalidCosignature {
        /// What the policy calls the witness.
        name: PolicyName,
    },
    /// Too few of the policy's witnesses have cosigned. Nobody need be at fault: a later answer
    /// may have more.
    #[error("quorum of cosignatures is not met")]
    QuorumNotMet,
}

/// Why a verified checkpoint does not count as current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FreshnessError {
    /// The quorum's newest time is too long ago: the server withholds newer checkpoints, or the
    /// device's clock is ahead.
    #[error("checkpoint is {age_s} s old, more than {max_age_s} s")]
    Stale {
        /// Seconds since the quorum's time.
        age_s: u64,
        /// The greatest age accepted.
        max_age_s: u64,
    },
    /// The quorum's time is in the future: the device's clock is behind, or the witnesses' ahead.
    #[error("checkpoint is {ahead_s} s in the future, more than {skew_s} s")]
    InFuture {
        /// Seconds until the quorum's time.
        ahead_s: u64,
        /// The greatest difference of clocks accepted.
        skew_s: u64,
    },
    /// The policy asks for no witnesses, so nobody says when the checkpoint was current.
    #[error("policy without witnesses says nothing of time")]
    NoTimestamp,
}

/// The keys of one log.
#[derive(Clone, Debug)]
pub struct LogVerifier {
    origin: String,
    keys: Vec<VerifierKey>,
}

impl LogVerifier {
    /// Trusts `keys` for the log `origin`; most logs name their keys as their origin.
    pub fn new(origin: &str, keys: Vec<VerifierKey>) -> Self {
        Self {
            origin: origin.to_owned(),
            keys,
        }
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The log's keys.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Verifies that the log signed the note, whoever else did: enough as evidence against the
    /// log, not to rely on it.
    ///
    /// # Errors
    ///
    /// [`LogVerifyError`] when it did not.
    pub fn verify(&self, note: &SignedNote) -> Result<LogCheckpoint, LogVerifyError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin() != self.origin {
            return Err(LogVerifyError::UnknownOrigin);
        }
        verify_log(checkpoint, self.keys.iter(), note)
    }
}

fn verify_log<'a>(
    checkpoint: Checkpoint,
    keys: impl Iterator<Item = &'a VerifierKey> + Clone,
    note: &SignedNote,
) -> Result<LogCheckpoint, LogVerifyError> {
    let mut signatures = Vec::new();
    for line in note.signatures() {
        let mut claimed = keys.clone().filter(|key| line.claims(key)).peekable();
        // Once for each line, so that a key listed twice does not make the note longer.
        if claimed.peek().is_some() {
            signatures.push(line.clone());
        }
        for key in claimed {
            key.verify(&checkpoint, line)
                .map_err(|_| LogVerifyError::InvalidSignature {
                    name: key.name().clone(),
                })?;
        }
    }
    if signatures.is_empty() {
        return Err(LogVerifyError::NotSigned);
    }
    Ok(LogCheckpoint {
        checkpoint,
        signatures,
    })
}

/// A checkpoint that its log signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCheckpoint {
    checkpoint: Checkpoint,
    signatures: Vec<SignatureLine>,
}

impl LogCheckpoint {
    /// What the log signed.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note with the log's verified lines and no other.
    pub fn to_note(&self) -> SignedNote {
        SignedNote::new(self.checkpoint.to_text(), self.signatures.clone())
            .expect("a part of a note within the limits is within them")
    }
}

/// A witness's statement about a verified checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    witness: PolicyName,
    timestamp_s: u64,
}

impl Cosignature {
    /// What the policy calls the witness.
    pub const fn witness(&self) -> &PolicyName {
        &self.witness
    }

    /// When the witness knew of no larger tree, in POSIX seconds; 0 when it does not say.
    pub const fn timestamp_s(&self) -> u64 {
        self.timestamp_s
    }
}

/// A checkpoint that satisfies a policy: signed by the log and by a quorum of witnesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    cosignatures: Vec<Cosignature>,
    quorum_timestamp_s: Option<u64>,
}

impl VerifiedCheckpoint {
    /// The checkpoint.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The cosignatures of all witnesses that the policy knows, in its order.
    pub fn cosignatures(&self) -> &[Cosignature] {
        &self.cosignatures
    }

    /// The newest time, in POSIX seconds, such that cosignatures not older than it meet the
    /// quorum; `None` when the policy asks for none.
    pub const fn quorum_timestamp_s(&self) -> Option<u64> {
        self.quorum_timestamp_s
    }

    /// Checks that the quorum's time is at most `max_age_s` before `now_s` and at most `skew_s`
    /// after it, all in seconds.
    ///
    /// # Errors
    ///
    /// [`FreshnessError`] when it is not.
    pub const fn check_freshness(
        &self,
        now_s: u64,
        max_age_s: u64,
        skew_s: u64,
    ) -> Result<(), FreshnessError> {
        let Some(time_s) = self.quorum_timestamp_s else {
            return Err(FreshnessError::NoTimestamp);
        };
        let (age_s, ahead_s) = (now_s.saturating_sub(time_s), time_s.saturating_sub(now_s));
        if age_s > max_age_s {
            return Err(FreshnessError::Stale { age_s, max_age_s });
        }
        if ahead_s > skew_s {
            return Err(FreshnessError::InFuture { ahead_s, skew_s });
        }
        Ok(())
    }
}

impl Policy {
    /// Verifies a note: a checkpoint of a listed log, signed by any of the log's listed keys and
    /// cosigned by a quorum.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when that is not so, or when a line by any listed key does not verify.
    pub fn verify_checkpoint(&self, note: &SignedNote) -> Result<VerifiedCheckpoint, PolicyError> {
        let checkpoint = Checkpoint::parse(note.text()).map_err(LogVerifyError::from)?;
        let of_origin = |key: &&VerifierKey| key.name().as_str() == checkpoint.origin();
        let mut keys = self
            .logs
            .iter()
            .map(|log| &log.key)
            .filter(of_origin)
            .peekable();
        if keys.peek().is_none() {
            return Err(LogVerifyError::UnknownOrigin.into());
        }
        let LogCheckpoint { checkpoint, .. } = verify_log(checkpoint.clone(), keys, note)?;
        let cosignatures = self.verify_cosignatures(&checkpoint, note)?;
        let satisfied_since = |time_s: u64| {
            self.is_satisfied_by(|witness| {
                cosignatures
                    .iter()
                    .any(|other| other.witness == witness.name && other.timestamp_s >= time_s)
            })
        };
        if !satisfied_since(0) {
            return Err(PolicyError::QuorumNotMet);
        }
        let mut times_s: Vec<u64> = cosignatures.iter().map(|each| each.timestamp_s).collect();
        times_s.sort_unstable();
        let newest = times_s
            .into_iter()
            .rev()
            .find(|time_s| satisfied_since(*time_s));
        let quorum_timestamp_s = self.quorum.and(newest);
        Ok(VerifiedCheckpoint {
            checkpoint,
            cosignatures,
            quorum_timestamp_s,
        })
    }

    /// One cosignature for each witness that has any, with the newest time of its lines.
    fn verify_cosignatures(
        &self,
        checkpoint: &Checkpoint,
        note: &SignedNote,
    ) -> Result<Vec<Cosignature>, PolicyError> {
        let mut cosignatures = Vec::new();
        for witness in &self.witnesses {
            let lines = note
                .signatures()
                .iter()
                .filter(|line| line.claims(&witness.key));
            let verified: Vec<VerifiedSignature> = lines
                .map(|line| witness.key.verify(checkpoint, line))
                .collect::<Result<_, _>>()
                .map_err(|_| PolicyError::InvalidCosignature {
                    name: witness.name.clone(),
                })?;
            let times_s = verified.iter().map(|each| each.timestamp_s().unwrap_or(0));
            if let Some(timestamp_s) = times_s.max() {
                cosignatures.push(Cosignature {
                    witness: witness.name.clone(),
                    timestamp_s,
                });
            }
        }
        Ok(cosignatures)
    }
}
