//! The rows of an epoch as the server writes them, from numbers alone: what a batch holds can be
//! said again after the process that wrote it is gone.

use candor_server::storage::{Batch, Storage, Table};

/// Updates of one epoch.
pub const UPDATES: u64 = 10_000;

const LEAF_VALUE_BYTES: usize = 40;
const VERSION_VALUE_BYTES: usize = 250;
const ACCOUNT_VALUE_BYTES: std::ops::RangeInclusive<u64> = 250..=480;
const RECORD_BYTES: usize = 200;
const TILE_BYTES: usize = 256 * 32;
/// An audit delta is some 400 bytes an update.
const DELTA_BYTES: usize = 400 * UPDATES as usize;

/// The head's key in [`Table::Meta`].
pub const HEAD: &str = "head";

/// Uniform numbers that are a function of their place.
pub const fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// `bytes` bytes that do not compress, a function of `seed`.
fn fill(seed: u64, bytes: usize) -> Vec<u8> {
    let words = (0..bytes.div_ceil(8) as u64).map(|word| mix(seed ^ mix(word)).to_le_bytes());
    let mut filled: Vec<u8> = words.flatten().collect();
    filled.truncate(bytes);
    filled
}

/// The label of an account: 30 bytes, in no order.
pub fn account_key(account: u64) -> String {
    format!("mailto:{:011x}@example.org", mix(account) >> 20)
}

/// The key of a version: length, label, number.
pub fn version_key(account: u64, version: u32) -> Vec<u8> {
    let label = account_key(account);
    let length = [label.len() as u8];
    [&length[..], label.as_bytes(), &version.to_be_bytes()].concat()
}

/// A search key.
pub fn leaf_key(update: u64) -> Vec<u8> {
    fill(mix(update ^ 0x1eaf), 32)
}

/// The store of a number of accounts, epoch by epoch. The first epochs give each account its first
/// version; the later ones give accounts at random another.
#[derive(Clone, Copy)]
pub struct Epochs {
    /// Accounts that the first epochs create.
    pub accounts: u64,
}

impl Epochs {
    /// How many epochs create accounts.
    pub fn loading(self) -> u64 {
        self.accounts.div_ceil(UPDATES)
    }

    /// Account and version of an update. The version is the update's number, so that two updates
    /// that meet in an account write different rows; the first one of account n is version n.
    fn target(self, epoch: u64, update: u64) -> (u64, u32) {
        let number = epoch * UPDATES + update;
        if epoch < self.loading() {
            (number % self.accounts, number as u32)
        } else {
            (mix(number) % self.accounts, number as u32)
        }
    }

    /// The rows of an update but its account's.
    fn update_rows(self, epoch: u64, update: u64) -> [(Table, Vec<u8>, Vec<u8>); 2] {
        let number = epoch * UPDATES + update;
        let (account, version) = self.target(epoch, update);
        let seed = mix(number);
        [
            (
                Table::Leaves,
                leaf_key(number),
                fill(seed, LEAF_VALUE_BYTES),
            ),
            (
                Table::Versions,
                version_key(account, version),
                fill(seed ^ account, VERSION_VALUE_BYTES),
            ),
        ]
    }

    fn rows(self, epoch: u64) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
        let span = ACCOUNT_VALUE_BYTES.end() - ACCOUNT_VALUE_BYTES.start();
        let mut rows = Vec::with_capacity(3 * UPDATES as usize + 8);
        for update in 0..UPDATES {
            rows.extend(self.update_rows(epoch, update));
            let (account, version) = self.target(epoch, update);
            let bytes = ACCOUNT_VALUE_BYTES.start() + mix(account ^ epoch) % span;
            let value = fill(account ^ u64::from(version), bytes as usize);
            rows.push((Table::Accounts, account_key(account).into_bytes(), value));
        }
        let index = epoch.to_be_bytes().to_vec();
        rows.push((Table::Deltas, index.clone(), fill(epoch, DELTA_BYTES)));
        rows.push((Table::Records, index, fill(epoch, RECORD_BYTES)));
        for level in 0..2_u8 {
            let tile = epoch >> (8 * (level + 1));
            let key = [&[level][..], &tile.to_be_bytes()].concat();
            let hashes = (epoch >> (8 * level)) % 256 + 1;
            let content = fill(tile, TILE_BYTES)[..32 * hashes as usize].to_vec();
            rows.push((Table::Tiles, key, content));
        }
        rows
    }

    /// The batch of an epoch, how many rows it has, and their bytes.
    pub fn batch(self, epoch: u64) -> (Batch, Size) {
        let mut batch = Batch::new();
        let head = epoch.checked_sub(1);
        batch.require_meta(HEAD, head.map(|head| head.to_be_bytes().to_vec()));
        let mut size = Size::default();
        for (table, key, value) in self.rows(epoch) {
            size.rows += 1;
            size.bytes += (key.len() + value.len()) as u64;
            batch.put(table, key, value);
        }
        batch.put(Table::Meta, HEAD, epoch.to_be_bytes());
        (batch, size)
    }

    /// Whether every row of an epoch that no later one replaces is in the store as it was written.
    pub fn is_whole(self, store: &dyn Storage, epoch: u64) -> bool {
        let is_there = |table, key: &[u8], value: &[u8]| {
            let found = store.get(table, key).expect("the store reads");
            found.as_deref() == Some(value)
        };
        let updates = (0..UPDATES).flat_map(|update| self.update_rows(epoch, update));
        let mut rows = updates.map(|(table, key, value)| is_there(table, &key, &value));
        let delta = fill(epoch, DELTA_BYTES);
        rows.all(|is_there| is_there) && is_there(Table::Deltas, &epoch.to_be_bytes(), &delta)
    }

    /// Whether the store holds nothing of an epoch.
    pub fn is_absent(self, store: &dyn Storage, epoch: u64) -> bool {
        let is_free = |table, key: &[u8]| store.get(table, key).expect("it reads").is_none();
        let updates = (0..UPDATES).flat_map(|update| self.update_rows(epoch, update));
        let mut rows = updates.map(|(table, key, _)| is_free(table, &key));
        rows.all(|is_free| is_free) && is_free(Table::Deltas, &epoch.to_be_bytes())
    }
}

/// What a batch holds.
#[derive(Clone, Copy, Default)]
pub struct Size {
    /// Rows.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// The newest epoch in the store.
pub fn head(store: &dyn Storage) -> Option<u64> {
    let head = store.get(Table::Meta, HEAD.as_bytes()).expect("it reads");
    head.map(|head| u64::from_be_bytes(head.try_into().expect("8 bytes were written")))
}
