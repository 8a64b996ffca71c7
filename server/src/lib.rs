//! Candor's key transparency log server.
//!
//! Data flows one way: calls pass [`access`]; updates enter through [`api`], are checked and
//! prepared by
//! [`sequencer::admission`], sequenced into epochs by the [`sequencer`] over the [`map`] and the
//! [`ledger`], signed, and published by the [`publisher`] when the witnesses' quorum is met;
//! lookups are answered from the published [`head`] by [`lookup`]. The [`storage`] engines and the
//! [`anchor`] are what is durable.

pub mod access;
pub mod anchor;
pub mod api;
pub mod backup;
pub mod clock;
pub mod config;
pub mod control;
pub mod fsck;
pub mod head;
pub mod http;
pub mod identity;
pub mod init;
pub mod ledger;
pub mod limits;
pub mod lookup;
pub mod map;
pub mod metrics;
pub mod publisher;
pub mod rotation;
pub mod run;
pub mod sequencer;
pub mod signer;
pub mod stopped;
pub mod storage;
pub mod succession;
