//! People with their devices, and a server that does to them what it can: the state machine of
//! contact key verification (`candor_sdk::device`), with everything that surrounds it simulated.
//!
//! Time passes in steps of some hours. In each step devices may be without network, be shown an old
//! head, end and start again between any two of their actions; people publish, turn verification on
//! and off, add, remove and lose devices, compare codes, send messages, and act on alerts; and the
//! operator, if it is not honest, does one of its acts ([`operator::Act`]). Each deed is entered
//! with what it justifies and whom it has to be told; [`invariants`] says what must hold.
//!
//! # What is out of scope
//!
//! Proofs and witnesses ([`crate::log`] has them): the log is a list of values, and a head a place
//! in it. A server that drops what it took of the shared state, and one that gives it to devices
//! that have nothing yet.

pub mod cloud;
mod codes;
pub mod context;
pub mod coverage;
pub mod invariants;
pub mod log;
pub mod mutation;
pub mod names;
pub mod observer;
pub mod operator;
mod person;
pub mod phone;
pub mod report;
pub mod scenario;
mod screen;
pub mod world;

/// How much time passes in a step, in seconds.
pub const STEP_S: u64 = 4 * 3600;

/// When simulated time begins, in POSIX seconds.
pub const START_S: u64 = 1_700_000_000;
