//! A store whose commits can be held back.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use candor_server::storage::{
    AllVisitor, Batch, CommitError, KeyRange, MemoryStorage, Order, ReadError, Storage, Table,
    Visitor,
};

use super::harness::LONG;

/// Holds commits back while it is shut.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_shut: bool,
    /// Commits that wait.
    waiting: u32,
}

impl Gate {
    pub fn shut(&self, is_shut: bool) {
        self.state.lock().unwrap().is_shut = is_shut;
        self.changed.notify_all();
    }

    /// Waits until a commit is held back.
    pub async fn is_reached(&self) {
        let reached = async {
            while self.state.lock().unwrap().waiting == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG, reached)
            .await
            .expect("a commit is made");
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        let wait = self.changed.wait_while(state, |state| state.is_shut);
        wait.unwrap().waiting -= 1;
    }
}

/// A store whose commits wait at a gate, as on a disk that hangs.
pub struct Gated {
    pub store: Arc<MemoryStorage>,
    pub gate: Arc<Gate>,
}

impl Storage for Gated {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.store.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        visit: &mut Visitor<'_>,
    ) -> Result<(), ReadError> {
        self.store.scan(table, range, order, visit)
    }

    fn scan_all(&self, visit: &mut AllVisitor<'_>) -> Result<(), ReadError> {
        self.store.scan_all(visit)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.gate.pass();
        self.store.commit(batch)
    }
}
