//! The one thread that writes, in groups: what waits is committed together.
//!
//! The order is the whole point: database, anchor, memory, answer. A crash after any of them loses
//! nothing that an asker was told, and an asker who was told nothing finds out by asking again.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use candor_host::durable::InstanceLock;
use redb::Database;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

use super::anchor::AnchorFile;
use super::{ApplyError, Change, Entry, StoreError, View, tables};
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

/// What became of the changes of a group.
type Results = Vec<Result<(), ApplyError>>;

pub struct Writer {
    pub database: Arc<Database>,
    pub anchor: AnchorFile,
    pub view: View,
    /// What is known of a log that has no entry.
    pub unknown: Entry,
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
            let Some(results) = self.commit(&group)? else {
                return Ok(());
            };
            self.metrics.commit(group.len(), begin.elapsed());
            if !self.reached(Point::Anchored, &group) {
                return Ok(());
            }
            self.publish(&group, &results);
            for (request, result) in group.into_iter().zip(results) {
                // Who does not wait any more does not need the answer.
                let _ = request.done.send(result);
            }
        }
        Ok(())
    }

    /// `None` if it ended between database and anchor.
    fn commit(&mut self, group: &[Request]) -> Result<Option<Results>, StoreError> {
        let transaction = tables::begin(&self.database)?;
        let results = group
            .iter()
            .map(|request| tables::write(&transaction, &request.origin, &request.change))
            .collect::<Result<Vec<_>, _>>()?;
        let mut further = BTreeMap::new();
        for (request, result) in group.iter().zip(&results) {
            if let (Change::Advance { next, .. }, Ok(())) = (&request.change, result)
                && self.anchor.anchor().logs.get(&request.origin) != Some(&next.recorded())
            {
                further.insert(request.origin.clone(), next.recorded());
            }
        }
        if !further.is_empty() {
            tables::set_generation(&transaction, self.anchor.anchor().generation + 1)?;
        }
        transaction.commit()?;
        if !self.reached(Point::Committed, group) {
            return Ok(None);
        }
        if !further.is_empty() {
            self.anchor.advance(further)?;
        }
        Ok(Some(results))
    }

    fn reached(&self, point: Point, group: &[Request]) -> bool {
        let mut origins = group.iter().map(|request| &request.origin);
        origins.all(|origin| self.hook.reached(point, origin))
    }

    fn publish(&self, group: &[Request], results: &[Result<(), ApplyError>]) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        for (request, _) in group
            .iter()
            .zip(results)
            .filter(|(_, result)| result.is_ok())
        {
            let entry: &mut Entry = view
                .entry(request.origin.clone())
                .or_insert_with(|| self.unknown.clone());
            match &request.change {
                Change::Advance { next, .. } => {
                    entry.state = Some(Arc::clone(next));
                    entry.quarantine = None;
                }
                Change::Quarantine(quarantine) => entry.quarantine = Some(*quarantine),
                Change::Fork { reason } => entry.fork = Some(reason.clone()),
                Change::MapAlarm { reason } => entry.map_alarm = Some(reason.clone()),
                Change::MapProgress(_) => {}
            }
        }
    }
}
