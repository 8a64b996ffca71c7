//! Heads that devices pass on: one encoding, and nothing but what the log signed.

use candor_core::Hash;
use candor_core::codec::DecodeError;
use candor_core::limits::LOG_SIZE_MAX;
use candor_core::note::{
    Evidence, GossipHead, LogVerifier, LogVerifyError, NoteSigner as _, SoftwareSigner,
};

use crate::{ORIGIN, checkpoint, honest, log_key, log_pq_key, note, witness};

fn verifier(signers: &[&SoftwareSigner]) -> LogVerifier {
    let keys = signers.iter().map(|signer| signer.verifier_key().clone());
    LogVerifier::new(ORIGIN, keys.collect())
}

fn log() -> LogVerifier {
    verifier(&[&log_pq_key(), &log_key(1)])
}

/// The honest head, of a note with everybody's lines.
fn head() -> GossipHead {
    let (log_key, log_pq_key, witness) = (log_key(1), log_pq_key(), witness(11));
    let note = note(&honest(), &[(&witness, 5), (&log_pq_key, 0), (&log_key, 0)]);
    GossipHead::new(&log(), &note).unwrap().unwrap()
}

#[test]
fn a_message_stands_for_the_note_with_the_logs_line() {
    let read = GossipHead::decode(&head().encode()).unwrap();
    assert_eq!(read, head());
    let verified = read.verify(&log()).unwrap();
    assert_eq!(verified.checkpoint(), &honest());
    assert_eq!(verified.to_note(), note(&honest(), &[(&log_key(1), 0)]));
}

#[test]
fn two_messages_of_one_size_are_evidence() {
    let other = note(&checkpoint(7, Hash([8; 32])), &[(&log_key(1), 0)]);
    let other = GossipHead::new(&log(), &other).unwrap().unwrap();
    let notes = [head(), other].map(|head| head.verify(&log()).unwrap().to_note());
    let evidence = Evidence::new(&log(), &notes[0], &notes[1]).unwrap();
    assert!(Evidence::verify(&evidence.to_bytes(), &log()).is_ok());
}

#[test]
fn every_flipped_bit_and_every_other_length_is_refused() {
    let honest = head().encode();
    for length in 0..honest.len() {
        assert!(GossipHead::decode(&honest[..length]).is_err());
    }
    let longer = [&honest[..], &[0]].concat();
    assert_eq!(
        GossipHead::decode(&longer),
        Err(DecodeError::TrailingBytes { count: 1 })
    );
    for bit in 0..8 * honest.len() {
        let mut changed = honest;
        changed[bit / 8] ^= 1 << (bit % 8);
        let accepted = GossipHead::decode(&changed).is_ok_and(|head| {
            assert_eq!(head.encode(), changed, "bit {bit}: a second encoding");
            head.verify(&log()).is_ok()
        });
        assert!(!accepted, "bit {bit}");
    }
}

#[test]
fn a_head_without_an_epoch_or_too_large_is_none() {
    let honest = head().encode();
    for size in [0, 1, LOG_SIZE_MAX + 1, u64::MAX] {
        let sized = [&[1], &size.to_be_bytes()[..], &honest[9..]].concat();
        assert_eq!(
            GossipHead::decode(&sized),
            Err(DecodeError::Invalid { field: "size" })
        );
    }
    for (size, is_some) in [(1, false), (2, true), (LOG_SIZE_MAX, true)] {
        let note = note(&checkpoint(size, Hash::ZERO), &[(&log_key(1), 0)]);
        let head = GossipHead::new(&log(), &note).unwrap();
        assert_eq!(head.is_some(), is_some, "{size}");
    }
}

#[test]
fn what_another_log_or_key_signed_is_not_the_logs() {
    let stranger = verifier(&[&log_key(2)]);
    let renamed = LogVerifier::new("log.example/b", log().keys().to_vec());
    assert_eq!(head().verify(&stranger), Err(LogVerifyError::NotSigned));
    let refused = head().verify(&renamed).unwrap_err();
    assert!(matches!(refused, LogVerifyError::InvalidSignature { .. }));
    // Neither is made of a note that the log did not sign.
    let note = note(&honest(), &[(&log_key(2), 0)]);
    let refused = GossipHead::new(&log(), &note);
    assert_eq!(refused, Err(LogVerifyError::NotSigned));
}

#[test]
fn a_log_without_an_ed25519_key_has_no_such_message() {
    let pq_only = verifier(&[&log_pq_key()]);
    let note = note(&honest(), &[(&log_pq_key(), 0), (&log_key(1), 0)]);
    assert_eq!(GossipHead::new(&pq_only, &note), Ok(None));
    assert_eq!(head().verify(&pq_only), Err(LogVerifyError::NotSigned));
    // A cosigner's Ed25519 key signs something else.
    let cosigner = verifier(&[&log_pq_key(), &witness(11)]);
    assert_eq!(head().verify(&cosigner), Err(LogVerifyError::NotSigned));
}
