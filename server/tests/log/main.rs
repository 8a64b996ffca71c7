//! The log as a whole: epochs, crashes, witnesses, and the ports, against the promises that the
//! server makes. What devices would check is checked with their own code, `candor_core::answer`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod access;
mod backup;
mod certificates;
mod concurrency;
mod control;
mod damage;
mod desk;
mod device;
mod edge;
mod enrolment;
mod erasure;
mod faults;
mod formats;
mod fsck;
mod gate;
mod harness;
mod ladders;
mod limits;
mod memory;
mod pipeline;
mod publisher;
mod second;
mod sequencer;
mod site;
mod steps;
mod witnesses;
