//! How the log did lately, for the status page: kept in memory, in two rings of fixed size.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use candor_host::page::Step;

/// Seconds between two counts of the last hour.
pub const MINUTE_S: u64 = 60;
/// Seconds between two counts of the last two days.
pub const HALF_HOUR_S: u64 = 30 * 60;

/// How much earlier a count may come: timers and clocks do not agree to the second.
const SLACK_S: u64 = 5;

/// Stretches that are kept of each.
const MINUTES: usize = 60;
const HALF_HOURS: usize = 96;

/// What was counted until some moment, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// The moment, in POSIX seconds.
    pub at_s: u64,
    /// Updates that became part of an epoch.
    pub updates: u64,
    /// Lookups.
    pub lookups: u64,
    /// Records of the published head.
    pub size: u64,
    /// Heads that were published.
    pub publications: u64,
    /// How long they took together, in seconds.
    pub publication_seconds: f64,
}

/// What is shown of two counts that follow each other.
pub type Measure = fn(&Counts, &Counts) -> f64;

/// Counts at the turn of minutes and of half hours.
#[derive(Debug)]
pub struct History(Mutex<Rings>);

#[derive(Debug)]
struct Rings {
    minutes: Ring,
    half_hours: Ring,
}

#[derive(Debug)]
struct Ring {
    every_s: u64,
    stretches: usize,
    counts: VecDeque<Counts>,
}

impl Ring {
    const fn new(every_s: u64, stretches: usize) -> Self {
        Self {
            every_s,
            stretches,
            counts: VecDeque::new(),
        }
    }

    /// Keeps a count if one is due. A clock that went back begins anew.
    fn note(&mut self, now: Counts) {
        if self.counts.back().is_some_and(|last| last.at_s > now.at_s) {
            self.counts.clear();
        }
        let last_s = self.counts.back().map(|last| last.at_s);
        let due_s = last_s.map(|last_s| last_s.saturating_add(self.every_s - SLACK_S));
        if due_s.is_some_and(|due_s| now.at_s < due_s) {
            return;
        }
        // One more than stretches: each lies between two counts.
        if self.counts.len() > self.stretches {
            self.counts.pop_front();
        }
        self.counts.push_back(now);
    }

    /// What was measured between the counts, and since the last one.
    fn steps(&self, now: &Counts, measure: Measure) -> Vec<Step> {
        let counts: Vec<_> = self.counts.iter().chain([now]).collect();
        let pairs = counts.windows(2).filter(|pair| pair[0].at_s < pair[1].at_s);
        pairs
            .map(|pair| Step {
                from_s: now.at_s.saturating_sub(pair[0].at_s),
                to_s: now.at_s.saturating_sub(pair[1].at_s),
                value: measure(pair[0], pair[1]),
            })
            .collect()
    }
}

impl Default for History {
    fn default() -> Self {
        Self(Mutex::new(Rings {
            minutes: Ring::new(MINUTE_S, MINUTES),
            half_hours: Ring::new(HALF_HOUR_S, HALF_HOURS),
        }))
    }
}

impl History {
    /// Keeps these counts where they are due.
    pub fn note(&self, now: Counts) {
        let mut rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rings.minutes.note(now);
        rings.half_hours.note(now);
    }

    /// The last hour, the oldest first.
    pub fn hour(&self, now: &Counts, measure: Measure) -> Vec<Step> {
        let rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rings.minutes.steps(now, measure)
    }

    /// The last two days, the oldest first.
    pub fn two_days(&self, now: &Counts, measure: Measure) -> Vec<Step> {
        let rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rings.half_hours.steps(now, measure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(at_s: u64, updates: u64) -> Counts {
        Counts {
            at_s,
            updates,
            ..Counts::default()
        }
    }

    fn grown(before: &Counts, after: &Counts) -> f64 {
        (after.updates - before.updates) as f64
    }

    #[test]
    fn stretches_are_shown_by_their_age_and_the_last_one_as_it_runs() {
        let history = History::default();
        assert_eq!(history.hour(&counts(5, 0), grown), []);
        for (at_s, updates) in [(0, 0), (50, 3), (60, 4), (120, 10)] {
            history.note(counts(at_s, updates));
        }
        let step = |from_s, to_s, value| Step {
            from_s,
            to_s,
            value,
        };
        let steps = history.hour(&counts(130, 11), grown);
        assert_eq!(
            steps,
            [step(130, 70, 4.0), step(70, 10, 6.0), step(10, 0, 1.0)]
        );
        let steps = history.two_days(&counts(130, 11), grown);
        assert_eq!(steps, [step(130, 0, 11.0)]);
    }

    #[test]
    fn years_take_no_more_room_than_days() {
        let history = History::default();
        for minute in 0..100_000 {
            history.note(counts(minute * MINUTE_S, minute));
        }
        let now = counts(100_000 * MINUTE_S, 100_000);
        assert_eq!(history.hour(&now, grown).len(), MINUTES + 1);
        let days = history.two_days(&now, grown);
        assert_eq!(days.len(), HALF_HOURS + 1);
        assert!(days[0].from_s <= (HALF_HOURS as u64 + 1) * HALF_HOUR_S);
    }

    #[test]
    fn a_clock_that_went_back_begins_anew() {
        let history = History::default();
        history.note(counts(1_000, 7));
        history.note(counts(10, 7));
        assert_eq!(history.hour(&counts(20, 8), grown).len(), 1);
    }
}
