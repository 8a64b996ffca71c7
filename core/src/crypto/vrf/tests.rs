//! RFC 9381's vectors with their intermediate values, and proofs that must be refused.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use proptest::prelude::*;

use super::primitives::{challenge, encode_to_curve};
use super::*;
use crate::crypto::{PublicKeyError, SearchKey};

/// An example of RFC 9381, appendix B.3, in hexadecimal.
struct Example {
    sk: &'static str,
    pk: &'static str,
    alpha: &'static str,
    h: &'static str,
    k: &'static str,
    u: &'static str,
    v: &'static str,
    pi: &'static str,
    beta: &'static str,
}

/// Examples 16, 17 and 18.
const EXAMPLES: [Example; 3] = [
    Example {
        sk: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        pk: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        alpha: "",
        h: "91bbed02a99461df1ad4c6564a5f5d829d0b90cfc7903e7a5797bd658abf3318",
        k: "8a49edbd1492a8ee09766befe50a7d563051bf3406cbffc20a88def030730f0f",
        u: "aef27c725be964c6a9bf4c45ca8e35df258c1878b838f37d9975523f09034071",
        v: "5016572f71466c646c119443455d6cb9b952f07d060ec8286d678615d55f954f",
        pi: "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f\
             26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab12\
             68a1b0db10836d9826a528ca76567805",
        beta: "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff\
             66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
    },
    Example {
        sk: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        pk: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        alpha: "72",
        h: "5b659fc3d4e9263fd9a4ed1d022d75eaacc20df5e09f9ea937502396598dc551",
        k: "d8c3a66921444cb3427d5d989f9b315aa8ca3375e9ec4d52207711a1fdb44107",
        u: "1dcb0a4821a2c48bf53548228b7f170962988f6d12f5439f31987ef41f034ab3",
        v: "fd03c0bf498c752161bae4719105a074630a2aa5f200ff7b3995f7bfb1513423",
        pi: "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593\
             3bf0864a62558b3ed7f2fea45c92a465301b3bbf5e3e54ddf2d935be3b67926d\
             a3ef39226bbc355bdc9850112c8f4b02",
        beta: "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb\
             5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
    },
    Example {
        sk: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        pk: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        alpha: "af82",
        h: "bf4339376f5542811de615e3313d2b36f6f53c0acfebb482159711201192576a",
        k: "5ffdbc72135d936014e8ab708585fda379405542b07e3bd2c0bd48437fbac60a",
        u: "2bae73e15a64042fcebf062abe7e432b2eca6744f3e8265bc38e009cd577ecd5",
        v: "88cba1cb0d4f9b649d9a86026b69de076724a93a65c349c988954f0961c5d506",
        pi: "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80\
             96bb474e53895c362d8628ee9f9ea3c0e52c7a5c691b6c18c9979866568add7a\
             2d41b00b05081ed0f58ee5e31b3a970e",
        beta: "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45\
             2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
    },
];

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn example_proof() -> (VrfSecretKey, Vec<u8>, VrfProof) {
    let secret = VrfSecretKey::from_seed(&bytes(EXAMPLES[2].sk));
    (
        secret,
        hex::decode(EXAMPLES[2].alpha).unwrap(),
        VrfProof(bytes(EXAMPLES[2].pi)),
    )
}

#[test]
fn the_examples_of_the_rfc_hold_with_their_intermediate_values() {
    for Example {
        sk,
        pk,
        alpha,
        h,
        k,
        u,
        v,
        pi,
        beta,
    } in EXAMPLES
    {
        let secret = VrfSecretKey::from_seed(&bytes(sk));
        assert_eq!(hex::encode(secret.public_key().as_bytes()), pk);
        let alpha = hex::decode(alpha).unwrap();
        let h_point = encode_to_curve(&bytes(pk), &alpha);
        assert_eq!(hex::encode(h_point.compress().0), h);
        let nonce = secret.nonce(&bytes(h));
        assert_eq!(hex::encode(nonce.as_bytes()), k);
        assert_eq!(hex::encode(EdwardsPoint::mul_base(&nonce).compress().0), u);
        assert_eq!(hex::encode((h_point * *nonce).compress().0), v);

        let output = secret.output(&alpha);
        assert_eq!(hex::encode(output), beta);
        let search_key = SearchKey(bytes(&beta[..64]));
        assert_eq!(secret.evaluate(&alpha), search_key);
        assert_eq!(secret.prove(&alpha), (search_key, VrfProof(bytes(pi))));
        let public = VrfPublicKey::from_bytes(&bytes(pk)).unwrap();
        assert_eq!(public.verify(&alpha, &VrfProof(bytes(pi))), Ok(search_key));
    }
}

#[test]
fn every_flipped_bit_of_a_proof_is_refused() {
    let (secret, alpha, proof) = example_proof();
    for bit in 0..8 * VRF_PROOF_BYTES {
        let mut flipped = proof;
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        assert!(
            secret.public_key().verify(&alpha, &flipped).is_err(),
            "bit {bit}"
        );
    }
}

#[test]
fn another_input_and_another_key_are_refused() {
    let (secret, alpha, proof) = example_proof();
    let refused = Err(VrfError::ChallengeMismatch);
    assert_eq!(secret.public_key().verify(b"", &proof), refused);
    assert_eq!(
        secret
            .public_key()
            .verify(&[&alpha[..], &[0]].concat(), &proof),
        refused
    );
    let other = VrfSecretKey::from_seed(&[1; 32]);
    assert_eq!(other.public_key().verify(&alpha, &proof), refused);
}

