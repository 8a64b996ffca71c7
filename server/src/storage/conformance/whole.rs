//! Reading a whole store.

use std::ops::ControlFlow;

use super::{Batch, Opener, Table};

pub(in crate::storage) fn scans_of_all_tables_see_one_state(open: &Opener) {
    let store = open();
    let keys: Vec<[u8; 2]> = (0..1000_u16).map(u16::to_be_bytes).collect();
    let mut batch = Batch::new();
    for (table, key) in Table::ALL
        .into_iter()
        .flat_map(|t| keys.iter().map(move |k| (t, k)))
    {
        batch.put(table, *key, table.name());
    }
    store.commit(batch).unwrap();
    let mut rows = Vec::new();
    store
        .scan_all(&mut |table, key, value| {
            assert_eq!(value, table.name().as_bytes());
            if rows.len() % 50 == 0 {
                // A table that was seen, this one, and the last.
                let mut batch = Batch::new();
                batch.remove(Table::Leaves, key);
                batch.put(table, [key, b"new"].concat(), "new");
                batch.put(Table::Meta, key, "changed");
                store.commit(batch).unwrap();
            }
            rows.push((table, key.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    let all = Table::ALL
        .into_iter()
        .flat_map(|t| keys.iter().map(move |k| (t, k.to_vec())));
    assert_eq!(rows, all.collect::<Vec<_>>());
    assert_eq!(
        store.get(Table::Meta, &[0, 0]).unwrap().unwrap(),
        b"changed"
    );
    drop(store);
    let store = open();
    let mut visited = 0;
    store
        .scan_all(&mut |_, _, _| {
            visited += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(visited, 1, "it stops when told");
}
