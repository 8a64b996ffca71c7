//! Which value of a label may follow which: one set of rules for the server and for devices.
//!
//! Once an account is enrolled, its key decides: only a state that the same key signed may follow,
//! or one that declares a *reset*, which every contact is told of. Turning verification off is
//! therefore the key's decision too; without the key it takes a reset first, and both steps show.
//! Before enrolment the server's word is all there is, and only the chain must hold. How long a
//! reset must wait is the operator's policy and no rule here.

use thiserror::Error;

use super::state::{AccountState, VerifiedState};
use super::value::VerifiedValue;

/// What a permitted step means to a contact. What changed among the devices is for whoever compares
/// the two states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The label's first state, not enrolled.
    Created,
    /// The label's first value, a binding.
    Bound,
    /// The next state of the same account, under the same key if it is enrolled.
    Updated,
    /// Verification was turned on.
    Enrolled,
    /// Verification was turned off, by the account key.
    Disenrolled,
    /// The account key was replaced without its consent. Manual verification is void.
    Reset,
    /// The label leads to another account than before. Marks made through it are void.
    Moved,
}

/// Why a value may not follow another. Who published it is at fault: the server before a device's
/// eyes, the application before the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The two values are of different labels. The caller is at fault.
    #[error("the values belong to different labels")]
    OtherLabel,
    /// The first state of a chain does not have sequence 0.
    #[error("the chain of states does not begin with sequence 0")]
    NotFirst,
    /// The sequence is not the next one: a state was repeated, left out, or overtaken.
    #[error("the sequence of the state is not the next one")]
    Sequence,
    /// The state does not name the one before it.
    #[error("the state does not name the one before it")]
    Previous,
    /// An enrolled account's next state is not signed.
    #[error("the next state of an enrolled account is not signed")]
    Unsigned,
    /// An enrolled account's next state is under another key, and declares no reset.
    #[error("the account key changed without a declared reset")]
    KeyChanged,
    /// A declared reset names another key than the one that it replaces.
    #[error("the reset names another account key than the one before")]
    ResetNamesOtherKey,
    /// A reset also turns verification off; only the account key may.
    #[error("the reset turns verification off")]
    ResetDisenrolls,
    /// A binding takes the place of an enrolled account's state.
    #[error("a binding replaces the state of an enrolled account")]
    BindingOverEnrolled,
    /// The binding repeats the one before.
    #[error("the binding is the same as before")]
    SameBinding,
}

/// Checks that `next` may follow `previous`, the value before it of the same label, if any.
///
/// # Errors
///
/// The first rule that is broken; see [`RuleError`] for who is at fault.
pub fn check_successor(
    previous: Option<&VerifiedValue>,
    next: &VerifiedValue,
) -> Result<Change, RuleError> {
    if previous.is_some_and(|previous| previous.label() != next.label()) {
        return Err(RuleError::OtherLabel);
    }
    match (previous, next) {
        (None, VerifiedValue::Binding(_)) => Ok(Change::Bound),
        (None, VerifiedValue::State(next)) => {
            check_first(next.state())?;
            Ok(if next.state().enrolled {
                Change::Enrolled
            } else {
                Change::Created
            })
        }
        (Some(VerifiedValue::Binding(_)), VerifiedValue::State(next)) => {
            check_first(next.state())?;
            Ok(Change::Moved)
        }
        (Some(VerifiedValue::Binding(previous)), VerifiedValue::Binding(next)) => {
            if previous == next {
                Err(RuleError::SameBinding)
            } else {
                Ok(Change::Moved)
            }
        }
        (Some(VerifiedValue::State(previous)), VerifiedValue::Binding(_)) => {
            let enrolled = previous.state().enrolled;
            if enrolled {
                Err(RuleError::BindingOverEnrolled)
            } else {
                Ok(Change::Moved)
            }
        }
        (Some(VerifiedValue::State(previous)), VerifiedValue::State(next)) => {
            check_chain(previous, next.state())?;
            check_key(previous.state(), next.state())
        }
    }
}

const fn check_first(next: &AccountState) -> Result<(), RuleError> {
    if next.sequence == 0 {
        Ok(())
    } else {
        Err(RuleError::NotFirst)
    }
}

fn check_chain(previous: &VerifiedState, next: &AccountState) -> Result<(), RuleError> {
    if previous.state().sequence.checked_add(1) != Some(next.sequence) {
        return Err(RuleError::Sequence);
    }
    if previous.hash() != next.previous {
        return Err(RuleError::Previous);
    }
    Ok(())
}

fn check_key(previous: &AccountState, next: &AccountState) -> Result<Change, RuleError> {
    if next.reset.is_some() {
        return check_reset(previous, next);
    }
    if previous.enrolled {
        if next.account_key.is_none() {
            return Err(RuleError::Unsigned);
        }
        if next.account_key != previous.account_key {
            return Err(RuleError::KeyChanged);
        }
    }
    Ok(match (previous.enrolled, next.enrolled) {
        (false, true) => Change::Enrolled,
        (true, false) => Change::Disenrolled,
        (false, false) | (true, true) => Change::Updated,
    })
}

/// That the new key differs from the one named and signs the state was checked when the state was.
fn check_reset(previous: &AccountState, next: &AccountState) -> Result<Change, RuleError> {
    if next.reset != previous.account_key {
        return Err(RuleError::ResetNamesOtherKey);
    }
    if previous.enrolled && !next.enrolled {
        return Err(RuleError::ResetDisenrolls);
    }
    Ok(Change::Reset)
}
