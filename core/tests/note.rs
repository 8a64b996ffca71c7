//! Policies, verified checkpoints and offline proofs, against everything that must be refused.

#![allow(clippy::unwrap_used, clippy::panic)]

use candor_core::Hash;
use candor_core::crypto::{Ed25519SecretKey, MlDsa44SecretKey};
use candor_core::log::{leaf_hash, node_hash};
use candor_core::note::{
    AddCheckpoint, Checkpoint, CheckpointError, FreshnessError, KeyName, LogVerifier,
    LogVerifyError, NoteSigner, Policy, PolicyError, PolicyFault, PolicyParseError, SignedNote,
    SoftwareSigner, TlogProof, TlogProofError, TlogProofParseError, VkeyError,
};
use proptest::prelude::*;

const ORIGIN: &str = "log.example/candor";

fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

fn log_key(seed: u8) -> SoftwareSigner {
    SoftwareSigner::ed25519(name(ORIGIN), Ed25519SecretKey::from_seed(&[seed; 32]))
}

fn log_pq_key() -> SoftwareSigner {
    SoftwareSigner::ml_dsa_44(name(ORIGIN), MlDsa44SecretKey::from_seed(&[1; 32]))
}

fn witness(seed: u8) -> SoftwareSigner {
    let name = name(&format!("witness.example/{seed}"));
    SoftwareSigner::ed25519_cosignature(name, Ed25519SecretKey::from_seed(&[seed; 32]))
}

fn vkey(signer: &SoftwareSigner) -> String {
    signer.verifier_key().to_string()
}

/// One log with two keys, four witnesses A to D, and `rest`.
fn policy_with(rest: &str) -> Policy {
    let mut file = format!("log {}\nlog {}\n", vkey(&log_key(1)), vkey(&log_pq_key()));
    for (letter, seed) in ["A", "B", "C", "D"].iter().zip(11..) {
        file.push_str(&format!("witness {letter} {}\n", vkey(&witness(seed))));
    }
    Policy::parse((file + rest).as_bytes()).unwrap()
}

/// Two of A, B, C.
fn policy() -> Policy {
    policy_with("group two 2 A B C\nquorum two\n")
}

fn checkpoint(size: u64, root: Hash) -> Checkpoint {
    Checkpoint::new(ORIGIN, size, root).unwrap()
}

fn note(checkpoint: &Checkpoint, signers: &[(&SoftwareSigner, u64)]) -> SignedNote {
    let sign =
        |(signer, time_s): &(&SoftwareSigner, u64)| signer.sign(checkpoint, *time_s).unwrap();
    SignedNote::new(checkpoint.to_text(), signers.iter().map(sign).collect()).unwrap()
}

fn honest() -> Checkpoint {
    checkpoint(7, Hash([9; 32]))
}

mod grammar {
    use super::*;

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

    #[test]
    fn every_broken_line_is_refused_with_its_number_and_fault() {
        use PolicyFault::*;
        let log = vkey(&log_key(1));
        let (a, b) = (vkey(&witness(11)), vkey(&witness(12)));
        let renamed = SoftwareSigner::ed25519_cosignature(
            name("other"),
            Ed25519SecretKey::from_seed(&[11; 32]),
        );
        let two = format!("witness A {a}\nwitness B {b}\n");
        let is = |fault: &PolicyFault, expected: &str| format!("{fault:?}").starts_with(expected);
        for (file, line, expected) in [
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
                format!("witness A {a}\nwitness B {}\n", vkey(&renamed)),
                2,
                "DuplicateKey",
            ),
            (format!("{two}group g all\n"), 3, "WrongWordCount"),
            (format!("{two}group g\n"), 3, "WrongWordCount"),
            (format!("{two}group A any B\n"), 3, "DuplicateName"),
            (format!("{two}group none any B\n"), 3, "ReservedName"),
            (format!("{two}group g any none\n"), 3, "UndefinedName"),
            (format!("{two}group g any g\n"), 3, "UndefinedName"),
            (format!("{two}group g any C\n"), 3, "UndefinedName"),
            (format!("{two}group g any A A\n"), 3, "DuplicateMember"),
            (
                format!("{two}group g any A\ngroup h any A B\n"),
                4,
                "DuplicateMember",
            ),
            (format!("{two}group g 0 A B\n"), 3, "InvalidThreshold"),
            (format!("{two}group g 3 A B\n"), 3, "InvalidThreshold"),
            (format!("{two}group g 01 A B\n"), 3, "InvalidThreshold"),
            (format!("{two}group g +1 A B\n"), 3, "InvalidThreshold"),
            (format!("{two}group g -1 A B\n"), 3, "InvalidThreshold"),
            (format!("{two}group g most A B\n"), 3, "InvalidThreshold"),
            (
                format!("{two}group g 18446744073709551617 A B\n"),
                3,
                "InvalidThreshold",
            ),
        ] {
            let (at, found) = fault(&file);
            assert!(
                at == line && is(&found, expected),
                "{file:?}: line {at}: {found:?}"
            );
        }
        assert_eq!(
            fault(&format!("log {}\n", "a+00000000+AgAA")).1,
            Key(VkeyError::UnsupportedAlgorithm(2))
        );
        assert_eq!(fault(&"#".repeat(600 << 10)).1, FileTooLong);
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
}

