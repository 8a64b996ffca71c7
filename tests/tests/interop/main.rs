//! With other people's software: logs and witnesses that others wrote, beside ours.
//!
//! `make interop` installs them at pinned versions and runs this. A program that is not there is
//! told of and its test skipped: nothing of ours depends on it.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod our_log;
mod our_witness;
mod tools;
