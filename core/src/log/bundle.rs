//! Entry bundles: the entries below one level 0 tile (c2sp.org/tlog-tiles, "Log entries").

use thiserror::Error;

use super::tile::Bundle;
use crate::codec::{DecodeError, Reader, Writer as _};

/// An entry does not fit its `u16` length; the caller is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("entry of {length} bytes exceeds the limit of 65535")]
pub struct EntryTooLong {
    /// The entry's length in bytes.
    pub length: usize,
}

/// Concatenates entries, each after its length as a big-endian `u16`.
///
/// # Errors
///
/// [`EntryTooLong`] for the first entry of more than 65535 bytes.
pub fn encode_bundle<T: AsRef<[u8]>>(entries: &[T]) -> Result<Vec<u8>, EntryTooLong> {
    let mut bytes = Vec::new();
    for entry in entries.iter().map(AsRef::as_ref) {
        if entry.len() > usize::from(u16::MAX) {
            return Err(EntryTooLong {
                length: entry.len(),
            });
        }
        bytes.opaque16(entry);
    }
    Ok(bytes)
}

/// Splits the bytes of `bundle` into its entries, exactly as many as the bundle is wide.
///
/// # Errors
///
/// [`DecodeError`] when the bytes hold fewer or more entries; who served them is at fault.
pub fn decode_bundle(bundle: Bundle, bytes: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let entries = (0..bundle.width())
        .map(|_| reader.opaque16(usize::from(u16::MAX), "entry"))
        .collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    Ok(entries)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_holds_exactly_its_width() {
        let bytes = encode_bundle(&[&b"ab"[..], b"", b"c"]).unwrap();
        assert_eq!(bytes, b"\x00\x02ab\x00\x00\x00\x01c");
        let bundle = |width| Bundle::new(0, width).unwrap();
        assert_eq!(
            decode_bundle(bundle(3), &bytes),
            Ok(vec![&b"ab"[..], b"", b"c"])
        );
        assert_eq!(
            decode_bundle(bundle(2), &bytes),
            Err(DecodeError::TrailingBytes { count: 3 })
        );
        assert_eq!(
            decode_bundle(bundle(4), &bytes),
            Err(DecodeError::Truncated { field: "entry" })
        );
        assert_eq!(
            decode_bundle(bundle(3), &bytes[..bytes.len() - 1]),
            Err(DecodeError::Truncated { field: "entry" })
        );
    }

    #[test]
    fn the_longest_entry_is_65535_bytes() {
        let entry = vec![0; 65535];
        let bytes = encode_bundle(&[&entry]).unwrap();
        assert_eq!(
            decode_bundle(Bundle::new(0, 1).unwrap(), &bytes),
            Ok(vec![&entry[..]])
        );
        assert_eq!(
            encode_bundle(&[vec![0; 65536]]),
            Err(EntryTooLong { length: 65536 })
        );
    }
}
