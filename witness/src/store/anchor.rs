//! The anchor: a small file apart from the database that says how far each log had come.
//!
//! It is written after the database and before the answer, so that the database is never behind it
//! unless it was replaced by an older one, in which case this witness must not sign: it may have
//! signed more than it remembers. Best kept on another disk than the database.
//!
//! ```text
//! candor-witness-anchor v2
//! <generation>
//! <size> <root, 64 hex digits> <origin>
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candor_core::Hash;
use candor_core::limits::{KEY_NAME_BYTES_MAX, LOG_SIZE_MAX};
use candor_host::durable::{self, ReadError, WriteError};

use crate::decision::Recorded;
use crate::logs::LOGS_MAX;

const HEADER: &str = "candor-witness-anchor v2\n";

/// Longest line in bytes: a size, a root and an origin, with two spaces and a newline.
const LINE_BYTES_MAX: usize = 19 + 1 + 64 + 1 + KEY_NAME_BYTES_MAX + 1;

/// Longest anchor in bytes. Logs that are no longer configured keep their line: room for as many
/// of them as can be configured.
const ANCHOR_BYTES_MAX: usize = HEADER.len() + 21 + 2 * LOGS_MAX * LINE_BYTES_MAX;

/// Greatest generation that is read: no process counts so far, so adding to it never overflows.
const GENERATION_MAX: u64 = 1 << 62;

/// How far the logs had come; also what of a database is held against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    /// How many groups of changes moved a log.
    pub generation: u64,
    /// How far each log had come, by origin.
    pub logs: BTreeMap<String, Recorded>,
}

impl Anchor {
    /// How far log `origin` had come.
    pub fn recorded(&self, origin: &str) -> Recorded {
        self.logs.get(origin).copied().unwrap_or(Recorded::NOTHING)
    }
}

/// Why the anchor was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// The environment failed, or the file is missing or too long. The operator moved it, or the
    /// disk lost it.
    #[error(
        "the anchor cannot be read; without it nobody can tell an old database from the newest"
    )]
    Read(#[from] ReadError),
    /// The file is not an anchor: damaged, or edited.
    #[error("line {line} of the anchor is malformed")]
    Malformed {
        /// Which line, counted from 1.
        line: usize,
    },
}

/// Reads the anchor at `path`.
///
/// # Errors
///
/// [`AnchorError`].
pub fn read(path: &Path) -> Result<Anchor, AnchorError> {
    let bytes = durable::read_bounded(path, ANCHOR_BYTES_MAX)?;
    let malformed = |line| AnchorError::Malformed { line };
    let text = str::from_utf8(&bytes).map_err(|_| malformed(1))?;
    let lines = text.strip_prefix(HEADER).ok_or(malformed(1))?;
    let mut lines = lines.split_inclusive('\n').zip(2..);
    let (generation, _) = lines.next().ok_or(malformed(2))?;
    let mut anchor = Anchor {
        generation: parse_generation(generation).ok_or(malformed(2))?,
        logs: BTreeMap::new(),
    };
    for (line, number) in lines {
        let (origin, recorded) = parse_line(line).ok_or(malformed(number))?;
        if anchor.logs.insert(origin, recorded).is_some() {
            return Err(malformed(number));
        }
    }
    Ok(anchor)
}

/// Replaces the anchor at `path`, durably.
///
/// # Errors
///
/// The environment's fault, as of [`durable::replace`].
pub fn write(path: &Path, anchor: &Anchor) -> Result<(), WriteError> {
    AnchorFile::new(path.to_owned()).write(anchor)
}

/// The anchor's file. The line of each log is kept as text, so that a group of changes costs the
/// lines that it changes and a copy of all.
#[derive(Debug)]
pub struct AnchorFile {
    path: PathBuf,
    lines: BTreeMap<String, (Recorded, String)>,
}

impl AnchorFile {
    /// The file at `path`, of which nothing was written yet.
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            lines: BTreeMap::new(),
        }
    }

    /// Replaces what it says, durably.
    ///
    /// # Errors
    ///
    /// The environment's fault, as of [`durable::replace`].
    pub fn write(&mut self, anchor: &Anchor) -> Result<(), WriteError> {
        self.lines
            .retain(|origin, (written, _)| anchor.logs.get(origin) == Some(written));
        for (origin, recorded) in &anchor.logs {
            if !self.lines.contains_key(origin) {
                let line = line(origin, recorded);
                self.lines.insert(origin.clone(), (*recorded, line));
            }
        }
        let mut text = format!("{HEADER}{}\n", anchor.generation);
        self.lines
            .values()
            .for_each(|(_, line)| text.push_str(line));
        durable::replace(&self.path, text.as_bytes())
    }
}

