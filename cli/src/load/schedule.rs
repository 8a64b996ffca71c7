//! When calls are made.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Longest sleep between two looks at whether the run was stopped.
const LOOK: Duration = Duration::from_millis(50);

/// When calls are due. At a rate, call n is due at `begin + n / rate`, whatever became of the calls
/// before it; flat out, whenever somebody is free to make it.
pub struct Schedule {
    kind: Kind,
    end: Instant,
    is_stopped: AtomicBool,
    /// When it was stopped, in nanoseconds before its end.
    cut: AtomicU64,
}

enum Kind {
    FlatOut,
    AtRate {
        begin: Instant,
        rate: f64,
        /// Calls in all.
        total: u64,
        /// A permit for each call that is due and was not begun.
        due: Semaphore,
        /// Calls that were made due.
        released: AtomicU64,
        /// Numbers that were given to callers.
        taken: AtomicU64,
        /// Calls that were begun.
        started: AtomicU64,
    },
}

impl Schedule {
    /// Calls until `end`, one after the other.
    pub const fn flat_out(end: Instant) -> Self {
        Self::new(Kind::FlatOut, end)
    }

    /// So many calls a second from `begin` to `end`.
    pub fn at_rate(begin: Instant, end: Instant, rate: f64) -> Self {
        let total = end.duration_since(begin).as_secs_f64() * rate;
        let kind = Kind::AtRate {
            begin,
            rate,
            total: total as u64,
            due: Semaphore::new(0),
            released: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            started: AtomicU64::new(0),
        };
        Self::new(kind, end)
    }

    const fn new(kind: Kind, end: Instant) -> Self {
        Self {
            kind,
            end,
            is_stopped: AtomicBool::new(false),
            cut: AtomicU64::new(0),
        }
    }

    /// Waits until a call is due, and tells since when it is; `None` when there is none any more.
    pub async fn next(&self) -> Option<Instant> {
        if self.is_stopped() {
            return None;
        }
        match &self.kind {
            Kind::FlatOut => Some(Instant::now()).filter(|now| *now < self.end),
            Kind::AtRate {
                total,
                due,
                taken,
                started,
                ..
            } => {
                let number = taken.fetch_add(1, Ordering::Relaxed);
                if number >= *total {
                    return None;
                }
                due.acquire().await.ok()?.forget();
                started.fetch_add(1, Ordering::Relaxed);
                self.due_at(number)
            }
        }
    }

    /// When a call is due; `None` flat out.
    pub fn due_at(&self, number: u64) -> Option<Instant> {
        match &self.kind {
            Kind::FlatOut => None,
            Kind::AtRate { begin, rate, .. } => {
                Some(*begin + Duration::from_secs_f64(number as f64 / rate))
            }
        }
    }

    /// Makes calls due when it is time, until all are. It sleeps in between, on a thread of its
    /// own: timers of the runtime are good for milliseconds only.
    pub fn dispatch(&self) {
        let Kind::AtRate {
            begin,
            rate,
            total,
            due,
            released,
            ..
        } = &self.kind
        else {
            return;
        };
        let mut done = 0;
        while done < *total && !self.is_stopped() {
            let now = Instant::now();
            let elapsed = now.saturating_duration_since(*begin).as_secs_f64();
            // Call 0 is due at the begin.
            let now_due = ((elapsed * rate) as u64 + 1).min(*total);
            if now_due > done {
                released.store(now_due, Ordering::Relaxed);
                due.add_permits(usize::try_from(now_due - done).unwrap_or(0));
                done = now_due;
            }
            if let Some(next) = self.due_at(done) {
                let pause = next.saturating_duration_since(Instant::now());
                std::thread::sleep(pause.min(LOOK));
            }
        }
    }

    /// Makes no more calls due, and no more of those that are.
    pub fn stop(&self) {
        if !self.is_stopped.swap(true, Ordering::Relaxed) {
            let cut = self.end.saturating_duration_since(Instant::now());
            let cut = u64::try_from(cut.as_nanos()).unwrap_or(u64::MAX);
            self.cut.store(cut, Ordering::Relaxed);
        }
        if let Kind::AtRate { due, .. } = &self.kind {
            due.close();
        }
    }

    /// When it ends, or was stopped.
    pub fn end(&self) -> Instant {
        self.end - Duration::from_nanos(self.cut.load(Ordering::Relaxed))
    }

    /// Calls that were due and never begun.
    pub fn not_started(&self) -> u64 {
        match &self.kind {
            Kind::FlatOut => 0,
            Kind::AtRate {
                released, started, ..
            } => {
                let released = released.load(Ordering::Relaxed);
                released.saturating_sub(started.load(Ordering::Relaxed))
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn calls_are_due_when_the_rate_says_however_late_they_are_made() {
        let begin = Instant::now();
        let end = begin + Duration::from_millis(200);
        let schedule = Arc::new(Schedule::at_rate(begin, end, 1_000.0));
        let dispatching = Arc::clone(&schedule);
        let dispatching = std::thread::spawn(move || dispatching.dispatch());
        // Whoever makes the calls was away until all were due.
        dispatching.join().unwrap();
        let mut due = Vec::new();
        while let Some(at) = schedule.next().await {
            due.push(at);
        }
        assert_eq!(due.len(), 200);
        for (number, at) in due.iter().enumerate() {
            let expected = begin + Duration::from_millis(number as u64);
            let apart = at.max(&expected).duration_since(*at.min(&expected));
            assert!(apart < Duration::from_micros(1), "{number}: {apart:?}");
        }
        assert_eq!(schedule.not_started(), 0);
    }

    #[tokio::test]
    async fn no_call_is_made_before_it_is_due() {
        let begin = Instant::now();
        let end = begin + Duration::from_millis(50);
        let schedule = Arc::new(Schedule::at_rate(begin, end, 2_000.0));
        let dispatching = Arc::clone(&schedule);
        let dispatching = std::thread::spawn(move || dispatching.dispatch());
        while let Some(at) = schedule.next().await {
            assert!(Instant::now() >= at);
        }
        dispatching.join().unwrap();
    }

    #[tokio::test]
    async fn what_was_due_and_not_made_is_counted_when_it_is_stopped() {
        let begin = Instant::now();
        let schedule = Schedule::at_rate(begin, begin + Duration::from_millis(20), 1_000.0);
        schedule.dispatch();
        for _ in 0..5 {
            schedule.next().await.unwrap();
        }
        schedule.stop();
        assert_eq!(schedule.next().await, None);
        assert_eq!(schedule.not_started(), 15);
    }

    #[tokio::test]
    async fn flat_out_ends_by_time_or_when_stopped() {
        let schedule = Schedule::flat_out(Instant::now() + Duration::from_secs(60));
        assert!(schedule.next().await.is_some());
        schedule.stop();
        assert_eq!(schedule.next().await, None);
        assert!(schedule.end() <= Instant::now());
        assert_eq!(Schedule::flat_out(Instant::now()).next().await, None);
    }
}
