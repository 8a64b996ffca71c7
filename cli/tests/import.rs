//! The sample keyring and the accounts of another log, imported into a real server.

#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use candor_core::account::{AccountLine, Binding, Label, VerifiedValue};
use candor_proto::v1::EraseRequest;
use candor_server::backup::{self, Exported};
use candor_server::config::Config;
use candor_server::control::Client;
use candor_server::storage::Engine;
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

/// A log with bindings, an account of three versions, and one that has an erased version.
fn with_accounts() -> World {
    let world = World::start();
    world.json(0, &[&["import", "openpgp", SAMPLE][..], &AT].concat());
    for label in ["acct:alice", "acct:carol"] {
        let device = ["--device-name", "phone", "--key", "sign=AAEC"];
        world.json(0, &[&["register", label][..], &device].concat());
        let device = ["--add-device", "laptop", "--key", "sign=AAED"];
        world.json(0, &[&["update", label][..], &device].concat());
    }
    let device = ["--add-device", "tablet", "--key", "sign=AAEE"];
    world.json(0, &[&["update", "acct:alice"][..], &device].concat());
    world
}

fn config(world: &World) -> Config {
    Config::read(&world.path("log/server.toml")).unwrap()
}

fn erase(world: &World, label: &str, before: u32) {
    let erasing = async {
        let mut client = Client::connect(&config(world)).await.unwrap().unwrap();
        let request = EraseRequest {
            label: label.to_owned(),
            before_version: Some(before),
        };
        client.admin.erase(request).await.unwrap().into_inner()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(erasing).erased, before);
}

/// Writes out the accounts of a log, from a backup that is made while it runs.
fn export(world: &World) -> (PathBuf, Exported) {
    let (to, file) = (world.path("backup"), world.path("accounts"));
    let taking = backup::take(config(world), to.clone(), Engine::Fjall, |_| {});
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(taking).unwrap();
    let exported = backup::export(&to, &file, &mut |_| {}).unwrap();
    backup::export(&to, &file, &mut |_| {}).unwrap_err();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    (file, exported)
}

#[test]
fn accounts_are_carried_over_with_all_their_versions() {
    let old = with_accounts();
    erase(&old, "acct:carol", 1);
    let (file, exported) = export(&old);
    let expected = Exported {
        labels: 528,
        versions: 531,
        erased: 1,
    };
    assert_eq!(exported, expected);
    let text = std::fs::read_to_string(&file).unwrap();
    let import = ["import", "accounts", file.to_str().unwrap()];

    let new = World::start();
    // A run that ended early: here with two of the three versions of an account.
    let whole: Vec<_> = text.split_inclusive('\n').collect();
    let alice = whole
        .iter()
        .position(|line| line.starts_with("acct:alice"))
        .unwrap();
    let part = new.path("part");
    std::fs::write(&part, whole[..alice + 2].concat()).unwrap();
    let first = new.json(0, &["import", "accounts", part.to_str().unwrap()]);
    assert_eq!(first["registered"], alice + 1);
    assert_eq!(first["labels"], alice);

    let report = new.json(5, &import);
    assert_eq!(
        (&report["labels"], &report["versions"]),
        (&json!(528), &json!(531))
    );
    assert_eq!(report["registered"], 529 - (alice + 1));
    assert_eq!(report["already_registered"], alice - 1);
    assert_eq!(
        (&report["conflicts"], &report["refused"]),
        (&json!([]), &json!({}))
    );
    assert_eq!(report["erased"], json!(["acct:carol"]));
    assert_eq!(new.run(&["lookup", "acct:carol"]).exit, 4, "absent");
    let history = |world: &World| {
        let history = world.json(0, &["history", "acct:alice"]);
        history["versions"].as_array().unwrap().len()
    };
    assert_eq!((history(&old), history(&new)), (3, 3));
    let devices = |world: &World| world.json(0, &["lookup", "acct:alice"])["devices"].clone();
    assert_eq!(devices(&new), devices(&old));

    let again = new.json(5, &import);
    assert_eq!(
        (&again["registered"], &again["already_registered"]),
        (&json!(0), &json!(527))
    );
    assert_eq!(new.json(0, &["audit"])["insertions"], 529);
}

