//! The one thread that writes, in groups: what waits is committed together.
//!
//! The order is the whole point: database and anchor, as `durability.rs` has it, then memory, then
//! the answer.

use std::sync::PoisonError;
use std::time::Instant;

use candor_host::durable::InstanceLock;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

use super::anchor::Anchor;
use super::durability::{self, made};
use super::files::Files;
use super::{ApplyError, Change, StoreError, View};
use crate::metrics::Metrics;
use crate::points::{Hook, Point};

/// Most changes that wait; further askers wait for their turn to wait.
pub const WAITING_CHANGES_MAX: usize = 1024;

/// Most changes in one transaction: at about 8 KiB each it stays below 2 MiB.
const GROUP_CHANGES_MAX: usize = 256;

/// A change, and who waits for it.
pub struct Request {
    pub origin: String,
    pub change: Change,
    pub done: oneshot::Sender<Result<(), ApplyError>>,
}

pub struct Writer {
    pub files: Files,
    pub anchor: Anchor,
    pub view: View,
    pub metrics: Metrics,
    pub hook: Hook,
    pub _lock: InstanceLock,
    /// Tells everybody when this thread ends, however it does.
    pub _stopped: DropGuard,
}

impl Writer {
    /// Commits until nobody can ask any more. After an error nothing is committed: those who
    /// wait, and those who ask later, are told that the store has stopped.
    pub fn run(mut self, mut requests: mpsc::Receiver<Request>) -> Result<(), StoreError> {
        while let Some(first) = requests.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_CHANGES_MAX
                && let Ok(next) = requests.try_recv()
            {
                group.push(next);
            }
            let begin = Instant::now();
            let changes: Vec<_> = group
                .iter()
                .map(|request| (request.origin.as_str(), &request.change))
                .collect();
            let goes_on = || self.hook.reached_by_all(Point::Committed, &changes);
            let committed =
                durability::commit(&mut self.files, &mut self.anchor, &changes, goes_on);
            let Some(results) = committed? else {
                return Ok(());
            };
            self.metrics.commit(group.len(), begin.elapsed());
            if !self.hook.reached_by_all(Point::Anchored, &changes) {
                return Ok(());
            }
            self.publish(&changes, &results);
            for (request, result) in group.into_iter().zip(results) {
                // Who does not wait any more does not need the answer.
                let _ = request.done.send(result);
            }
        }
        Ok(())
    }

    fn publish(&self, changes: &[(&str, &Change)], results: &[Result<(), ApplyError>]) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        for (origin, change) in made(changes, results) {
            // The database made it already, and the copy is what the database holds.
            let _same = view.apply(origin, change);
        }
    }
}
