//! What holds of every account state.

use candor_core::Hash;
use candor_core::account::{AccountState, Device, DeviceKey, UnverifiedState};
use candor_core::crypto::Ed25519SecretKey;
use proptest::prelude::*;

use super::alice;

prop_compose! {
    fn any_device()(
        name in "\\PC{0,16}",
        platform in "[a-z]{0,32}",
        os_version in "[0-9.]{0,32}",
        capability: u16,
        times: (u64, u64),
        keys in prop::collection::btree_map(
            "[a-z0-9-]{1,32}", prop::collection::vec(any::<u8>(), 1..64), 1..4),
    ) -> Device {
        Device {
            id: Vec::new(),
            name,
            platform,
            os_version,
            capability,
            added_ms: times.0,
            expires_ms: times.1,
            keys: keys
                .into_iter()
                .map(|(purpose, public_key)| DeviceKey { purpose, public_key })
                .collect(),
        }
    }
}

prop_compose! {
    fn any_state()(
        enrolled: bool,
        link in prop::option::of((1..=u64::MAX, any::<[u8; 32]>())),
        devices in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 1..64), any_device(), 0..4),
    ) -> AccountState {
        let (sequence, previous) = link.unwrap_or_default();
        AccountState {
            enrolled,
            sequence,
            previous: Hash(previous),
            devices: devices.into_iter().map(|(id, device)| Device { id, ..device }).collect(),
            ..AccountState::first()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_state_comes_back_as_it_was_signed(state in any_state(), seed: [u8; 32]) {
        let key = Ed25519SecretKey::from_seed(&seed);
        let signed = state.clone().sign(&alice(), &key).unwrap();
        let decoded = UnverifiedState::decode(signed.as_bytes()).unwrap();
        prop_assert_eq!(decoded.verify(&alice()), Ok(signed));
        let state = AccountState { enrolled: false, ..state };
        let unsigned = state.without_signature(&alice()).unwrap();
        let decoded = UnverifiedState::decode(unsigned.as_bytes()).unwrap();
        prop_assert_eq!(decoded.verify(&alice()), Ok(unsigned));
    }

    /// What decodes encodes to the same bytes: a state has one encoding.
    #[test]
    fn a_changed_byte_makes_another_state(
        state in any_state(),
        at: prop::sample::Index,
        change in 1..=255u8,
    ) {
        let state = AccountState { enrolled: false, ..state };
        let mut bytes = state.without_signature(&alice()).unwrap().as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok(Ok(decoded)) = UnverifiedState::decode(&bytes).map(|s| s.verify(&alice())) {
            let again = decoded.state().clone().without_signature(&alice()).unwrap();
            prop_assert_eq!(again.as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = UnverifiedState::decode(&bytes);
    }
}