#[test]
fn what_does_not_fit_is_reported_and_nothing_is_overwritten() {
    let old = with_accounts();
    let (file, _) = export(&old);
    let lines = std::fs::read_to_string(&file).unwrap();
    let only = |new: &World, label: &str| {
        let path = new.path("only");
        let header = lines.lines().next().unwrap();
        let of_label = lines
            .lines()
            .filter(|line| line.split('\t').next() == Some(label));
        let chosen: Vec<_> = [header].into_iter().chain(of_label).collect();
        std::fs::write(&path, chosen.join("\n") + "\n").unwrap();
        path.to_str().unwrap().to_owned()
    };
    let new = World::start();
    let device = ["--device-name", "other", "--key", "sign=AAFF"];
    new.json(0, &[&["register", "acct:alice"][..], &device].concat());
    // Its next version does not follow from what is there.
    let report = new.json(5, &["import", "accounts", &only(&new, "acct:alice")]);
    assert_eq!(
        report["refused"],
        json!({ "succession-refused": ["acct:alice"] })
    );
    let found = new.json(0, &["lookup", "acct:alice"]);
    assert_eq!(found["devices"][0]["name"], "other");
    assert_eq!(found["devices"].as_array().unwrap().len(), 1);

    // A binding without what it leads to.
    let binding = lines.lines().last().unwrap().split('\t').next().unwrap();
    let report = new.json(5, &["import", "accounts", &only(&new, binding)]);
    assert_eq!(report["registered"], 0);
    assert_eq!(report["refused"].as_object().unwrap().len(), 1, "{report}");

    let carol = only(&new, "acct:carol");
    let text = std::fs::read_to_string(&carol).unwrap();
    for bad in [
        String::new(),
        text.replacen("candor-accounts", "accounts", 1),
        text.replacen("\t0\t", "\t1\t", 1),
        text.trim_end().to_owned(),
        text.replacen("acct:carol\t1", "acct:carol\t2", 1),
        format!("{text}acct:dave\t0\tAAAA\n"),
    ] {
        std::fs::write(&carol, bad).unwrap();
        new.run(&["import", "accounts", &carol])
            .fails(6, "accounts-file");
    }
}

/// A binding says nothing of the one before, so the server would take it after any other.
#[test]
fn bindings_that_others_registered_are_not_overwritten() {
    let old = World::start();
    for label in ["acct:alice", "acct:carol"] {
        let device = ["--device-name", "phone", "--key", "sign=AAEC"];
        old.json(0, &[&["register", label][..], &device].concat());
    }
    let (file, _) = export(&old);
    let states = std::fs::read_to_string(&file).unwrap();
    let label = |text: &str| Label::parse(text).unwrap();
    let new = World::start();
    let import = |exit, targets: &[&str]| {
        let mut text = states.clone();
        for (version, target) in (0..).zip(targets) {
            let binding = Binding::new(label("mailto:b@example.org"), label(target));
            let line = AccountLine {
                label: label("mailto:b@example.org"),
                version,
                value: Some(VerifiedValue::Binding(binding.unwrap())),
            };
            text += &format!("{line}\n");
        }
        let path = new.path("with-binding");
        std::fs::write(&path, text).unwrap();
        new.json(exit, &["import", "accounts", path.to_str().unwrap()])
    };
    assert_eq!(import(0, &["acct:carol"])["registered"], 3);
    // What is there is not what would come before.
    let report = import(5, &["acct:alice", "acct:carol"]);
    assert_eq!(report["registered"], 0);
    assert_eq!(report["conflicts"], json!(["mailto:b@example.org"]));
    // It is, and one goes on.
    assert_eq!(import(0, &["acct:carol", "acct:alice"])["registered"], 1);
    let insertions = &new.json(0, &["audit"])["insertions"];
    assert_eq!(insertions, 4);
}
