//! The configuration as the first record.

use candor_core::answer::ConfigError;

use crate::world::{ORIGIN, World};
use crate::{ALICE, world};

#[test]
fn the_configuration_is_the_first_record_of_this_log() {
    let world = world(1);
    let size = world.size();
    let head = world
        .head(size)
        .verify(&world.trust(), None, &[], world.now_s)
        .unwrap();
    let verified = world.config(size).verify(head.checkpoint()).unwrap();
    assert_eq!(verified.config().origin, ORIGIN);
    assert_eq!(verified.vrf().as_bytes(), world.vrf.public_key().as_bytes());
    let of_other_key = World::of(ORIGIN, 2).config(1).config;
    let mut forged = world.config(size);
    forged.config = of_other_key;
    assert!(matches!(
        forged.verify(head.checkpoint()),
        Err(ConfigError::NotFirst(_))
    ));
    assert!(world.config(size - 1).verify(head.checkpoint()).is_err());
}

#[test]
fn a_log_that_begins_with_something_else_is_refused() {
    let refused = |first: Vec<u8>| {
        let mut world = World::new();
        world.epochs[0].record = first;
        world.add(&[(ALICE, b"alice's")]);
        let head = world
            .head(2)
            .verify(&world.trust(), None, &[], world.now_s)
            .unwrap();
        world.config(2).verify(head.checkpoint()).unwrap_err()
    };
    let other = World::of("other.example", 1).config(1).config;
    assert_eq!(refused(other), ConfigError::OtherLog);
    assert!(matches!(
        refused(world(0).head(2).record),
        ConfigError::Record(_)
    ));
    let mut config = World::new().config(1).config;
    let key_at = 4 + ORIGIN.len();
    config[key_at..key_at + 32].fill(0);
    assert!(matches!(refused(config), ConfigError::VrfKey(_)));
}
