//! Ranges of keys: half-open, so that neighbouring ranges neither overlap nor leave a gap.

use std::ops::Bound;

use super::{KEY_BYTES_MAX, ReadError};

/// The direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the least key on.
    Ascending,
    /// From the greatest key on.
    Descending,
}

/// The keys from a least one on, up to but without an end. Keys compare as byte strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self {
            start: Vec::new(),
            end: None,
        }
    }

    /// The keys that are at least `start` and less than `end`.
    pub fn new(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Self {
            start: start.into(),
            end: Some(end.into()),
        }
    }

    /// The keys that are at least `start`.
    pub fn from(start: impl Into<Vec<u8>>) -> Self {
        Self {
            start: start.into(),
            end: None,
        }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start = prefix.into();
        // The least string that is greater than all with this prefix: the prefix without its
        // trailing 0xff, its last byte one greater. After a prefix of 0xff only there is none.
        let kept = start.iter().rposition(|&byte| byte != 0xff);
        let end = kept.map(|last| {
            let mut end = start[..=last].to_vec();
            end[last] += 1;
            end
        });
        Self { start, end }
    }

    /// The least key that may be in the range.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// The least key beyond the range, unless it is unbounded.
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// Whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && self.end.as_ref().is_none_or(|end| *key < **end)
    }

    /// The range as the standard library's maps and the engines take it. Some of them panic when
    /// it is empty: ask [`KeyRange::is_empty`] first.
    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = self.end().map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(self.start()), end)
    }

    /// Refuses bounds that are longer than any key.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        let bytes = self.start.len().max(self.end.as_ref().map_or(0, Vec::len));
        if bytes > KEY_BYTES_MAX {
            Err(ReadError::KeyLength { bytes })
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_holds_exactly_the_keys_that_begin_with_it() {
        let keys: [&[u8]; 9] = [
            b"",
            b"a",
            b"ab",
            b"ab\0",
            b"ab\xff\xff",
            b"ac",
            b"\xff",
            b"\xff\xff",
            b"b",
        ];
        let prefixes: [&[u8]; 6] = [b"", b"a", b"ab", b"ab\xff", b"\xff", b"\xff\xff"];
        for prefix in prefixes {
            let range = KeyRange::prefix(prefix);
            for key in keys {
                assert_eq!(
                    range.contains(key),
                    key.starts_with(prefix),
                    "{prefix:?} {key:?}"
                );
            }
        }
    }

    #[test]
    fn half_open() {
        let range = KeyRange::new("b", "d");
        assert!(!range.contains(b"a") && !range.contains(b"d"));
        assert!(range.contains(b"b") && range.contains(b"c\xff"));
        assert!(KeyRange::new("d", "d").is_empty() && KeyRange::new("d", "b").is_empty());
        assert!(!range.is_empty() && !KeyRange::all().is_empty());
    }
}
