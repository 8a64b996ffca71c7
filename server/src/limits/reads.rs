//! Turns to read the store, by what a read costs: what takes long does not keep others waiting.

use std::time::Duration;

use super::turns::Turns;
use crate::config::Limits;
use crate::metrics::Metrics;

/// Of how many plain reads one may be costly.
const PLAIN_FOR_COSTLY: usize = 8;

/// Epochs that are read for audit feeds at a time.
const FEED_READS: usize = 8;

/// How long a feed waits for its turn. Auditors are patient, and there are few.
const FEED_PATIENCE: Duration = Duration::from_secs(10);

/// What a read takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Some rows.
    Plain,
    /// Many rows, or the curve: histories, labels that do not exist, what was not computed ahead.
    Costly,
    /// An epoch for an audit feed.
    Feed,
}

/// The turns of each class. Clones share them.
#[derive(Clone)]
pub struct Reads {
    plain: Turns,
    costly: Turns,
    feed: Turns,
}

impl Reads {
    /// As many as the configuration grants.
    pub fn new(config: &Limits, metrics: &Metrics) -> Self {
        let patience = Duration::from_millis(config.read_patience_ms);
        let costly = config.reads.div_ceil(PLAIN_FOR_COSTLY);
        Self {
            plain: Turns::new(config.reads, patience, metrics.reads_waiting("plain")),
            costly: Turns::new(costly, patience, metrics.reads_waiting("costly")),
            feed: Turns::new(FEED_READS, FEED_PATIENCE, metrics.reads_waiting("feed")),
        }
    }

    /// The turns of one class.
    pub const fn of(&self, class: Class) -> &Turns {
        match class {
            Class::Plain => &self.plain,
            Class::Costly => &self.costly,
            Class::Feed => &self.feed,
        }
    }
}
