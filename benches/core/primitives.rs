//! The VRF, commitments and hashes.

use std::hint::black_box;

use candor_core::Hash;
use candor_core::crypto::vrf::vrf_input;
use candor_core::crypto::{Commitment, Opening, VrfSecretKey};
use candor_core::map::hash_parent;
use sha2::block_api::compress256;

use super::Operation;

const LABEL: &[u8] = b"mailto:alice@example.org";
const OPENING: Opening = Opening([7; 16]);

pub fn operations() -> Vec<Operation> {
    let secret = || VrfSecretKey::from_seed(&[7; 32]);
    let input = vrf_input(LABEL, 3);
    let (_, proof) = secret().prove(&input);
    let (evaluating, proving, verifying) = (secret(), secret(), secret());
    let inputs = [input.clone(), input.clone(), input];
    let [to_evaluate, to_prove, to_verify] = inputs;
    let value = [1; 32];
    let commitment = Commitment::new(&OPENING, LABEL, 3, &value);
    let (left, right) = (Hash([1; 32]), Hash([2; 32]));
    vec![
        Operation::new("vrf", "evaluate", move || {
            evaluating.evaluate(black_box(&to_evaluate))
        }),
        Operation::new("vrf", "prove", move || proving.prove(black_box(&to_prove))),
        Operation::new("vrf", "verify", move || {
            verifying
                .public_key()
                .verify(black_box(&to_verify), &proof)
                .unwrap()
        }),
        Operation::new("commitment", "make", move || {
            Commitment::new(&OPENING, LABEL, 3, black_box(&value))
        }),
        Operation::new("commitment", "verify", move || {
            commitment
                .verify(&OPENING, LABEL, 3, black_box(&value))
                .unwrap();
        }),
        Operation::new("hash", "node", move || {
            hash_parent(black_box(&left), black_box(&right))
        }),
        // What a node would cost if hashing were nothing else: its 65 bytes are two blocks.
        Operation::new("hash", "two bare compressions", || {
            let mut state = [0; 8];
            compress256(&mut state, black_box(&[[1; 64], [2; 64]]));
            state
        }),
    ]
}
