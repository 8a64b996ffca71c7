//! A whole Candor system on loopback, made of the real programs: for stories at the terminal, the
//! demo, end to end tests and `make run`.
//!
//! [`process`] starts, kills and stops programs; [`system`] puts a server and its witnesses
//! together, and makes second ones of their files.

pub mod process;
pub mod system;

/// What goes wrong here is told to a person or fails a test; there is nobody to react to it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
