//! What must hold in every run, whatever happens. What is seen at once (the first six) is checked
//! where it happens and named here; the others are checked after every step, or at the end.

use candor_sdk::device::{CHECK_INTERVAL_S, Subject};

use super::STEP_S;
use super::world::World;
use crate::invariants::Violation;

/// A danger is told only of whom somebody did something to: see `observer.rs`. Being offline or
/// behind, turning verification off, adding and removing devices are none; a reset and a moved
/// identifier are, to contacts, also when the owner did it.
pub const NO_FALSE_ALERT: &str = "no alert is false";
/// Each cause is told once, also across restarts.
pub const TOLD_ONCE: &str = "an alert is told once for each cause";
/// What was told stays among the alerts until it is settled or acted on, also across restarts.
pub const STAYS: &str = "an alert stays until it is settled";
/// Nobody is cleared to encrypt to what the owner did not publish, unless the person acted on the
/// alert, or met the contact after the whole key had been substituted and never compared.
pub const NO_FALSE_CLEARANCE: &str = "nobody is cleared to encrypt to strangers";
/// Two people see equal codes only if each has the other's key.
pub const CODES: &str = "equal codes mean equal keys";
/// The store takes what it is given.
pub const STORED: &str = "what is written is stored";
/// See `substitutions_are_told`.
pub const TOLD_IN_TIME: &str = "a substitution is told within one check interval";
/// See `merges_agree`.
pub const MERGES_AGREE: &str = "devices that merged everything share the same";

/// What another device may still explain is told at the look after the first.
const LATER_S: u64 = 2 * STEP_S;

/// Checked after every step. Protects everybody from the server: each substitution has been told at
/// every device that was there when it was made, once a whole interval passed and the device has
/// had a step with network since.
pub fn substitutions_are_told(world: &World) -> Option<String> {
    let now_s = world.cx.now_s;
    let late = world.cx.observer.expected.iter().find(|expected| {
        let phone = &world.phones[expected.phone];
        let is_there = !phone.is_retired && !phone.was_disturbed && !world.is_away(expected.phone);
        is_there && now_s - expected.since_s >= CHECK_INTERVAL_S + LATER_S
    })?;
    Some(format!(
        "phone {} was not told {:?} of {:?}, version {:?}",
        late.phone, late.kinds, late.subject, late.cause
    ))
}

/// Checked at the end. Any order of merges leads to the same.
pub fn merges_agree(world: &World) -> Option<String> {
    let mut phones = world.phones.iter().filter(|phone| !phone.is_retired);
    let differs = phones.find(|phone| {
        let mut others = world.phones.iter().filter(|other| {
            !other.is_retired
                && (other.account, other.generation) == (phone.account, phone.generation)
        });
        others.any(|other| other.machine.shared().encode() != phone.machine.shared().encode())
    })?;
    Some(format!("phone {} shares something else", differs.number))
}

/// What does not hold any more.
///
/// # Errors
///
/// The first violation.
pub fn check(world: &World, is_end: bool) -> Result<(), Violation> {
    let wrong = world.cx.observer.wrong.clone();
    let told = || substitutions_are_told(world).map(|it| (TOLD_IN_TIME, it));
    let merged = || merges_agree(world).map(|it| (MERGES_AGREE, it));
    let found = wrong
        .or_else(told)
        .or_else(|| is_end.then(merged).flatten());
    match found {
        None => Ok(()),
        Some((invariant, detail)) => Err(Violation { invariant, detail }),
    }
}

/// Whether an expectation no longer binds: its device does not watch the contact.
pub fn is_moot(world: &World, phone: usize, subject: &Subject) -> bool {
    match subject {
        Subject::Contact(label) => !world.phones[phone].watches(label),
        Subject::Own | Subject::Log => false,
    }
}
