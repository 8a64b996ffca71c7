//! The tables of the database.

use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use redb::{Durability, WriteTransaction};

use super::quarantine::{Quarantine, Row};
use super::records::Records;
use super::{ApplyError, Change, StoreError};
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
/// Origin to [`Row`].
const QUARANTINES: TableDefinition<&str, &[u8]> = TableDefinition::new("quarantines");
/// [`FORMAT`], [`GENERATION`] and [`BLIND`] to numbers.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// What a program must know to read the database: [`KNOWN_FORMAT`]. The first databases of it do
/// not say so.
const FORMAT: &str = "format";
const KNOWN_FORMAT: u64 = 1;
/// How many groups of changes moved a log.
const GENERATION: &str = "generation";
/// Not 0 if logs of which nothing is known may have been cosigned all the same.
const BLIND: &str = "blind";

/// Creates the tables.
pub fn create(database: &Database) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    transaction.open_table(LOGS)?;
    transaction.open_table(FORKS)?;
    transaction.open_table(MAP_ALARMS)?;
    transaction.open_table(MAPS)?;
    transaction.open_table(QUARANTINES)?;
    let mut meta = transaction.open_table(META)?;
    meta.insert(FORMAT, KNOWN_FORMAT)?;
    meta.insert(GENERATION, 0)?;
    drop(meta);
    Ok(transaction.commit()?)
}

/// Refuses a database that a newer program wrote.
pub fn check_format(database: &Database) -> Result<(), StoreError> {
    let meta = database.begin_read()?.open_table(META)?;
    match meta.get(FORMAT)?.map(|format| format.value()) {
        None | Some(KNOWN_FORMAT) => Ok(()),
        Some(found) => Err(StoreError::Format { found }),
    }
}

/// Begins a transaction that is on disk when its commit returns.
pub fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction)
}

/// Puts a change into the transaction, unless it expects another record than there is, or the log
/// was stopped.
pub fn write(
    transaction: &WriteTransaction,
    origin: &str,
    change: &Change,
) -> Result<Result<(), ApplyError>, StoreError> {
    match change {
        Change::Advance { next, .. } => {
            let is_forked = transaction.open_table(FORKS)?.get(origin)?.is_some();
            let mut quarantines = transaction.open_table(QUARANTINES)?;
            let quarantine = read_row(&quarantines, origin)?.and_then(Row::quarantine);
            let mut logs = transaction.open_table(LOGS)?;
            let recorded = match logs.get(origin)? {
                Some(bytes) => decode(origin, bytes.value())?.recorded(),
                None => Recorded::NOTHING,
            };
            if let Err(error) = change.check(&recorded, quarantine, is_forked) {
                return Ok(Err(error));
            }
            logs.insert(origin, next.encode().as_slice())?;
            quarantines.remove(origin)?;
        }
        Change::Quarantine(quarantine) => {
            put_row(transaction, origin, Row::Quarantined(*quarantine))?;
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

/// Sets the generation.
pub fn set_generation(transaction: &WriteTransaction, generation: u64) -> Result<(), StoreError> {
    transaction
        .open_table(META)?
        .insert(GENERATION, generation)?;
    Ok(())
}

/// Says that logs of which nothing is known may have been cosigned all the same.
pub fn set_blind(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(META)?.insert(BLIND, 1)?;
    Ok(())
}

/// Puts a log in quarantine, or releases it.
pub fn put_row(transaction: &WriteTransaction, origin: &str, row: Row) -> Result<(), StoreError> {
    let mut quarantines = transaction.open_table(QUARANTINES)?;
    quarantines.insert(origin, row.encode().as_slice())?;
    Ok(())
}

/// Everything that is known of every log.
pub fn load(database: &Database) -> Result<Records, StoreError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let number = |key| Ok::<_, StoreError>(meta.get(key)?.map_or(0, |value| value.value()));
    let mut records = Records {
        generation: number(GENERATION)?,
        ..Records::default()
    };
    if number(BLIND)? != 0 {
        records.unknown.quarantine = Some(Quarantine::BLIND);
    }
    let entries = &mut records.entries;
    for row in transaction.open_table(LOGS)?.iter()? {
        let (origin, bytes) = row?;
        let state = decode(origin.value(), bytes.value())?;
        entries.entry(origin.value().to_owned()).or_default().state = Some(Arc::new(state));
    }
    for row in transaction.open_table(QUARANTINES)?.iter()? {
        let (origin, bytes) = row?;
        let row = decode_row(origin.value(), bytes.value())?;
        records.put_row(origin.value(), row);
    }
    for (origin, reason) in read_texts(&transaction, FORKS)? {
        records.entry_mut(&origin).fork = Some(reason);
    }
    for (origin, reason) in read_texts(&transaction, MAP_ALARMS)? {
        records.entry_mut(&origin).map_alarm = Some(reason);
    }
    Ok(records)
}

fn read_row(
    quarantines: &impl ReadableTable<&'static str, &'static [u8]>,
    origin: &str,
) -> Result<Option<Row>, StoreError> {
    let bytes = quarantines.get(origin)?;
    bytes
        .map(|bytes| decode_row(origin, bytes.value()))
        .transpose()
}

fn decode_row(origin: &str, bytes: &[u8]) -> Result<Row, StoreError> {
    Row::decode(bytes).map_err(|source| StoreError::Damaged {
        origin: origin.to_owned(),
        source,
    })
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
