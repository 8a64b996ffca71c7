//! What peers say to each other, and its one encoding.
//!
//! ```text
//! struct { opaque log[32]; uint64 size; opaque root[32]; optional<opaque[32]> fork; } Digest;
//! struct { opaque log[32]; uint8 what; } Wanted;                   // 1 head, 2 evidence
//! struct { opaque log[32]; uint8 what; opaque content<0..2^32-1>; } Item;
//!
//! struct { uint8 kind; select (kind) { case 1: Empty; case 2: Wanted wanted<0..2^16-1>; };
//! } Request;                                                       // 1 digests, 2 fetch
//! struct { uint8 kind; select (kind) { case 1: Digest digests<0..2^16-1>;
//!                                      case 2: Item items<0..2^16-1>; }; } Answer;
//! ```
//!
//! Lengths of lists count their elements.

use candor_core::Hash;
use candor_core::codec::{DecodeError, Reader, Writer as _};
use candor_core::limits::LOG_SIZE_MAX;
use sha2::{Digest as _, Sha256};

use crate::logs::LOGS_MAX;

/// Most heads and cases of evidence that one request asks for.
pub const WANTED_MAX: usize = 256;

/// Longest content of an item in bytes: evidence of two notes with a line of each of a log's eight
/// keys, at 3.4 KiB each, and a proof.
pub const CONTENT_BYTES_MAX: usize = 64 << 10;

/// Longest request in bytes.
pub const REQUEST_BYTES_MAX: usize = 3 + WANTED_MAX * WANTED_BYTES;

/// Longest answer in bytes. Whoever answers leaves out what does not fit.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

const WANTED_BYTES: usize = 33;
const ITEM_HEADER_BYTES: usize = 37;

const FIRST: u8 = 1;
const SECOND: u8 = 2;

/// Which log: the SHA-256 of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub candor_core::Hash);

impl LogId {
    /// The log with this origin.
    pub fn of(origin: &str) -> Self {
        Self(Hash(Sha256::digest(origin).into()))
    }
}

/// What a witness knows of a log, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The log.
    pub log: LogId,
    /// Size of the newest checkpoint that it cosigned.
    pub size: u64,
    /// Root of that checkpoint.
    pub root: Hash,
    /// What its evidence against the log says ([`super::contradiction_id`]), if it has any.
    pub fork: Option<Hash>,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// The newest cosigned checkpoint, as the log signed it.
    Head,
    /// The evidence.
    Evidence,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// Of which log.
    pub log: LogId,
    /// What of it.
    pub what: What,
}

/// A question to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A digest of each of its logs.
    Digests,
    /// These, at most [`WANTED_MAX`].
    Fetch(Vec<Wanted>),
}

/// What was asked for, as bytes that nobody vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A signed note.
    Head(Vec<u8>),
    /// The encoding of [`candor_core::note::Evidence`].
    Evidence(Vec<u8>),
}

impl Content {
    /// What it is said to be.
    pub const fn what(&self) -> What {
        match self {
            Self::Head(_) => What::Head,
            Self::Evidence(_) => What::Evidence,
        }
    }

    const fn bytes(&self) -> &Vec<u8> {
        match self {
            Self::Head(bytes) | Self::Evidence(bytes) => bytes,
        }
    }
}

