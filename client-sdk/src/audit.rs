//! Auditing the whole log: every epoch only inserted, and the published head is of just these
//! epochs.
//!
//! The auditor's state is constant: the right edge of the log and the map's root. One epoch's delta
//! is in memory at a time, at most [`DELTA_BYTES_MAX`]. Nothing counts before the last step, where
//! the root of all records is the root that the witnesses cosigned.

use candor_core::answer::KnownHead;
use candor_core::codec::{DecodeError, Reader, Writer as _};
use candor_core::epoch::{MapState, Record, RecordOrderError};
use candor_core::limits::DELTA_BYTES_MAX;
use candor_core::log::{Frontier, leaf_hash};
use candor_core::map::{AuditDelta, DeltaError};
use candor_proto::v1;
use thiserror::Error;
use tonic::Streaming;

use crate::client::Client;
use crate::error::Error;
use crate::heads::HeadAnswer;
use crate::store::Store;

/// Why an epoch was refused. The server is at fault; only [`AuditError::Root`] tells whether the
/// log or just its audit feed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The feed ends early, or its parts are not in order.
    #[error("the audit feed is incomplete or out of order")]
    Stream,
    /// The record is no record of an epoch.
    #[error("malformed record: {0}")]
    Record(#[from] DecodeError),
    /// The record cannot follow the one before.
    #[error(transparent)]
    Order(#[from] RecordOrderError),
    /// The delta is not the one that the record names.
    #[error("the delta is not the one that the record names")]
    Digest,
    /// The epoch did something else than insert.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// The audited records are not those of the published head.
    #[error("the records are not those of the published head")]
    Root,
}

/// How far an audit came. What it says is believed only once [`Client::audit`] returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditState {
    log: Frontier,
    map: MapState,
    /// The last record ended the log: none follows it.
    has_ended: bool,
}

impl AuditState {
    /// The next epoch to audit.
    pub const fn next_epoch(&self) -> u64 {
        self.log.size()
    }

    /// The map after the last audited epoch.
    pub const fn map(&self) -> &MapState {
        &self.map
    }

    /// The encoding, to resume an audit in another process: a byte that tells whether the log has
    /// ended, the map's root, leaves `u64` and timestamp `u64`, then the log's right edge
    /// ([`Frontier::encode`]).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.present(self.has_ended);
        out.extend(self.map.root.0);
        out.extend(self.map.leaves.to_be_bytes());
        out.extend(self.map.timestamp_ms.to_be_bytes());
        out.extend(self.log.encode());
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the auditor's storage is at fault. A state that merely is not this log's
    /// ends the next audit with [`AuditError::Root`] or earlier.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let has_ended = reader.present("end")?;
        let map = MapState {
            root: reader.hash("map root")?,
            leaves: reader.u64("leaves")?,
            timestamp_ms: reader.u64("timestamp")?,
        };
        let log = Frontier::decode(reader.bytes(reader.remaining(), "log")?)?;
        Ok(Self {
            log,
            map,
            has_ended,
        })
    }

    /// Checks one epoch of the log with this origin.
    fn advance(&mut self, origin: &str, record: &[u8], delta: Vec<u8>) -> Result<(), AuditError> {
        if self.has_ended {
            return Err(RecordOrderError::Ended.into());
        }
        let leaf = leaf_hash(record);
        let record = Record::decode_of(origin, record)?;
        let delta = AuditDelta::from_bytes(delta)?;
        if delta.digest() != record.epoch.audit_digest {
            return Err(AuditError::Digest);
        }
        let verified = delta.verify(&self.map.root, &record.epoch.prefix_tree)?;
        record.check_inserts(&self.map, verified.inserts().len())?;
        self.log.append(leaf).map_err(|_| AuditError::Stream)?;
        self.map = record.epoch.state();
        self.has_ended = record.successor.is_some();
        Ok(())
    }
}

impl<S: Store> Client<S> {
    /// Audits every epoch from record 0, or from where an earlier audit ended, to the published
    /// head. `progress` is told each epoch that was checked, and the last one to come.
    ///
    /// # Errors
    ///
    /// [`Error::Audit`] if an epoch is not what it must be, else see [`Error::fault`].
    pub async fn audit(
        &self,
        from: Option<AuditState>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(KnownHead, AuditState), Error> {
        let mut session = self.session().await?;
        let response = self.rpc().head(self.nothing_verified()).await?;
        let mut answer = HeadAnswer::whole(response)?;
        let (checkpoint, head) = session.accept_whole_heads(&mut answer).await?;
        let mut state = match from {
            Some(state) => state,
            None => {
                let (proof, config) = session.fetch_config(&checkpoint).await?;
                let mut log = Frontier::new();
                log.append(leaf_hash(&proof.config))
                    .map_err(|_| Error::Internal)?;
                let map = config.config().start();
                AuditState {
                    log,
                    map,
                    has_ended: false,
                }
            }
        };
        session.commit().await?;
        let last = head.size - 1;
        let refused = |epoch, source| Error::Audit { epoch, source };
        if state.next_epoch() <= last {
            let mut stream = self.rpc().epochs(state.next_epoch(), last).await?;
            while state.next_epoch() <= last {
                let epoch = state.next_epoch();
                let (record, delta) = self.next_epoch(&mut stream, epoch).await?;
                state
                    .advance(self.origin(), &record, delta)
                    .map_err(|source| refused(epoch, source))?;
                progress(epoch, last);
            }
        }
        if state.log.size() != head.size || state.log.root() != head.root {
            return Err(refused(last, AuditError::Root));
        }
        Ok((head, state))
    }

    /// Puts one epoch's chunks together.
    async fn next_epoch(
        &self,
        stream: &mut Streaming<v1::EpochChunk>,
        epoch: u64,
    ) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let refused = |source| Error::Audit { epoch, source };
        let mut record = Vec::new();
        let mut delta = Vec::new();
        loop {
            let chunk = self.rpc().next_in_time(stream).await?;
            let chunk = chunk.ok_or(refused(AuditError::Stream))?;
            let begins = record.is_empty();
            if chunk.epoch != epoch || chunk.record.is_empty() == begins {
                return Err(refused(AuditError::Stream));
            }
            if begins {
                record = chunk.record.to_vec();
            }
            if delta.len() + chunk.delta_part.len() > DELTA_BYTES_MAX {
                let limit = DELTA_BYTES_MAX;
                let field = "audit delta";
                return Err(refused(DecodeError::TooLarge { field, limit }.into()));
            }
            delta.extend_from_slice(&chunk.delta_part);
            if chunk.last {
                return Ok((record, delta));
            }
            if chunk.delta_part.is_empty() {
                return Err(refused(AuditError::Stream));
            }
        }
    }
}
