//! When this witness may have signed more of a log than it remembers.
//!
//! Database and anchor count the groups of changes that moved a log: their *generation*. The
//! database is written first, so after a crash it is one ahead, and otherwise both agree. Every
//! other difference means that one of them was replaced, and puts the logs that it concerns in
//! quarantine: they are not cosigned until the log proves that it grew from the larger of both
//! records, or the operator says that all is well. A quarantine is durable: it does not end with a
//! restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use candor_core::codec::{DecodeError, Reader};

use super::anchor::Anchor;
use crate::decision::Recorded;

/// What raised the doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Doubt {
    /// The anchor knows more than the database: an old database.
    DatabaseBehind,
    /// The database knows more than the anchor, by more than a crash explains: an old anchor.
    AnchorBehind,
    /// Both know the same size, with different roots.
    Differ,
    /// The operator said that the state was restored.
    Restored,
    /// A cosignature of our own came back that is in neither.
    Forgotten,
}

/// Why a log is not cosigned, and what ends that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quarantine {
    /// What raised the doubt.
    pub doubt: Doubt,
    /// The largest record, from which the log may prove that it grew. `None` if nobody knows what
    /// was signed last: only the operator ends the quarantine then.
    pub floor: Option<Recorded>,
}

impl Quarantine {
    /// Of a log of which nothing is known, after all memory was lost.
    pub(super) const BLIND: Self = Self {
        doubt: Doubt::Restored,
        floor: None,
    };
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.doubt {
            Doubt::DatabaseBehind => "the database is behind the anchor",
            Doubt::AnchorBehind => "the anchor is behind the database",
            Doubt::Differ => "database and anchor have different roots of one size",
            Doubt::Restored => "the state was restored from a backup",
            Doubt::Forgotten => "this witness signed a checkpoint that it does not remember",
        })?;
        match self.floor {
            Some(Recorded { size, .. }) => {
                write!(f, "; a proof of consistency from size {size} ends this")
            }
            None => f.write_str("; only the witness's operator can end this"),
        }
    }
}

const RELEASED: u8 = 0;

/// What the database holds of an origin: a quarantine, or that the operator released it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    Quarantined(Quarantine),
    Released,
}

impl Row {
    pub const fn quarantine(self) -> Option<Quarantine> {
        match self {
            Self::Quarantined(quarantine) => Some(quarantine),
            Self::Released => None,
        }
    }

    /// `uint8 doubt; optional { uint64 size; opaque root[32]; }`, or the single byte 0.
    pub fn encode(self) -> Vec<u8> {
        let Self::Quarantined(Quarantine { doubt, floor }) = self else {
            return vec![RELEASED];
        };
        let mut out = vec![match doubt {
            Doubt::DatabaseBehind => 1,
            Doubt::AnchorBehind => 2,
            Doubt::Differ => 3,
            Doubt::Restored => 4,
            Doubt::Forgotten => 5,
        }];
        if let Some(Recorded { size, root }) = floor {
            out.extend(size.to_be_bytes());
            out.extend(root.as_bytes());
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let doubt = match reader.u8("doubt")? {
            RELEASED => {
                reader.finish()?;
                return Ok(Self::Released);
            }
            1 => Doubt::DatabaseBehind,
            2 => Doubt::AnchorBehind,
            3 => Doubt::Differ,
            4 => Doubt::Restored,
            5 => Doubt::Forgotten,
            _ => return Err(DecodeError::Invalid { field: "doubt" }),
        };
        let floor = if bytes.len() > 1 {
            let size = reader.u64("size")?;
            let root = reader.hash("root")?;
            Some(Recorded { size, root })
        } else {
            None
        };
        reader.finish()?;
        Ok(Self::Quarantined(Quarantine { doubt, floor }))
    }
}

/// The quarantines that follow from database and anchor, by origin.
pub fn compare(database: &Anchor, anchor: &Anchor) -> BTreeMap<String, Quarantine> {
    let ahead = database.generation.checked_sub(anchor.generation);
    let doubt_of = |known: Recorded, anchored: Recorded| {
        if anchored.size > known.size {
            Some((Doubt::DatabaseBehind, Some(anchored)))
        } else if anchored.size == known.size && anchored.root != known.root {
            Some((Doubt::Differ, None))
        } else if ahead.is_some_and(|ahead| ahead > 1)
            || (anchored.size < known.size && ahead != Some(1))
        {
            Some((Doubt::AnchorBehind, Some(known)))
        } else {
            None
        }
    };
    let mut quarantines = BTreeMap::new();
    for origin in origins(database, anchor) {
        let (known, anchored) = (database.recorded(origin), anchor.recorded(origin));
        if let Some((doubt, floor)) = doubt_of(known, anchored) {
            quarantines.insert(origin.to_owned(), Quarantine { doubt, floor });
        }
    }
    quarantines
}

/// What the operator says of the anchor beside a restored database. The files cannot tell: both
/// may be copies, of which one was made a moment later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorKept {
    /// It is the one that the witness wrote last: what it says is what was signed last.
    Yes,
    /// It may be as old as the database.
    Unknown,
}

/// The quarantines of a state whose database the operator restored, by origin, and whether logs
/// that are in neither file may have been cosigned too.
pub fn restored(
    database: &Anchor,
    anchor: Option<&Anchor>,
    kept: AnchorKept,
) -> (BTreeMap<String, Quarantine>, bool) {
    let newest =
        anchor.filter(|anchor| kept == AnchorKept::Yes && anchor.generation > database.generation);
    let floor_of = |origin: &str| {
        let (known, anchored) = (database.recorded(origin), newest?.recorded(origin));
        let is_newest = anchored.size > known.size || anchored == known;
        is_newest.then_some(anchored)
    };
    let empty = Anchor::default();
    let quarantines = origins(database, anchor.unwrap_or(&empty)).map(|origin| {
        let quarantine = Quarantine {
            doubt: Doubt::Restored,
            floor: floor_of(origin),
        };
        (origin.to_owned(), quarantine)
    });
    (quarantines.collect(), newest.is_none())
}

