//! The grammar of policy files.

use candor_core::crypto::Ed25519SecretKey;
use candor_core::note::{Policy, PolicyFault, PolicyParseError, SoftwareSigner};

use crate::{log_key, name, vkey, witness};

fn fault(file: &str) -> (usize, PolicyFault) {
    match Policy::parse(file.as_bytes()) {
        Err(PolicyParseError { line, fault }) => (line, fault),
        Ok(_) => panic!("accepted {file:?}"),
    }
}

/// c2sp.org/tlog-policy, "Example policy".
#[test]
fn the_example_of_the_specification() {
    let keys: Vec<_> = (11..17).map(|seed| vkey(&witness(seed))).collect();
    let [x1, x2, x3, y1, y2, y3] = &keys[..] else {
        panic!()
    };
    let file = format!(
        "log {}\n\nwitness X1 {x1}\nwitness X2 {x2}\nwitness X3 {x3}\n\
         group X-witnesses 2 X1 X2 X3\n\n\
         witness Y1 {y1}\nwitness Y2 {y2}\nwitness Y3 {y3}\n\
         group Y-witnesses any Y1 Y2 Y3\n\n\
         group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n",
        vkey(&log_key(1))
    );
    let policy = Policy::parse(file.as_bytes()).unwrap();
    let satisfied = |names: &[&str]| {
        policy.is_satisfied_by(|witness| names.contains(&witness.name().to_string().as_str()))
    };
    assert!(satisfied(&["X1", "X3", "Y2"]));
    assert!(!satisfied(&["X1", "X2", "X3"]));
    assert!(!satisfied(&["X1", "Y1", "Y2", "Y3"]));
    assert!(!satisfied(&[]));
}

#[test]
fn white_space_comments_urls_and_octets_beyond_ascii() {
    let (log, a, b) = (vkey(&log_key(1)), vkey(&witness(11)), vkey(&witness(12)));
    let file = [
        b"# comment \xff\n\t \n  #indented\n\tlog  ".as_slice(),
        log.as_bytes(),
        b"\thttps://log.example/ \nwitness \xe2\x84\xaa ",
        a.as_bytes(),
        b" https://\xff/\nwitness K ",
        b.as_bytes(),
        b"\ngroup all all \xe2\x84\xaa K\nquorum all\n# end\n",
    ];
    let policy = Policy::parse(&file.concat()).unwrap();
    assert_eq!(policy.logs()[0].url(), Some(&b"https://log.example/"[..]));
    assert_eq!(policy.witnesses()[0].name().as_bytes(), b"\xe2\x84\xaa");
    assert_eq!(policy.witnesses()[0].url(), Some(&b"https://\xff/"[..]));
    assert_eq!(policy.witnesses()[1].url(), None);
}

#[test]
fn a_policy_may_need_no_logs_and_no_witnesses() {
    let policy = Policy::parse(b"quorum none\n").unwrap();
    assert!(policy.is_satisfied_by(|_| false));
}

/// Checks that each file is refused at the line, for a fault that shows as the text begins.
fn assert_refused(cases: &[(String, usize, &str)]) {
    for (file, line, expected) in cases {
        let (at, found) = fault(file);
        let found = format!("{found:?}");
        assert!(
            at == *line && found.starts_with(expected),
            "{file:?}: line {at}: {found}"
        );
    }
}

#[test]
fn every_broken_line_is_refused_with_its_number_and_fault() {
    let log = vkey(&log_key(1));
    let a = vkey(&witness(11));
    assert_refused(&[
        (String::new(), 1, "MissingQuorum"),
        ("\n\n".into(), 3, "MissingQuorum"),
        ("quorum none".into(), 1, "Unterminated"),
        ("quorum none\r\n".into(), 1, "ForbiddenOctet"),
        ("# \u{0}\nquorum none\n".into(), 1, "ForbiddenOctet"),
        ("quorum none\u{7f}\n".into(), 1, "ForbiddenOctet"),
        ("quorum none # comment\n".into(), 1, "WrongWordCount"),
        ("quorum\n".into(), 1, "WrongWordCount"),
        ("quorum none\nquorum none\n".into(), 2, "DuplicateQuorum"),
        ("quorum A\n".into(), 1, "UndefinedName"),
        (format!("quorum A\nwitness A {a}\n"), 1, "UndefinedName"),
        ("Quorum none\n".into(), 1, "UnknownKeyword"),
        ("log\n".into(), 1, "WrongWordCount"),
        (format!("log {log} url more\n"), 1, "WrongWordCount"),
        (format!("log {a}\n"), 1, "WrongKeyType"),
        (format!("log {log}\nlog {log}\n"), 2, "DuplicateKey"),
        (format!("log {}\n", &log[1..]), 1, "Key(WrongId)"),
        ("log nonsense\n".into(), 1, "Key(Malformed)"),
        (
            "log a+00000000+AgAA\n".into(),
            1,
            "Key(UnsupportedAlgorithm(2))",
        ),
        ("#".repeat(600 << 10), 1, "FileTooLong"),
    ]);
}

#[test]
fn every_broken_witness_and_group_is_refused() {
    let log = vkey(&log_key(1));
    let (a, b) = (vkey(&witness(11)), vkey(&witness(12)));
    let same_key = Ed25519SecretKey::from_seed(&[11; 32]);
    let renamed = vkey(&SoftwareSigner::ed25519_cosignature(
        name("other"),
        same_key,
    ));
    assert_refused(&[
        (format!("witness A {log}\n"), 1, "WrongKeyType"),
        (format!("witness {a}\n"), 1, "WrongWordCount"),
        (format!("witness A {a} url more\n"), 1, "WrongWordCount"),
        (format!("witness none {a}\n"), 1, "ReservedName"),
        (
            format!("witness A {a}\nwitness A {b}\n"),
            2,
            "DuplicateName",
        ),
        (format!("witness A {a}\nwitness B {a}\n"), 2, "DuplicateKey"),
        (
            format!("witness A {a}\nwitness B {renamed}\n"),
            2,
            "DuplicateKey",
        ),
    ]);
    for (group, expected) in [
        ("g", "WrongWordCount"),
        ("g all", "WrongWordCount"),
        ("A any B", "DuplicateName"),
        ("none any B", "ReservedName"),
        ("g any none", "UndefinedName"),
        ("g any g", "UndefinedName"),
        ("g any C", "UndefinedName"),
        ("g any A A", "DuplicateMember"),
        ("g 0 A B", "InvalidThreshold"),
        ("g 3 A B", "InvalidThreshold"),
        ("g 01 A B", "InvalidThreshold"),
        ("g +1 A B", "InvalidThreshold"),
        ("g -1 A B", "InvalidThreshold"),
        ("g most A B", "InvalidThreshold"),
        ("g 18446744073709551617 A B", "InvalidThreshold"),
    ] {
        let file = format!("witness A {a}\nwitness B {b}\ngroup {group}\n");
        assert_refused(&[(file, 3, expected)]);
    }
    let twice = format!("witness A {a}\nwitness B {b}\ngroup g any A\ngroup h any A B\n");
    assert_refused(&[(twice, 4, "DuplicateMember")]);
}

#[test]
fn limits_allow_128_witnesses_and_no_more() {
    let lines = |count: u8| {
        let line = |seed| format!("witness w{seed} {}\n", vkey(&witness(seed)));
        (0..count).map(line).collect::<String>() + "quorum w0\n"
    };
    assert_eq!(
        Policy::parse(lines(128).as_bytes())
            .unwrap()
            .witnesses()
            .len(),
        128
    );
    assert_eq!(fault(&lines(129)), (129, PolicyFault::TooManyEntries));
}
