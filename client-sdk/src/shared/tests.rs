#![allow(clippy::unwrap_used)]

use candor_core::Hash;
use candor_core::account::{AccountKey, Label};
use candor_core::codec::DecodeError;
use candor_core::crypto::Commitment;
use proptest::prelude::*;

use super::state::{CONTACTS_MAX, PUBLISHED_MAX};
use super::*;
use crate::PublishedVersion;

const ORIGIN: &str = "log.example";

fn label(name: &str) -> Label {
    Label::parse(name).unwrap()
}

fn device(number: u8) -> DeviceTag {
    DeviceTag::of(&[number])
}

fn contact(number: u8) -> ContactId {
    ContactId::of(ORIGIN, &label(&format!("acct:contact{number}")))
}

fn published(version: u32, content: u8) -> PublishedVersion {
    PublishedVersion {
        version,
        value_hash: Hash([content; 32]),
    }
}

/// Something that a device does.
#[derive(Clone, Debug)]
enum Act {
    Enrol(bool),
    Device(u8, bool),
    Verify(u8, u8),
    Clear(u8),
    Publish(u32, u8),
    Monitor(u32),
    Head(u64),
    /// Takes in the state of another device.
    Merge(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        any::<bool>().prop_map(Act::Enrol),
        (0..4u8, any::<bool>()).prop_map(|(device, ours)| Act::Device(device, ours)),
        (0..4u8, 0..3u8).prop_map(|(contact, key)| Act::Verify(contact, key)),
        (0..4u8).prop_map(Act::Clear),
        (0..6u32, 0..3u8).prop_map(|(version, content)| Act::Publish(version, content)),
        (0..6u32).prop_map(Act::Monitor),
        (0..9u64).prop_map(Act::Head),
        (0..3usize).prop_map(Act::Merge),
    ]
}

fn apply(states: &mut [SharedState; 3], at: usize, act: &Act) {
    let by = device(u8::try_from(at).unwrap());
    let other = states.clone();
    let state = &mut states[at];
    match *act {
        Act::Enrol(on) => state.set_enrolled(by, on).unwrap(),
        Act::Device(number, ours) => state.set_device(by, device(number), ours).unwrap(),
        Act::Verify(number, key) => {
            let key = AccountKey([key; 32]);
            state.set_verified(by, contact(number), &key).unwrap();
        }
        Act::Clear(number) => state.clear_verified(by, contact(number)).unwrap(),
        Act::Publish(version, content) => state.add_published(published(version, content)).unwrap(),
        Act::Monitor(version) => state.set_monitored(LoggedVersion {
            version,
            commitment: Commitment([1; 32]),
        }),
        Act::Head(size) => {
            let root = Hash([size as u8; 32]);
            state.set_head(by, SeenHead { size, root }).unwrap();
        }
        Act::Merge(from) => {
            state.merge(&other[from]);
        }
    }
}

/// States of three devices after they did this.
fn states() -> impl Strategy<Value = [SharedState; 3]> {
    prop::collection::vec((0..3usize, act()), 0..40).prop_map(|acts| {
        let mut states = [(); 3].map(|()| SharedState::new());
        for (at, act) in &acts {
            apply(&mut states, *at, act);
        }
        states
    })
}

fn merged(states: [&SharedState; 3]) -> SharedState {
    let mut all = SharedState::new();
    for state in states {
        all.merge(state);
    }
    all
}

