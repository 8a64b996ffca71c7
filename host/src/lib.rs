//! What Candor's processes share with each other: files that survive a crash, and the edges of a
//! server.
//!
//! # What is in scope
//!
//! [`durable`] files and [`key_file`]s.
//!
//! # What is out of scope
//!
//! Anything that knows the protocol: nothing here depends on `candor-core`.

pub mod durable;
pub mod key_file;
