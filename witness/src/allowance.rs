//! How much a log may ask for: so many requests a day, saved up for a while.

use std::time::{Duration, Instant};

const DAY_S: f64 = 86_400.0;

/// What can be saved up, at least: a log that asks once an hour may still catch up with retries.
const SAVED_MIN: f64 = 16.0;

/// Otherwise what an hour brings.
const HOURS_A_DAY: f64 = 24.0;

/// A token bucket. What is in it is lost with the process, which errs in favour of the log.
#[derive(Debug)]
pub struct Allowance {
    per_day: u32,
    saved: f64,
    at: Instant,
}

impl Allowance {
    /// Allows `per_day` requests a day; what can be saved up is there at first.
    pub fn new(per_day: u32, now: Instant) -> Self {
        Self {
            per_day,
            saved: capacity(per_day),
            at: now,
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    ///
    /// How long it takes until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if self.saved < 1.0 {
            let missing_s = (1.0 - self.saved) * DAY_S / f64::from(self.per_day);
            return Err(Duration::from_secs_f64(missing_s));
        }
        self.saved -= 1.0;
        Ok(())
    }

    /// How many requests are left now.
    pub fn left(&mut self, now: Instant) -> u64 {
        self.refill(now);
        self.saved as u64
    }

    fn refill(&mut self, now: Instant) {
        let passed_s = now.saturating_duration_since(self.at).as_secs_f64();
        let brought = passed_s * f64::from(self.per_day) / DAY_S;
        self.saved = (self.saved + brought).min(capacity(self.per_day));
        self.at = self.at.max(now);
    }
}

fn capacity(per_day: u32) -> f64 {
    SAVED_MIN.max(f64::from(per_day) / HOURS_A_DAY)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn what_is_saved_is_spent_and_comes_back_at_the_rate() {
        let start = Instant::now();
        let mut allowance = Allowance::new(24, start);
        for left in (0..16).rev() {
            assert_eq!(allowance.take(start), Ok(()));
            assert_eq!(allowance.left(start), left);
        }
        assert_eq!(allowance.take(start), Err(HOUR));
        assert_eq!(allowance.take(start + HOUR / 2), Err(HOUR / 2));
        assert_eq!(allowance.take(start + HOUR), Ok(()));
        assert!(allowance.take(start + HOUR).is_err());
        assert_eq!(allowance.left(start + 1000 * HOUR), 16, "no more is saved");
    }

    #[test]
    fn a_day_allows_what_the_list_says_and_what_was_saved() {
        let start = Instant::now();
        for (per_day, saved) in [
            (1, 16),
            (24, 16),
            (86_400, 3_600),
            ((1 << 31) - 1, 89_478_485),
        ] {
            let mut allowance = Allowance::new(per_day, start);
            assert_eq!(allowance.left(start), saved);
        }
        let mut allowance = Allowance::new(86_400, start);
        let mut taken = 0;
        for second in 0..86_400 {
            let now = start + Duration::from_secs(second);
            while allowance.take(now).is_ok() {
                taken += 1;
            }
        }
        assert_eq!(taken, 3_600 + 86_399);
    }

    #[test]
    fn a_clock_that_stands_still_or_an_older_instant_brings_nothing() {
        let start = Instant::now() + HOUR;
        let mut allowance = Allowance::new(24, start);
        for _ in 0..16 {
            allowance.take(start).unwrap();
        }
        assert!(allowance.take(start - HOUR).is_err());
        assert!(allowance.take(start).is_err());
    }
}
