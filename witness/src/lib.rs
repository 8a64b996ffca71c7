//! A witness: it checks that logs only grow, and cosigns what it checked.
//!
//! One request takes one path, whether it came by HTTP ([`http`]) or gRPC ([`grpc`]): [`witness`]
//! has it admitted and decided ([`decision`]), signs ([`cosigner`]), records it durably ([`store`])
//! and only then lets the signatures go. For logs of Candor a follower ([`map`]) also checks every
//! epoch's audit delta; the map's keys sign only sizes that it has checked. What contradicts is
//! kept ([`evidence`]).
//!
//! # What is in scope
//!
//! `add-checkpoint` and the monitoring path of c2sp.org/tlog-witness, and `candor.v1.Witness`.
//!
//! # What is out of scope
//!
//! TLS and limits by address, which are a proxy's business, and cosignatures of subtrees.

pub mod config;
pub mod cosigner;
pub mod decision;
pub mod evidence;
pub mod grpc;
pub mod http;
pub mod init;
pub mod map;
pub mod metrics;
pub mod server;
pub mod state;
pub mod store;
pub mod witness;
