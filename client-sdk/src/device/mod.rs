//! Contact key verification: what a messaging application embeds above lookups.
//!
//! A [`Device`] is one device of a person's account. It knows the account's own devices, the saved
//! contacts and what was verified of each, and it says, in a closed set of [`Alert`]s, what the
//! person has to be told; while all is well it says nothing. It is a thin layer over [`Machine`],
//! which has no network, clock or store of its own, for whoever embeds it in another way.
//!
//! # Quick start
//!
//! The program `examples/quick_start.rs`, which a test runs against a log with its witnesses:
//!
#![doc = "```no_run"]
#![doc = include_str!("../../examples/quick_start.rs")]
#![doc = "```"]
//!
//! # What the application does
//!
//! - It carries messages of other devices: gossip ([`Device::gossip_out`], [`Device::gossip_in`]),
//!   comparisons ([`Device::compare`]), proofs ([`Device::proof_out`], [`Device::proof_in`]).
//! - It keeps what the person's devices share where all find it: it merges what is there
//!   ([`Device::sync_merge`]) before it stores a newer one.
//! - It shows [`Device::alerts`], with the sentences of [`AlertKind::text`], and calls
//!   [`Device::acknowledge`] when the person has acted.

mod alert;
mod board;
mod contact;
mod edit;
mod judge;
mod machine;
mod own;
mod phone;
mod protocol;
mod requirements;
mod texts;
mod trouble;

pub use alert::{Alert, AlertKind, DeviceChange, DeviceDifference, Severity, Subject};
pub use edit::{Edit, EditError};
pub use judge::{Level, Logged};
pub use machine::{CHECK_INTERVAL_S, Compared, Identity, Machine};
pub use phone::{Device, DeviceError};
pub use protocol::{
    Action, Answer, Clearance, CodeEntered, Command, CompareFailure, ContactView, EditFailure,
    Edited, Event, OfferedDevice, Outcome, Question,
};
pub use requirements::{AccountFacts, DeviceFacts, Requirements, Unmet, UnmetByDevice};
pub use texts::AlertText;
pub use trouble::Trouble;

#[cfg(test)]
mod tests;
