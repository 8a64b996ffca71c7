//! How much a device remembers.

use super::log::*;
use crate::device::*;
use crate::memory::{AccountMemory, Kind, key};
use crate::store::Store as _;
use candor_core::crypto::Commitment;

/// Bytes remembered of a contact with a number as its label, by this layer and the client's: its
/// record, its place in the list of contacts, its mark, and what the client keeps of its accounts.
#[test]
fn a_contact_takes_less_than_200_bytes() {
    let mut log = Log::default();
    let (mut alice, bob) = alice_and_bob(&mut log);
    let number = "+1 555 123 4567";
    let binding = candor_core::account::Binding::new(label(number), label(BOB)).unwrap();
    log.force(&candor_core::account::VerifiedValue::Binding(binding));
    alice.save(&mut log, number);
    alice.check(&mut log, number).unwrap();
    let code = bob.machine.public_code().unwrap();
    alice.run(&mut log, Command::EnterCode(label(number), code));
    let read = |kind, of: &[u8]| {
        alice
            .store
            .read(&key(kind, ORIGIN, of))
            .unwrap()
            .unwrap()
            .len()
    };
    let record = read(Kind::Contact, label(number).as_bytes());
    let place = 1 + label(number).as_bytes().len();
    let client = AccountMemory {
        greatest: 0,
        commitment: Commitment([0; 32]),
    };
    let client = 2 * client.encode().len();
    let mark = 32 + 8 + 16 + 1 + 32;
    assert!(
        record + place + client < 200,
        "{record} + {place} + {client}"
    );
    assert!(record + place + client + mark < 300, "with what is shared");
}
