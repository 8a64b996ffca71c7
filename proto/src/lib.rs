//! Candor's gRPC messages and services, generated from `proto/candor/v1/*.proto`, and the small
//! conversions between them and the types of `candor-core`.
//!
//! Messages carry the encodings that `docs/protocol.md` defines as bytes, so a conversion only
//! checks lengths; what the bytes say is parsed, and then verified, by `candor-core`.

mod convert;

pub use prost::bytes::Bytes;

pub use convert::{
    WireError, hashes_from_wire, hashes_to_wire, head_from_wire, head_to_wire, second_from_wire,
    second_to_wire,
};

/// Package `candor.v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("candor.v1");
}