fn origins<'a>(database: &'a Anchor, anchor: &'a Anchor) -> impl Iterator<Item = &'a str> {
    let all: BTreeSet<&str> = database
        .logs
        .keys()
        .chain(anchor.logs.keys())
        .map(String::as_str)
        .collect();
    all.into_iter()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use candor_core::Hash;

    fn recorded(size: u64, root: u8) -> Recorded {
        Recorded {
            size,
            root: Hash([root; 32]),
        }
    }

    fn side(generation: u64, logs: &[(&str, u64, u8)]) -> Anchor {
        let logs = logs
            .iter()
            .map(|(origin, size, root)| ((*origin).to_owned(), recorded(*size, *root)));
        Anchor {
            generation,
            logs: logs.collect(),
        }
    }

    fn only(quarantines: &BTreeMap<String, Quarantine>) -> (&str, Doubt, Option<u64>) {
        assert_eq!(quarantines.len(), 1, "{quarantines:?}");
        let (origin, found) = quarantines.first_key_value().unwrap();
        (origin, found.doubt, found.floor.map(|floor| floor.size))
    }

    #[test]
    fn rows_read_back_and_nothing_else_is_read() {
        let floor = Some(recorded(7, 7));
        let mut rows = vec![Row::Released];
        for doubt in [
            Doubt::DatabaseBehind,
            Doubt::AnchorBehind,
            Doubt::Differ,
            Doubt::Restored,
            Doubt::Forgotten,
        ] {
            for floor in [None, floor] {
                rows.push(Row::Quarantined(Quarantine { doubt, floor }));
            }
        }
        for row in rows {
            let bytes = row.encode();
            assert_eq!(Row::decode(&bytes), Ok(row));
            assert!(Row::decode(&[&bytes[..], &[0]].concat()).is_err());
            for length in (0..bytes.len()).filter(|length| *length != 1) {
                assert!(Row::decode(&bytes[..length]).is_err());
            }
        }
        assert!(Row::decode(&[6]).is_err());
    }

    #[test]
    fn agreement_and_a_crash_raise_no_doubt() {
        let state = side(7, &[("a", 5, 5), ("b", 0, 0)]);
        assert!(compare(&state, &state).is_empty());
        assert!(compare(&Anchor::default(), &Anchor::default()).is_empty());
        // Between the database and the anchor: one group, whatever was in it.
        let next = side(8, &[("a", 6, 6), ("b", 9, 9), ("c", 1, 1)]);
        assert!(compare(&next, &state).is_empty());
    }

    #[test]
    fn an_old_database_concerns_the_logs_that_moved_since() {
        let anchor = side(9, &[("a", 5, 5), ("b", 6, 6)]);
        let old = side(7, &[("a", 5, 5), ("b", 4, 4)]);
        let behind = compare(&old, &anchor);
        assert_eq!(only(&behind), ("b", Doubt::DatabaseBehind, Some(6)));
        // One that had never been recorded then.
        let old = side(3, &[("a", 5, 5)]);
        let behind = compare(&old, &anchor);
        assert_eq!(only(&behind), ("b", Doubt::DatabaseBehind, Some(6)));
        // A generation that looks like a crash does not hide it.
        let old = side(10, &[("a", 5, 5), ("b", 4, 4)]);
        let behind = compare(&old, &anchor);
        assert_eq!(only(&behind), ("b", Doubt::DatabaseBehind, Some(6)));
    }

    #[test]
    fn an_old_anchor_concerns_every_log() {
        let database = side(9, &[("a", 5, 5), ("b", 6, 6)]);
        let old = side(7, &[("a", 5, 5), ("b", 4, 4)]);
        let behind = compare(&database, &old);
        let floors: Vec<_> = behind
            .values()
            .map(|found| (found.doubt, found.floor.unwrap().size))
            .collect();
        assert_eq!(floors, [(Doubt::AnchorBehind, 5), (Doubt::AnchorBehind, 6)]);
        // Of the same generation, it is another history.
        let other = side(9, &[("a", 5, 5), ("b", 4, 4)]);
        let behind = compare(&database, &other);
        assert_eq!(only(&behind), ("b", Doubt::AnchorBehind, Some(6)));
    }

    #[test]
    fn two_roots_of_one_size_leave_the_choice_to_the_operator() {
        let (one, other) = (side(9, &[("a", 5, 5)]), side(9, &[("a", 5, 6)]));
        assert_eq!(only(&compare(&one, &other)), ("a", Doubt::Differ, None));
    }

    #[test]
    fn after_a_restore_only_an_anchor_that_was_not_restored_is_trusted() {
        let database = side(7, &[("a", 5, 5)]);
        let newer = side(9, &[("a", 6, 6)]);
        let (found, is_blind) = restored(&database, Some(&newer), AnchorKept::Yes);
        assert_eq!(only(&found), ("a", Doubt::Restored, Some(6)));
        assert!(!is_blind);
        for anchor in [Some(side(7, &[("a", 5, 5)])), Some(side(6, &[])), None] {
            let (found, is_blind) = restored(&database, anchor.as_ref(), AnchorKept::Yes);
            assert_eq!(only(&found), ("a", Doubt::Restored, None));
            assert!(is_blind);
        }
        let shorter = side(9, &[("a", 4, 4)]);
        let (found, _) = restored(&database, Some(&shorter), AnchorKept::Yes);
        assert_eq!(only(&found), ("a", Doubt::Restored, None));
    }
}