mod verification {
    use super::*;

    #[test]
    fn a_quorum_makes_a_verified_checkpoint() {
        let note = note(
            &honest(),
            &[(&log_key(1), 0), (&witness(11), 100), (&witness(13), 90)],
        );
        let verified = policy().verify_checkpoint(&note).unwrap();
        assert_eq!(verified.checkpoint(), &honest());
        let cosigned: Vec<_> = verified
            .cosignatures()
            .iter()
            .map(|each| (each.witness().to_string(), each.timestamp_s()))
            .collect();
        assert_eq!(cosigned, [("A".to_owned(), 100), ("C".to_owned(), 90)]);
        assert_eq!(verified.quorum_timestamp_s(), Some(90));
    }

    #[test]
    fn either_key_of_the_log_is_enough() {
        let (pq, a, b) = (log_pq_key(), witness(11), witness(12));
        assert!(
            policy()
                .verify_checkpoint(&note(&honest(), &[(&pq, 0), (&a, 1), (&b, 1)]))
                .is_ok()
        );
        let none = note(&honest(), &[(&a, 1), (&b, 1)]);
        assert_eq!(
            policy().verify_checkpoint(&none),
            Err(LogVerifyError::NotSigned.into())
        );
    }

    #[test]
    fn unknown_keys_are_ignored_but_count_for_nothing() {
        let (log, stranger, a, b) = (log_key(1), log_key(2), witness(11), witness(12));
        let unknown = witness(99);
        let few = note(
            &honest(),
            &[(&log, 0), (&stranger, 0), (&a, 1), (&unknown, 1)],
        );
        assert_eq!(
            policy().verify_checkpoint(&few),
            Err(PolicyError::QuorumNotMet)
        );
        let only = note(&honest(), &[(&stranger, 0), (&a, 1), (&b, 1)]);
        assert_eq!(
            policy().verify_checkpoint(&only),
            Err(LogVerifyError::NotSigned.into())
        );
        let enough = note(
            &honest(),
            &[(&stranger, 0), (&log, 0), (&unknown, 1), (&a, 1), (&b, 1)],
        );
        assert!(policy().verify_checkpoint(&enough).is_ok());
    }

    #[test]
    fn a_witness_counts_once_and_outside_the_quorum_not_at_all() {
        let (log, a, d) = (log_key(1), witness(11), witness(14));
        let twice = note(&honest(), &[(&log, 0), (&a, 1), (&a, 2), (&d, 3)]);
        assert_eq!(
            policy().verify_checkpoint(&twice),
            Err(PolicyError::QuorumNotMet)
        );
    }

    #[test]
    fn one_bad_line_by_a_known_key_condemns_the_note() {
        let other = checkpoint(8, Hash([9; 32]));
        let (log, pq, a, b, d) = (
            log_key(1),
            log_pq_key(),
            witness(11),
            witness(12),
            witness(14),
        );
        let good = note(&honest(), &[(&log, 0), (&a, 1), (&b, 1)]);
        for bad in [&a, &d] {
            let mut lines = good.signatures().to_vec();
            lines.push(bad.sign(&other, 1).unwrap());
            let note = SignedNote::new(honest().to_text(), lines).unwrap();
            let refused = policy().verify_checkpoint(&note);
            assert!(matches!(
                refused,
                Err(PolicyError::InvalidCosignature { .. })
            ));
        }
        for bad in [&log, &pq] {
            let mut lines = good.signatures().to_vec();
            lines.push(bad.sign(&other, 1).unwrap());
            let note = SignedNote::new(honest().to_text(), lines).unwrap();
            let expected = LogVerifyError::InvalidSignature { name: name(ORIGIN) };
            assert_eq!(
                policy().verify_checkpoint(&note),
                Err(expected.clone().into())
            );
            let keys = vec![log.verifier_key().clone(), pq.verifier_key().clone()];
            assert_eq!(LogVerifier::new(ORIGIN, keys).verify(&note), Err(expected));
        }
    }

