//! What the end to end tests and the demo have beside the system of real programs.
//!
//! [`relay`] is a server that lies, in front of one that does not.

pub mod relay;
