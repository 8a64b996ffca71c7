//! The tables of the database.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use redb::{Durability, WriteTransaction};

use super::anchor::Anchor;
use super::{ApplyError, Change, Entry, StoreError};
use crate::decision::Recorded;
use crate::state::LogState;

/// Origin to [`LogState`].
const LOGS: TableDefinition<&str, &[u8]> = TableDefinition::new("logs");
/// Origin to the reason why the log is cosigned no more.
const FORKS: TableDefinition<&str, &str> = TableDefinition::new("forks");
/// Origin to the reason why the map is cosigned no more.
const MAP_ALARMS: TableDefinition<&str, &str> = TableDefinition::new("map_alarms");
/// Origin to how far the map was checked.
const MAPS: TableDefinition<&str, &[u8]> = TableDefinition::new("maps");

/// Creates the tables.
pub fn create(database: &Database) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    transaction.open_table(LOGS)?;
    transaction.open_table(FORKS)?;
    transaction.open_table(MAP_ALARMS)?;
    transaction.open_table(MAPS)?;
    Ok(transaction.commit()?)
}

/// Begins a transaction that is on disk when its commit returns.
pub fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction)
}

/// Puts a change into the transaction, unless it expects another record than there is.
pub fn write(
    transaction: &WriteTransaction,
    origin: &str,
    change: &Change,
) -> Result<Result<(), ApplyError>, StoreError> {
    match change {
        Change::Advance { expected, next } => {
            let mut logs = transaction.open_table(LOGS)?;
            let recorded = match logs.get(origin)? {
                Some(bytes) => decode(origin, bytes.value())?.recorded(),
                None => Recorded::NOTHING,
            };
            if recorded != *expected {
                return Ok(Err(ApplyError::Stale));
            }
            logs.insert(origin, next.encode().as_slice())?;
        }
        Change::Fork { reason } => {
            transaction
                .open_table(FORKS)?
                .insert(origin, reason.as_str())?;
        }
        Change::MapAlarm { reason } => {
            transaction
                .open_table(MAP_ALARMS)?
                .insert(origin, reason.as_str())?;
        }
        Change::MapProgress(bytes) => {
            transaction
                .open_table(MAPS)?
                .insert(origin, bytes.as_slice())?;
        }
    }
    Ok(Ok(()))
}

/// Removes the alarms of a log, and how far its map was checked: what raised an alarm may be in
/// that already, so the map is checked again from its start.
pub fn clear_alarms(database: &Database, origin: &str) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    transaction.open_table(FORKS)?.remove(origin)?;
    transaction.open_table(MAP_ALARMS)?.remove(origin)?;
    transaction.open_table(MAPS)?.remove(origin)?;
    Ok(transaction.commit()?)
}

/// Everything that is known of every log, held against the anchor.
pub fn load(database: &Database, anchor: &Anchor) -> Result<BTreeMap<String, Entry>, StoreError> {
    let transaction = database.begin_read()?;
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for row in transaction.open_table(LOGS)?.iter()? {
        let (origin, bytes) = row?;
        let state = decode(origin.value(), bytes.value())?;
        entries.entry(origin.value().to_owned()).or_default().state = Some(Arc::new(state));
    }
    for (origin, reason) in read_texts(&transaction, FORKS)? {
        entries.entry(origin).or_default().fork = Some(reason);
    }
    for (origin, reason) in read_texts(&transaction, MAP_ALARMS)? {
        entries.entry(origin).or_default().map_alarm = Some(reason);
    }
    for (origin, anchored) in anchor {
        let entry = entries.entry(origin.clone()).or_default();
        let recorded = entry.recorded();
        entry.is_behind_anchor = recorded.size < anchored.size
            || (recorded.size == anchored.size && recorded.root != anchored.root);
    }
    Ok(entries)
}

/// How far a map was checked.
pub fn map_progress(database: &Database, origin: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let maps = database.begin_read()?.open_table(MAPS)?;
    Ok(maps.get(origin)?.map(|bytes| bytes.value().to_vec()))
}

fn read_texts(
    transaction: &ReadTransaction,
    table: TableDefinition<&'static str, &'static str>,
) -> Result<Vec<(String, String)>, StoreError> {
    let mut texts = Vec::new();
    for row in transaction.open_table(table)?.iter()? {
        let (origin, text) = row?;
        texts.push((origin.value().to_owned(), text.value().to_owned()));
    }
    Ok(texts)
}

fn decode(origin: &str, bytes: &[u8]) -> Result<LogState, StoreError> {
    LogState::decode(bytes).map_err(|source| StoreError::Damaged {
        origin: origin.to_owned(),
        source,
    })
}
