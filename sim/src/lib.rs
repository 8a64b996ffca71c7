//! A log, its witnesses and devices in one thread, with everything that can go wrong between them,
//! and what must hold all the same.
//!
//! What decides is the code that the programs run: the log's recovery, epochs, commits and anchor
//! over its store in memory; the witness's decisions, changes, writing order and start; the
//! device's verification of heads; the state machine of the witnesses' gossip. The simulation has
//! their place in the world: a queue of events ordered by time, one source of chance, a network,
//! disks and clocks that fail. One seed gives one run, always the same. [`invariants`] says what
//! must hold, [`mutation`] what is broken on purpose to show that it is noticed.
//!
//! [`people`] simulates what devices tell people, over a log that is a list of values.
//!
//! # What is out of scope
//!
//! Updates and maps, HTTP, how peers know each other, evidence that operators cleared, and how
//! several requests of one process wait for each other.

pub mod context;
pub mod coverage;
pub mod device;
pub mod invariants;
pub mod keys;
pub mod log;
pub mod message;
pub mod mutation;
pub mod network;
pub mod observer;
pub mod people;
mod plan;
pub mod report;
pub mod scenario;
pub mod trace;
pub mod witness;
pub mod world;
