//! The server that keeps what the devices of an account share: one place for each account key,
//! which is exchanged for another only by who knows what is there.

use std::collections::BTreeMap;

/// Whose blobs: the account, and the generation of its key.
pub type Place = (usize, u8);

/// All blobs that were ever stored.
#[derive(Debug, Default)]
pub struct Cloud(BTreeMap<Place, Vec<Vec<u8>>>);

impl Cloud {
    /// What is there, and its number.
    pub fn get(&self, place: Place) -> Option<(usize, &[u8])> {
        let all = self.0.get(&place)?;
        let newest = all.len().checked_sub(1)?;
        Some((newest, &all[newest]))
    }

    /// An older blob than what is there, and its number.
    pub fn get_old(&self, place: Place, choice: usize) -> Option<(usize, &[u8])> {
        let all = self.0.get(&place)?;
        let older = all.len().checked_sub(1).filter(|count| *count > 0)?;
        Some((choice % older, &all[choice % older]))
    }

    /// Stores a blob if `known` is what is there. Returns whether it did.
    pub fn put(&mut self, place: Place, known: Option<usize>, blob: Vec<u8>) -> bool {
        let all = self.0.entry(place).or_default();
        let is_newest = all.len().checked_sub(1) == known;
        if is_newest {
            all.push(blob);
        }
        is_newest
    }
}