    #[test]
    fn another_origin_and_extension_lines_are_refused() {
        let other = Checkpoint::new("log.example/other", 7, Hash([9; 32])).unwrap();
        let other = note(
            &other,
            &[(&log_key(1), 0), (&witness(11), 1), (&witness(12), 1)],
        );
        assert_eq!(
            policy().verify_checkpoint(&other),
            Err(LogVerifyError::UnknownOrigin.into())
        );
        let good = note(&honest(), &[(&log_key(1), 0)]);
        let extended = format!("{}extension\n", honest());
        let extended = SignedNote::new(extended, good.signatures().to_vec()).unwrap();
        assert_eq!(
            policy().verify_checkpoint(&extended),
            Err(LogVerifyError::from(CheckpointError::ExtensionLines).into())
        );
    }

    #[test]
    fn the_quorum_timestamp_is_the_newest_that_still_meets_the_quorum() {
        let (log, a, b, c, d) = (
            log_key(1),
            witness(11),
            witness(12),
            witness(13),
            witness(14),
        );
        let nested = policy_with("group any any A B\ngroup all all any C\nquorum all\n");
        let signers = [(&log, 0), (&a, 50), (&b, 80), (&c, 70), (&d, 99)];
        let note = note(&honest(), &signers);
        let time_s = |policy: &Policy| {
            policy
                .verify_checkpoint(&note)
                .unwrap()
                .quorum_timestamp_s()
        };
        assert_eq!(time_s(&policy()), Some(70));
        assert_eq!(time_s(&nested), Some(70));
        assert_eq!(time_s(&policy_with("quorum A\n")), Some(50));
        assert_eq!(
            time_s(&policy_with("group g all A B C D\nquorum g\n")),
            Some(50)
        );
        assert_eq!(time_s(&policy_with("quorum none\n")), None);
    }

    #[test]
    fn freshness_tells_stale_from_future() {
        let note = note(
            &honest(),
            &[(&log_key(1), 0), (&witness(11), 1000), (&witness(12), 1000)],
        );
        let verified = policy().verify_checkpoint(&note).unwrap();
        for now_s in [995, 1000, 1060] {
            assert_eq!(verified.check_freshness(now_s, 60, 5), Ok(()));
        }
        assert_eq!(
            verified.check_freshness(1061, 60, 5),
            Err(FreshnessError::Stale {
                age_s: 61,
                max_age_s: 60
            })
        );
        assert_eq!(
            verified.check_freshness(994, 60, 5),
            Err(FreshnessError::InFuture {
                ahead_s: 6,
                skew_s: 5
            })
        );
        let timeless = policy_with("quorum none\n")
            .verify_checkpoint(&note)
            .unwrap();
        assert_eq!(
            timeless.check_freshness(1000, 60, 5),
            Err(FreshnessError::NoTimestamp)
        );
    }

    #[test]
    fn an_ml_dsa_cosignature_without_a_time_is_never_fresh() {
        let name = name("witness.example/pq");
        let pq = SoftwareSigner::ml_dsa_44(name, MlDsa44SecretKey::from_seed(&[5; 32]));
        let policy = policy_with(&format!("witness P {}\nquorum P\n", vkey(&pq)));
        let note = note(&honest(), &[(&log_key(1), 0), (&pq, 0)]);
        let verified = policy.verify_checkpoint(&note).unwrap();
        assert!(matches!(
            verified.check_freshness(1_800_000_000, 86_400, 300),
            Err(FreshnessError::Stale { .. })
        ));
    }

    #[test]
    fn a_log_verifier_keeps_only_what_it_verified() {
        let note = note(
            &honest(),
            &[(&log_key(2), 0), (&log_key(1), 0), (&witness(11), 1)],
        );
        let verifier = LogVerifier::new(ORIGIN, vec![log_key(1).verifier_key().clone()]);
        let signed = verifier.verify(&note).unwrap();
        assert_eq!(signed.checkpoint(), &honest());
        assert_eq!(signed.to_note().signatures(), &note.signatures()[1..2]);
        let stranger = LogVerifier::new(ORIGIN, vec![log_key(3).verifier_key().clone()]);
        assert_eq!(stranger.verify(&note), Err(LogVerifyError::NotSigned));
        let elsewhere = LogVerifier::new("elsewhere", vec![log_key(1).verifier_key().clone()]);
        assert_eq!(elsewhere.verify(&note), Err(LogVerifyError::UnknownOrigin));
    }
}

mod offline {
    use super::*;

