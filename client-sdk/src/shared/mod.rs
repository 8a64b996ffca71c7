//! What the devices of one account tell each other: their own devices, the contacts whose keys
//! their person verified, whether verification is on, what they published, and what they saw.
//!
//! It travels as one sealed blob through whatever the application has. Two blobs are *merged*, and
//! a merge is a join: every part keeps the greatest of what it was told under a total order, or the
//! union. So any devices may merge any blobs in any order, as often as they like, and those who
//! merged the same hold the same. A server that stores blobs can neither read nor change them
//! ([`SealedState`]); if it gives back an older one, a device that wrote since sees that its own
//! entries are missing ([`Merge::lacks_ours`]), and a device that has nothing yet misses the newest
//! logged version of its account among the publications ([`SharedState::published`]), because a
//! device adds what it publishes before it publishes it, and shares it as soon as it has.
//!
//! What it rules out: a merge that depends on clocks or on order, a mark that comes back after it
//! was removed, and a label or name in the blob: contacts and devices are digests.

mod encoding;
mod register;
mod sealed;
mod state;

pub use sealed::{NONCE_BYTES, SealError, SealedState, SharedKey};
pub use state::{ContactId, DeviceTag, LoggedVersion, Merge, SeenHead, SharedError, SharedState};

#[cfg(test)]
mod tests;
