//! Evidence of a fork: what convinces, and that nothing else does.

use candor_core::Hash;
use candor_core::codec::{DecodeError, Writer as _};
use candor_core::note::{
    Evidence, EvidenceError, LogVerifier, LogVerifyError, NoteSigner as _, SignedNote,
};

use crate::{ORIGIN, checkpoint, honest, log_key, note, witness};

fn verifier() -> LogVerifier {
    LogVerifier::new(ORIGIN, vec![log_key(1).verifier_key().clone()])
}

fn file(earlier: &SignedNote, later: &SignedNote) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.opaque32(&earlier.to_bytes());
    bytes.opaque32(&later.to_bytes());
    bytes
}

#[test]
fn two_roots_of_one_size_convince_whoever_knows_the_key() {
    let log = log_key(1);
    let earlier = note(&honest(), &[(&log, 0), (&witness(11), 1)]);
    let later = note(&checkpoint(7, Hash([8; 32])), &[(&log, 0)]);
    let evidence = Evidence::new(&verifier(), &earlier, &later).unwrap();
    // A cosignature proves nothing against the log, and says who saw what.
    assert_eq!(evidence.earlier().signatures(), &earlier.signatures()[..1]);
    assert_eq!(evidence.later(), &later);
    let bytes = evidence.to_bytes();
    assert_eq!(Evidence::verify(&bytes, &verifier()), Ok(evidence));
    for length in 0..bytes.len() {
        assert!(Evidence::verify(&bytes[..length], &verifier()).is_err());
    }
    // There is one file of it.
    let malformed = DecodeError::Invalid { field: "notes" };
    assert_eq!(
        Evidence::verify(&file(&earlier, &later), &verifier()),
        Err(malformed.into())
    );
}

#[test]
fn nothing_else_is_evidence() {
    let (log, stranger) = (log_key(1), log_key(2));
    let signed = |size, root| note(&checkpoint(size, Hash([root; 32])), &[(&log, 0)]);
    let earlier = signed(7, 9);
    for later in [signed(7, 9), signed(8, 8), signed(6, 8)] {
        let refused = Evidence::verify(&file(&earlier, &later), &verifier());
        assert_eq!(refused, Err(EvidenceError::NoContradiction));
    }
    let forged = note(&checkpoint(7, Hash([8; 32])), &[(&stranger, 0)]);
    for (earlier, later) in [(&earlier, &forged), (&forged, &earlier)] {
        let refused = Evidence::verify(&file(earlier, later), &verifier());
        assert_eq!(refused, Err(LogVerifyError::NotSigned.into()));
    }
}
