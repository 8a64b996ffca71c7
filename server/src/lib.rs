//! Candor's key transparency log server.

pub mod storage;