/// One thing that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Of which log.
    pub log: LogId,
    /// The thing.
    pub content: Content,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::Digests`].
    Digests(Vec<Digest>),
    /// To [`Request::Fetch`]: what there is, and fits.
    Items(Vec<Item>),
}

impl What {
    const fn code(self) -> u8 {
        match self {
            Self::Head => FIRST,
            Self::Evidence => SECOND,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("what")? {
            FIRST => Ok(Self::Head),
            SECOND => Ok(Self::Evidence),
            _ => Err(DecodeError::Invalid { field: "what" }),
        }
    }
}

impl Request {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let Self::Fetch(wanted) = self else {
            return vec![FIRST];
        };
        let mut out = vec![SECOND];
        put_count(&mut out, wanted.len());
        for Wanted { log, what } in wanted {
            out.extend(log.0.as_bytes());
            out.push(what.code());
        }
        out
    }

    /// Reads what [`Self::encode`] made.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the peer is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let request = match reader.u8("kind")? {
            FIRST => Self::Digests,
            SECOND => Self::Fetch(read_list(&mut reader, WANTED_MAX, |reader| {
                Ok(Wanted {
                    log: LogId(reader.hash("log")?),
                    what: What::read(reader)?,
                })
            })?),
            _ => return Err(DecodeError::Invalid { field: "kind" }),
        };
        reader.finish()?;
        Ok(request)
    }
}

impl Answer {
    /// Items as far as they fit into one answer.
    pub fn of_items(items: impl IntoIterator<Item = Item>) -> Self {
        let mut room = ANSWER_BYTES_MAX - 3;
        let mut kept = Vec::new();
        for item in items {
            let length = item.content.bytes().len();
            let needed = ITEM_HEADER_BYTES + length;
            if length <= CONTENT_BYTES_MAX && needed <= room && kept.len() < WANTED_MAX {
                room -= needed;
                kept.push(item);
            }
        }
        Self::Items(kept)
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Digests(digests) => {
                let mut out = vec![FIRST];
                put_count(&mut out, digests.len());
                for digest in digests {
                    out.extend(digest.log.0.as_bytes());
                    out.extend(digest.size.to_be_bytes());
                    out.extend(digest.root.as_bytes());
                    out.push(digest.fork.is_some().into());
                    out.extend(digest.fork.iter().flat_map(Hash::as_bytes));
                }
                out
            }
            Self::Items(items) => {
                let mut out = vec![SECOND];
                put_count(&mut out, items.len());
                for Item { log, content } in items {
                    out.extend(log.0.as_bytes());
                    out.push(content.what().code());
                    out.opaque32(content.bytes());
                }
                out
            }
        }
    }

    /// Reads what [`Self::encode`] made.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the peer is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let answer = match reader.u8("kind")? {
            FIRST => Self::Digests(read_list(&mut reader, LOGS_MAX, read_digest)?),
            SECOND => Self::Items(read_list(&mut reader, WANTED_MAX, read_item)?),
            _ => return Err(DecodeError::Invalid { field: "kind" }),
        };
        reader.finish()?;
        Ok(answer)
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("lists are shorter than 2^16");
    out.extend(count.to_be_bytes());
}

fn read_list<T>(
    reader: &mut Reader<'_>,
    limit: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let field = "list";
    let count = usize::from(reader.u16(field)?);
    if count > limit {
        return Err(DecodeError::TooLarge { field, limit });
    }
    (0..count).map(|_| read(reader)).collect()
}

fn read_digest(reader: &mut Reader<'_>) -> Result<Digest, DecodeError> {
    let log = LogId(reader.hash("log")?);
    let size = reader.u64("size")?;
    if size > LOG_SIZE_MAX {
        return Err(DecodeError::Invalid { field: "size" });
    }
    let root = reader.hash("root")?;
    let fork = match reader.u8("fork")? {
        0 => None,
        1 => Some(reader.hash("fork")?),
        _ => return Err(DecodeError::Invalid { field: "fork" }),
    };
    Ok(Digest {
        log,
        size,
        root,
        fork,
    })
}

fn read_item(reader: &mut Reader<'_>) -> Result<Item, DecodeError> {
    let log = LogId(reader.hash("log")?);
    let what = What::read(reader)?;
    let bytes = reader.opaque32(CONTENT_BYTES_MAX, "content")?.to_vec();
    let content = match what {
        What::Head => Content::Head(bytes),
        What::Evidence => Content::Evidence(bytes),
    };
    Ok(Item { log, content })
}
