//! What Candor's processes share with each other: files that survive a crash, and the edges of a
//! server.
//!
//! # What is in scope
//!
//! For every program: [`durable`] files and [`key_file`]s. For servers, with the feature `edge`:
//! accepting connections ([`listener`]), HTTP ([`http`]) and gRPC ([`mod@grpc`]) on them, HTTP/2 on
//! any connection ([`http2`]), outgoing HTTP ([`fetch`]) and asking for readiness ([`probe`]), TLS
//! and its certificates ([`tls`]), [`logging`], [`metrics`], [`request`] ids, [`page`]s for people,
//! disk [`space`], [`traces`] and [`shutdown`]; with the feature `keys`: signing [`keys`], wherever
//! they are, and [`settings`], a configuration in a file and the environment.
//!
//! # What is out of scope
//!
//! Anything that knows the protocol. Of `candor-core` only [`keys`] and [`page`] use something: its
//! signers, and which characters are not seen.

pub mod durable;
pub mod key_file;

#[cfg(feature = "edge")]
mod asked;
#[cfg(feature = "edge")]
mod closing;
#[cfg(feature = "edge")]
pub mod fetch;
#[cfg(feature = "edge")]
pub mod grpc;
#[cfg(feature = "edge")]
pub mod http;
#[cfg(feature = "edge")]
pub mod http2;
#[cfg(feature = "keys")]
pub mod keys;
#[cfg(feature = "edge")]
pub mod listener;
#[cfg(feature = "edge")]
pub mod logging;
#[cfg(feature = "edge")]
pub mod metrics;
#[cfg(feature = "edge")]
pub mod page;
#[cfg(feature = "edge")]
pub mod probe;
#[cfg(feature = "edge")]
pub mod request;
#[cfg(feature = "keys")]
pub mod settings;
#[cfg(feature = "edge")]
pub mod shutdown;
#[cfg(feature = "edge")]
pub mod space;
#[cfg(feature = "edge")]
pub mod tls;
#[cfg(feature = "edge")]
pub mod traces;
#[cfg(feature = "edge")]
mod unread;
