//! Candor's device library: who is behind an identifier, verified.
//!
//! # Two levels
//!
//! - [`Client`] asks a server, verifies every answer, and remembers what it verified in a
//!   [`Store`]. Applications use this.
//! - [`candor_core::answer`] holds the same checks without network, clock or storage, for
//!   whoever carries answers in another way.
//!
//! # What it rules out
//!
//! No answer is returned that was not verified: the head is signed by the log and cosigned by a
//! quorum of witnesses, current, and consistent with every head that this device saw before; the
//! account's greatest version is proved at that head, opens its commitment, and agrees with what
//! the device remembers. Memory changes only after all of that holds, at once. An [`Error`] says
//! whose [`Fault`] it is, so that being offline is never shown as an attack, nor an attack as being
//! offline.
//!
//! What it cannot rule out: that the log and every witness of a quorum lie together, before the
//! account's owner monitors it ([`Client::monitor_own`]).
//!
//! # Quick start
//!
//! ```no_run
//! use std::path::Path;
//!
//! use candor_core::account::Label;
//! use candor_core::answer::Trust;
//! use candor_core::note::Policy;
//! use candor_sdk::{Client, ClientConfig, Fault, FileStore};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // The policy names the log's key, the witnesses, and how many of them must agree.
//! let policy = Policy::parse(&std::fs::read("candor.policy")?)?;
//! let trust = Trust::new(policy, ["witness.example-map"])?;
//! let config = ClientConfig::new("https://keys.example:443", trust);
//! let client = Client::new(config, FileStore::open(Path::new("candor.store"))?)?;
//!
//! let label = Label::normalize("+1 555 123 4567")?;
//! match client.resolve(&label).await {
//!     Ok(found) => match found.state() {
//!         Some(state) => println!("{} devices", state.state().devices.len()),
//!         None => println!("no account"),
//!     },
//!     Err(error) => match error.fault() {
//!         Fault::ServerLied { .. } => println!("alert: {error} ({})", error.code()),
//!         _ => println!("unresolved, try again: {error} ({})", error.code()),
//!     },
//! }
//! # Ok(())
//! # }
//! ```

mod audit;
mod client;
mod config;
pub mod device;
mod error;
mod gossip;
mod heads;
mod kept;
mod lookup;
mod memory;
mod monitor;
mod offline;
mod publish;
mod qr;
mod rpc;
pub mod shared;
mod store;
mod watch;

pub use audit::{AuditError, AuditState};
pub use client::Client;
pub use config::ClientConfig;
pub use error::{
    CODES, ContentError, Error, Evidence, EvidenceError, Fault, GossipError, ReceiptError,
};
pub use gossip::Gossiped;
pub use lookup::{AccountVersion, LOOKUP_BATCH_MAX, Lookup, PastVersion, Resolution};
pub use monitor::{OwnReport, OwnVersion, PublishedVersion, Verdict};
pub use publish::{Published, Receipt};
pub use qr::QrPicture;
pub use store::{Change, FileStore, Key, MemoryStore, Store, StoreError};
pub use watch::HeadWatch;
