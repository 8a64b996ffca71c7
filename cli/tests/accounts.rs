//! An account's life at the command line, against a real server: registered, looked up, changed,
//! watched, proved.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use support::{World, candor};

const ALICE: &str = "Alice@Example.ORG";

/// Fingerprint of the key `AAEC`: SHA-256 of 00 01 02.
const AAEC: &str = "ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc";

fn keys(report: &Value) -> Vec<&str> {
    let devices = report["devices"].as_array().unwrap().iter();
    let keys = devices.flat_map(|device| device["keys"].as_array().unwrap());
    keys.map(|key| key["fingerprint"].as_str().unwrap())
        .collect()
}

fn register(world: &World, label: &str) -> Value {
    let arguments = [
        "register",
        label,
        "--device-name",
        "phone",
        "--key",
        "sign=AAEC",
        "--enrol",
    ];
    world.json(0, &arguments)
}

#[test]
fn an_account_lives() {
    let world = World::start();
    let registered = register(&world, ALICE);
    assert_eq!(registered["label"], "mailto:alice@example.org");
    assert_eq!(
        (&registered["version"], &registered["visible"]),
        (&json!(0), &json!(true))
    );
    let key_files: Vec<_> = fs::read_dir(world.path("device/account-keys"))
        .unwrap()
        .collect();
    let key_file = key_files[0].as_ref().unwrap();
    assert_eq!(
        key_file.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );

    let found = world.json(0, &["lookup", ALICE]);
    assert_eq!(found["version"], 0);
    assert_eq!(found["enrolled"], true);
    assert_eq!(found["account_key"], registered["account_key"]);
    assert_eq!(keys(&found), [AAEC]);
    let checks = found["checks"].as_array().unwrap().iter();
    let weak: Vec<_> = checks.filter(|check| check["full"] == false).collect();
    assert_eq!(weak.len(), 1, "{weak:?}");
    assert_eq!(weak[0]["name"], "witnesses");

    let phone = found["devices"][0]["id"].as_str().unwrap();
    world.json(
        0,
        &["update", ALICE, "--rotate-key", &phone[..6], "sign=AAED"],
    );
    let added = [
        "update",
        ALICE,
        "--add-device",
        "laptop",
        "--key",
        "sign=AAEC",
    ];
    let added = world.json(0, &added);
    assert_eq!(added["version"], 2);
    assert_eq!(keys(&added).len(), 2);
    let removed = world.json(0, &["update", ALICE, "--remove-device", phone]);
    assert_eq!(keys(&removed), [AAEC]);

    let history = world.json(0, &["history", ALICE]);
    let steps: Vec<_> = history["versions"].as_array().unwrap().iter().collect();
    let changes: Vec<_> = steps
        .iter()
        .map(|step| step["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["enrolled", "updated", "updated", "updated"]);
    let rotated = format!("changed keys of {} phone", &phone[..8]);
    assert_eq!(steps[1]["changes"], json!([rotated]));

    let monitored = world.json(0, &["monitor", ALICE]);
    assert_eq!(monitored["versions"].as_array().unwrap().len(), 4);
    assert_eq!(monitored["alerts"], json!([]));
    let again = world.json(0, &["monitor", ALICE]);
    assert_eq!(again["versions"], json!([]));

    let audited = world.json(0, &["audit"]);
    assert_eq!(audited["insertions"], 4);
    assert_eq!(audited["epochs"], audited["head"]["epoch"]);
}

#[test]
fn what_another_device_published_is_an_alert_until_acknowledged() {
    let world = World::start();
    assert_eq!(world.init("other", &world.token()).exit, 0);
    let bob = "acct:bob";
    let arguments = [
        "register",
        bob,
        "--device-name",
        "phone",
        "--key",
        "sign=AAEC",
    ];
    world.json(0, &arguments);
    assert_eq!(world.json(0, &["monitor", bob])["alerts"], json!([]));
    let arguments = ["update", bob, "--add-device", "spy", "--key", "sign=AAEC"];
    assert_eq!(world.run_as("other", &arguments).exit, 0);

    for _ in 0..2 {
        let monitored = world.json(3, &["monitor", bob]);
        assert_eq!(monitored["alerts"][0]["version"], 1);
    }
    let text = world.run(&["monitor", bob]).stdout;
    assert!(text.contains("ALARM") && text.contains("spy"), "{text}");
    world.json(0, &["monitor", bob, "--acknowledge"]);
    assert_eq!(world.json(0, &["monitor", bob])["alerts"], json!([]));
}

#[test]
fn a_proof_is_verified_offline_and_only_untouched() {
    let world = World::start();
    register(&world, ALICE);
    let file = world.path("alice.candor-proof");
    let file = file.to_str().unwrap();
    world.json(0, &["proof", "save", ALICE, "-o", file]);
    world
        .run(&["proof", "save", ALICE, "-o", file])
        .fails(6, "file-unwritable");
    let printed = world.run(&["proof", "save", ALICE]).stdout;
    assert!(printed.starts_with("c2sp.org/tlog-proof@v1\n"), "{printed}");

    let absent = world.path("absent.candor-proof");
    let absent = absent.to_str().unwrap();
    world.json(0, &["proof", "save", "acct:nobody", "-o", absent]);

    let bytes = fs::read(file).unwrap();
    let config = world.path("device/client.toml");
    let offline = fs::read_to_string(&config).unwrap();
    // Nobody listens on the discard port.
    fs::write(
        &config,
        offline.replace(&world.endpoint, "http://127.0.0.1:9"),
    )
    .unwrap();
    let proved = world.json(0, &["proof", "verify", file]);
    assert_eq!(proved["label"], "mailto:alice@example.org");
    assert_eq!(keys(&proved), [AAEC]);
    assert_eq!(
        world.json(4, &["proof", "verify", absent])["version"],
        Value::Null
    );

    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut tampered = bytes.clone();
        tampered[at] ^= 1;
        let path = world.path("tampered");
        fs::write(&path, tampered).unwrap();
        let ran = world.run(&["proof", "verify", path.to_str().unwrap()]);
        // A changed name makes it a proof of another log, which the profile does not know.
        let other_log = ran.exit == 6 && ran.stderr.contains("error[other-log]");
        assert!(
            ran.exit == 3 || other_log,
            "byte {at}: {}{}",
            ran.exit,
            ran.stderr
        );
        assert_eq!(ran.stdout, "");
    }
    world.run(&["lookup", ALICE]).fails(2, "unreachable");
}

#[test]
fn every_failure_has_its_exit_code() {
    let world = World::start();
    let nobody = world.json(4, &["lookup", "acct:nobody"]);
    assert_eq!(
        (&nobody["version"], &nobody["devices"]),
        (&Value::Null, &json!([]))
    );
    assert_eq!(
        world.json(4, &["history", "acct:nobody"])["versions"],
        json!([])
    );
    assert_eq!(world.json(4, &["monitor", "acct:nobody"])["present"], false);
    world
        .run(&["update", "acct:nobody", "--remove-device", "00"])
        .fails(4, "no-account");

    let token = world.path("wrong-token");
    fs::write(&token, "wrong\n").unwrap();
    assert_eq!(world.init("wrong", &token).exit, 0);
    let arguments = [
        "register",
        ALICE,
        "--device-name",
        "phone",
        "--key",
        "sign=AAEC",
        "--enrol",
    ];
    world.run_as("wrong", &arguments).fails(5, "unauthorized");

    register(&world, ALICE);
    world.run(&arguments).fails(5, "update-refused");
    assert_eq!(world.run(&["lookup", ALICE]).exit, 0);
    world
        .run(&["update", ALICE, "--remove-device", "zz"])
        .fails(1, "usage");
    assert_eq!(world.init("third", &world.token()).exit, 0);
    let stolen = ["update", ALICE, "--add-device", "spy", "--key", "sign=AAEC"];
    world.run_as("third", &stolen).fails(6, "account-key");

    world
        .init("device", &world.token())
        .fails(6, "profile-invalid");
    candor(&["lookup", ALICE]).fails(1, "usage");
    for wrong in [
        &["lookup", "alice"][..],
        &["lookup"],
        &["register", ALICE, "--device-name", "phone"],
        &["register", ALICE, "--device-name", "phone", "--key", "sign"],
        &["update", ALICE],
        &["update", ALICE, "--add-device", "laptop"],
        &[
            "update",
            ALICE,
            "--remove-device",
            "00",
            "--capability",
            "2",
        ],
        &["nonsense"],
    ] {
        let ran = world.run(wrong);
        assert_eq!((ran.exit, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    }
    assert_eq!(candor(&["--version"]).exit, 0);
}

#[test]
fn a_profile_refuses_a_policy_that_nobody_checks() {
    let world = World::start();
    let policy = world.path("log/policy.txt");
    let directory = world.path("careless");
    let directory = directory.to_str().unwrap();
    let policy = policy.to_str().unwrap();
    let arguments = [
        "init",
        directory,
        "--server",
        &world.endpoint,
        "--policy",
        policy,
    ];
    candor(&arguments).fails(6, "profile-invalid");
    let named = [&arguments[..], &["--map-witness", "w1"]].concat();
    candor(&named).fails(6, "profile-invalid");
    assert!(!world.path("careless").exists());
}

#[test]
fn load_is_measured_and_answers_are_verified() {
    let world = World::start();
    let server = world.endpoint.as_str();
    // Nobody is registered, which is proved too; updates would register.
    let few = [
        "load",
        server,
        "--accounts",
        "30",
        "--duration",
        "1",
        "--warm-up",
        "0",
    ];
    let lookups = ["--mix", "lookup=1", "--verify", "1", "--concurrency", "2"];
    let flat_out = world.json(0, &[&few[..], &lookups].concat());
    assert_eq!(flat_out["loop_kind"], "closed");
    assert!(flat_out["verified"].as_u64().unwrap() > 0);
    assert_eq!(flat_out["errors"], json!([]));

    let mixed = [
        "--prepare",
        "--rate",
        "60",
        "--verify",
        "0.5",
        "--seed",
        "1",
    ];
    let at_rate = world.json(0, &[&few[..], &mixed].concat());
    assert_eq!(at_rate["loop_kind"], "open");
    let calls = at_rate["operations"].as_array().unwrap().iter();
    let calls: u64 = calls.map(|it| it["calls"].as_u64().unwrap()).sum();
    assert_eq!((calls, &at_rate["not_started"]), (60, &json!(0)));
    assert_eq!(
        (&at_rate["refused"], &at_rate["errors"]),
        (&json!(0), &json!([]))
    );
    let found = world.json(0, &["lookup", "acct:load0000000029"]);
    assert_eq!(found["label"], "acct:load0000000029");

    let text = world.run(&[&few[..], &lookups].concat());
    assert_eq!(text.exit, 0, "{}", text.stderr);
    assert!(
        text.stdout.contains("one after the other"),
        "{}",
        text.stdout
    );
    world
        .run(&["load", "http://127.0.0.1:1"])
        .fails(2, "unreachable");
    let wrong = world.run(&["load", server, "--mix", "sleep=1"]);
    assert_eq!((wrong.exit, wrong.stdout.as_str()), (1, ""));
}
