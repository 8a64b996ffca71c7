//! Policies that are worth no trust.

use candor_core::answer::{Trust, TrustError};
use candor_core::note::{NoteSigner as _, Policy};

use crate::world::World;

#[test]
fn a_policy_must_need_a_map_witness() {
    let world = World::new();
    let policy = |quorum: &str| {
        let text = world
            .policy()
            .replace("quorum both", &format!("quorum {quorum}"));
        Policy::parse(text.as_bytes()).unwrap()
    };
    let error = |result: Result<Trust, TrustError>| result.err();
    assert_eq!(error(Trust::new(policy("both"), ["M"])), None);
    let without = Some(TrustError::QuorumWithoutMapWitness);
    assert_eq!(error(Trust::new(policy("any"), ["M"])), without);
    assert_eq!(error(Trust::new(policy("none"), ["M"])), without);
    assert_eq!(error(Trust::new(policy("both"), [])), without);
    assert_eq!(
        error(Trust::new(policy("both"), ["M", "X"])),
        Some(TrustError::UnknownMapWitness)
    );
    assert!(Trust::danger_without_map_witnesses(policy("any")).is_ok());
    let no_log = Policy::parse(b"quorum none\n").unwrap();
    assert_eq!(
        error(Trust::danger_without_map_witnesses(no_log)),
        Some(TrustError::NoLog)
    );
    let other = World::of("other.example", 2);
    let key = other.log.verifier_key().to_string();
    let two = format!("log {key}\n{}", world.policy());
    let two = Policy::parse(two.as_bytes()).unwrap();
    assert_eq!(error(Trust::new(two, ["M"])), Some(TrustError::SeveralLogs));
}
