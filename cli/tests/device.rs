//! Phones at the command line, against a real server: two people, their devices and what a
//! messenger's server can do to them.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use serde_json::{Value, json};
use support::{Ran, World};

const ALICE: &str = "acct:alice";
const BOB: &str = "acct:bob";
const ENROL: [&str; 4] = ["enrol", "--two-factor", "--passcode", "--key-sync"];

/// A log, and phones that have its profile.
struct Phones(World);

impl Phones {
    fn start() -> Self {
        Self(World::start())
    }

    /// Two enrolled people who saved each other.
    fn of_alice_and_bob() -> Self {
        let phones = Self::start();
        for (phone, label) in [("alice", ALICE), ("bob", BOB)] {
            phones.init(phone, label, &[]);
            phones.json(0, phone, &["publish"]);
            phones.json(0, phone, &ENROL);
        }
        phones.json(0, "alice", &["contact", "add", BOB]);
        phones.json(0, "bob", &["contact", "add", ALICE]);
        phones
    }

    fn init(&self, phone: &str, label: &str, more: &[&str]) -> Value {
        let directory = self.0.path(phone);
        let mailbox = self.0.path("mailbox");
        let arguments = [
            &["device", "init", directory.to_str().unwrap()][..],
            &["--label", label, "--name", phone],
            &["--mailbox", mailbox.to_str().unwrap()],
            more,
        ];
        self.0.json(0, &arguments.concat())
    }

    fn run(&self, phone: &str, arguments: &[&str]) -> Ran {
        self.0.run_as(phone, &[&["device"], arguments].concat())
    }

    #[track_caller]
    fn json(&self, exit: i32, phone: &str, arguments: &[&str]) -> Value {
        self.run(phone, &[arguments, &["--json"]].concat())
            .json(exit)
    }

