//! The log: its records and its tiles against the head's root, and against each other.

use candor_core::Hash;
use candor_core::log::{Frontier, Tile, leaf_hash, node_hash};

use super::report::{FINDINGS_MAX, Problem};
use super::{Check, StoredNote, rows};
use crate::ledger::HEAD;
use crate::storage::{ReadError, Table};

/// The log twice, once by its records and once by the hashes of its lowest tiles: if one is the log
/// that the head is of, the other is wrong where they differ.
struct Log {
    by_records: Option<Frontier>,
    by_tiles: Option<Frontier>,
    /// The lowest tile that was read last: its index and hashes.
    tile: Option<(u64, Vec<Hash>)>,
    /// Indices at which the two differ, the first ones.
    differing: Vec<u64>,
    /// The sizes to look back at, and the roots there by records and by tiles.
    marks: Vec<(u64, [Option<Hash>; 2])>,
}

impl Log {
    fn append(&mut self, index: u64, record: Option<Hash>, tile: Option<Hash>) {
        // What one side lacks is taken from the other.
        append(&mut self.by_records, record.or(tile));
        append(&mut self.by_tiles, tile.or(record));
        let differs = record.is_some() && tile.is_some() && record != tile;
        if differs && self.differing.len() < FINDINGS_MAX {
            self.differing.push(index);
        }
        let roots = [&self.by_records, &self.by_tiles].map(root);
        for (_, at) in self
            .marks
            .iter_mut()
            .filter(|mark| mark.0 == index.saturating_add(1))
        {
            *at = roots;
        }
    }

    const fn is_lost(&self) -> bool {
        self.by_records.is_none() && self.by_tiles.is_none()
    }
}

fn root(log: &Option<Frontier>) -> Option<Hash> {
    log.as_ref().map(Frontier::root)
}

/// Appends to a log that is known so far, or loses it.
fn append(log: &mut Option<Frontier>, leaf: Option<Hash>) {
    let appended = log.as_mut().zip(leaf);
    if appended.is_none_or(|(log, leaf)| log.append(leaf).is_err()) {
        *log = None;
    }
}

