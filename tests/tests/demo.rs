//! The demo ends well, and shows what it says it shows.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use candor_system::process::run;

#[test]
fn the_demo_shows_every_step_and_every_attack() {
    let printed = run("demo", &[]).unwrap_or_else(|error| panic!("{error}"));
    for shown in [
        "addresses verified, leading to",
        "exactly the versions that it published",
        "convinces a device that can reach nobody",
        "every epoch only inserted",
        "the device refuses: the key is not the one in the log",
        "no witness cosigns it, the device refuses it",
        "the log refuses to sign",
    ] {
        assert!(
            printed.contains(shown),
            "the demo does not say {shown:?}:\n{printed}"
        );
    }
    assert!(!printed.contains('✗'), "{printed}");
}
