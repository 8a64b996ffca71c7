//! The state machine against a log in memory. "Statement N" in a test's comment refers to the list
//! in `docs/contact-key-verification.md`, whose table is made from these comments.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod alerts;
mod comparing;
mod contacts;
mod erased;
mod found;
mod gossip;
mod log;
mod owner;
mod sizes;
mod turning_on;
