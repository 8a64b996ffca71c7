//! How a store stands to what was signed.

use candor_core::Hash;

use crate::ledger::{Ledger, LedgerError};

/// How a store stands to a head that the log signed: the anchor's, or one that a witness holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The store has it, and perhaps more.
    Reaches {
        /// Records of the store.
        size: u64,
        /// Records of the signed head.
        signed: u64,
    },
    /// More was signed than the store has.
    Behind {
        /// Records of the store.
        size: u64,
        /// Records of the signed head.
        signed: u64,
    },
    /// The store has another history.
    Contradicts {
        /// Records of the signed head.
        signed: u64,
    },
}

impl Standing {
    /// Compares a store with the size and root of a signed head.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the environment is at fault.
    pub fn of(ledger: &Ledger, (signed, root): (u64, Hash)) -> Result<Self, LedgerError> {
        let size = ledger.head()?.size;
        if signed > size {
            return Ok(Self::Behind { size, signed });
        }
        Ok(match ledger.root(signed)? == root {
            true => Self::Reaches { size, signed },
            false => Self::Contradicts { signed },
        })
    }
}
