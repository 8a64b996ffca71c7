//! Answering lookups from a published head.
//!
//! An answer reads rows up to the head's epoch and the head's tree, so it never mixes epochs,
//! whatever is committed meanwhile. Nothing here waits for a writer. The VRF is computed only for
//! labels that do not exist, for versions that were never on a ladder, and for what the workers
//! that compute ahead have not reached yet.

use candor_core::account::Label;
use candor_core::answer::{AccountProof, Disclosure, Query, VersionProof};
use candor_core::map::prove;

use crate::head::SignedHead;
use crate::ledger::{Account, Ledger, LedgerError, ProvenKey};
use crate::map::Position;
use crate::sequencer::ladders::Ladders;

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
    for version in versions {
        // The ladder comes first, in the order of the rungs.
        let rung = rungs.next();
        let closed = rung.filter(|_| !opened.contains(&version));
        let (proven, disclosure) = match closed {
            Some(rung) => {
                let disclosure = rung
                    .commitment()
                    .map_or(Disclosure::Absent, Disclosure::Committed);
                (ladders.proven(&account, rung), disclosure)
            }
            None => open(ledger, &account, version)?,
        };
        keys.push(proven.key);
        lookups.push(VersionProof {
            vrf_proof: proven.proof,
            disclosure,
        });
    }
    let buckets = ledger.buckets(epoch);
    let root = Position::root(&head.skeleton, &buckets);
    Ok(AccountProof {
        greatest,
        lookups,
        prefix: prove(&root, &keys)?,
    })
}

/// A version that exists, with its value. Only the newest is in memory.
fn open(
    ledger: &Ledger,
    account: &Account,
    number: u32,
) -> Result<(ProvenKey, Disclosure), LedgerError> {
    let stored;
    let version = match account.newest() {
        Some(newest) if account.greatest() == Some(number) => newest,
        _ => {
            stored = ledger.version(account.label(), number)?;
            &stored
        }
    };
    let disclosure = Disclosure::Opened {
        opening: version.opening,
        value: version.value.clone(),
    };
    Ok((version.proven, disclosure))
}
