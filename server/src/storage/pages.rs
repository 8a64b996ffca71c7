//! Reading a table whole, page by page.

use std::ops::ControlFlow;

use super::{KeyRange, Order, ReadError, Storage, Table};

/// Rows and bytes that are read before they are checked together: bound memory, and are work for
/// all cores. One row is read however long it is.
const PAGE_ROWS: usize = 1024;
const PAGE_BYTES: usize = 8 << 20;

/// One row as stored.
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Calls `visit` with all rows of a table, in order, page by page.
pub(crate) fn pages<E: From<ReadError>>(
    store: &dyn Storage,
    table: Table,
    mut visit: impl FnMut(Vec<Row>) -> Result<(), E>,
) -> Result<(), E> {
    let mut next = KeyRange::all();
    loop {
        let (mut page, mut bytes) = (Vec::new(), 0);
        store.scan(table, &next, Order::Ascending, &mut |key, value| {
            bytes += key.len() + value.len();
            let (key, value) = (key.to_vec(), value.to_vec());
            page.push(Row { key, value });
            match page.len() < PAGE_ROWS && bytes < PAGE_BYTES {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        // The least key that is greater.
        next = KeyRange::from([&last.key[..], &[0]].concat());
        visit(page)?;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::storage::{Batch, MemoryStorage};

    #[test]
    fn a_page_of_long_rows_has_few() {
        let store = MemoryStorage::new();
        let mut batch = Batch::new();
        for key in 0..20_u8 {
            batch.put(Table::Deltas, [key], vec![key; PAGE_BYTES / 4]);
        }
        batch.put(Table::Deltas, [20], vec![20; 2 * PAGE_BYTES]);
        store.commit(batch).unwrap();
        let mut keys = Vec::new();
        let read = pages(&store, Table::Deltas, |page| {
            assert!(page.len() <= 4, "{}", page.len());
            keys.extend(page.into_iter().map(|row| row.key[0]));
            Ok::<_, ReadError>(())
        });
        read.unwrap();
        assert_eq!(keys, (0..=20).collect::<Vec<_>>());
    }
}
