//! The one binary encoding of hashed, signed and proved structures: TLS presentation (RFC 8446,
//! section 3).
//!
//! Integers are unsigned and big-endian; an optional value is preceded by a byte 0 or 1, a vector
//! by its length, whose width follows from the vector's greatest length. What the length of a
//! vector of structures counts is for the structure that holds it to say: elements where KEYTRANS
//! defines it (draft-ietf-keytrans-protocol), bytes in an account's state. [`Reader`] never
//! allocates before it knows that the bytes are there, and [`Reader::finish`] refuses what is left
//! over, so that every structure has exactly one encoding.

use thiserror::Error;

use crate::Hash;

/// Why bytes are not the encoding of a structure. The sender is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside `field`.
    #[error("input ends inside {field}")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
    },
    /// Bytes follow the end of the structure.
    #[error("{count} bytes follow the end")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// `field` is longer or larger than its limit.
    #[error("{field} exceeds its limit of {limit}")]
    TooLarge {
        /// The field that was being read.
        field: &'static str,
        /// The greatest value or length accepted.
        limit: usize,
    },
    /// `field` holds a value that the specification does not allow.
    #[error("{field} is invalid")]
    Invalid {
        /// The field that was being read.
        field: &'static str,
    },
}

/// Reads a structure from bytes, front to back.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of `input`.
    pub const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `length` bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] when fewer are left.
    pub fn bytes(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes a fixed-size array.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] when fewer than `N` bytes are left.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Takes a digest.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] when fewer than 32 bytes are left.
    pub fn hash(&mut self, field: &'static str) -> Result<Hash, DecodeError> {
        self.array(field).map(Hash)
    }

    /// Takes a `uint8`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] at the end of the input.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(u8::from_be_bytes)
    }

    /// Takes a `uint16`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] at the end of the input.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// Takes a `uint32`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] at the end of the input.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// Takes a `uint64`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] at the end of the input.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// Takes `opaque <0..limit>` whose length is a `uint8`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLarge`] above `limit`, [`DecodeError::Truncated`] at the end of the input.
    pub fn opaque8(&mut self, limit: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(self.u8(field)?);
        self.limited(length, limit, field)
    }

    /// Takes `opaque <0..limit>` whose length is a `uint16`.
    ///
    /// # Errors
    ///
    /// As [`Self::opaque8`].
    pub fn opaque16(&mut self, limit: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(self.u16(field)?);
        self.limited(length, limit, field)
    }

    /// Takes `opaque <0..limit>` whose length is a `uint32`.
    ///
    /// # Errors
    ///
    /// As [`Self::opaque8`].
    pub fn opaque32(&mut self, limit: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.u32(field)?)
            .map_err(|_| DecodeError::TooLarge { field, limit })?;
        self.limited(length, limit, field)
    }

    /// Takes the presence byte of an optional value.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Invalid`] when it is neither 0 nor 1.
    pub fn present(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid { field }),
        }
    }

    /// Ends the structure.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TrailingBytes`] when something is left.
    pub const fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }

    fn limited(
        &mut self,
        length: usize,
        limit: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        if length > limit {
            return Err(DecodeError::TooLarge { field, limit });
        }
        self.bytes(length, field)
    }
}

/// Appends the encoding of a structure to a buffer.
///
/// Callers bound the lengths that they give to `opaque*`.
///
/// # Panics
///
/// `opaque*` panic, in every build, when the bytes are longer than their length can say: that is a
/// bug of the caller, and a cut value would be another value.
pub trait Writer {
    /// Appends `opaque <0..2^8-1>`.
    fn opaque8(&mut self, bytes: &[u8]);
    /// Appends `opaque <0..2^16-1>`.
    fn opaque16(&mut self, bytes: &[u8]);
    /// Appends `opaque <0..2^32-1>`.
    fn opaque32(&mut self, bytes: &[u8]);
    /// Appends a presence byte.
    fn present(&mut self, present: bool);
}

impl Writer for Vec<u8> {
    fn opaque8(&mut self, bytes: &[u8]) {
        self.push(u8::try_from(bytes.len()).expect("callers bound the length to a u8"));
        self.extend_from_slice(bytes);
    }

    fn opaque16(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).expect("callers bound the length to a u16");
        self.extend_from_slice(&length.to_be_bytes());
        self.extend_from_slice(bytes);
    }

    fn opaque32(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("callers bound the length to a u32");
        self.extend_from_slice(&length.to_be_bytes());
        self.extend_from_slice(bytes);
    }

    fn present(&mut self, present: bool) {
        self.push(u8::from(present));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_length_above_the_limit_is_refused_before_it_is_read() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff]);
        assert_eq!(
            reader.opaque32(10, "value"),
            Err(DecodeError::TooLarge {
                field: "value",
                limit: 10
            })
        );
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_may_follow() {
        let mut bytes = Vec::new();
        bytes.opaque8(b"a");
        bytes.opaque16(b"bc");
        bytes.opaque32(b"");
        bytes.present(true);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.opaque8(255, "a").unwrap(), b"a");
        assert_eq!(reader.opaque16(2, "b").unwrap(), b"bc");
        assert_eq!(reader.opaque32(0, "c").unwrap(), b"");
        assert_eq!(
            reader.clone().finish(),
            Err(DecodeError::TrailingBytes { count: 1 })
        );
        assert!(reader.present("d").unwrap());
        reader.finish().unwrap();
    }

    #[test]
    fn only_zero_and_one_mean_absent_and_present() {
        assert_eq!(
            Reader::new(&[2]).present("x"),
            Err(DecodeError::Invalid { field: "x" })
        );
    }
}
