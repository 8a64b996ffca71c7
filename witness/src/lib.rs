//! A witness: it checks that logs only grow, and cosigns what it checked.
//!
//!
//! # What is in scope
//!
//! c2sp.org/tlog-witness `add-checkpoint` and its monitoring path, and `candor.v1.Witness`.
//!
//! # What is out of scope
//!
//! TLS and rate limits by address (a proxy's business), and subtree cosignatures.

pub mod decision;
pub mod state;
