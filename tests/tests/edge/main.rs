//! The edges of a running system: garbage, slowness and wrong credentials at every port, and TLS
//! everywhere.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod certificates;
mod garbage;
mod hostile;
mod raw;
mod secure;
mod table;
