//! What a device remembers of a contact beside what the client does: under 200 bytes.
//!
//! ```text
//! struct {
//!   uint8 format = 1;
//!   optional<struct {
//!     uint32 version;                       // newest seen version of the contact's label
//!     optional<struct { opaque primary[16]; uint32 version; }> bound;
//!     optional<opaque key_hash[32]>;
//!     uint8 trusted; uint8 enrolled;
//!   }> seen;
//!   uint64 first_s; uint64 checked_s;       // 0: never
//!   optional<opaque code<1..64>>;              // entered before there was a key
//! } ContactRecord;
//! ```

use candor_core::Hash;
use candor_core::account::Label;
use candor_core::codec::{DecodeError, Reader, Writer as _};
use candor_core::verification::PublicCode;
use sha2::{Digest as _, Sha256};

const FORMAT: u8 = 1;

/// The account that a binding leads to: the beginning of a digest of its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PrimaryTag([u8; 16]);

impl PrimaryTag {
    /// 32 bits of it.
    pub(super) const fn number(self) -> u64 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d]) as u64
    }

    pub(super) fn of(primary: &Label) -> Self {
        let digest =
            Sha256::new_with_prefix(b"candor-sdk primary").chain_update(primary.as_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        let (first, _) = digest.split_first_chunk().expect("16 of 32 bytes");
        Self(*first)
    }
}

/// What was seen of a contact when it was checked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Newest version of the contact's own label.
    pub(super) version: u32,
    /// The account that it is bound to, and that one's newest version.
    pub(super) bound: Option<(PrimaryTag, u32)>,
    /// Hash of the account key: of the newest state that had verification on, if one had; else of
    /// the newest state.
    pub(super) key_hash: Option<Hash>,
    /// Whether a state had verification on.
    pub(super) is_trusted: bool,
    /// Whether the newest state has.
    pub(super) is_enrolled: bool,
}

/// What is remembered of a contact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ContactRecord {
    pub(super) seen: Option<Seen>,
    /// When it was tried first, in POSIX seconds; 0 before.
    pub(super) first_s: u64,
    /// When the last check succeeded, in POSIX seconds; 0 if none did.
    pub(super) checked_s: u64,
    /// A public code that waits for the contact to have a key.
    pub(super) code: Option<PublicCode>,
}

impl ContactRecord {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.present(self.seen.is_some());
        if let Some(seen) = &self.seen {
            out.extend(seen.version.to_be_bytes());
            out.present(seen.bound.is_some());
            if let Some((primary, version)) = seen.bound {
                out.extend(primary.0);
                out.extend(version.to_be_bytes());
            }
            out.present(seen.key_hash.is_some());
            out.extend(seen.key_hash.iter().flat_map(|hash| hash.0));
            out.present(seen.is_trusted);
            out.present(seen.is_enrolled);
        }
        out.extend(self.first_s.to_be_bytes());
        out.extend(self.checked_s.to_be_bytes());
        out.present(self.code.is_some());
        if let Some(code) = &self.code {
            out.opaque8(code.to_text().as_bytes());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("format")? != FORMAT {
            return Err(DecodeError::Invalid { field: "format" });
        }
        let seen = match reader.present("seen")? {
            false => None,
            true => Some(decode_seen(&mut reader)?),
        };
        let first_s = reader.u64("time of the first check")?;
        let checked_s = reader.u64("time of the check")?;
        let code = match reader.present("code")? {
            false => None,
            true => Some(decode_code(&mut reader)?),
        };
        reader.finish()?;
        Ok(Self {
            seen,
            first_s,
            checked_s,
            code,
        })
    }
}

fn decode_seen(reader: &mut Reader<'_>) -> Result<Seen, DecodeError> {
    let version = reader.u32("version")?;
    let bound = match reader.present("bound")? {
        false => None,
        true => Some((PrimaryTag(reader.array("primary")?), reader.u32("version")?)),
    };
    let key_hash = match reader.present("key hash")? {
        false => None,
        true => Some(reader.hash("key hash")?),
    };
    Ok(Seen {
        version,
        bound,
        key_hash,
        is_trusted: reader.present("trusted")?,
        is_enrolled: reader.present("enrolled")?,
    })
}

fn decode_code(reader: &mut Reader<'_>) -> Result<PublicCode, DecodeError> {
    let text = str::from_utf8(reader.opaque8(64, "code")?);
    let code = text.ok().and_then(|text| PublicCode::parse(text).ok());
    code.ok_or(DecodeError::Invalid { field: "code" })
}
