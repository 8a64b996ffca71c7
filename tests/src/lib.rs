//! A whole Candor system on loopback, made of the real programs: for the end to end tests, the demo
//! and `make run`.
//!
//! [`process`] starts, kills and stops programs; [`system`] puts a server and its witnesses
//! together; [`relay`] is a server that lies, in front of one that does not.

pub mod process;
pub mod relay;
pub mod system;

/// What goes wrong here is told to a person or fails a test; there is nobody to react to it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
