//! Witnesses compare what logs showed them, so that a log cannot show each its own history.
//!
//! # The state machine
//!
//! [`Gossip`] decides everything: a plain structure without I/O, tasks, randomness or a clock.
//! Whoever drives it gives it what happened and the time since any fixed moment, and carries out
//! the [`Action`]s that come back:
//!
//! | what happened | call |
//! |---|---|
//! | a log is witnessed | [`Gossip::add_log`] |
//! | what is remembered of it | [`Gossip::cosigned`], [`Gossip::forked`], [`Gossip::dismiss`] |
//! | a checkpoint was submitted | [`Gossip::submitted`] |
//! | it was recorded, durably | [`Gossip::cosigned`] |
//! | this witness found evidence itself | [`Gossip::forked`] |
//! | it is time to ask a peer | [`Gossip::begin`], then the request goes to the peer |
//! | a peer asks | [`Gossip::answer`] |
//! | a peer answered | [`Gossip::on_answer`] |
//! | the log proved, or failed to | [`Gossip::on_proof`] |
//! | some time passed | [`Gossip::tick`] |
//!
//! An exchange has two rounds: digests of all heads, then the heads and evidence that the asker
//! lacks. A head of a peer counts only if its log signed it. One size with two roots is evidence at
//! once. Two sizes have to be shown consistent: the peer comes to agree with a head of ours, the
//! log submits a checkpoint of that size, or it proves it when it is asked. A proof that leads from
//! another root is evidence as well. Until then the head waits; one that waits longer than
//! [`Times::patience`] makes the log *unreconciled*, which accuses nobody.
//!
//! # Bounds
//!
//! For each peer and log one head waits, for each log [`OWN_HEADS_MAX`] own heads and one case of
//! evidence are held, each note with one line for each key of the log. What a peer sends is bounded
//! by [`message`], and what is done for it by what it was asked for.

mod driver;
mod head;
pub mod identity;
mod ledger;
mod machine;
pub mod message;
mod node;
mod peers;
mod service;
mod source;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use driver::{follow_logs, follow_peer};
pub use head::{Head, contradiction_id};
pub use identity::GossipKey;
pub use ledger::{OWN_HEADS_MAX, Waiting};
pub use machine::{Action, Fault, Gossip, QUESTIONS_MAX, Question};
pub use message::{Answer, Content, Digest, Item, LogId, Request, Wanted, What};
pub use node::{Node, Rejected};
pub use peers::{PEERS_MAX, Peer, PeerError};
pub(crate) use peers::{Section, check};
pub(crate) use service::service;

/// Which peer: its position among those of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub usize);

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Between two exchanges with one peer.
    pub interval: Duration,
    /// How long a head waits before the log is asked for a proof: most often it submits the same
    /// checkpoint here in a moment.
    pub grace: Duration,
    /// Between two questions to one log, unless it proves what it is asked.
    pub retry: Duration,
    /// How long a head may wait before its log is unreconciled.
    pub patience: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            grace: Duration::from_secs(5),
            retry: Duration::from_secs(60),
            patience: Duration::from_secs(3_600),
        }
    }
}