impl Check<'_> {
    /// Records and lowest tiles against the head's root, and the published notes against both.
    pub(super) fn log(&mut self, notes: &[StoredNote]) -> Result<(), ReadError> {
        let marked = [self.head]
            .into_iter()
            .chain(notes.iter().map(|note| note.head));
        let mut log = Log {
            by_records: Some(Frontier::new()),
            by_tiles: Some(Frontier::new()),
            tile: None,
            differing: Vec::new(),
            marks: marked.map(|head| (head.size, [None; 2])).collect(),
        };
        let mut next = 0;
        self.pages(Table::Records, |check, page| {
            for row in page {
                let Some(index) = rows::index(&row.key) else {
                    let stray = Problem::Stray;
                    check.report.row(Table::Records, &row.key, stray);
                    continue;
                };
                check.missing_records(&mut log, next, index)?;
                let tile = check.lowest(&mut log, index)?;
                log.append(index, Some(leaf_hash(&row.value)), tile);
                next = index.saturating_add(1);
            }
            Ok(())
        })?;
        let whole = root(&log.by_records);
        if self.head.size > next && whole == Some(self.head.root) {
            self.wrong_head(next, whole);
        } else {
            self.missing_records(&mut log, next, self.head.size)?;
            self.judge(&log, next);
        }
        for (StoredNote { key, head, .. }, (_, roots)) in notes.iter().zip(log.marks.iter().skip(1))
        {
            let mut known = roots.iter().flatten().peekable();
            let is_beyond = head.size > self.head.size;
            if is_beyond || known.peek().is_some() && !known.any(|root| *root == head.root) {
                self.wrong_note(key);
            }
        }
        if self.report.names(Table::Records, &0_u64.to_be_bytes()) {
            self.config = None;
        }
        Ok(())
    }

    fn wrong_head(&mut self, size: u64, root: Option<Hash>) {
        self.report.row(Table::Meta, HEAD, Problem::Head);
        self.head.size = size;
        self.head.root = root.unwrap_or(self.head.root);
    }

    /// Goes on over missing records by what the tiles have of them.
    fn missing_records(&mut self, log: &mut Log, from: u64, to: u64) -> Result<(), ReadError> {
        if from >= to {
            return Ok(());
        }
        let missing = Problem::Missing { rows: to - from };
        self.report
            .row(Table::Records, &from.to_be_bytes(), missing);
        for index in from..to {
            let tile = self.lowest(log, index)?;
            log.append(index, None, tile);
            if log.is_lost() {
                break;
            }
        }
        Ok(())
    }

    /// The hash of a record as the lowest tiles have it.
    fn lowest(&self, log: &mut Log, index: u64) -> Result<Option<Hash>, ReadError> {
        let (tile, at) = (index >> 8, usize::from(index as u8));
        if log.tile.as_ref().is_none_or(|(read, _)| *read != tile) {
            let row = self.store.get(Table::Tiles, &tile_key(0, tile))?;
            let row = row.unwrap_or_default();
            let (hashes, _) = row.as_chunks::<32>();
            log.tile = Some((tile, hashes.iter().copied().map(Hash).collect()));
        }
        let hashes = log.tile.as_ref().map(|(_, hashes)| hashes);
        Ok(hashes.and_then(|hashes| hashes.get(at).copied()))
    }

    /// Says what is wrong if not all agree: records, of which there are `size`, tiles, or head.
    fn judge(&mut self, log: &Log, size: u64) {
        let head = Some(self.head.root);
        let [by_records, by_tiles] = log.marks.first().map_or([None; 2], |mark| mark.1);
        let agree = by_records == by_tiles && by_records.is_some();
        if agree && by_records != head {
            let whole = root(&log.by_records);
            return self.wrong_head(size, whole);
        }
        for index in &log.differing {
            if by_tiles != head {
                let key = tile_key(0, index >> 8);
                self.report.row(Table::Tiles, &key, Problem::Tile);
            }
            if by_records != head {
                let key = index.to_be_bytes();
                self.report.row(Table::Records, &key, Problem::Record);
            }
        }
        if size > self.head.size {
            let first = self.head.size.to_be_bytes();
            self.report.row(Table::Records, &first, Problem::Stray);
        }
    }

    /// The form of every tile, and those above the lowest against those below.
    pub(super) fn tiles(&mut self) -> Result<(), ReadError> {
        let mut next = Some((0, 0));
        self.pages(Table::Tiles, |check, page| {
            for row in page {
                let tile = rows::tile(&row.key)
                    .and_then(|(level, index)| Tile::in_log(level, index, check.head.size));
                let Some(tile) = tile else {
                    check.report.row(Table::Tiles, &row.key, Problem::Stray);
                    continue;
                };
                check.missing_tiles(&mut next, Some(tile));
                match rows::hashes(tile, &row.value) {
                    Some(hashes) => check.tile(tile, &hashes)?,
                    None => check.report.row(Table::Tiles, &row.key, Problem::Malformed),
                }
            }
            Ok(())
        })?;
        self.missing_tiles(&mut next, None);
        Ok(())
    }

    /// Notes the tiles that are missing before `found`, or to the end, and moves on to after it.
    fn missing_tiles(&mut self, next: &mut Option<(u8, u64)>, found: Option<Tile>) {
        while let Some((level, index)) = *next {
            let end = (self.head.size >> (8 * u32::from(level))).div_ceil(256);
            let found_here = found.filter(|found| found.level() == level);
            let until = found_here.map_or(end, Tile::index);
            if index < until {
                let missing = Problem::Missing {
                    rows: until - index,
                };
                let key = tile_key(level, index);
                self.report.row(Table::Tiles, &key, missing);
            }
            let above = (level < 7 && end > 0).then_some((level + 1, 0));
            *next = match found_here {
                Some(found) => Some((level, found.index() + 1)),
                None => above,
            };
            if found_here.is_some() {
                return;
            }
        }
    }

    /// A tile above the lowest has the roots of the tiles below.
    fn tile(&mut self, tile: Tile, hashes: &[Hash]) -> Result<(), ReadError> {
        let Some(below) = tile.level().checked_sub(1) else {
            return Ok(()); // The records tell.
        };
        for (index, hash) in (tile.index() << 8..).zip(hashes) {
            let key = tile_key(below, index);
            let row = self.store.get(Table::Tiles, &key)?;
            let lower = Tile::in_log(below, index, self.head.size)
                .zip(row)
                .and_then(|(lower, row)| rows::hashes(lower, &row));
            let differs = lower.is_some_and(|lower| complete_root(lower) != *hash);
            if differs && !self.report.names(Table::Tiles, &key) {
                let key = tile_key(tile.level(), tile.index());
                self.report.row(Table::Tiles, &key, Problem::Tile);
            }
        }
        Ok(())
    }
}

/// The root above 256 hashes.
fn complete_root(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        let pairs = hashes.chunks(2);
        hashes = pairs
            .map(|pair| node_hash(&pair[0], &pair[pair.len() - 1]))
            .collect();
    }
    hashes.pop().unwrap_or(Hash::EMPTY_LOG)
}

fn tile_key(level: u8, index: u64) -> Vec<u8> {
    [&[level][..], &index.to_be_bytes()].concat()
}
