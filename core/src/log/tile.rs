//! Coordinates of tiles and entry bundles, and their paths (c2sp.org/tlog-tiles).

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use crate::limits::LOG_SIZE_MAX;

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Greatest tile level that a path may name.
const LEVEL_MAX: u8 = 63;

/// Greatest index of a tile or bundle: no log has leaves beyond it.
const INDEX_MAX: u64 = LOG_SIZE_MAX >> 8;

/// Which entry bundle, and how wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bundle {
    index: u64,
    width: u16,
}

impl Bundle {
    /// The bundle at `index` with `width` entries, 1 to 256; `None` when no log has it.
    pub const fn new(index: u64, width: u16) -> Option<Self> {
        if index > INDEX_MAX || width == 0 || width > TILE_WIDTH {
            return None;
        }
        Some(Self { index, width })
    }

    /// The bundle at `index` as wide as it is in a log of `size` entries; `None` beyond its end.
    pub const fn in_log(index: u64, size: u64) -> Option<Self> {
        match Tile::in_log(0, index, size) {
            Some(tile) => Some(Self {
                index: tile.index,
                width: tile.width,
            }),
            None => None,
        }
    }

    /// Position among the bundles: its first entry has 256 times this index.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many entries it holds, 1 to 256.
    pub const fn width(self) -> u16 {
        self.width
    }
}

/// Which tile, and how wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// The tile at `level` and `index` with `width` hashes, 1 to 256; `None` outside the limits of
    /// the specification.
    pub const fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        if level > LEVEL_MAX || index > INDEX_MAX || width == 0 || width > TILE_WIDTH {
            return None;
        }
        Some(Self {
            level,
            index,
            width,
        })
    }

    /// The tile at `level` and `index` as wide as it is in a log of `size` entries; `None` when it
    /// has none there.
    pub const fn in_log(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = hashes_at(size, level);
        if index < hashes >> 8 {
            Self::new(level, index, TILE_WIDTH)
        } else if index == hashes >> 8 {
            Self::new(level, index, (hashes & 0xff) as u16)
        } else {
            None
        }
    }

    /// The level: 0 holds leaf hashes, each higher one the roots of the full tiles below.
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Position among the tiles of the level.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many hashes it holds, 1 to 256.
    pub const fn width(self) -> u16 {
        self.width
    }
}

/// The width of the partial tile at `level` of a log of `size` entries; 0 when there is none.
pub const fn partial_width(size: u64, level: u8) -> u16 {
    (hashes_at(size, level) & 0xff) as u16
}

/// How many hashes the tiles of `level` hold in a log of `size` entries: `floor(size / 256^level)`.
pub(super) const fn hashes_at(size: u64, level: u8) -> u64 {
    // Every level from 8 on covers at least 2^64 leaves with one hash.
    if level >= 8 {
        0
    } else {
        size >> (8 * level as u32)
    }
}

/// A resource under `<prefix>/tile/`: the path without the prefix and without a leading slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TilePath {
    /// `tile/<L>/<N>[.p/<W>]`
    Hashes(Tile),
    /// `tile/entries/<N>[.p/<W>]`
    Entries(Bundle),
}

/// The text is not the path of a tile or bundle; who asked for it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not the path of a tile")]
pub struct PathError;

impl FromStr for TilePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let rest = text.strip_prefix("tile/").ok_or(PathError)?;
        let (kind, rest) = rest.split_once('/').ok_or(PathError)?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, decimal(width).filter(|width| *width < 256)),
            None => (rest, Some(u64::from(TILE_WIDTH))),
        };
        let index = parse_index(index).ok_or(PathError)?;
        let width = width
            .and_then(|width| u16::try_from(width).ok())
            .ok_or(PathError)?;
        if kind == "entries" {
            return Bundle::new(index, width)
                .map(Self::Entries)
                .ok_or(PathError);
        }
        let level = decimal(kind)
            .and_then(|level| u8::try_from(level).ok())
            .ok_or(PathError)?;
        Tile::new(level, index, width)
            .map(Self::Hashes)
            .ok_or(PathError)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match self {
            Self::Hashes(tile) => {
                write!(f, "tile/{}/", tile.level)?;
                (tile.index, tile.width)
            }
            Self::Entries(bundle) => {
                f.write_str("tile/entries/")?;
                (bundle.index, bundle.width)
            }
        };
        write_index(f, index)?;
        if width < TILE_WIDTH {
            write!(f, ".p/{width}")
        } else {
            Ok(())
        }
    }
}

