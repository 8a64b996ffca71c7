//! Heads passed on within messages: what another device was shown, held against what this one was.

use candor_core::Hash;
use candor_core::answer::HeadError;
use candor_core::epoch::RecordOrderError;
use candor_core::log::{consistency_roots, leaf_hash, verify_consistency};
use candor_core::note::{Checkpoint, GossipHead, LogCheckpoint, ProvedBeginning};

use crate::client::{Client, Session};
use crate::error::{Error, Evidence, GossipError};
use crate::memory::LogMemory;
use crate::store::Store;

/// What a message with another device's head comes to. That the log forked is an
/// [`Error::SplitView`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gossiped {
    /// The log that this device verified contains what the other device was shown.
    Consistent,
    /// The server does not show as large a log yet. Nothing is known of the message; hand it in
    /// again later.
    Ahead,
}

impl<S: Store> Client<S> {
    /// The newest head that this device verified, to be sent within a message to another device of
    /// the same log: [`GossipHead::BYTES`] bytes, which need no secrecy beyond that they tell when
    /// this device last asked. The server is not asked.
    ///
    /// `None` if no head is known, or the log has no Ed25519 key in the policy.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn gossip_out(&self) -> Result<Option<Vec<u8>>, Error> {
        let Some(log) = self.session().await?.log else {
            return Ok(None);
        };
        // A note whose keys the policy has no more is none to pass on.
        let head = GossipHead::new(&self.log_verifier(), &log.note);
        Ok(head.ok().flatten().map(|head| head.encode().to_vec()))
    }

    /// Holds a head that came with another device's message against what this device verified. The
    /// server is asked for the newest head, once, if the message is ahead of this device; and for a
    /// proof if sizes differ, or two if the first does not hold.
    ///
    /// Nothing of the message is remembered: a newer head only as it is after [`Self::head`].
    ///
    /// # Errors
    ///
    /// [`Error::Gossip`] if the log did not sign the message, which accuses nobody;
    /// [`Error::SplitView`], with evidence, if the log signed two histories; [`RecordOrderError`]
    /// if it goes on after its end; and else what is wrong with the server's answers: then nothing
    /// is known of the message.
    pub async fn gossip_in(&self, message: &[u8]) -> Result<Gossiped, Error> {
        let head = GossipHead::decode(message).map_err(GossipError::from)?;
        let theirs = head.verify(&self.log_verifier());
        let theirs = theirs.map_err(GossipError::from)?;
        let size = theirs.checkpoint().size();
        let mut session = self.session().await?;
        let reaches = |log: &&LogMemory| log.known.size >= size;
        let is_over = |log: &LogMemory| log.successor.is_some() && log.known.size < size;
        if session.log.as_ref().is_some_and(is_over) {
            return Err(HeadError::from(RecordOrderError::Ended).into());
        }
        if session.log.as_ref().filter(reaches).is_none() {
            session.ask_head().await?;
            session.commit().await?;
            session = self.session().await?;
        }
        match session.log.as_ref().filter(reaches) {
            Some(log) => session.compare(log, &theirs).await,
            None => Ok(Gossiped::Ahead),
        }
    }
}

impl<S: Store> Session<S> {
    /// Compares a head with what is remembered, which reaches as far.
    async fn compare(&self, log: &LogMemory, theirs: &LogCheckpoint) -> Result<Gossiped, Error> {
        let (head, note) = (theirs.checkpoint(), theirs.to_note());
        if let Some(accused) = self.find_evidence(&note.to_bytes(), None) {
            return Err(accused);
        }
        let mut remembered = [Some(&log.note), log.second.as_ref()].into_iter().flatten();
        if remembered.any(|remembered| remembered.text() == note.text()) {
            return Ok(Gossiped::Consistent);
        }
        let (size, known) = (head.size(), &log.known);
        let proof = self.client.rpc().consistency(size, known.size).await?;
        let Err(source) = verify_consistency(size, head.root(), known.size, &known.root, &proof)
        else {
            return Ok(Gossiped::Consistent);
        };
        // Either the log that is known begins otherwise, or the proof is none.
        let root = self.beginning(log, head, &proof).await?;
        let evidence = root.and_then(|root| {
            let log_keys = self.client.log_verifier();
            let beginning = ProvedBeginning { root, proof };
            Evidence::over_two_sizes(&log_keys, &note, &log.note, beginning).ok()
        });
        Err(match evidence.map(Box::new) {
            Some(evidence) => Error::SplitView { size, evidence },
            None => {
                let known = size;
                HeadError::Inconsistent { known, source }.into()
            }
        })
    }

    /// The root with which the known log begins by its own account, instead of that of `head`.
    /// Nothing of it is verified.
    async fn beginning(
        &self,
        log: &LogMemory,
        head: &Checkpoint,
        proof: &[Hash],
    ) -> Result<Option<Hash>, Error> {
        let size = head.size();
        let told = if size.is_power_of_two() {
            // The proof leaves this root out. That to this size from one less has it, and leaves
            // out none but the root over the configuration.
            let last = self.client.rpc().consistency(size - 1, size).await?;
            let config = leaf_hash(&log.config.encode());
            consistency_roots(size - 1, &config, size, &last).map(|(_, root)| root)
        } else {
            consistency_roots(size, head.root(), log.known.size, proof).map(|(root, _)| root)
        };
        Ok(told.ok())
    }
}
