//! Account states and the rules of succession, seen from outside: negative cases foremost.

#![allow(clippy::unwrap_used, clippy::panic)]

mod properties;

use candor_core::Hash;
use candor_core::account::{
    AccountKey, AccountState, Binding, Change, Device, DeviceKey, Label, RuleError, Standing,
    StateError, UnverifiedState, VerifiedState, VerifiedValue, check_successor,
};
use candor_core::codec::DecodeError;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::limits::{DEVICE_KEY_BYTES_MAX, STATE_BYTES_MAX};

fn alice() -> Label {
    Label::parse("acct:alice").unwrap()
}

fn key(seed: u8) -> Ed25519SecretKey {
    Ed25519SecretKey::from_seed(&[seed; 32])
}

fn device(id: u8) -> Device {
    Device {
        id: vec![id],
        name: "phone".to_owned(),
        platform: "ios".to_owned(),
        os_version: "17.2".to_owned(),
        capability: 1,
        added_ms: 1_700_000_000_000,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "encrypt".to_owned(),
            public_key: vec![id; 32],
        }],
    }
}

fn first() -> AccountState {
    AccountState {
        devices: vec![device(1), device(2)],
        ..AccountState::first()
    }
}

fn enrolled() -> VerifiedState {
    AccountState {
        enrolled: true,
        ..first()
    }
    .sign(&alice(), &key(1))
    .unwrap()
}

fn unsigned() -> VerifiedState {
    first().without_signature(&alice()).unwrap()
}

fn invalid(field: &'static str) -> DecodeError {
    DecodeError::Invalid { field }
}

fn check(previous: &VerifiedState, next: &VerifiedState) -> Result<Change, RuleError> {
    check_successor(
        Some(&VerifiedValue::State(previous.clone())),
        &VerifiedValue::State(next.clone()),
    )
}

fn binding(primary: &str) -> VerifiedValue {
    VerifiedValue::Binding(Binding::new(alice(), Label::parse(primary).unwrap()).unwrap())
}

#[test]
fn no_bit_of_a_signed_state_can_be_flipped() {
    let state = enrolled();
    for at in 0..state.as_bytes().len() * 8 {
        let mut bytes = state.as_bytes().to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        let verified = UnverifiedState::decode(&bytes).map(|state| state.verify(&alice()));
        assert!(!matches!(verified, Ok(Ok(_))), "bit {at}");
    }
}

#[test]
fn no_bit_of_an_unsigned_state_can_be_flipped_unseen() {
    let state = unsigned();
    for at in 0..state.as_bytes().len() * 8 {
        let mut bytes = state.as_bytes().to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        if let Ok(Ok(other)) = UnverifiedState::decode(&bytes).map(|s| s.verify(&alice())) {
            assert_ne!(other.state(), state.state(), "bit {at}");
            assert_ne!(other.hash(), state.hash(), "bit {at}");
        }
    }
}

#[test]
fn truncated_and_extended_states_are_refused() {
    for state in [enrolled(), unsigned()] {
        for length in 0..state.as_bytes().len() {
            assert!(
                UnverifiedState::decode(&state.as_bytes()[..length]).is_err(),
                "{length}"
            );
        }
        let extended = [state.as_bytes(), &[0]].concat();
        let error = DecodeError::TrailingBytes { count: 1 };
        assert_eq!(UnverifiedState::decode(&extended), Err(error));
    }
}

#[test]
fn another_format_is_refused() {
    for format in [0, 2, 255] {
        let mut bytes = enrolled().as_bytes().to_vec();
        bytes[0] = format;
        assert_eq!(UnverifiedState::decode(&bytes), Err(invalid("format")));
    }
}

#[test]
fn a_state_is_of_one_label_only() {
    let state = UnverifiedState::decode(enrolled().as_bytes()).unwrap();
    let mallory = Label::parse("acct:mallory").unwrap();
    assert_eq!(state.clone().verify(&mallory), Err(StateError::Signature));
    assert_eq!(state.verify(&alice()), Ok(enrolled()));
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let mut bytes = enrolled().as_bytes().to_vec();
    let other = AccountState {
        enrolled: true,
        ..first()
    }
    .sign(&alice(), &key(2))
    .unwrap();
    let signature_at = bytes.len() - 64;
    bytes[signature_at..].copy_from_slice(&other.as_bytes()[signature_at..]);
    let state = UnverifiedState::decode(&bytes).unwrap();
    assert_eq!(state.verify(&alice()), Err(StateError::Signature));
}

