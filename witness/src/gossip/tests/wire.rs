//! The encoding of messages.

use candor_core::limits::LOG_SIZE_MAX;
use proptest::prelude::*;

use super::*;
use crate::gossip::message::{ANSWER_BYTES_MAX, CONTENT_BYTES_MAX, REQUEST_BYTES_MAX, WANTED_MAX};
use crate::logs::LOGS_MAX;

fn log(number: usize) -> LogId {
    LogId::of(&number.to_string())
}

fn wanted(count: usize) -> Request {
    let wanted = (0..count).map(|number| Wanted {
        log: log(number),
        what: if number % 2 == 0 {
            What::Head
        } else {
            What::Evidence
        },
    });
    Request::Fetch(wanted.collect())
}

fn digests(count: usize) -> Answer {
    let digest = |number| Digest {
        log: log(number),
        size: number as u64,
        root: Hash([number as u8; 32]),
        fork: (number % 2 == 0).then_some(Hash([9; 32])),
    };
    Answer::Digests((0..count).map(digest).collect())
}

#[test]
fn messages_read_back_and_nothing_else_is_read() {
    for request in [Request::Digests, wanted(0), wanted(3)] {
        let bytes = request.encode();
        assert_eq!(Request::decode(&bytes).as_ref(), Ok(&request));
        assert!(Request::decode(&[&bytes[..], &[0]].concat()).is_err());
        for length in 0..bytes.len() {
            assert!(Request::decode(&bytes[..length]).is_err());
        }
    }
    let items = Answer::of_items([HONEST.item(5), item(Content::Evidence(vec![7]))]);
    for answer in [digests(0), digests(3), items] {
        let bytes = answer.encode();
        assert_eq!(Answer::decode(&bytes).as_ref(), Ok(&answer));
        assert!(Answer::decode(&[&bytes[..], &[0]].concat()).is_err());
        for length in 0..bytes.len() {
            assert!(Answer::decode(&bytes[..length]).is_err());
        }
    }
}

#[test]
fn the_longest_messages_are_within_their_limits_and_longer_ones_refused() {
    assert_eq!(wanted(WANTED_MAX).encode().len(), REQUEST_BYTES_MAX);
    assert!(Request::decode(&wanted(WANTED_MAX + 1).encode()).is_err());
    let all = digests(LOGS_MAX).encode();
    assert!(all.len() <= ANSWER_BYTES_MAX);
    assert!(Answer::decode(&all).is_ok());
    assert!(Answer::decode(&digests(LOGS_MAX + 1).encode()).is_err());
    let long = |length| item(Content::Head(vec![0; length]));
    let full = Answer::of_items((0..WANTED_MAX).map(|_| long(CONTENT_BYTES_MAX)));
    assert!(full.encode().len() <= ANSWER_BYTES_MAX);
    assert!(matches!(&full, Answer::Items(items) if items.len() == 15));
    assert!(Answer::decode(&full.encode()).is_ok());
    let too_long = Answer::Items(vec![long(CONTENT_BYTES_MAX + 1)]);
    assert!(Answer::decode(&too_long.encode()).is_err());
    assert_eq!(
        Answer::of_items([long(CONTENT_BYTES_MAX + 1)]),
        Answer::Items(vec![])
    );
    let impossible = Answer::Digests(vec![Digest {
        size: LOG_SIZE_MAX + 1,
        ..HONEST.digest(1)
    }]);
    assert!(Answer::decode(&impossible.encode()).is_err());
}

proptest! {
    #[test]
    fn whatever_is_read_is_the_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in 1..3 {
            let bytes = [&[kind, 0], &bytes[..]].concat();
            if let Ok(request) = Request::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes.clone());
            }
            if let Ok(answer) = Answer::decode(&bytes) {
                prop_assert_eq!(answer.encode(), bytes);
            }
        }
    }
}