/// `1234067` as `x001/x234/067`.
fn write_index(f: &mut fmt::Formatter<'_>, index: u64) -> fmt::Result {
    let mut scale = 1;
    while index / scale >= 1000 {
        scale *= 1000;
    }
    while scale > 1 {
        write!(f, "x{:03}/", index / scale % 1000)?;
        scale /= 1000;
    }
    write!(f, "{:03}", index % 1000)
}

fn parse_index(text: &str) -> Option<u64> {
    let mut index: u64 = 0;
    let mut groups = text.split('/').peekable();
    let mut first = true;
    while let Some(group) = groups.next() {
        let last = groups.peek().is_none();
        let digits = if last {
            group
        } else {
            group.strip_prefix('x')?
        };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // A leading group of zeroes would be a second way to write the same index.
        if first && !last && digits == "000" {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        first = false;
    }
    Some(index)
}

/// A decimal of at most three digits without leading zeroes.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || text.is_empty() || text.len() > 3 {
        return None;
    }
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TilePath, PathError> {
        text.parse()
    }

    #[test]
    fn the_examples_of_the_specification() {
        let tile = TilePath::Hashes(Tile::new(2, 1_234_067, 256).unwrap());
        assert_eq!(tile.to_string(), "tile/2/x001/x234/067");
        assert_eq!(parse("tile/2/x001/x234/067"), Ok(tile));
        // A log of 70,000 entries.
        let widths = [0, 1, 2, 3].map(|level| partial_width(70_000, level));
        assert_eq!(widths, [112, 17, 1, 0]);
        assert_eq!(Tile::in_log(0, 272, 70_000), Tile::new(0, 272, 256));
        assert_eq!(Tile::in_log(0, 273, 70_000), Tile::new(0, 273, 112));
        assert_eq!(Tile::in_log(0, 274, 70_000), None);
        assert_eq!(Tile::in_log(1, 0, 70_000), Tile::new(1, 0, 256));
        assert_eq!(Tile::in_log(1, 1, 70_000), Tile::new(1, 1, 17));
        assert_eq!(Tile::in_log(2, 0, 70_000), Tile::new(2, 0, 1));
        assert_eq!(Tile::in_log(3, 0, 70_000), None);
        // A log of 256 entries.
        assert_eq!(Tile::in_log(0, 0, 256), Tile::new(0, 0, 256));
        assert_eq!(Tile::in_log(0, 1, 256), None);
        assert_eq!(Tile::in_log(1, 0, 256), Tile::new(1, 0, 1));
    }

    #[test]
    fn every_path_reads_back() {
        for index in [0, 1, 999, 1000, 999_999, 1_000_000, INDEX_MAX] {
            for width in [1, 99, 255, 256] {
                for level in [0, 7, 10, 63] {
                    let path = TilePath::Hashes(Tile::new(level, index, width).unwrap());
                    assert_eq!(parse(&path.to_string()), Ok(path));
                }
                let path = TilePath::Entries(Bundle::new(index, width).unwrap());
                assert_eq!(parse(&path.to_string()), Ok(path));
            }
        }
        assert_eq!(
            parse("tile/entries/000.p/255"),
            Ok(TilePath::Entries(Bundle::new(0, 255).unwrap()))
        );
    }

    #[test]
    fn any_other_spelling_is_refused() {
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/0/000/",
            "tile//000",
            "tile/00/000",
            "tile/01/000",
            "tile/64/000",
            "tile/+1/000",
            "tile/-1/000",
            "tile/256/000",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/x000",
            "tile/0/00a",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001/x002",
            "tile/0/x01/002",
            "tile/0/X001/002",
            "tile/0/+01",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/000.p/+1",
            "tile/0/000.P/1",
            "tile/Entries/000",
            "tile/entries/",
            "tile/data/000",
            "tile/0/000 ",
            "tile/0/\u{0660}\u{0660}\u{0660}",
            "tile/entries/000.p/256",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x036/x028/x797/x018/x963/968",
        ] {
            assert_eq!(parse(path), Err(PathError), "{path}");
        }
    }

    #[test]
    fn coordinates_outside_every_log_do_not_exist() {
        assert_eq!(Tile::new(64, 0, 1), None);
        assert_eq!(Tile::new(0, INDEX_MAX + 1, 1), None);
        assert_eq!(Tile::new(0, 0, 0), None);
        assert_eq!(Tile::new(0, 0, 257), None);
        assert_eq!(Bundle::new(INDEX_MAX + 1, 1), None);
        assert_eq!(Bundle::new(0, 257), None);
        assert_eq!(Tile::in_log(0, 0, 0), None);
        assert_eq!(Tile::in_log(255, 0, u64::MAX), None);
        assert_eq!(Bundle::in_log(u64::MAX, u64::MAX), None);
    }
}