#[test]
fn an_account_key_of_small_order_signs_nothing() {
    // The neutral element as key, with R the neutral element and s zero, satisfies the verification
    // equation of RFC 8032 for every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut bytes = enrolled().as_bytes().to_vec();
    bytes[2..34].copy_from_slice(&neutral);
    let signature_at = bytes.len() - 64;
    bytes[signature_at..].fill(0);
    bytes[signature_at] = 1;
    let verified = UnverifiedState::decode(&bytes).unwrap().verify(&alice());
    assert!(matches!(
        verified,
        Err(StateError::Key | StateError::Signature)
    ));
}

#[test]
fn drafts_that_contradict_themselves_are_refused() {
    let own = AccountKey(*key(1).public_key().as_bytes());
    let next = enrolled().successor().unwrap();
    for (draft, field) in [
        (
            AccountState {
                previous: Hash([1; 32]),
                ..first()
            },
            "previous",
        ),
        (
            AccountState {
                sequence: 1,
                ..first()
            },
            "previous",
        ),
        (
            AccountState {
                reset: Some(AccountKey([2; 32])),
                ..first()
            },
            "reset",
        ),
        (
            AccountState {
                reset: Some(own),
                ..next.clone()
            },
            "reset",
        ),
    ] {
        assert_eq!(draft.sign(&alice(), &key(1)), Err(invalid(field).into()));
    }
    for (draft, field) in [
        (
            AccountState {
                enrolled: true,
                ..first()
            },
            "enrolled",
        ),
        (
            AccountState {
                account_key: Some(own),
                ..first()
            },
            "account key",
        ),
        (
            AccountState {
                enrolled: false,
                reset: Some(own),
                ..next
            },
            "reset",
        ),
    ] {
        assert_eq!(
            draft.without_signature(&alice()),
            Err(invalid(field).into())
        );
    }
}

#[test]
fn a_state_above_the_size_of_a_value_is_refused() {
    let full = |id| {
        let key = |i| DeviceKey {
            purpose: format!("k{i:02}"),
            public_key: vec![0; DEVICE_KEY_BYTES_MAX],
        };
        Device {
            keys: (0..15).map(key).collect(),
            ..device(id)
        }
    };
    let fill = |last_key_bytes| {
        let key = DeviceKey {
            purpose: "k".to_owned(),
            public_key: vec![0; last_key_bytes],
        };
        let devices = vec![
            full(1),
            Device {
                keys: vec![key],
                ..device(2)
            },
        ];
        AccountState {
            devices,
            ..AccountState::first()
        }
    };
    let base = fill(1)
        .without_signature(&alice())
        .unwrap()
        .as_bytes()
        .len();
    let room = STATE_BYTES_MAX - base + 1;
    let largest = fill(room).without_signature(&alice()).unwrap();
    assert_eq!(largest.as_bytes().len(), STATE_BYTES_MAX);
    assert!(UnverifiedState::decode(largest.as_bytes()).is_ok());
    let too_large = DecodeError::TooLarge {
        field: "account state",
        limit: STATE_BYTES_MAX,
    };
    assert_eq!(
        fill(room + 1).without_signature(&alice()),
        Err(too_large.into())
    );
    assert_eq!(fill(room).sign(&alice(), &key(1)), Err(too_large.into()));
    assert_eq!(
        UnverifiedState::decode(&vec![1; STATE_BYTES_MAX + 1]),
        Err(too_large)
    );
}

#[test]
fn debug_shows_no_device() {
    let unverified = UnverifiedState::decode(enrolled().as_bytes()).unwrap();
    let name: Vec<_> = b"phone".iter().map(u8::to_string).collect();
    for shown in [
        format!("{:?} {unverified:?}", enrolled()),
        format!("{:?}", VerifiedValue::State(unsigned())),
    ] {
        assert!(!shown.contains("phone") && !shown.contains(&name.join(", ")));
    }
}

#[test]
fn sequence_numbers_end() {
    let last = AccountState {
        sequence: u64::MAX,
        previous: Hash([1; 32]),
        ..first()
    };
    let last = last.without_signature(&alice()).unwrap();
    assert_eq!(last.successor(), Err(StateError::SequenceExhausted));
    assert_eq!(check(&last, &last), Err(RuleError::Sequence));
}

#[test]
fn a_chain_is_continuous() {
    let one = enrolled();
    let two = one.successor().unwrap().sign(&alice(), &key(1)).unwrap();
    let three = two.successor().unwrap().sign(&alice(), &key(1)).unwrap();
    assert_eq!(check(&one, &two), Ok(Change::Updated));
    assert_eq!(check(&two, &three), Ok(Change::Updated));
    assert_eq!(check(&one, &three), Err(RuleError::Sequence));
    assert_eq!(check(&two, &two), Err(RuleError::Sequence));
    assert_eq!(check(&three, &two), Err(RuleError::Sequence));
    assert_eq!(check(&unsigned(), &two), Err(RuleError::Previous));
    assert_eq!(
        check_successor(None, &VerifiedValue::State(two)),
        Err(RuleError::NotFirst)
    );
}

