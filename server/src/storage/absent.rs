//! The store that is not asked.

use super::{
    AllVisitor, Batch, CommitError, KeyRange, NotCommitted, Order, ReadError, Storage, Table,
    Visitor,
};

/// Stands where a store would be, for readers that must not wait for one: every call fails at once.
pub struct AbsentStorage;

impl Storage for AbsentStorage {
    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Err(ReadError::NotInMemory)
    }

    fn scan(&self, _: Table, _: &KeyRange, _: Order, _: &mut Visitor<'_>) -> Result<(), ReadError> {
        Err(ReadError::NotInMemory)
    }

    fn scan_all(&self, _: &mut AllVisitor<'_>) -> Result<(), ReadError> {
        Err(ReadError::NotInMemory)
    }

    fn commit(&self, _: Batch) -> Result<(), CommitError> {
        Err(NotCommitted::Stopped.into())
    }
}
