//! What a run measured.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::mix::Operation;
use super::schedule::Schedule;

/// Longest latency that is told apart, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Decimal digits to which latencies are kept.
const DIGITS: u8 = 3;

/// Latencies of one operation, in microseconds, to three digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        Self(histogram.expect("the bounds are in order"))
    }

    fn record(&mut self, latency: Duration) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(microseconds.max(1));
    }

    fn add(&mut self, other: &Self) {
        let added = self.0.add(&other.0);
        added.expect("all histograms have the same bounds");
    }

    /// Number of calls.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that a share of calls, from 0 to 1, did not exceed, in microseconds.
    pub fn quantile_us(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// The longest latency in microseconds.
    pub fn longest_us(&self) -> u64 {
        self.0.max()
    }
}

/// What was measured, of one connection or of all.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Latencies of calls that succeeded or ran out of time, by [`Operation`].
    latencies: [Latencies; 4],
    /// Calls that failed, by operation and code.
    pub errors: BTreeMap<(Operation, String), u64>,
    /// Answers that were verified.
    pub verified: u64,
    /// Answers that did not verify.
    pub refused: u64,
    /// What was wrong with the first of them.
    pub first_refusal: Option<String>,
    /// Sum of the answers to lookups, in bytes.
    answer_bytes: u64,
    /// Calls that were due and never made.
    pub not_started: u64,
    /// When measuring began.
    from: Option<Instant>,
    /// How long was measured, in seconds.
    pub seconds: f64,
}

impl Measured {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            latencies: [(); 4].map(|()| Latencies::new()),
            errors: BTreeMap::new(),
            verified: 0,
            refused: 0,
            first_refusal: None,
            answer_bytes: 0,
            not_started: 0,
            from: None,
            seconds: 0.0,
        }
    }

    /// Latencies of an operation.
    pub const fn latencies(&self, operation: Operation) -> &Latencies {
        &self.latencies[operation as usize]
    }

    /// Failed calls of an operation.
    pub fn failed(&self, operation: Operation) -> u64 {
        let of_it = self.errors.iter().filter(|((of, _), _)| *of == operation);
        of_it.map(|(_, count)| count).sum()
    }

    /// Mean size of the answers to lookups in bytes.
    pub fn mean_answer_bytes(&self) -> f64 {
        let answers = self.latencies(Operation::Lookup).count().max(1);
        self.answer_bytes as f64 / answers as f64
    }

    /// Adds what another connection measured in the same run.
    pub(super) fn add(&mut self, other: &Self) {
        for (all, these) in self.latencies.iter_mut().zip(&other.latencies) {
            all.add(these);
        }
        for (error, count) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        self.verified += other.verified;
        self.refused += other.refused;
        self.answer_bytes += other.answer_bytes;
        let first = other.first_refusal.as_ref();
        self.first_refusal = self.first_refusal.take().or_else(|| first.cloned());
        self.from = other.from;
    }

    /// Takes note of how long was measured.
    pub(super) fn measured_for(&mut self, schedule: &Schedule) {
        let measured = |from| schedule.end().saturating_duration_since(from);
        self.seconds = self.from.map_or(0.0, |from| measured(from).as_secs_f64());
    }
}

/// Takes down what the calls of one connection come to, once warm-up is over.
pub struct Recorder {
    from: Instant,
    measured: Mutex<Measured>,
}

impl Recorder {
    /// Counts calls that are due from `from` on.
    pub(super) fn new(from: Instant) -> Self {
        let measured = Measured {
            from: Some(from),
            ..Measured::new()
        };
        Self {
            from,
            measured: Mutex::new(measured),
        }
    }

    /// A call was answered.
    pub(super) fn answered(&self, operation: Operation, due: Instant, answer_bytes: usize) {
        if let Some(mut measured) = self.counted(due) {
            measured.latencies[operation as usize].record(due.elapsed());
            if operation == Operation::Lookup {
                measured.answer_bytes += answer_bytes as u64;
            }
        }
    }

    /// A call failed. If it ran out of time, its latency counts too: it would hide the slowest
    /// calls else.
    pub(super) fn failed(&self, operation: Operation, due: Instant, code: &str, is_late: bool) {
        if let Some(mut measured) = self.counted(due) {
            let error = (operation, code.to_owned());
            *measured.errors.entry(error).or_default() += 1;
            if is_late {
                measured.latencies[operation as usize].record(due.elapsed());
            }
        }
    }

    /// An answer verified, or not: that counts during warm-up too.
    pub(super) fn verified(&self, outcome: Result<(), String>) {
        let mut measured = self.lock();
        match outcome {
            Ok(()) => measured.verified += 1,
            Err(reason) => {
                measured.refused += 1;
                measured.first_refusal.get_or_insert(reason);
            }
        }
    }

    /// What was taken down.
    pub(super) fn measured(&self) -> Measured {
        self.lock().clone()
    }

    fn counted(&self, due: Instant) -> Option<MutexGuard<'_, Measured>> {
        (due >= self.from).then(|| self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_the_warm_up_do_not_count_and_refused_answers_do() {
        let from = Instant::now();
        let recorder = Recorder::new(from);
        let before = from.checked_sub(Duration::from_millis(1)).unwrap();
        for due in [before, from, from] {
            recorder.answered(Operation::Lookup, due, 100);
            recorder.failed(Operation::Update, due, "unavailable", false);
        }
        recorder.verified(Ok(()));
        recorder.verified(Err("first".to_owned()));
        recorder.verified(Err("second".to_owned()));
        let mut all = Measured::new();
        all.add(&recorder.measured());
        assert_eq!(all.latencies(Operation::Lookup).count(), 2);
        assert_eq!(all.mean_answer_bytes(), 100.0);
        assert_eq!(all.failed(Operation::Update), 2);
        assert_eq!(all.latencies(Operation::Update).count(), 0);
        assert_eq!((all.verified, all.refused), (1, 2));
        assert_eq!(all.first_refusal.as_deref(), Some("first"));
    }

    #[test]
    fn a_call_that_ran_out_of_time_is_among_the_latencies() {
        let from = Instant::now();
        let recorder = Recorder::new(from);
        recorder.failed(Operation::Lookup, from, "deadline-exceeded", true);
        let measured = recorder.measured();
        assert_eq!(measured.latencies(Operation::Lookup).count(), 1);
        assert_eq!(measured.failed(Operation::Lookup), 1);
    }
}