fn line(origin: &str, Recorded { size, root }: &Recorded) -> String {
    format!("{size} {root} {origin}\n")
}

fn parse_generation(line: &str) -> Option<u64> {
    let generation: u64 = line.strip_suffix('\n')?.parse().ok()?;
    let is_canonical = format!("{generation}\n") == line;
    (is_canonical && generation <= GENERATION_MAX).then_some(generation)
}

fn parse_line(line: &str) -> Option<(String, Recorded)> {
    let mut parts = line.strip_suffix('\n')?.splitn(3, ' ');
    let (size, root, origin) = (parts.next()?, parts.next()?, parts.next()?);
    let recorded = Recorded {
        size: size.parse().ok().filter(|size| *size <= LOG_SIZE_MAX)?,
        root: parse_hex(root)?,
    };
    (self::line(origin, &recorded) == line).then(|| (origin.to_owned(), recorded))
}

fn parse_hex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes().chunks_exact(2);
    let bytes = digits.map(|two| u8::from_str_radix(str::from_utf8(two).ok()?, 16).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    bytes.try_into().ok().map(Hash)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn anchor() -> Anchor {
        let recorded = |size| Recorded {
            size,
            root: Hash([size as u8; 32]),
        };
        let origins = [("a b", 7), ("log.example", 0)];
        let logs = origins.map(|(origin, size)| (origin.to_owned(), recorded(size)));
        Anchor {
            generation: 12,
            logs: logs.into(),
        }
    }

    #[test]
    fn what_was_written_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        assert!(matches!(read(&path), Err(AnchorError::Read(_))));
        for anchor in [Anchor::default(), anchor()] {
            write(&path, &anchor).unwrap();
            assert_eq!(read(&path).unwrap(), anchor);
        }
    }

    #[test]
    fn a_file_that_moves_on_says_what_one_written_anew_says() {
        let directory = tempfile::tempdir().unwrap();
        let [moved, anew] = ["moved", "anew"].map(|name| directory.path().join(name));
        let mut file = AnchorFile::new(moved.clone());
        let mut anchor = anchor();
        let steps = [
            ("a b", Some(8)),
            ("z", Some(1)),
            ("a", Some(10)),
            ("z", Some(123)),
        ];
        for (origin, size) in steps.into_iter().chain([("a b", None)]) {
            let root = Hash([0xab; 32]);
            match size {
                Some(size) => anchor
                    .logs
                    .insert(origin.to_owned(), Recorded { size, root }),
                None => anchor.logs.remove(origin),
            };
            anchor.generation += 1;
            file.write(&anchor).unwrap();
            assert_eq!(read(&moved).unwrap(), anchor);
            write(&anew, &anchor).unwrap();
            let written = [&moved, &anew].map(|path| std::fs::read(path).unwrap());
            assert_eq!(written[0], written[1]);
        }
        assert_eq!(anchor.recorded("z").size, 123);
    }

    #[test]
    fn anything_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        write(&path, &anchor()).unwrap();
        let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
        let line = text.lines().nth(2).unwrap();
        for damaged in [
            String::new(),
            text.replace("v2", "v1"),
            text.replace("12\n", ""),
            text.replace("12\n", "012\n"),
            text.replace("12\n", "+12\n"),
            text.replace("12\n", "4611686018427387905\n"),
            text.replace("12\n", "18446744073709551616\n"),
            HEADER.to_owned(),
            text.replace("7 0707", "07 0707"),
            text.replace("7 0707", "+7 0707"),
            text.replace("7 0707", "7 070"),
            text.replace("0707", "070g"),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            format!("{text}{line}\n"),
        ] {
            durable::replace(&path, damaged.as_bytes()).unwrap();
            assert!(
                matches!(read(&path), Err(AnchorError::Malformed { .. })),
                "{damaged}"
            );
        }
    }
}
