//! Padding of answers, so that who watches the network learns less from their lengths.
//!
//! An account proof counts as long as the next power of two from 4 KiB on, or the next multiple of
//! 64 KiB: a label that does not exist, and an account that changed a few times, look alike. What
//! remains visible is how many labels were asked for, whether a head was sent, and the class of
//! long histories and large values.

use candor_proto::Bytes;

/// Shortest class in bytes.
const CLASS_MIN: usize = 4 << 10;

/// Longest class that is a power of two; above, classes are multiples of it.
const CLASS_STEP: usize = 64 << 10;

/// Bytes of a field beside its content: a tag, and a length below 2 MiB.
const FIELD_BYTES: usize = 1 + 3;

/// Shortest padding: a field without content.
const PADDING_MIN: usize = 2;

static ZEROS: [u8; CLASS_STEP] = [0; CLASS_STEP];

/// What an account proof of this length counts as.
pub(super) fn class(bytes: usize) -> usize {
    if bytes <= CLASS_STEP {
        bytes.next_power_of_two().max(CLASS_MIN)
    } else {
        bytes.next_multiple_of(CLASS_STEP)
    }
}

/// What makes fields of these account proofs as long as those of the longest ones of their classes.
pub(super) fn padding<'a>(accounts: impl IntoIterator<Item = &'a Bytes>) -> Vec<Bytes> {
    let missing = |account: &Bytes| {
        let longest = class(account.len()) + FIELD_BYTES + PADDING_MIN;
        longest - field(account.len())
    };
    let mut missing: usize = accounts.into_iter().map(missing).sum();
    let mut padding = Vec::with_capacity(1);
    while missing > 0 {
        let mut bytes = missing.saturating_sub(PADDING_MIN).min(ZEROS.len());
        // The length of a length: two lengths in sequence may differ by two bytes. What is left
        // must be nothing, or enough for another field.
        while field(bytes) > missing || field(bytes) + 1 == missing {
            bytes -= 1;
        }
        padding.push(Bytes::from_static(&ZEROS[..bytes]));
        missing -= field(bytes);
    }
    padding
}

/// Bytes that a field of this many takes in a message.
const fn field(bytes: usize) -> usize {
    let length = match bytes {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    };
    1 + length + bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use candor_proto::v1::{LookupBatchResponse, LookupResponse};
    use prost::Message as _;

    use super::*;

    fn padded(bytes: usize) -> usize {
        let account = Bytes::from(vec![1; bytes]);
        let padding = padding([&account]);
        let response = LookupResponse {
            account,
            padding,
            ..LookupResponse::default()
        };
        response.encoded_len()
    }

    #[test]
    fn all_answers_of_a_class_are_equally_long() {
        // The shortest account proof has a VRF proof.
        let longest = padded(4 << 10);
        for bytes in 80..=4 << 10 {
            assert_eq!(padded(bytes), longest, "{bytes}");
        }
        let mut last = 4 << 10;
        for class in [
            8 << 10,
            16 << 10,
            32 << 10,
            64 << 10,
            128 << 10,
            192 << 10,
            1 << 20,
        ] {
            let longest = padded(class);
            assert_eq!(longest, class + FIELD_BYTES + PADDING_MIN);
            if class <= 192 << 10 {
                for bytes in (last + 1..=class).step_by(61) {
                    assert_eq!(padded(bytes), longest, "{bytes}");
                }
                last = class;
            }
            for bytes in class - 400..=class {
                assert_eq!(padded(bytes), longest, "{bytes}");
            }
        }
    }

    #[test]
    fn batches_tell_their_number_of_labels_and_classes_only() {
        let length = |lengths: &[usize]| {
            let accounts = lengths.iter().map(|bytes| vec![1; *bytes].into());
            let accounts: Vec<Bytes> = accounts.collect();
            let padding = padding(&accounts);
            let response = LookupBatchResponse {
                accounts,
                padding,
                ..LookupBatchResponse::default()
            };
            response.encoded_len()
        };
        assert_eq!(length(&[]), 0);
        let uniform = length(&[4 << 10; 64]);
        assert_eq!(length(&[700; 64]), uniform);
        let mixed: Vec<_> = (0..64).map(|at| 100 + at * 62).collect();
        assert_eq!(length(&mixed), uniform);
        assert_eq!(length(&[700, 9_000]), length(&[16 << 10, 100]));
    }
}
