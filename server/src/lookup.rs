//! Answering lookups from a published head.
//!
//! An answer reads rows up to the head's epoch and the head's tree, so it never mixes epochs,
//! whatever is committed meanwhile. Nothing here waits for a writer. The VRF is computed only for
//! labels that do not exist, for versions that were never on a ladder, and for what the workers
//! that compute ahead have not reached yet.

use candor_core::account::Label;
use candor_core::answer::{AccountProof, Disclosure, Query, VersionProof};
use candor_core::crypto::Commitment;
use candor_core::map::prove;

use crate::head::SignedHead;
use crate::ledger::{Account, Ledger, LedgerError, ProvenKey, Rung};
use crate::map::Position;
use crate::sequencer::ladders::Ladders;
use crate::storage::Table;

/// Proves what the map holds of a label at a published head.
///
/// # Errors
///
/// [`LedgerError`]; the environment is at fault.
pub fn prove_account(
    ledger: &Ledger,
    ladders: &Ladders,
    head: &SignedHead,
    label: &Label,
    query: &Query,
) -> Result<AccountProof, LedgerError> {
    let epoch = head.epoch();
    let account = ledger.account_at(label, epoch)?;
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
        let rung = rungs.next();
        let closed = rung.filter(|_| !opened.contains(&version));
        let known = rung.and_then(Rung::commitment);
        let (proven, disclosure, commitment) = match closed {
            Some(rung) => {
                let disclosure = known.map_or(Disclosure::Absent, Disclosure::Committed);
                (ladders.proven(&account, rung), disclosure, known)
            }
            None => open(ledger, &account, version, known)?,
        };
        keys.push(proven.key);
        commitments.push(commitment);
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
        return Err(LedgerError::Damaged {
            table: Table::Versions.name(),
        });
    }
    Ok(AccountProof {
        greatest,
        lookups,
        prefix: proved.proof,
    })
}

/// A version that exists, with its value and its commitment, which may be known. Only the newest is
/// in memory.
fn open(
    ledger: &Ledger,
    account: &Account,
    number: u32,
    known: Option<Commitment>,
) -> Result<(ProvenKey, Disclosure, Option<Commitment>), LedgerError> {
    let stored;
    let version = match account.newest() {
        Some(newest) if account.greatest() == Some(number) => newest,
        _ => {
            stored = ledger.version(account.label(), number)?;
            &stored
        }
    };
    let commitment = match &known {
        Some(commitment) if account.greatest() == Some(number) => *commitment,
        _ => version.commitment(account.label(), number),
    };
    let disclosure = Disclosure::Opened {
        opening: version.opening,
        value: version.value.clone(),
    };
    Ok((version.proven, disclosure, Some(commitment)))
}
