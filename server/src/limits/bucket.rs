//! How much of something there is, saved up for a while: a token bucket as one number.
//!
//! A bucket is the instant until which its debt is paid off (the *virtual schedule* of a leaky
//! bucket): taking moves it ahead, time catches up with it. One that lies in the past is full, so
//! what was never used and what has long recovered need no memory. Instants are nanoseconds since
//! some start.

use std::time::Duration;

/// So many units in so much time, of which some can be saved up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    unit_ns: u64,
    burst: u32,
}

impl Rate {
    /// `units` in each `per`, with at most `burst` at once. None of them may be 0.
    pub fn new(units: u32, per: Duration, burst: u32) -> Self {
        let unit_ns = per.as_nanos() / u128::from(units.max(1));
        let unit_ns = u64::try_from(unit_ns).unwrap_or(u64::MAX);
        Self {
            unit_ns: unit_ns.max(1),
            burst: burst.max(1),
        }
    }

    /// The same, so many times.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        let factor = factor.max(1);
        Self {
            unit_ns: (self.unit_ns / u64::from(factor)).max(1),
            burst: self.burst.saturating_mul(factor),
        }
    }

    /// What can be saved up, in units. Nothing may cost more.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// Takes `cost` units from a bucket in debt until `debt_ns`; its debt afterwards.
    ///
    /// # Errors
    ///
    /// How many nanoseconds it takes until there is enough.
    pub(super) fn take(self, debt_ns: u64, cost: u32, now_ns: u64) -> Result<u64, u64> {
        let after_ns = debt_ns.max(now_ns).saturating_add(self.span_ns(cost));
        let limit_ns = now_ns.saturating_add(self.span_ns(self.burst));
        match after_ns.checked_sub(limit_ns) {
            None | Some(0) => Ok(after_ns),
            Some(missing_ns) => Err(missing_ns),
        }
    }

    /// Gives back what was taken and not used; the debt afterwards.
    pub(super) fn give_back(self, debt_ns: u64, units: u32) -> u64 {
        debt_ns.saturating_sub(self.span_ns(units))
    }

    fn span_ns(self, units: u32) -> u64 {
        self.unit_ns.saturating_mul(u64::from(units))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn what_is_saved_is_spent_and_comes_back_at_the_rate() {
        let rate = Rate::new(2, Duration::from_secs(1), 3);
        let mut debt_ns = 0;
        let start_ns = 5 * SECOND_NS;
        for _ in 0..3 {
            debt_ns = rate.take(debt_ns, 1, start_ns).unwrap();
        }
        assert_eq!(rate.take(debt_ns, 1, start_ns), Err(SECOND_NS / 2));
        assert_eq!(rate.take(debt_ns, 2, start_ns), Err(SECOND_NS));
        let later_ns = start_ns + SECOND_NS / 2;
        debt_ns = rate.take(debt_ns, 1, later_ns).unwrap();
        assert!(rate.take(debt_ns, 1, later_ns).is_err());
        let much_later_ns = start_ns + 1000 * SECOND_NS;
        debt_ns = rate.take(debt_ns, 3, much_later_ns).unwrap();
        assert!(
            rate.take(debt_ns, 1, much_later_ns).is_err(),
            "no more is saved"
        );
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let rate = Rate::new(1, Duration::from_secs(60), 10);
        let now_ns = SECOND_NS;
        let debt_ns = rate.take(0, 10, now_ns).unwrap();
        let debt_ns = rate.give_back(debt_ns, 4);
        assert!(rate.take(debt_ns, 5, now_ns).is_err());
        rate.take(debt_ns, 4, now_ns).unwrap();
        // Long after it recovered by itself, a bucket is full and not more than full.
        let late_ns = 10_000 * SECOND_NS;
        let debt_ns = rate.give_back(debt_ns, 6);
        assert!(rate.take(debt_ns, 11, late_ns).is_err());
        rate.take(debt_ns, 10, late_ns).unwrap();
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_brings_nothing() {
        let rate = Rate::new(1, Duration::from_secs(1), 4);
        let now_ns = 100 * SECOND_NS;
        let debt_ns = rate.take(0, 4, now_ns).unwrap();
        assert_eq!(rate.take(debt_ns, 1, now_ns), Err(SECOND_NS));
        assert_eq!(
            rate.take(debt_ns, 1, now_ns - 50 * SECOND_NS),
            Err(51 * SECOND_NS)
        );
        assert_eq!(rate.take(debt_ns, 1, 0), Err(101 * SECOND_NS));
    }

    #[test]
    fn extreme_rates_do_not_overflow() {
        let fast = Rate::new(u32::MAX, Duration::from_nanos(1), u32::MAX).times(u32::MAX);
        assert!(fast.take(u64::MAX, u32::MAX, 0).is_err());
        fast.take(0, u32::MAX, u64::MAX).unwrap();
        let slow = Rate::new(1, Duration::MAX, u32::MAX);
        assert_eq!(slow.take(0, 1, 0), Ok(u64::MAX));
        assert_eq!(slow.give_back(u64::MAX, 1), 0);
    }
}
