//! Everything about the witness that needs sockets or its program: one test program, so that what
//! all of them use is built and linked once.

#![allow(clippy::unwrap_used, clippy::panic)]

mod bastion;
mod c2sp;
mod catch_up;
mod common;
mod decision;
mod gossip;
mod grpc;
mod http;
mod lists;
mod map;
mod program;
mod quarantine;
