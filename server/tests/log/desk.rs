//! Lookups, as a server makes them and a device verifies them.

use std::sync::Arc;

use candor_core::account::Label;
use candor_core::answer::{AccountProofError, Query, VerifiedAccount};
use candor_core::crypto::VrfSecretKey;
use candor_core::epoch::EpochRecord;
use candor_server::head::SignedHead;
use candor_server::ledger::{Ledger, LedgerError};
use candor_server::lookup::prove_account;
use candor_server::sequencer::ladders::Ladders;

/// What a head shows of a label: the greatest version and its value.
pub type Found = (Option<u32>, Vec<u8>);

/// What lookups are made with.
#[derive(Clone)]
pub struct Desk {
    pub ledger: Ledger,
    pub ladders: Ladders,
    pub vrf: Arc<VrfSecretKey>,
}

impl Desk {
    /// Looks a label up and verifies the answer, which must be good.
    pub fn look_up(&self, head: &SignedHead, label: &str) -> Result<Found, LedgerError> {
        let answer = self.ask(head, label)?;
        Ok(answer.expect("what is proved verifies"))
    }

    /// Looks a label up, and what a device says to the answer.
    pub fn ask(
        &self,
        head: &SignedHead,
        label: &str,
    ) -> Result<Result<Found, AccountProofError>, LedgerError> {
        let verified = self.ask_for(head, label, &Query::GREATEST)?;
        Ok(verified.map(|account| {
            let newest = account
                .newest()
                .map(|newest| newest.value().expect("it is opened").to_vec());
            (account.greatest(), newest.unwrap_or_default())
        }))
    }

    /// What a device says to the answer to a query.
    pub fn ask_for(
        &self,
        head: &SignedHead,
        label: &str,
        query: &Query,
    ) -> Result<Result<VerifiedAccount, AccountProofError>, LedgerError> {
        let label = Label::parse(label).unwrap();
        let proof = prove_account(&self.ledger, &self.ladders, head, &label, query)?;
        let root = EpochRecord::decode(&head.record).unwrap().prefix_tree;
        let vrf = self.vrf.public_key();
        Ok(proof.verify(label.as_bytes(), query, vrf, &root))
    }
}
