//! Limits: how much one client gets, and what is done at a time for all of them.
//!
//! A refusal comes before any work, and depends on who asks and how much, never on what there is:
//! whoever is refused learns nothing of a label. What cannot be known before the work, how many
//! labels were absent, is taken in advance and given back.
//!
//! Memory does not grow with callers: see [`Buckets`]. Time is an argument.

mod bucket;
mod budget;
mod client;
mod places;
mod reads;
mod refusal;
mod table;
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_core::account::Label;
use candor_core::answer::Query;
use candor_core::limits::HISTORY_VERSIONS_MAX;

pub use self::bucket::Rate;
pub use self::budget::Budget;
pub use self::client::{Client, Prefix, PrefixError};
pub use self::places::{Place, Places};
pub use self::reads::{Class, Reads};
pub use self::refusal::{Limit, Limited, RETRY_PUSHBACK};
pub use self::table::{Buckets, Key};
pub use self::turns::{Busy, Turn, Turns};
use crate::access::Caller;
use crate::config::Limits;
use crate::metrics::Metrics;

/// Versions of a history that cost as much as a lookup of the newest one.
const VERSIONS_A_UNIT: u32 = 8;

/// Labels that are computed in the least time of an answer: about 0.1 ms of one core each.
const LABELS_A_FLOOR: usize = 8;

/// Audit feeds of one client: a witness has one for a log.
const FEEDS_PER_CLIENT: usize = 4;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What every client may do, and has done. Clones share it.
#[derive(Clone)]
pub struct Limiter(Arc<Inner>);

struct Inner {
    unlimited: Vec<Prefix>,
    lookups: Budget,
    absent: Budget,
    /// By client and label.
    repeats: Buckets,
    updates: Buckets,
    /// By label.
    account_updates: Buckets,
    streams: Places,
    feeds: Places,
    streams_per_client: usize,
    answer_floor: Duration,
    metrics: Arc<Metrics>,
}

/// What was taken in advance for some lookups. Dropped without [`Self::settle`] it stays taken, as
/// for a caller who does not wait for the answer.
#[must_use]
pub struct Reserved {
    limiter: Limiter,
    client: Client,
    cost: u32,
    labels: u32,
}

impl Limiter {
    /// Full budgets for everybody.
    pub fn new(config: &Limits, metrics: Arc<Metrics>, now: Instant) -> Self {
        let lookups = config.lookups_per_second;
        let lookups = Rate::new(lookups, Duration::from_secs(1), config.lookups_burst);
        let absent = Rate::new(config.absent_per_minute, MINUTE, config.absent_burst);
        // Of these as much can come at once as the unit of time brings.
        let repeats = config.repeats_per_minute;
        let repeats = Rate::new(repeats, MINUTE, repeats);
        let updates = config.updates_per_second;
        let updates = Rate::new(updates, Duration::from_secs(1), updates);
        let account_updates = config.account_updates_per_hour;
        let account_updates = Rate::new(account_updates, HOUR, account_updates);
        Self(Arc::new(Inner {
            unlimited: config.unlimited.clone(),
            lookups: Budget::new(lookups, config.named_factor, now),
            absent: Budget::new(absent, config.named_factor, now),
            repeats: Buckets::new(repeats, now),
            updates: Buckets::new(updates, now),
            account_updates: Buckets::new(account_updates, now),
            streams: Places::new(config.streams),
            feeds: Places::new(config.streams),
            streams_per_client: config.streams_per_client,
            answer_floor: Duration::from_millis(config.answer_floor_ms),
            metrics,
        }))
    }

    /// Who sends a call, by what the gate found out.
    pub fn client(&self, caller: Option<&Caller>) -> Client {
        Client::of(caller, &self.0.unlimited)
    }

    /// Lets a call pass that is no lookup and costs little: a head, a proof of consistency.
    ///
    /// # Errors
    ///
    /// [`Limited`]; the caller asks for more than its share.
    pub fn call(&self, client: &Client, now: Instant) -> Result<(), Limited> {
        let taken = self.0.lookups.take(client, 1, now);
        taken.map_err(|wait| self.refuse(Limit::Lookups, wait))
    }

