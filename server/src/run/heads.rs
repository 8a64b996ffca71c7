//! The heads that were published last, so that lookups are answered before witnesses are.

use std::sync::Arc;

use candor_core::note::{Checkpoint, Policy, SignedNote};

use super::RunError;
use super::policies::Policies;
use crate::head::{Published, PublishedSecond, SignedHead};
use crate::ledger::{Ledger, LedgerError};
use crate::map::Skeleton;
use crate::publisher::large_keys;
use crate::sequencer::recovery::{self, RecoveryError};
use crate::signer::LogSigner;

/// The published head of a store, whose newest map and size are known, with its second head.
pub(super) fn last_published(
    ledger: &Ledger,
    signer: &LogSigner,
    policies: &Policies,
    newest: &Skeleton,
    newest_size: u64,
) -> Result<Option<Published>, RunError> {
    let policy = &policies.first;
    let Some((note, checkpoint)) = stored(ledger.published()?, ledger, signer, policy)? else {
        return Ok(None);
    };
    let (size, root) = (checkpoint.size(), *checkpoint.root());
    let skeleton = if size == newest_size {
        newest.clone()
    } else {
        let record = candor_core::epoch::Record::decode(&ledger.record(size - 1)?)
            .map_err(|_| LedgerError::Damaged { table: "records" })?;
        recovery::load_map(ledger, &ledger.leaves(size - 1), &record.epoch.prefix_tree)?
    };
    let own = signer.verifier().verify(&note)?.to_note();
    let head = SignedHead::new(ledger, size, root, skeleton, own)?;
    let published_s = head.timestamp_ms / 1000;
    let large = large_keys(signer, policy);
    let published = Published::new(Arc::new(head), note, &large, published_s);
    let second = last_second(ledger, signer, policies, size)?;
    Ok(Some(published.with_second(second)))
}

/// The second head of a store, unless the published head does not reach it.
fn last_second(
    ledger: &Ledger,
    signer: &LogSigner,
    policies: &Policies,
    published: u64,
) -> Result<Option<Arc<PublishedSecond>>, RunError> {
    let Some(policy) = &policies.second else {
        return Ok(None);
    };
    let stored = stored(ledger.second()?, ledger, signer, policy)?;
    let reached = stored.filter(|(_, checkpoint)| checkpoint.size() <= published);
    Ok(reached.map(|(note, checkpoint)| {
        // When it was published is not stored, but the witnesses said when they signed.
        let cosigned = policy.verify_checkpoint(&note).ok();
        let at_s = cosigned.and_then(|verified| verified.quorum_timestamp_s());
        let large = large_keys(signer, policy);
        let size = checkpoint.size();
        Arc::new(PublishedSecond::new(size, &note, &large, at_s.unwrap_or(0)))
    }))
}

/// A stored note, which must be this log's and agree with the store; `None` if it does not satisfy
/// the policy, which may be another one than it was published under.
fn stored(
    bytes: Option<Vec<u8>>,
    ledger: &Ledger,
    signer: &LogSigner,
    policy: &Policy,
) -> Result<Option<(SignedNote, Checkpoint)>, RunError> {
    let Some(bytes) = bytes else { return Ok(None) };
    let damaged = |_| LedgerError::Damaged {
        table: "checkpoints",
    };
    let note = SignedNote::parse(&bytes).map_err(damaged)?;
    let checkpoint = signer.verifier().verify(&note)?.checkpoint().clone();
    let size = checkpoint.size();
    if size > ledger.head()?.size || size < 2 || ledger.root(size)? != *checkpoint.root() {
        return Err(RecoveryError::Mismatch {
            what: "published head",
        }
        .into());
    }
    if let Err(error) = policy.verify_checkpoint(&note) {
        tracing::warn!(%error, "a head published last does not satisfy the policy");
        return Ok(None);
    }
    Ok(Some((note, checkpoint)))
}
