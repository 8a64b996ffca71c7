//! The sample keyring, imported into a real server.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use support::World;

const SAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/data/debian-keyring-sample.pgp"
);

/// When the sample was published.
const AT: [&str; 2] = ["--at", "1671840000"];

#[test]
fn the_sample_is_registered_once() {
    let world = World::start();
    let import = [&["import", "openpgp", SAMPLE][..], &AT].concat();
    let first = world.json(0, &import);
    assert_eq!(
        (&first["people"], &first["devices"]),
        (&json!(226), &json!(469))
    );
    assert_eq!(
        (&first["addresses"], &first["registered"]),
        (&json!(526), &json!(526))
    );
    assert_eq!(first["skipped"].as_array().unwrap().len(), 2);

    let second = world.json(0, &import);
    assert_eq!(
        (&second["registered"], &second["already_registered"]),
        (&json!(0), &json!(526))
    );
    assert_eq!(second["conflicts"], json!([]));

    let audited = world.json(0, &["audit"]);
    assert_eq!(audited["insertions"], 526);
}

#[test]
fn what_is_registered_otherwise_is_reported_and_left_alone() {
    let world = World::start();
    let import = [&["import", "openpgp", SAMPLE][..], &AT].concat();
    let bound = {
        // Find a further address and the account that it leads to.
        let other = World::start();
        assert_eq!(other.run(&import).exit, 0);
        let people = {
            let mut people = Vec::new();
            let file = std::fs::read(SAMPLE).unwrap();
            candor::openpgp::read_keyring(&file[..], 1_671_840_000, |person| people.push(person))
                .unwrap();
            people
        };
        let person = people
            .iter()
            .find(|person| person.emails().len() > 1)
            .unwrap();
        let [primary, further] = [0, 1].map(|at| person.emails()[at].as_str().to_owned());
        let found = other.json(0, &["lookup", &further]);
        assert_eq!(
            (&found["label"], &found["bound_to"]),
            (&json!(further), &json!(primary))
        );
        assert_eq!(
            found["devices"].as_array().unwrap().len(),
            person.devices().len()
        );
        further
    };
    let arguments = [
        "register",
        &bound,
        "--device-name",
        "phone",
        "--key",
        "sign=AAEC",
    ];
    world.json(0, &arguments);
    let report = world.json(5, &import);
    assert_eq!(report["conflicts"], json!([bound]));
    assert_eq!(report["registered"], 525);
    assert_eq!(
        world.json(0, &["lookup", &bound])["devices"][0]["name"],
        "phone"
    );
}

#[test]
fn without_the_token_nothing_is_imported() {
    let world = World::start();
    let token = world.path("wrong-token");
    std::fs::write(&token, "wrong\n").unwrap();
    assert_eq!(world.init("wrong", &token).exit, 0);
    let import = [&["import", "openpgp", SAMPLE][..], &AT].concat();
    world.run_as("wrong", &import).fails(5, "unauthorized");
    world
        .run(&["import", "openpgp", "/nowhere"])
        .fails(6, "file-unreadable");
    let not_a_keyring = world.path("device/client.toml");
    world
        .run(&["import", "openpgp", not_a_keyring.to_str().unwrap()])
        .fails(6, "keyring");
}
