//! The SDK against a log in this process, honest and lying: one test program, so that what all of
//! them use is built and linked once.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod ended;
mod errors;
mod gossip;
mod head;
mod lookup;
mod owner;
mod second;
mod secrets;
