//! What must hold in every run, whatever happens. Each invariant is written here, and only here.

use candor_core::note::Evidence;
use candor_witness::decision::Recorded;

use crate::keys::log_verifier;
use crate::witness::Witness;
use crate::world::{Standing, World};

/// What was violated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
}

/// An invariant: its name, and what tells why it does not hold.
type Invariant = (&'static str, fn(&World) -> Option<String>);

/// See `log_signs_one_history`.
pub const LOG_ONE_HISTORY: &str = "an honest log signs one history";
/// See `witnesses_sign_one_history`.
pub const WITNESS_ONE_HISTORY: &str = "no honest witness signs inconsistent heads";
/// See `cosignatures_are_written_first`.
pub const WRITTEN_FIRST: &str = "a cosignature is written before it is let out";
/// See `devices_follow_one_history`.
pub const DEVICE_ONE_HISTORY: &str = "a device follows one history";
/// See `devices_agree`.
pub const DEVICES_AGREE: &str = "devices agree unless a quorum lies";
/// See `nobody_is_accused_falsely`.
pub const NO_FALSE_ACCUSATION: &str = "nobody is accused falsely";
/// See `forks_are_kept`.
pub const FORKS_ARE_KEPT: &str = "a witness that met a fork stops for good";
/// See `evidence_spreads`.
pub const EVIDENCE_SPREADS: &str = "evidence at one honest witness comes to all";
/// See `forks_end`.
pub const FORKS_END: &str = "a fork between honest witnesses is convicted or held back";
/// See `evidence_convinces`.
pub const EVIDENCE_CONVINCES: &str = "evidence convinces by the log's key alone";
/// See `liveness_returns`.
pub const LIVENESS: &str = "liveness returns after healing";

/// Checked after every event.
pub const ALWAYS: [Invariant; 7] = [
    (LOG_ONE_HISTORY, log_signs_one_history),
    (WITNESS_ONE_HISTORY, witnesses_sign_one_history),
    (WRITTEN_FIRST, cosignatures_are_written_first),
    (DEVICE_ONE_HISTORY, devices_follow_one_history),
    (DEVICES_AGREE, devices_agree),
    (NO_FALSE_ACCUSATION, nobody_is_accused_falsely),
    (FORKS_ARE_KEPT, forks_are_kept),
];

/// Checked when all has healed and some time has passed.
pub const AT_THE_END: [Invariant; 4] = [
    (EVIDENCE_CONVINCES, evidence_convinces),
    (EVIDENCE_SPREADS, evidence_spreads),
    (FORKS_END, forks_end),
    (LIVENESS, liveness_returns),
];

/// The first of `invariants` that does not hold.
pub fn check(invariants: &[Invariant], world: &World) -> Result<(), Violation> {
    for (invariant, violation) in invariants {
        if let Some(detail) = violation(world) {
            return Err(Violation { invariant, detail });
        }
    }
    Ok(())
}

/// Protects the log's operator: crashes, full disks and old copies of the store never make an
/// honest log sign two roots of one size. A log that forks does so in two places; each of them is
/// run like an honest one.
fn log_signs_one_history(world: &World) -> Option<String> {
    let (branch, size) = world.observer.second_root()?;
    Some(format!(
        "history {branch} has two signed roots of size {size}"
    ))
}

/// Protects devices and the witness's name: all that an honest witness ever cosigned, also what was
/// lost on the way, lies on one history.
fn witnesses_sign_one_history(world: &World) -> Option<String> {
    let witness = world.observer.two_faced_witness()?;
    Some(format!(
        "witness {witness} cosigned heads that contradict each other"
    ))
}

/// Protects against crashes: what a witness let out, its database and its anchor know.
fn cosignatures_are_written_first(world: &World) -> Option<String> {
    let (witness, size) = world.observer.unwritten()?;
    Some(format!(
        "witness {witness} let a cosignature of size {size} out too early"
    ))
}

/// Protects a device from the log, and from any number of witnesses: once it knows a history, it
/// never accepts another.
fn devices_follow_one_history(world: &World) -> Option<String> {
    let device = world.observer.misled_device()?;
    Some(format!(
        "device {device} accepted heads that contradict each other"
    ))
}

/// Protects people from being shown different keys: devices hold the same history unless so many
/// witnesses lie that two quorums share no honest one.
fn devices_agree(world: &World) -> Option<String> {
    let is_split = !world.scenario.is_quorum_lying() && !world.observer.devices_agree();
    is_split.then(|| "devices accepted heads that contradict each other".to_owned())
}

/// Protects honest logs: nobody holds evidence, and no witness raises an alarm, against a log that
/// did not sign a contradiction.
fn nobody_is_accused_falsely(world: &World) -> Option<String> {
    if let Some(accusation) = world.observer.false_accusation() {
        return Some(format!("a false accusation by {accusation}"));
    }
    let mut alarmed = world.honest().filter(|witness| witness.has_alarm());
    let has_alarm = alarmed.next().is_some() && !world.observer.is_forked();
    has_alarm.then(|| "a witness has an alarm, and the log did nothing".to_owned())
}

/// Protects everybody from a log that forked: a witness that received both sides has an alarm, and
/// keeps it through crashes.
fn forks_are_kept(world: &World) -> Option<String> {
    let mut met = world.observer.met_forks();
    let silent = met.find(|number| world.has_no_alarm(*number))?;
    Some(format!("witness {silent} met a fork and has no alarm"))
}

/// Protects everybody whom evidence is shown to: what honest witnesses keep needs nobody's word.
fn evidence_convinces(world: &World) -> Option<String> {
    let log = log_verifier();
    let mut kept = world.honest().flat_map(Witness::evidence);
    let error = kept.find_map(|bytes| Evidence::verify(bytes, &log).err())?;
    Some(format!("what a witness keeps is none: {error}"))
}

/// Protects everybody from a log that forked: once all has healed, what one honest witness has
/// proof of, all of them have in some seconds.
fn evidence_spreads(world: &World) -> Option<String> {
    let [_, later] = &world.looks[..] else {
        return None;
    };
    let holder = later.iter().position(|standing| standing.has_alarm)?;
    let silent = world.honest().position(|witness| !witness.has_alarm())?;
    Some(format!(
        "witness {holder} has proof of a fork, and witness {silent} has no alarm"
    ))
}

/// Protects everybody from a log that shows honest witnesses histories of their own: once they
/// could compare for some seconds, each has proof; or the log, which could have been asked for
/// consistency, no longer grows there; or where nobody knows how to ask it, there is an alarm.
fn forks_end(world: &World) -> Option<String> {
    let [earlier, later] = &world.looks[..] else {
        return None;
    };
    for (number, witness) in world.honest().enumerate() {
        let (before, after) = (earlier[number].head, Standing::of(witness));
        let contradicts = |other: &Standing| world.observer.contradict(before, other.head);
        let has_grown = after.head != later[number].head;
        let is_held_back = if world.scenario.has_tiles {
            !has_grown && !witness.may_grow(world.now(), &Recorded::NOTHING)
        } else {
            witness.is_unreconciled(world.now())
        };
        if !after.has_alarm && !is_held_back && earlier.iter().any(contradicts) {
            return Some(format!("nothing stops the log at witness {number}"));
        }
    }
    None
}

/// Protects availability: when all has healed, an honest log publishes again, witnesses that nobody
/// had to give up cosign again, and devices accept newer heads.
fn liveness_returns(world: &World) -> Option<String> {
    if !world.must_live() {
        return None;
    }
    let before = world.published_at_healing;
    let published = world.log.published_size();
    if published <= before {
        return Some(format!(
            "the log published {published}, and {before} before"
        ));
    }
    let working = world.honest().filter(|witness| !witness.is_retired());
    for (number, witness) in working.enumerate() {
        let size = witness.recorded().size;
        if size <= before {
            return Some(format!(
                "honest witness {number} is at {size}, not after {before}"
            ));
        }
    }
    let mut working = world.honest().filter(|witness| !witness.is_retired());
    if working.any(|witness| !witness.may_grow(world.now(), &Recorded::NOTHING)) {
        return Some("an honest log may not grow at a witness".to_owned());
    }
    for (number, device) in world.devices.iter().enumerate() {
        let size = device.known().map_or(0, |known| known.size);
        if size <= before {
            return Some(format!("device {number} is at {size}, not after {before}"));
        }
    }
    None
}