    /// The kinds of alerts that a phone shows.
    fn alerts(&self, phone: &str) -> Vec<String> {
        let ran = self.run(phone, &["alerts", "--json"]);
        let shown = ran.json(ran.exit);
        let codes = shown["alerts"].as_array().unwrap().iter();
        codes
            .map(|alert| alert["code"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Both compare at once; what each phone reported.
    fn compare(&self, answers: [&str; 2]) -> [Ran; 2] {
        let run = |phone, contact, answer| {
            let arguments = ["compare", contact, "--answer", answer, "--json"];
            self.run(phone, &arguments)
        };
        thread::scope(|scope| {
            let alice = scope.spawn(|| run("alice", BOB, answers[0]));
            let bob = run("bob", ALICE, answers[1]);
            [alice.join().unwrap(), bob]
        })
    }

    /// The messenger offers another device of an account.
    fn insert_ghost(&self, label: &str) -> std::path::PathBuf {
        let devices = self.0.path("mailbox").join(label).join("devices");
        let ghost = devices.join(format!("{}.json", "07".repeat(16)));
        fs::write(&ghost, r#"{"keys": {"encrypt": "AAEC"}}"#).unwrap();
        ghost
    }
}

#[test]
fn two_people_turn_it_on_compare_and_write() {
    let phones = Phones::start();
    for (phone, label) in [("alice", ALICE), ("bob", BOB)] {
        phones.init(phone, label, &[]);
        assert_eq!(phones.json(0, phone, &["publish"])["outcome"], "visible");
    }
    let refused = phones.json(7, "alice", &["enrol", "--passcode"]);
    let refusals = refused["refusals"].to_string();
    assert!(refusals.contains("two-factor"), "{refusals}");
    assert!(refusals.contains("alice needs the encrypted key sync"));
    assert!(!refusals.contains("a passcode"), "{refusals}");
    phones.json(0, "alice", &["contact", "add", BOB]);
    phones.json(0, "bob", &["contact", "add", ALICE]);

    let before = phones.json(0, "alice", &["check", BOB]);
    assert_eq!(before["level"]["code"], "logged-only");
    for phone in ["alice", "bob"] {
        assert_eq!(phones.json(0, phone, &ENROL)["on"], true);
    }
    let automatic = phones.json(0, "alice", &["check", BOB]);
    assert_eq!(automatic["level"]["code"], "automatic");

    let [alice, bob] = phones.compare(["yes", "yes"]);
    let (alice, bob) = (alice.json(0), bob.json(0));
    assert_eq!(alice["code"], bob["code"]);
    assert_eq!(alice["code"].as_str().unwrap().len(), 9);
    assert_eq!(alice["result"], "verified");
    let verified = phones.json(0, "bob", &["check", ALICE]);
    assert_eq!(verified["level"]["code"], "verified");
    let contacts = phones.json(0, "bob", &["contact", "list"]);
    assert_eq!(contacts["contacts"][0]["compared"], true);

    let sent = phones.json(0, "alice", &["send", BOB, "at eight", "--proof"]);
    assert_eq!((&sent["sent"], &sent["devices"]), (&json!(true), &json!(1)));
    assert_eq!(sent["clearance"]["level"]["code"], "verified");
    let received = phones.json(0, "bob", &["inbox"]);
    let message = &received["messages"][0];
    assert_eq!(
        (&message["from"], &message["text"]),
        (&json!(ALICE), &json!("at eight"))
    );
    assert_eq!(message["proof"]["verdict"], "good", "{message}");
    assert_eq!(phones.json(0, "bob", &["inbox"])["messages"], json!([]));
    for phone in ["alice", "bob"] {
        assert_eq!(phones.alerts(phone), Vec::<String>::new());
    }
}

#[test]
fn a_device_that_the_messenger_inserts_stops_a_message() {
    let phones = Phones::of_alice_and_bob();
    let ghost = phones.insert_ghost(BOB);
    let withheld = phones.json(7, "alice", &["send", BOB, "private"]);
    assert_eq!(withheld["sent"], false);
    let clearance = &withheld["clearance"];
    assert_eq!(
        clearance["alerts"][0]["code"],
        "contact-unrecognised-device"
    );
    assert_eq!(
        clearance["differences"][0]["device"],
        "unknown device 07070707"
    );
    let text = phones.run("alice", &["send", BOB, "private"]).stdout;
    for shown in ["Danger: ", "Do not send anything private.", "+", "not sent"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert_eq!(phones.json(0, "bob", &["inbox"])["messages"], json!([]));
    assert_eq!(phones.alerts("alice"), ["contact-unrecognised-device"]);

    fs::remove_file(ghost).unwrap();
    let sent = phones.json(0, "alice", &["send", BOB, "private"]);
    assert_eq!(sent["events"][0]["event"], "settled");
    assert_eq!(phones.alerts("alice"), Vec::<String>::new());
}

#[test]
fn a_second_phone_joins_and_a_lost_one_is_removed() {
    let phones = Phones::of_alice_and_bob();
    let made = phones.init("tablet", ALICE, &["--joins"]);
    phones.run("tablet", &["publish"]).fails(6, "not-joined");
    let (request, key) = (
        made["request"].as_str().unwrap(),
        phones.0.path("tablet.key"),
    );
    let key_path = key.to_str().unwrap();
    phones.json(0, "alice", &["add", request, "-o", key_path]);
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    phones.json(0, "tablet", &["join", key_path]);
    assert!(!key.exists(), "the key lies nowhere but in the phones");

    for phone in ["alice", "tablet"] {
        let own = phones.json(0, phone, &["self-check"]);
        assert_eq!((&own["on"], &own["alerts"]), (&json!(true), &json!([])));
        assert_eq!(own["in_order"], true);
    }
    assert_eq!(
        phones.json(0, "bob", &["send", ALICE, "hello"])["devices"],
        2
    );
    assert_eq!(
        phones.json(0, "tablet", &["inbox"])["messages"][0]["text"],
        "hello"
    );

    // What one phone compared, the other knows.
    phones.json(0, "tablet", &["contact", "add", BOB]);
    for ran in phones.compare(["yes", "yes"]) {
        ran.json(0);
    }
    let seen = phones.json(0, "tablet", &["check", BOB]);
    assert_eq!(seen["level"]["code"], "verified");

    let tablet = made["device"].as_str().unwrap();
    phones.json(0, "alice", &["remove", &tablet[..8]]);
    assert_eq!(
        phones.json(0, "bob", &["send", ALICE, "hello"])["devices"],
        1
    );
    assert_eq!(phones.alerts("bob"), Vec::<String>::new());
    let synced = phones.json(0, "alice", &["sync"]);
    assert_eq!(
        (&synced["learned"], &synced["lacked"]),
        (&json!(false), &json!(false))
    );
}

#[test]
fn a_public_code_is_told_from_a_mistyped_one_and_from_another() {
    let phones = Phones::of_alice_and_bob();
    let picture = phones.0.path("code.svg");
    let code = phones.json(0, "bob", &["code", "--svg", picture.to_str().unwrap()]);
    assert!(fs::read_to_string(picture).unwrap().starts_with("<svg"));
    let code = code["code"].as_str().unwrap();
    assert!(phones.run("bob", &["code"]).stdout.contains('█'));

    let own = phones.json(0, "alice", &["code"]);
    let own = own["code"].as_str().unwrap();
    let differs = phones.json(3, "alice", &["code", "--enter", BOB, own]);
    assert_eq!(differs["result"], "differs");
    phones
        .run("alice", &["code", "--enter", BOB, &code[..20]])
        .fails(1, "usage");
    assert_eq!(
        phones.json(0, "alice", &["check", BOB])["level"]["code"],
        "automatic"
    );
    let matches = phones.json(0, "alice", &["code", "--enter", BOB, &code.to_uppercase()]);
    assert_eq!(matches["result"], "matches");
    assert_eq!(
        phones.json(0, "alice", &["check", BOB])["level"]["code"],
        "verified"
    );
}

#[test]
fn different_codes_store_nothing_and_nobody_waits_for_ever() {
    let phones = Phones::of_alice_and_bob();
    phones
        .run("alice", &["compare", "acct:carol"])
        .fails(1, "usage");
    let alone = phones.run("alice", &["compare", BOB, "--wait", "1"]);
    assert_eq!((alone.exit, alone.stdout.as_str()), (2, ""));
    assert!(
        alone.stderr.contains("error[nobody-there]"),
        "{}",
        alone.stderr
    );
    // What was left of that does not end the next one.
    let [alice, bob] = phones.compare(["no", "yes"]);
    assert_eq!(alice.json(3)["result"], "different");
    bob.json(0);
    assert_eq!(
        phones.json(0, "alice", &["check", BOB])["level"]["code"],
        "automatic"
    );
}

#[test]
fn a_contact_who_turns_it_off_or_starts_over_is_an_alert_until_settled() {
    let phones = Phones::of_alice_and_bob();
    phones.json(0, "alice", &["check", BOB]);
    assert_eq!(phones.json(0, "bob", &["off"])["on"], false);
    phones.run("alice", &["check", BOB]);
    assert_eq!(phones.alerts("alice"), ["contact-turned-off"]);
    phones.json(0, "bob", &ENROL);
    phones.json(0, "alice", &["check", BOB]);
    assert_eq!(phones.alerts("alice"), Vec::<String>::new());

    // Bob lost all his phones, and begins with a new one.
    phones.init("new", BOB, &[]);
    phones.run("new", &["publish"]).fails(6, "not-joined");
    assert_eq!(phones.json(0, "new", &["reset"])["outcome"], "visible");
    // The lost phone, wherever it is, does not know of that one yet.
    assert_eq!(phones.json(2, "bob", &["self-check"])["in_order"], false);
    let withheld = phones.json(7, "alice", &["send", BOB, "private"]);
    assert_eq!(withheld["clearance"]["alerts"][0]["code"], "contact-reset");
    let shown = phones.run("alice", &["alerts"]);
    assert_eq!(shown.exit, 3);
    for line in ["+", "new (ios)", "-", "bob (ios)"] {
        assert!(shown.stdout.contains(line), "{}", shown.stdout);
    }
    phones.json(0, "alice", &["alerts", "--acknowledge"]);
    assert_eq!(
        phones.json(0, "alice", &["send", BOB, "hello"])["devices"],
        1
    );
}

#[test]
fn a_phone_keeps_its_secret_to_itself() {
    let phones = Phones::of_alice_and_bob();
    let directory = phones.0.path("alice");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("account.key")), 0o600);
    let key = fs::read_to_string(directory.join("account.key")).unwrap();
    let seed = key.lines().last().unwrap();
    assert_eq!(seed.len(), 44, "32 bytes in base64");
    for arguments in [
        &["code"][..],
        &["self-check"],
        &["check", BOB],
        &["send", BOB, "text", "--proof"],
        &["sync"],
        &["tick"],
        &["alerts"],
    ] {
        for json in [&[][..], &["--json"]] {
            let ran = phones.run("alice", &[arguments, json].concat());
            assert_eq!(ran.exit, 0, "{}", ran.stderr);
            assert!(!(ran.stdout + &ran.stderr).contains(seed), "{arguments:?}");
        }
    }
    let files = |path: &std::path::Path| fs::read_dir(path).unwrap().map(|it| it.unwrap().path());
    let mut folders = vec![phones.0.path("mailbox")];
    while let Some(folder) = folders.pop() {
        for path in files(&folder) {
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = fs::read(&path).unwrap();
                    assert!(!String::from_utf8_lossy(&bytes).contains(seed));
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_done_is_told_with_its_exit_code() {
    let phones = Phones::of_alice_and_bob();
    phones
        .run("device", &["publish"])
        .fails(6, "profile-invalid");
    phones
        .run("alice", &["send", "acct:carol", "text"])
        .fails(1, "usage");
    phones
        .run("alice", &["contact", "add", ALICE])
        .fails(1, "usage");
    phones.json(0, "alice", &["contact", "add", "acct:carol"]);
    let carol = phones.json(4, "alice", &["check", "acct:carol"]);
    assert_eq!(carol["level"]["code"], "no-account");
    phones
        .run("alice", &["send", "acct:carol", "text"])
        .fails(2, "no-devices");
    phones.json(0, "alice", &["contact", "remove", "acct:carol"]);

    let config = phones.0.path("alice/client.toml");
    let offline = fs::read_to_string(&config).unwrap();
    // Nobody listens on the discard port.
    let offline = offline.replace(&phones.0.endpoint, "http://127.0.0.1:9");
    fs::write(&config, offline).unwrap();
    phones.run("alice", &["check", BOB]).fails(2, "unreachable");
    let unknown = phones.json(2, "alice", &["send", BOB, "text"]);
    assert_eq!(unknown["sent"], false);
    assert_eq!(unknown["clearance"]["cleared"], Value::Null);
    assert_eq!(phones.alerts("alice"), Vec::<String>::new());
    phones.json(0, "alice", &["tick"]);
}

#[test]
fn what_the_phones_share_is_sent_again_if_lost_and_not_believed_if_changed() {
    let phones = Phones::of_alice_and_bob();
    let folder = phones.0.path("mailbox").join(ALICE).join("shared");
    let shared = fs::read_dir(folder).unwrap().next().unwrap();
    let shared = shared.unwrap().path();
    let old = fs::read(&shared).unwrap();
    phones.compare(["yes", "yes"]);
    assert_ne!(fs::read(&shared).unwrap(), old, "the mark is shared");

    fs::write(&shared, &old).unwrap();
    assert_eq!(phones.json(0, "alice", &["sync"])["lacked"], true);
    assert_ne!(fs::read(&shared).unwrap(), old, "it was sent again");
    assert_eq!(phones.json(0, "alice", &["sync"])["lacked"], false);

    fs::write(&shared, b"something else").unwrap();
    phones.run("alice", &["sync"]).fails(3, "shared-state");
    let checked = phones.json(0, "alice", &["check", BOB]);
    assert!(checked["not_shared"].is_string());
    assert_eq!(checked["level"]["code"], "verified");
}