    fn proof() -> (Hash, TlogProof) {
        let (left, leaf) = (leaf_hash(b"left"), leaf_hash(b"entry"));
        let checkpoint = checkpoint(2, node_hash(&left, &leaf));
        let note = note(
            &checkpoint,
            &[(&log_key(1), 0), (&witness(11), 5), (&witness(12), 6)],
        );
        (
            leaf,
            TlogProof {
                extra: b"extra".to_vec(),
                index: 1,
                hashes: vec![left],
                note,
            },
        )
    }

    #[test]
    fn a_proof_reads_back_and_verifies() {
        let (leaf, mut proof) = proof();
        for extra in [&b"extra"[..], b""] {
            proof.extra = extra.to_vec();
            let parsed = TlogProof::parse(&proof.to_bytes()).unwrap();
            assert_eq!(parsed, proof);
            assert_eq!(
                parsed
                    .verify(&leaf, &policy())
                    .unwrap()
                    .quorum_timestamp_s(),
                Some(5)
            );
        }
    }

    #[test]
    fn another_leaf_index_or_policy_is_refused() {
        let (leaf, mut proof) = proof();
        let refused = |proof: &TlogProof, leaf: &Hash| {
            matches!(
                proof.verify(leaf, &policy()),
                Err(TlogProofError::Inclusion(_))
            )
        };
        assert!(refused(&proof, &leaf_hash(b"other")));
        for index in [0, 2, u64::MAX] {
            proof.index = index;
            assert!(refused(&proof, &leaf));
        }
        proof.index = 1;
        let strict = policy_with("group g all A B C\nquorum g\n");
        assert_eq!(
            proof.verify(&leaf, &strict),
            Err(TlogProofError::Policy(PolicyError::QuorumNotMet))
        );
    }

    #[test]
    fn any_other_spelling_is_refused() {
        let text = proof().1.to_string();
        let parse = |text: &str| TlogProof::parse(text.as_bytes());
        assert!(parse(&text).is_ok());
        for (from, to) in [
            ("@v1", "@v2"),
            ("@v1\n", "@v1\n\n"),
            ("@v1\n", "@v1\r\n"),
            ("extra ZXh0cmE=\n", "extra \n"),
            ("extra ZXh0cmE=\n", "extra\n"),
            ("extra ZXh0cmE=\n", "extra ZXh0cmE\n"),
            ("extra ZXh0cmE=\n", "extra ZXh0cmF=\n"),
            ("extra ZXh0cmE=\n", "extra ZXh0cmE=\nextra ZXh0cmE=\n"),
            ("index 1\n", ""),
            ("index 1\n", "index 01\n"),
            ("index 1\n", "index 1 \n"),
            ("index 1\n", "index +1\n"),
            ("index 1\n", "index 1\nindex 1\n"),
            ("index 1\n", "index 1\nAAAA\n"),
        ] {
            assert!(text.contains(from));
            let changed = text.replacen(from, to, 1);
            assert!(parse(&changed).is_err(), "{from:?} {to:?}");
        }
        let line = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        let long = text.replacen("index 1\n", &format!("index 1\n{}", line.repeat(63)), 1);
        assert_eq!(parse(&long), Err(TlogProofParseError::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Only the extra data is not authenticated, and a change that makes a key unknown takes
        /// that line away.
        #[test]
        fn a_changed_bit_never_changes_what_is_verified(at in any::<prop::sample::Index>()) {
            let (leaf, mut proof) = proof();
            proof.extra.clear();
            let before = proof.verify(&leaf, &policy()).unwrap();
            let mut bytes = proof.to_bytes();
            let bit = at.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(changed) = TlogProof::parse(&bytes) {
                prop_assert_eq!(&changed.to_bytes(), &bytes);
                if let Ok(after) = changed.verify(&leaf, &policy()) {
                    prop_assert_eq!(after, before);
                }
            }
        }

        #[test]
        fn a_cut_or_arbitrary_file_never_verifies_or_panics(
            at in any::<prop::sample::Index>(),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let (leaf, proof) = proof();
            let bytes = proof.to_bytes();
            let cut = &bytes[..at.index(bytes.len())];
            if let Ok(cut) = TlogProof::parse(cut) {
                prop_assert!(cut.verify(&leaf, &policy()).is_err());
            }
            let _ = TlogProof::parse(&noise);
            let _ = AddCheckpoint::parse(&noise);
            let _ = Policy::parse(&noise);
            if let Ok(note) = SignedNote::parse(&noise) {
                prop_assert_eq!(note.to_bytes(), noise);
            }
        }
    }
}
