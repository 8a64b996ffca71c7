//! The quick start of `candor_sdk::device` runs, and says what its reader expects.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use candor_system::process::run;
use candor_system::system::System;

#[tokio::test]
async fn the_quick_start_enrols_a_device_and_asks_before_it_sends() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(&folder.path().join("system"), 2).unwrap();
    system.start().await.unwrap();
    system.wait_published().await.unwrap();
    let paths = [
        system.policy_path(),
        system.token_path(),
        folder.path().join("alice.store"),
    ];
    let mut arguments = vec![system.endpoint()];
    arguments.extend(paths.map(|path| path.to_string_lossy().into_owned()));
    arguments.extend(system.map_witnesses());
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let printed = run("examples/quick_start", &arguments);
    let printed = printed.unwrap_or_else(|error| panic!("{error}"));
    for line in [
        "enrolled: Ok(Visible(0))",
        "may send, NoAccount: 0 devices",
        "shared: ",
    ] {
        assert!(printed.contains(line), "{line:?} in\n{printed}");
    }
}
