//! Answering lookups from a published head.
//!
//! An answer reads rows up to the head's epoch and the head's tree, so it never mixes epochs,
//! whatever is committed meanwhile. Nothing here waits for a writer. The VRF is computed only for
//! labels that do not exist, for versions that were never on a ladder, and for what the workers
//! that compute ahead have not reached yet.

use std::borrow::Cow;

use candor_core::account::Label;
use candor_core::answer::{AccountProof, Disclosure, Query, VersionProof};
use candor_core::map::prove;

use crate::head::SignedHead;
use crate::ledger::{Account, Ledger, LedgerError, Rung, Version, damaged};
use crate::map::Position;
use crate::sequencer::ladders::Ladders;
use crate::storage::{ReadError, Table};

/// Whether the proof takes more than some rows: the curve, or versions before the newest.
///
/// # Errors
///
/// [`LedgerError`]; the environment is at fault.
pub fn is_costly(
    ledger: &Ledger,
    head: &SignedHead,
    label: &Label,
    query: &Query,
) -> Result<bool, LedgerError> {
    let account = ledger.account_at(label, head.epoch())?;
    let greatest = account.greatest();
    let opened = query.opened(greatest);
    let opens_earlier = opened.iter().any(|version| Some(*version) != greatest);
    Ok(opens_earlier || !account.is_complete())
}

/// Proves what the map holds of a label at a published head.
///
/// # Errors
///
/// [`LedgerError`]; the environment is at fault. From a ledger in memory also if the ladder is not
/// complete: computing it takes too long there.
pub fn prove_account(
    ledger: &Ledger,
    ladders: &Ladders,
    head: &SignedHead,
    label: &Label,
    query: &Query,
) -> Result<AccountProof, LedgerError> {
    let epoch = head.epoch();
    let account = ledger.account_at(label, epoch)?;
    if ledger.is_memory_only() && !account.is_complete() {
        return Err(LedgerError::Read(ReadError::NotInMemory));
    }
    ladders.complete(&account);
    let greatest = account.greatest();
    let opened = query.opened(greatest);
    let mut rungs = account.rungs().iter();
    let versions = query.lookups(greatest);
    let mut lookups = Vec::with_capacity(versions.len());
    let mut keys = Vec::with_capacity(versions.len());
    let mut commitments = Vec::with_capacity(versions.len());
    for version in versions {
        // The ladder comes first, in the order of the rungs.
        let on_ladder = rungs.next().map(Cow::Borrowed);
        let (rung, disclosure) = match on_ladder {
            Some(rung) if !opened.contains(&version) => {
                let committed = rung.commitment().map(Disclosure::Committed);
                (rung, committed.unwrap_or(Disclosure::Absent))
            }
            on_ladder => {
                let (rung, opened) = open(ledger, &account, version, on_ladder)?;
                let disclosure = match (opened, rung.commitment()) {
                    (Some(version), _) => Disclosure::Opened {
                        opening: version.opening,
                        value: version.into_owned().value,
                    },
                    (None, Some(commitment)) => Disclosure::Erased(commitment),
                    (None, None) => return Err(damaged(Table::Versions)),
                };
                (rung, disclosure)
            }
        };
        let proven = ladders.proven(label, &rung);
        keys.push(proven.key);
        commitments.push(rung.commitment());
        lookups.push(VersionProof {
            vrf_proof: proven.proof,
            disclosure,
        });
    }
    let buckets = ledger.buckets(epoch);
    let root = Position::root(&head.skeleton, &buckets);
    let proved = prove(&root, &keys)?;
    // An answer that contradicts the map would be refused by every device, and look like an attack.
    if proved.commitments != commitments {
        return Err(damaged(Table::Accounts));
    }
    Ok(AccountProof {
        greatest,
        lookups,
        prefix: proved.proof,
    })
}

/// A version that exists, with its value unless that was erased. Only the newest is in memory, and
/// it is never erased.
fn open<'a>(
    ledger: &Ledger,
    account: &'a Account,
    number: u32,
    on_ladder: Option<Cow<'a, Rung>>,
) -> Result<(Cow<'a, Rung>, Option<Cow<'a, Version>>), LedgerError> {
    match (account.newest(), on_ladder) {
        (Some((newest, version)), Some(rung)) if *newest == number => {
            Ok((rung, Some(Cow::Borrowed(version))))
        }
        (_, on_ladder) => {
            let stored = ledger.version(account.label(), number)?;
            let rung = on_ladder.unwrap_or_else(|| Cow::Owned(stored.rung.clone()));
            // The value is from one row and the rung from another.
            if rung.commitment() == stored.rung.commitment() {
                Ok((rung, stored.kept.map(Cow::Owned)))
            } else {
                Err(damaged(Table::Versions))
            }
        }
    }
}
