//! What Candor's server, witnesses, devices and auditors share: the verifiable structures.
//!
//! # What is in scope
//!
//! The log of epochs ([`log`]), signed notes, cosignatures and policies ([`note`]), the verifiable
//! map ([`map`]), the VRF and commitments that hide its contents ([`crypto`]), accounts
//! ([`account`]), the answers that devices check ([`answer`]), and what people compare
//! ([`verification`]).
//!
//! # What is out of scope
//!
//! Anything that does I/O: sockets, files, clocks, randomness, storage engines, gRPC. Time and
//! random bytes are arguments. So every verifier here runs the same in a phone, a witness, an
//! auditor and a simulation.
//!
//! Every parser has a limit (see [`limits`]) and accepts exactly one encoding of a value. What was
//! only parsed and what was verified are different types; the verified ones have no public
//! constructor but their verification.

pub mod account;
pub mod answer;
pub mod codec;
pub mod crypto;
pub mod epoch;
pub mod hash;
pub mod limits;
pub mod log;
pub mod map;
pub mod note;
pub mod verification;

pub use hash::Hash;