    /// Takes in advance what lookups may cost: all labels may turn out to be absent, all versions
    /// that are asked for may be there.
    ///
    /// # Errors
    ///
    /// [`Limited`]; the caller asks for more than its share. Nothing was taken but from the
    /// repeats of labels.
    pub fn lookups<'a>(
        &self,
        client: &Client,
        queries: impl Iterator<Item = (&'a Label, &'a Query)>,
        now: Instant,
    ) -> Result<Reserved, Limited> {
        let (mut cost, mut labels) = (0_u32, 0_u32);
        let inner = &*self.0;
        if *client != Client::Unlimited {
            for (label, query) in queries {
                let pair = (client, label.as_bytes());
                let repeated = inner.repeats.take(inner.repeats.key(pair), 1, now);
                repeated.map_err(|wait| self.refuse(Limit::Repeats, wait))?;
                cost = cost.saturating_add(cost_of(query));
                labels += 1;
            }
            // A call without labels still gets a head.
            cost = cost.max(1);
            let taken = inner.absent.take(client, labels, now);
            taken.map_err(|wait| self.refuse(Limit::Absent, wait))?;
            if let Err(wait) = inner.lookups.take(client, cost, now) {
                inner.absent.settle(client, labels, 0);
                return Err(self.refuse(Limit::Lookups, wait));
            }
        }
        Ok(Reserved {
            limiter: self.clone(),
            client: client.clone(),
            cost,
            labels,
        })
    }

    /// Lets an update pass. The name is that of the registrar's credential: updates have no
    /// unlimited addresses.
    ///
    /// # Errors
    ///
    /// [`Limited`]; the registrar is at fault, or asks for more than its share.
    pub fn update(&self, name: &str, label: &str, now: Instant) -> Result<(), Limited> {
        let (updates, accounts) = (&self.0.updates, &self.0.account_updates);
        let registrar = updates.key(name);
        let taken = updates.take(registrar, 1, now);
        taken.map_err(|wait| self.refuse(Limit::Updates, wait))?;
        // By both: no registrar uses up what another one may do.
        let account = accounts.key((name, label));
        accounts.take(account, 1, now).map_err(|wait| {
            updates.give_back(registrar, 1);
            self.refuse(Limit::AccountUpdates, wait)
        })
    }

    /// A place for an audit feed: a few for each client, since a feed that is read slowly holds
    /// one of the few epochs that are in memory for all.
    ///
    /// # Errors
    ///
    /// [`Limited`]; the caller has its share, or all are taken.
    pub fn feed(&self, client: &Client) -> Result<Place, Limited> {
        let refused = || self.refuse(Limit::Streams, MINUTE);
        let each = match client {
            Client::Unlimited => usize::MAX,
            _ => FEEDS_PER_CLIENT,
        };
        self.0.feeds.enter(client, each).ok_or_else(refused)
    }

    /// A place for a stream that a client holds open.
    ///
    /// # Errors
    ///
    /// [`Limited`]; the caller has its share, or all are taken.
    pub fn stream(&self, client: &Client) -> Result<Place, Limited> {
        // Nobody knows when one will end.
        let refused = || self.refuse(Limit::Streams, MINUTE);
        let inner = &*self.0;
        let each = match client {
            Client::Unlimited => usize::MAX,
            _ => inner.streams_per_client,
        };
        inner.streams.enter(client, each).ok_or_else(refused)
    }

    /// Least time until lookups of so many labels are answered.
    pub fn answer_floor(&self, labels: usize) -> Duration {
        let floors = u32::try_from(labels.div_ceil(LABELS_A_FLOOR)).unwrap_or(u32::MAX);
        self.0.answer_floor.saturating_mul(floors)
    }

    /// Notes that something was refused here or at a place that counts for itself.
    pub fn refuse(&self, limit: Limit, wait: Duration) -> Limited {
        self.0.metrics.limited(limit.name());
        Limited { limit, wait }
    }

    /// Puts what is tracked at this moment into the metrics.
    pub fn observe(&self, now: Instant) {
        let inner = &*self.0;
        let tables = [
            (
                Limit::Lookups,
                inner.lookups.tracked(now),
                inner.lookups.forgotten(),
            ),
            (
                Limit::Absent,
                inner.absent.tracked(now),
                inner.absent.forgotten(),
            ),
            (
                Limit::Repeats,
                inner.repeats.tracked(now),
                inner.repeats.forgotten(),
            ),
            (
                Limit::Updates,
                inner.updates.tracked(now),
                inner.updates.forgotten(),
            ),
            (
                Limit::AccountUpdates,
                inner.account_updates.tracked(now),
                inner.account_updates.forgotten(),
            ),
        ];
        for (limit, tracked, forgotten) in tables {
            inner
                .metrics
                .limits_tracked(limit.name(), tracked, forgotten);
        }
    }
}

impl Reserved {
    /// Gives back what the answer did not need: `opened` versions were opened beyond the lookups,
    /// and so many labels were absent.
    pub fn settle(self, opened: usize, absent: usize) {
        let opened = u32::try_from(opened).unwrap_or(u32::MAX);
        let absent = u32::try_from(absent).unwrap_or(u32::MAX);
        let used = self
            .labels
            .max(1)
            .saturating_add(opened.div_ceil(VERSIONS_A_UNIT));
        let inner = &*self.limiter.0;
        inner.lookups.settle(&self.client, self.cost, used);
        inner.absent.settle(&self.client, self.labels, absent);
    }
}

/// What a query may cost, in units of a lookup of the newest version.
fn cost_of(query: &Query) -> u32 {
    let versions = match (query.from_version, query.max_versions) {
        (None, _) => 0,
        (Some(_), 0) => HISTORY_VERSIONS_MAX,
        (Some(_), versions) => versions.min(HISTORY_VERSIONS_MAX),
    };
    1 + versions.div_ceil(VERSIONS_A_UNIT)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
