//! Contact key verification: what a messaging application embeds above lookups.
//!
//! A [`Device`] is one device of a person's account. It knows the account's own devices, the saved
//! contacts and what was verified of each, and it says, in a closed set of [`Alert`]s, what the
//! person has to be told; while all is well it says nothing. It is a thin layer over [`Machine`],
//! which has no network, clock or store of its own, for whoever embeds it in another way.
//!
//! # Quick start
//!
//! ```no_run
//! use std::path::Path;
//!
//! use candor_core::account::{Device as DeviceRecord, DeviceKey, Label};
//! use candor_core::answer::Trust;
//! use candor_core::note::Policy;
//! use candor_sdk::device::{
//!     AccountFacts, Clearance, Device, DeviceFacts, Event, Identity, OfferedDevice, Requirements,
//! };
//! use candor_sdk::{Client, ClientConfig, FileStore};
//!
//! # type Anything = Box<dyn std::error::Error>;
//! # async fn example(seed: [u8; 32], encryption_key: Vec<u8>) -> Result<(), Anything> {
//! // The account key's seed comes from the person's encrypted key sync; make one if there is none.
//! let me = Identity {
//!     origin: "log.example/keys".to_owned(),
//!     label: Label::normalize("alice@example.org")?,
//!     identifiers: vec![Label::normalize("+1 555 123 4567")?],
//!     device: DeviceRecord {
//!         id: b"alice-phone".to_vec(),
//!         name: "Alice's phone".to_owned(),
//!         platform: "ios".to_owned(),
//!         os_version: "17.4".to_owned(),
//!         capability: 1,
//!         added_ms: 0,
//!         expires_ms: 0,
//!         keys: vec![DeviceKey {
//!             purpose: "encrypt".to_owned(),
//!             public_key: encryption_key,
//!         }],
//!     },
//!     account_key: Some(seed.into()),
//!     requirements: Requirements {
//!         minimum_os: [("ios".to_owned(), "17.2".to_owned())].into(),
//!     },
//!     gossip_one_in: 8,
//! };
//! let policy = Policy::parse(&std::fs::read("candor.policy")?)?;
//! let trust = Trust::new(policy, ["witness.example-map"])?;
//! let config = ClientConfig::new("https://keys.example:443", trust);
//! let client = Client::new(config, FileStore::open(Path::new("candor.store"))?)?;
//! let device = Device::open(client, me).await?;
//!
//! // Turn verification on. What it needs and the account has not is in the outcome.
//! let facts = AccountFacts {
//!     has_two_factor: true,
//!     devices: [(b"alice-phone".to_vec(), DeviceFacts::all())].into(),
//! };
//! println!("{:?}", device.enrol(facts).await?);
//!
//! // Before each message: may it be encrypted to these devices?
//! let bob = Label::normalize("bob@example.org")?;
//! device.save_contact(&bob).await?;
//! let offered: Vec<OfferedDevice> = vec![]; // from the messenger's own servers
//! match device.before_send(&bob, offered).await? {
//!     Clearance::Yes { devices, level, .. } => println!("{level:?}: {} devices", devices.len()),
//!     Clearance::No { alerts, .. } => println!("ask the person first: {alerts:?}"),
//!     Clearance::Unknown(trouble) => println!("not now: {trouble:?}"),
//! }
//!
//! // Whenever the application wakes up.
//! device.tick().await?;
//! for event in device.take_events().await {
//!     match event {
//!         Event::Raised(alert) => println!("{}", alert.kind.text("Bob").title),
//!         Event::Share => {
//!             let sealed = device.sync_export().await?; // to where the other devices find it
//!             println!("{} bytes to share", sealed.as_bytes().len());
//!             device.sync_uploaded().await?;
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What the application does
//!
//! - It carries messages of other devices: gossip ([`Device::gossip_out`], [`Device::gossip_in`]),
//!   comparisons ([`Device::compare`]), proofs ([`Device::proof_out`], [`Device::proof_in`]).
//! - It keeps what the person's devices share where all find it: it merges what is there
//!   ([`Device::sync_merge`]) before it stores a newer one.
//! - It shows [`Device::alerts`], with the sentences of [`AlertKind::text`], and calls
//!   [`Device::acknowledge`] when the person has acted.

mod alert;
mod board;
mod contact;
mod edit;
mod judge;
mod machine;
mod own;
mod phone;
mod protocol;
mod requirements;
mod texts;
mod trouble;

pub use alert::{Alert, AlertKind, DeviceChange, DeviceDifference, Severity, Subject};
pub use edit::{Edit, EditError};
pub use judge::{Level, Logged};
pub use machine::{CHECK_INTERVAL_S, Compared, Identity, Machine};
pub use phone::{Device, DeviceError};
pub use protocol::{
    Action, Answer, Clearance, CodeEntered, Command, CompareFailure, ContactView, EditFailure,
    Edited, Event, OfferedDevice, Outcome, Question,
};
pub use requirements::{AccountFacts, DeviceFacts, Requirements, Unmet, UnmetByDevice};
pub use texts::AlertText;
pub use trouble::Trouble;

#[cfg(test)]
mod tests;
