//! What makes a verified checkpoint, and what condemns a note.

use candor_core::Hash;
use candor_core::crypto::MlDsa44SecretKey;
use candor_core::note::{
    Checkpoint, CheckpointError, FreshnessError, LogVerifier, LogVerifyError, NoteSigner, Policy,
    PolicyError, SignedNote, SoftwareSigner,
};

use crate::{
    ORIGIN, checkpoint, honest, log_key, log_pq_key, name, note, policy, policy_with, vkey, witness,
};

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

#[test]
fn a_key_that_is_listed_twice_does_not_make_the_note_longer() {
    let log = log_key(1);
    let line = log.sign(&honest(), 0).unwrap();
    let note = SignedNote::new(honest().to_text(), vec![line; 64]).unwrap();
    let verifier = LogVerifier::new(ORIGIN, vec![log.verifier_key().clone(); 2]);
    assert_eq!(verifier.verify(&note).unwrap().to_note(), note);
}
