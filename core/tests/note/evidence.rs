//! Evidence of a fork: what convinces, and that nothing else does.

use candor_core::Hash;
use candor_core::codec::{DecodeError, Writer as _};
use candor_core::log::{Frontier, NodeSource, leaf_hash, node_hash, prove_consistency};
use candor_core::note::{
    Evidence, EvidenceError, LogVerifier, LogVerifyError, NoteSigner as _, ProvedBeginning,
    SignedNote,
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

/// Histories that differ from their first entry on.
struct History(u8);

impl History {
    fn leaf(&self, index: u64) -> Hash {
        leaf_hash(&[&[self.0], &index.to_be_bytes()[..]].concat())
    }

    fn root(&self, size: u64) -> Hash {
        let mut frontier = Frontier::new();
        for index in 0..size {
            frontier.append(self.leaf(index)).unwrap();
        }
        frontier.root()
    }

    fn signed(&self, size: u64) -> SignedNote {
        note(&checkpoint(size, self.root(size)), &[(&log_key(1), 0)])
    }

    fn beginning(&self, old_size: u64, size: u64) -> ProvedBeginning {
        ProvedBeginning {
            root: self.root(old_size),
            proof: prove_consistency(old_size, size, self).unwrap(),
        }
    }
}

impl NodeSource for History {
    type Error = core::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        if level == 0 {
            return Ok(self.leaf(index));
        }
        let left = self.node(level - 1, 2 * index)?;
        Ok(node_hash(&left, &self.node(level - 1, 2 * index + 1)?))
    }
}

#[test]
fn a_larger_tree_that_begins_otherwise_convinces_whoever_knows_the_key() {
    let (first, second) = (History(1), History(2));
    for size in 2..20 {
        for old_size in 1..size {
            let evidence = Evidence::over_two_sizes(
                &verifier(),
                &first.signed(old_size),
                &second.signed(size),
                second.beginning(old_size, size),
            );
            let bytes = evidence.unwrap().to_bytes();
            let read = Evidence::verify(&bytes, &verifier()).unwrap();
            let (earlier, later) = read.checkpoints();
            assert_eq!((earlier.size(), later.size()), (old_size, size));
            assert_eq!(read.beginning(), Some(&second.beginning(old_size, size)));
            assert_eq!(read.to_bytes(), bytes);
            assert_eq!(Evidence::claimed_origin(&bytes).unwrap(), ORIGIN);
        }
    }
}

#[test]
fn every_flipped_bit_and_every_other_length_is_refused() {
    let (first, second) = (History(1), History(2));
    // A power of two, whose proof has no seed, and another size.
    for (old_size, size) in [(8, 13), (7, 13)] {
        let evidence = Evidence::over_two_sizes(
            &verifier(),
            &first.signed(old_size),
            &second.signed(size),
            second.beginning(old_size, size),
        );
        let bytes = evidence.unwrap().to_bytes();
        for length in 0..bytes.len() {
            assert!(Evidence::verify(&bytes[..length], &verifier()).is_err());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Evidence::verify(&longer, &verifier()).is_err());
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                Evidence::verify(&changed, &verifier()).is_err(),
                "bit {bit}"
            );
        }
    }
}

#[test]
fn a_log_that_only_grew_is_never_accused() {
    let (honest, other) = (History(1), History(2));
    let try_with = |old_size, size, beginning| {
        let (earlier, later) = (honest.signed(old_size), honest.signed(size));
        Evidence::over_two_sizes(&verifier(), &earlier, &later, beginning)
    };
    for size in 0..18 {
        for old_size in 0..=size {
            for beginning in [
                honest.beginning(old_size, size),
                other.beginning(old_size, size),
                ProvedBeginning {
                    root: other.root(old_size),
                    ..honest.beginning(old_size, size)
                },
                ProvedBeginning {
                    root: Hash::ZERO,
                    proof: vec![],
                },
            ] {
                let refused = try_with(old_size, size, beginning);
                assert_eq!(refused, Err(EvidenceError::NoContradiction));
            }
        }
    }
}

#[test]
fn the_empty_tree_contradicts_nothing_and_order_matters() {
    let (first, second) = (History(1), History(2));
    let empty = note(&checkpoint(0, Hash::ZERO), &[(&log_key(1), 0)]);
    let refused = Evidence::over_two_sizes(
        &verifier(),
        &empty,
        &second.signed(5),
        second.beginning(0, 5),
    );
    assert_eq!(refused, Err(EvidenceError::NoContradiction));
    for (earlier, later) in [
        (second.signed(5), first.signed(3)),
        (first.signed(5), second.signed(5)),
    ] {
        let refused =
            Evidence::over_two_sizes(&verifier(), &earlier, &later, second.beginning(3, 5));
        assert_eq!(refused, Err(EvidenceError::NoContradiction));
    }
}

#[test]
fn a_proof_longer_than_any_is_refused_before_it_is_read() {
    let evidence = Evidence::over_two_sizes(
        &verifier(),
        &History(1).signed(3),
        &History(2).signed(5),
        History(2).beginning(3, 5),
    );
    let mut bytes = evidence.unwrap().to_bytes();
    let count = bytes.len() - 32 * History(2).beginning(3, 5).proof.len() - 1;
    bytes[count] = 64;
    let error = Evidence::verify(&bytes, &verifier()).unwrap_err();
    let malformed = DecodeError::TooLarge {
        field: "proof",
        limit: 63,
    };
    assert_eq!(error, malformed.into());
}

#[test]
fn lines_by_keys_that_a_receiver_does_not_know_are_left_out() {
    let (known, other) = (log_key(1), log_key(2));
    let both = |root| note(&checkpoint(7, root), &[(&known, 0), (&other, 0)]);
    let keys = [&known, &other].map(|key| key.verifier_key().clone());
    let maker = LogVerifier::new(ORIGIN, keys.to_vec());
    let made = Evidence::new(&maker, &both(Hash::ZERO), &both(Hash([1; 32]))).unwrap();
    let bytes = made.to_bytes();
    assert!(Evidence::verify(&bytes, &verifier()).is_err());
    let received = Evidence::receive(&bytes, &verifier()).unwrap();
    assert_eq!(received.earlier().signatures().len(), 1);
    assert!(Evidence::verify(&received.to_bytes(), &verifier()).is_ok());
}