#[test]
fn a_scalar_with_the_group_order_added_is_refused() {
    let (secret, alpha, proof) = example_proof();
    // -1 is q - 1: adding it and one more to s carries as adding q does.
    let (minus_one, mut carry) = ((-Scalar::ONE).to_bytes(), 1);
    let mut malleated = proof;
    for (byte, addend) in malleated.0[48..].iter_mut().zip(minus_one) {
        let sum = u16::from(*byte) + u16::from(addend) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let s = |proof: VrfProof| Scalar::from_bytes_mod_order(proof.0[48..].try_into().unwrap());
    assert_eq!(s(malleated), s(proof), "same scalar, other bytes");
    assert_ne!(malleated, proof);
    let verified = secret.public_key().verify(&alpha, &malleated);
    assert_eq!(verified, Err(VrfError::NonCanonicalScalar));
}

#[test]
fn points_of_small_order_are_refused_as_key_and_as_gamma() {
    let (secret, alpha, mut proof) = example_proof();
    for point in EIGHT_TORSION {
        let encoding = point.compress().0;
        assert_eq!(
            VrfPublicKey::from_bytes(&encoding),
            Err(PublicKeyError::SmallOrder)
        );
        proof.0[..32].copy_from_slice(&encoding);
        let verified = secret.public_key().verify(&alpha, &proof);
        assert_eq!(verified, Err(VrfError::SmallOrderPoint));
    }
}

#[test]
fn second_encodings_are_refused_as_key_and_as_gamma() {
    let (secret, alpha, mut proof) = example_proof();
    // y = 1 as p + 1, and y = 1 with the sign of x = 0 set: both would decode to the identity.
    for encoding in [
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000080",
    ] {
        let encoding = bytes(encoding);
        assert_eq!(
            VrfPublicKey::from_bytes(&encoding),
            Err(PublicKeyError::InvalidEncoding)
        );
        proof.0[..32].copy_from_slice(&encoding);
        let verified = secret.public_key().verify(&alpha, &proof);
        assert_eq!(verified, Err(VrfError::InvalidPoint));
    }
}

/// A log that knows its key can add a torsion point to Gamma and search for a challenge that hides
/// it. The output must not change by it.
#[test]
fn torsion_in_gamma_cannot_change_the_output() {
    let alpha = b"alpha";
    let secret = VrfSecretKey::from_seed(&[3; 32]);
    let public_key = secret.public_key().as_bytes();
    let (search_key, honest) = secret.prove(alpha);
    let h = encode_to_curve(public_key, alpha);
    let gamma = CompressedEdwardsY(honest.0[..32].try_into().unwrap());
    let twisted = gamma.decompress().unwrap() + EIGHT_TORSION[1];
    let x = secret_scalar(&[3; 32]);
    let proof = (1..=u64::MAX)
        .find_map(|nonce| {
            let k = Scalar::from(nonce);
            let points = [h, twisted, EdwardsPoint::mul_base(&k), h * k];
            let [h, gamma, u, v] = points.map(|point| point.compress().0);
            let c = challenge([public_key, &h, &gamma, &u, &v]);
            let s = k + Scalar::from(u128::from_le_bytes(c)) * x;
            let proof = [&gamma[..], &c[..], s.as_bytes()].concat();
            c[0].is_multiple_of(8)
                .then(|| VrfProof(proof.try_into().unwrap()))
        })
        .unwrap();
    assert_ne!(proof, honest);
    assert_eq!(secret.public_key().verify(alpha, &proof), Ok(search_key));
}

fn secret_scalar(seed: &[u8; 32]) -> Scalar {
    ed25519_dalek::SigningKey::from_bytes(seed).to_scalar()
}

#[test]
fn the_input_is_the_length_prefixed_label_and_the_version() {
    assert_eq!(vrf_input(b"ab", 0x0102_0304), b"\x02ab\x01\x02\x03\x04");
    assert_eq!(vrf_input(&[7; 255], 0).len(), 1 + 255 + 4);
}

#[test]
fn a_secret_key_shows_only_its_public_half() {
    let secret = VrfSecretKey::from_seed(&[0xa5; 32]);
    let public = hex::encode(secret.public_key().as_bytes());
    assert_eq!(
        format!("{secret:?}"),
        format!("VrfSecretKey {{ public_key: {public}, .. }}")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_proved_verifies_and_equals_what_is_evaluated(seed: [u8; 32], alpha: Vec<u8>) {
        let secret = VrfSecretKey::from_seed(&seed);
        let (search_key, proof) = secret.prove(&alpha);
        prop_assert_eq!(secret.evaluate(&alpha), search_key);
        let public = VrfPublicKey::from_bytes(secret.public_key().as_bytes()).unwrap();
        prop_assert_eq!(public.verify(&alpha, &proof), Ok(search_key));
    }

    #[test]
    fn random_bytes_are_no_proof(bytes in prop::array::uniform32(any::<u8>())) {
        let (secret, alpha, mut proof) = example_proof();
        proof.0[..32].copy_from_slice(&bytes);
        proof.0[48..].copy_from_slice(&bytes);
        prop_assert!(secret.public_key().verify(&alpha, &proof).is_err());
    }
}
