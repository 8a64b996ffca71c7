//! Proofs as files.

use candor_core::Hash;
use candor_core::log::{leaf_hash, node_hash};
use candor_core::note::{
    AddCheckpoint, Policy, PolicyError, SignedNote, TlogProof, TlogProofError, TlogProofParseError,
};
use proptest::prelude::*;

use crate::{checkpoint, log_key, note, policy, policy_with, witness};

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
