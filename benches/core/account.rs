//! The proof of an account as a device checks it, head left out.

use std::hint::black_box;

use candor_benches::{Tree, leaves};
use candor_core::answer::{AccountProof, Disclosure, Query, VersionProof};
use candor_core::crypto::vrf::vrf_input;
use candor_core::crypto::{Commitment, Opening, VrfSecretKey};
use candor_core::map::{Leaf, prove};

use super::Operation;

/// Other leaves of the map.
const LEAVES: u64 = 100_000;

const LABEL: &[u8] = b"mailto:alice@example.org";
const OPENING: Opening = Opening([7; 16]);
const VALUE: [u8; 32] = [1; 32];

pub fn operations() -> Vec<Operation> {
    vec![
        verification("verify the proof of version 0", 0),
        verification("verify the proof of version 2", 2),
    ]
}

/// Decodes and verifies the proof that `greatest` is the greatest version.
fn verification(name: &'static str, greatest: u32) -> Operation {
    let secret = VrfSecretKey::from_seed(&[7; 32]);
    let commitment = |version| Commitment::new(&OPENING, LABEL, version, &VALUE);
    let mut all = leaves(0..LEAVES);
    all.extend((0..=greatest).map(|version| Leaf {
        key: secret.evaluate(&vrf_input(LABEL, version)),
        commitment: commitment(version),
    }));
    all.sort_unstable_by_key(|leaf| leaf.key);
    let tree = Tree::over(&all);
    let (mut keys, mut lookups) = (Vec::new(), Vec::new());
    for version in Query::GREATEST.lookups(Some(greatest)) {
        let (key, vrf_proof) = secret.prove(&vrf_input(LABEL, version));
        keys.push(key);
        let disclosure = match version {
            _ if version > greatest => Disclosure::Absent,
            _ if version < greatest => Disclosure::Committed(commitment(version)),
            _ => Disclosure::Opened {
                opening: OPENING,
                value: VALUE.to_vec(),
            },
        };
        lookups.push(VersionProof {
            vrf_proof,
            disclosure,
        });
    }
    let Ok(proved) = prove(&&tree, &keys);
    let proof = AccountProof {
        greatest: Some(greatest),
        lookups,
        prefix: proved.proof,
    };
    let (bytes, root) = (proof.encode(), tree.root());
    Operation::new("account", name, move || {
        let proof = AccountProof::decode(black_box(&bytes)).unwrap();
        proof
            .verify(LABEL, &Query::GREATEST, secret.public_key(), &root)
            .unwrap()
    })
}
