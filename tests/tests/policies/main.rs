//! What devices trust, while it is more than one policy, or changes.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod rotation;
mod second;
mod succession;