#[test]
fn an_enrolled_account_answers_to_its_key_alone() {
    let one = enrolled();
    let draft = one.successor().unwrap();
    let silent = AccountState {
        enrolled: false,
        ..draft.clone()
    };
    let unsigned = silent.clone().without_signature(&alice()).unwrap();
    assert_eq!(check(&one, &unsigned), Err(RuleError::Unsigned));
    let other_key = draft.sign(&alice(), &key(2)).unwrap();
    assert_eq!(check(&one, &other_key), Err(RuleError::KeyChanged));
    let off_by_other_key = silent.clone().sign(&alice(), &key(2)).unwrap();
    assert_eq!(check(&one, &off_by_other_key), Err(RuleError::KeyChanged));
    let off = silent.sign(&alice(), &key(1)).unwrap();
    assert_eq!(check(&one, &off), Ok(Change::Disenrolled));
    let value = VerifiedValue::State(one);
    assert_eq!(
        check_successor(Some(&value), &binding("acct:mallory")),
        Err(RuleError::BindingOverEnrolled)
    );
}

#[test]
fn a_reset_names_the_key_it_replaces_and_turns_nothing_off() {
    let one = enrolled();
    let reset = |named: u8, enrolled| AccountState {
        reset: Some(AccountKey(*key(named).public_key().as_bytes())),
        enrolled,
        ..one.successor().unwrap()
    };
    let declared = reset(1, true).sign(&alice(), &key(2)).unwrap();
    assert_eq!(check(&one, &declared), Ok(Change::Reset));
    let other = reset(3, true).sign(&alice(), &key(2)).unwrap();
    assert_eq!(check(&one, &other), Err(RuleError::ResetNamesOtherKey));
    let off = reset(1, false).sign(&alice(), &key(2)).unwrap();
    assert_eq!(check(&one, &off), Err(RuleError::ResetDisenrolls));
    let without_key = unsigned();
    let of_nothing = AccountState {
        reset: Some(AccountKey([7; 32])),
        ..without_key.successor().unwrap()
    };
    let of_nothing = of_nothing.sign(&alice(), &key(2)).unwrap();
    assert_eq!(
        check(&without_key, &of_nothing),
        Err(RuleError::ResetNamesOtherKey)
    );
}

#[test]
fn before_enrolment_the_servers_word_is_all_there_is() {
    let one = unsigned();
    assert_eq!(one.standing(), Standing::ServerWord);
    assert_eq!(enrolled().standing(), Standing::AccountSigned);
    let two = one
        .successor()
        .unwrap()
        .without_signature(&alice())
        .unwrap();
    assert_eq!(check(&one, &two), Ok(Change::Updated));
    let draft = AccountState {
        enrolled: true,
        ..two.successor().unwrap()
    };
    let three = draft.sign(&alice(), &key(1)).unwrap();
    assert_eq!(check(&two, &three), Ok(Change::Enrolled));
    let first = |state| check_successor(None, &VerifiedValue::State(state));
    assert_eq!(first(unsigned()), Ok(Change::Created));
    assert_eq!(first(enrolled()), Ok(Change::Enrolled));
}

#[test]
fn a_binding_that_moves_is_told() {
    let state = VerifiedValue::State(unsigned());
    let (bob, carol) = (binding("acct:bob"), binding("acct:carol"));
    assert_eq!(check_successor(None, &bob), Ok(Change::Bound));
    assert_eq!(check_successor(Some(&bob), &carol), Ok(Change::Moved));
    assert_eq!(
        check_successor(Some(&bob), &bob),
        Err(RuleError::SameBinding)
    );
    assert_eq!(check_successor(Some(&bob), &state), Ok(Change::Moved));
    assert_eq!(check_successor(Some(&state), &bob), Ok(Change::Moved));
    let later = unsigned()
        .successor()
        .unwrap()
        .without_signature(&alice())
        .unwrap();
    let later = VerifiedValue::State(later);
    assert_eq!(
        check_successor(Some(&bob), &later),
        Err(RuleError::NotFirst)
    );
}

#[test]
fn values_of_different_labels_do_not_follow_each_other() {
    let bob = Label::parse("acct:bob").unwrap();
    let next = enrolled().successor().unwrap().sign(&bob, &key(1)).unwrap();
    assert_eq!(check(&enrolled(), &next), Err(RuleError::OtherLabel));
}
