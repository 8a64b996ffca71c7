//! Answering lookups from a published head.
//!
//! An answer reads rows up to the head's epoch and the head's tree, so it never mixes epochs,
//! whatever is committed meanwhile. Nothing here waits for a writer or computes a VRF, except for
//! search keys that were never asked for before: those of labels that do not exist, and of
//! versions beyond the ladder that updates compute ahead.

use candor_core::account::Label;
use candor_core::answer::{AccountProof, Disclosure, Query, VersionProof};
use candor_core::crypto::{Commitment, SearchKey, VrfProof, VrfSecretKey, vrf::vrf_input};
use candor_core::map::prove;

use crate::head::SignedHead;
use crate::ledger::{Ledger, LedgerError};
use crate::map::Position;

/// Proves what the map holds of a label at a published head.
///
/// # Errors
///
/// [`LedgerError`]; the environment is at fault.
pub fn prove_account(
    ledger: &Ledger,
    vrf: &VrfSecretKey,
    head: &SignedHead,
    label: &Label,
    query: &Query,
) -> Result<AccountProof, LedgerError> {
    let epoch = head.epoch();
    let greatest = ledger.greatest(label, epoch)?;
    let versions = query.lookups(greatest);
    let opened = query.opened(greatest);
    let mut lookups = Vec::with_capacity(versions.len());
    let mut keys = Vec::with_capacity(versions.len());
    for version in versions {
        let (key, vrf_proof) = search_key(ledger, vrf, label, version)?;
        let disclosure = if Some(version) > greatest {
            Disclosure::Absent
        } else {
            disclose(ledger, label, version, opened.contains(&version))?
        };
        keys.push(key);
        lookups.push(VersionProof {
            vrf_proof,
            disclosure,
        });
    }
    let root = Position::root(&head.skeleton, ledger.leaves(epoch));
    Ok(AccountProof {
        greatest,
        lookups,
        prefix: prove(&root, &keys)?,
    })
}

fn disclose(
    ledger: &Ledger,
    label: &Label,
    version: u32,
    open: bool,
) -> Result<Disclosure, LedgerError> {
    let row = ledger.version(label, version)?;
    Ok(if open {
        Disclosure::Opened {
            opening: row.opening,
            value: row.value,
        }
    } else {
        let commitment = Commitment::new(&row.opening, label.as_bytes(), version, &row.value);
        Disclosure::Committed(commitment)
    })
}

fn search_key(
    ledger: &Ledger,
    vrf: &VrfSecretKey,
    label: &Label,
    version: u32,
) -> Result<(SearchKey, VrfProof), LedgerError> {
    match ledger.search_key(label, version)? {
        Some(known) => Ok(known),
        None => Ok(vrf.prove(&vrf_input(label.as_bytes(), version))),
    }
}