proptest! {
    /// Statement 14.
    #[test]
    fn any_order_of_merges_by_any_devices_gives_the_same_state([a, b, c] in states()) {
        let all = merged([&a, &b, &c]);
        for order in [[&a, &c, &b], [&b, &a, &c], [&b, &c, &a], [&c, &a, &b], [&c, &b, &a]] {
            prop_assert_eq!(&merged(order), &all);
        }
        // Grouped otherwise, and repeated.
        let mut right = b.clone();
        right.merge(&c);
        let mut grouped = a.clone();
        grouped.merge(&right);
        prop_assert_eq!(&grouped, &all);
        let again = grouped.merge(&a);
        prop_assert_eq!(&grouped, &all);
        prop_assert!(!again.learned);
        prop_assert_eq!(again.lacks_ours, a != all);
    }

    #[test]
    fn a_state_reads_back_and_has_one_encoding([a, b, _] in states()) {
        let bytes = a.encode();
        let read = SharedState::decode(&bytes).unwrap();
        prop_assert_eq!(&read, &a);
        prop_assert_eq!(a == b, bytes == b.encode());
        for length in 0..bytes.len() {
            prop_assert!(SharedState::decode(&bytes[..length]).is_err());
        }
        prop_assert!(SharedState::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn bytes_that_are_accepted_are_the_encoding_of_what_they_give(
        [state, _, _] in states(), at: prop::sample::Index, bit in 0..8u8
    ) {
        let mut bytes = state.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(read) = SharedState::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}

#[test]
fn what_was_written_last_by_who_knew_of_the_rest_wins() {
    let (mut phone, mut laptop) = (SharedState::new(), SharedState::new());
    let [old, new] = [1, 2].map(|key| AccountKey([key; 32]));
    phone.set_verified(device(1), contact(1), &old).unwrap();
    assert_eq!(
        laptop.merge(&phone),
        Merge {
            learned: true,
            lacks_ours: false,
            contradicts: false,
        }
    );
    assert_eq!(laptop.verified(contact(1)), Some(old.hash()));
    laptop.clear_verified(device(2), contact(1)).unwrap();
    // The mark does not come back with an older state.
    laptop.merge(&phone);
    assert_eq!(laptop.verified(contact(1)), None);
    assert_eq!(
        phone.merge(&laptop),
        Merge {
            learned: true,
            lacks_ours: false,
            contradicts: false,
        }
    );
    phone.set_verified(device(1), contact(1), &new).unwrap();
    laptop.merge(&phone);
    assert_eq!(laptop.verified(contact(1)), Some(new.hash()));
    assert_eq!(laptop.verified(contact(2)), None);
}

/// Statement 14.
#[test]
fn an_older_state_lacks_what_was_shared_since() {
    let mut ours = SharedState::new();
    ours.add_published(published(0, 0)).unwrap();
    let backup = ours.clone();
    ours.add_published(published(1, 1)).unwrap();
    let found = ours.merge(&backup);
    assert_eq!(
        found,
        Merge {
            learned: false,
            lacks_ours: true,
            contradicts: false,
        }
    );
    // A device that has nothing yet misses what the log holds.
    let newest = published(1, 1);
    assert!(!backup.published().any(|known| *known == newest));
    assert!(ours.published().any(|known| *known == newest));
}

#[test]
fn two_histories_that_devices_were_shown_are_noticed() {
    let seen = |size: u64, root: u8| {
        let mut state = SharedState::new();
        let root = Hash([root; 32]);
        state.set_head(device(1), SeenHead { size, root }).unwrap();
        state
    };
    let monitored = |version: u32, commitment: u8| {
        let mut state = SharedState::new();
        state.set_monitored(LoggedVersion {
            version,
            commitment: Commitment([commitment; 32]),
        });
        state
    };
    for (ours, theirs, contradicts) in [
        (seen(5, 1), seen(5, 1), false),
        (seen(5, 1), seen(6, 2), false),
        (seen(5, 1), seen(5, 2), true),
        (monitored(3, 1), monitored(3, 1), false),
        (monitored(3, 1), monitored(4, 2), false),
        (monitored(3, 1), monitored(3, 2), true),
    ] {
        assert_eq!(ours.clone().merge(&theirs).contradicts, contradicts);
        assert_eq!(theirs.clone().merge(&ours).contradicts, contradicts);
    }
}

#[test]
fn publications_are_kept_from_the_monitored_version_on() {
    let mut state = SharedState::new();
    for version in 0..3 {
        state.add_published(published(version, 0)).unwrap();
    }
    state.set_monitored(LoggedVersion {
        version: 2,
        commitment: Commitment([9; 32]),
    });
    state.add_published(published(1, 1)).unwrap();
    let kept: Vec<_> = state.published().copied().collect();
    assert_eq!(kept, [published(2, 0)]);
    assert_eq!(state.monitored().unwrap().version, 2);
    let mut bytes = state.encode();
    let at = bytes.len() - 4 - 36 - 1 - 36;
    assert_eq!(bytes[at..at + 4], 2u32.to_be_bytes());
    bytes[at + 3] = 1;
    let field = "published";
    assert_eq!(
        SharedState::decode(&bytes),
        Err(DecodeError::Invalid { field })
    );
}

#[test]
fn there_is_an_end_to_what_is_shared() {
    let mut state = SharedState::new();
    for version in 0..PUBLISHED_MAX as u32 {
        state.add_published(published(version, 0)).unwrap();
    }
    let known = state.add_published(published(0, 0));
    assert_eq!(known, Ok(()));
    let full = state.add_published(published(0, 1)).unwrap_err();
    assert!(matches!(
        full,
        SharedError::Full {
            what: "publications",
            ..
        }
    ));

    let by = device(1);
    state.set_enrolled(by, true).unwrap();
    let mut entry = state.enrolled.unwrap();
    entry.clock = u64::MAX;
    state.enrolled = Some(entry);
    let refused = state.set_device(by, by, true);
    assert_eq!(refused, Err(SharedError::ClockExhausted));
    assert!(!state.has_device(by));

    // A state at its limit can be sealed.
    let mut state = SharedState::new();
    let key = AccountKey([1; 32]);
    state.set_verified(by, contact(1), &key).unwrap();
    let mark = *state.contacts.values().next().unwrap();
    for number in 1..CONTACTS_MAX {
        let number = u32::try_from(number).unwrap().to_be_bytes();
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number);
        state.contacts.insert(ContactId(id), mark);
    }
    let full = state.set_verified(by, contact(2), &key).unwrap_err();
    assert!(matches!(
        full,
        SharedError::Full {
            what: "contacts",
            ..
        }
    ));
    assert!(state.clear_verified(by, contact(1)).is_ok());
    let shared_key = SharedKey::derive(&[7; 32], ORIGIN, &label("acct:alice"));
    let sealed = SealedState::seal(&state, &shared_key, [0; NONCE_BYTES]).unwrap();
    assert!(sealed.as_bytes().len() < 3 << 20);
}

/// Statement 14.
#[test]
fn a_sealed_state_opens_with_its_key_alone_and_shows_nothing() {
    let mut state = SharedState::new();
    let mark = AccountKey([0xa7; 32]);
    state.set_verified(device(1), contact(1), &mark).unwrap();
    let (alice, bob) = (label("acct:alice"), label("acct:bob"));
    let key = SharedKey::derive(&[7; 32], ORIGIN, &alice);
    let sealed = SealedState::seal(&state, &key, [5; NONCE_BYTES]).unwrap();
    assert_eq!(
        SealedState::open(sealed.as_bytes(), &key),
        Ok(state.clone())
    );
    let hash = mark.hash();
    let shows_hash = |bytes: &[u8]| bytes.windows(32).any(|window| window == hash.0);
    assert!(shows_hash(&state.encode()) && !shows_hash(sealed.as_bytes()));
    assert_eq!(format!("{key:?}"), "SharedKey(..)");
    for other in [
        SharedKey::derive(&[8; 32], ORIGIN, &alice),
        SharedKey::derive(&[7; 32], "other.example", &alice),
        SharedKey::derive(&[7; 32], ORIGIN, &bob),
    ] {
        let opened = SealedState::open(sealed.as_bytes(), &other);
        assert_eq!(opened, Err(SealError::NotOurs));
    }
    // One contact more does not change the length.
    let mut more = state.clone();
    more.set_verified(device(1), contact(2), &mark).unwrap();
    let sealed_more = SealedState::seal(&more, &key, [6; NONCE_BYTES]).unwrap();
    assert_eq!(sealed_more.as_bytes().len(), sealed.as_bytes().len());
}

#[test]
fn every_change_of_a_sealed_state_is_found() {
    let key = SharedKey::derive(&[7; 32], ORIGIN, &label("acct:alice"));
    let sealed = SealedState::seal(&SharedState::new(), &key, [5; NONCE_BYTES]).unwrap();
    let bytes = sealed.as_bytes();
    let interesting = (0..64).chain(bytes.len() - 64..bytes.len());
    for (at, bit) in interesting.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << bit;
        assert!(SealedState::open(&changed, &key).is_err(), "{at}");
    }
    for length in [0, 1, 24, 25, 40, 41, bytes.len() - 1] {
        assert!(
            SealedState::open(&bytes[..length], &key).is_err(),
            "{length}"
        );
    }
    let longer = [bytes, &[0]].concat();
    assert_eq!(SealedState::open(&longer, &key), Err(SealError::NotOurs));
    let huge = vec![1; 8 << 20];
    assert_eq!(SealedState::open(&huge, &key), Err(SealError::Malformed));
}
