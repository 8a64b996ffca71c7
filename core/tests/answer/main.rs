//! What devices verify: every check against the lie that it is there for.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../world/mod.rs"]
mod world;

mod account;
mod config;
mod file;
mod head;
mod second;
mod trust;

use world::World;

const ALICE: &str = "acct:alice";
const BOB: &str = "acct:bob";

/// Alice has versions 0 to `greatest`, one an epoch; Bob has one.
fn world(greatest: u32) -> World {
    let mut world = World::new();
    world.add(&[(BOB, b"bob's")]);
    for version in 0..=greatest {
        world.add(&[(ALICE, format!("alice's {version}").as_bytes())]);
    }
    world
}
