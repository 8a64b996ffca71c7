//! Comparisons of codes: one session a contact, begun by its person, settled by its person.

use candor_core::account::{AccountKey, Label};
use candor_core::verification::{Comparison, ComparisonCode, ComparisonError, ComparisonMessage};

use super::Machine;
use crate::device::edit::own_key;
use crate::device::protocol::{CompareFailure, Outcome};

/// A comparison with a contact.
pub(super) struct Session {
    comparison: Comparison,
    /// The contact's key as this device verified it when the session began.
    peer: AccountKey,
    code: Option<ComparisonCode>,
}

/// How a comparison was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The codes were equal: the contact is verified, and the person's other devices will know.
    Verified,
    /// They were not. Nothing is stored: somebody may be in between, so the person should meet the
    /// contact, or try again over another channel.
    Different,
    /// The contact has another account key than the one that was compared: compare again.
    Changed,
    /// No code was shown, so nothing was compared.
    NothingShown,
    /// No more contacts can be marked.
    Full,
}

impl Machine {
    pub(super) fn begin_session(
        &mut self,
        now_s: u64,
        label: &Label,
        peer: Option<AccountKey>,
        nonce: [u8; 32],
    ) {
        let own = self.me.key().map(|key| own_key(&key));
        let (Some(own), Some(peer)) = (own, peer) else {
            return self.done(Outcome::Compare(Err(CompareFailure::NoKey)));
        };
        let begun = Comparison::begin(&self.me.origin, own, peer, nonce, now_s);
        let outcome = match begun {
            Err(error) => Err(CompareFailure::Comparison(error)),
            Ok((comparison, commitment)) => {
                let session = Session {
                    comparison,
                    peer,
                    code: None,
                };
                self.sessions.insert(label.clone(), session);
                Ok(commitment)
            }
        };
        self.done(Outcome::Compare(outcome));
    }

    /// Takes a message of the contact's comparison. Returns what to send back.
    ///
    /// # Errors
    ///
    /// [`ComparisonError`]; the session is then over. [`ComparisonError::Over`] also without one.
    pub fn compare_receive(
        &mut self,
        now_s: u64,
        label: &Label,
        message: &ComparisonMessage,
    ) -> Result<Option<ComparisonMessage>, ComparisonError> {
        let session = self.sessions.get_mut(label).ok_or(ComparisonError::Over)?;
        match session.comparison.receive(message, now_s) {
            Ok(step) => {
                session.code = step.code.or(session.code);
                Ok(step.send)
            }
            Err(error) => {
                self.sessions.remove(label);
                Err(error)
            }
        }
    }

    /// The code to show, once there is one.
    pub fn compare_code(&self, label: &Label) -> Option<ComparisonCode> {
        self.sessions.get(label)?.code
    }

    /// Ends the comparison with what the person said: whether both see the same code.
    pub fn compare_finish(&mut self, label: &Label, is_equal: bool) -> Compared {
        let Some(session) = self.sessions.remove(label) else {
            return Compared::NothingShown;
        };
        if session.code.is_none() {
            return Compared::NothingShown;
        }
        if !is_equal {
            return Compared::Different;
        }
        let seen = self.contacts.get(label).and_then(|record| record.seen);
        if seen.and_then(|seen| seen.key_hash) != Some(session.peer.hash()) {
            return Compared::Changed;
        }
        let marked = self.mark(label, &session.peer);
        self.flush();
        match marked {
            true => Compared::Verified,
            false => Compared::Full,
        }
    }
}
