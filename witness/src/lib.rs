//! A witness: it checks that logs only grow, and cosigns what it checked.
//!
//! One request takes one path, whether it came by HTTP ([`http`]) or gRPC ([`grpc`]): [`witness`]
//! has it admitted and decided ([`decision`]), signs ([`cosigner`]), records it durably ([`store`])
//! and only then lets the signatures go. For logs of Candor a follower ([`map`]) also checks every
//! epoch's audit delta; the map's keys sign only sizes that it has checked. What contradicts is
//! kept ([`evidence`]). What logs showed other witnesses is compared ([`gossip`]). Further logs
//! come from [`lists`] and by a command ([`added`]). Who cannot be reached answers through bastions
//! ([`bastion`]).
//!
//! # What is in scope
//!
//! All of c2sp.org/tlog-witness (`add-checkpoint`, `sign-subtree`, the monitoring path),
//! `candor.v1.Witness`, and `candor.v1.Gossip` among configured peers.
//!
//! # What is out of scope
//!
//! TLS of its own ports and limits by address, which are a proxy's business.

pub mod added;
pub mod allowance;
pub mod bastion;
pub mod config;
pub mod cosigner;
pub mod decision;
pub mod dial;
pub mod evidence;
pub mod gossip;
pub mod grpc;
pub mod http;
pub mod init;
pub mod lists;
pub mod logs;
pub mod map;
pub mod metrics;
pub mod node_key;
mod page;
mod points;
pub mod preflight;
pub mod server;
pub mod state;
pub mod store;
mod subtrees;
pub mod suspicion;
#[cfg(test)]
mod trees;
pub mod witness;
