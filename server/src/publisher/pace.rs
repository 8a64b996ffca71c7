//! How often a witness is asked.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Shortest and longest pause after a failure, for a witness without an interval.
const PAUSE: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(15)];

/// Longest time that a witness may ask to be left alone: it must not silence itself for good.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);

/// An interval in this many parts is the first pause after a failure.
const PAUSES_OF_INTERVAL: u32 = 16;

/// When a witness may be asked again. All times are from when it was asked last.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    interval: Duration,
    pause: Duration,
}

impl Pace {
    /// Asks for new heads at most once in an `interval`.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            pause: Self::first_pause(interval),
        }
    }

    /// How long to wait after an answer.
    pub fn after_answer(&mut self) -> Duration {
        self.pause = Self::first_pause(self.interval);
        self.interval
    }

    /// How long to wait after a failure: twice as long each time, up to the interval, and at least
    /// as long as the witness asked for.
    pub fn after_failure(&mut self, asked_for: Option<Duration>) -> Duration {
        let pause = jittered(self.pause);
        self.pause = (self.pause * 2).min(PAUSE[1].max(self.interval));
        pause.max(asked_for.unwrap_or_default())
    }

    fn first_pause(interval: Duration) -> Duration {
        PAUSE[0].max(interval / PAUSES_OF_INTERVAL)
    }
}

/// What the witness asks for with `Retry-After`, in seconds and bounded; dates are not understood.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // What is too long for a number is too long for a pause.
    let seconds = || value.parse().unwrap_or(u64::MAX);
    is_number.then(|| Duration::from_secs(seconds()).min(RETRY_AFTER_MAX))
}

/// A pause of half to one and a half times the given one, so that askers do not march in step.
pub(super) fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the pause is merely not jittered.
    let _unjittered = getrandom::fill(&mut byte);
    pause / 2 + pause * u32::from(byte[0]) / 255
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The base of the pause that was drawn lies within its jitter.
    fn assert_near(drawn: Duration, base: Duration) {
        assert!(base / 2 <= drawn && drawn <= base / 2 * 3, "{drawn:?}");
    }

    #[test]
    fn failures_back_off_and_an_answer_starts_over() {
        let mut pace = Pace::new(Duration::ZERO);
        for doubled in 0..6 {
            assert_near(pace.after_failure(None), PAUSE[0] * (1 << doubled));
        }
        assert_near(pace.after_failure(None), PAUSE[1]);
        assert_near(pace.after_failure(None), PAUSE[1]);
        assert_eq!(pace.after_answer(), Duration::ZERO);
        assert_near(pace.after_failure(None), PAUSE[0]);
    }

    #[test]
    fn an_interval_slows_retries_too() {
        let hour = Duration::from_secs(3600);
        let mut pace = Pace::new(hour);
        assert_eq!(pace.after_answer(), hour);
        for doubled in 0..4 {
            assert_near(pace.after_failure(None), hour / 16 * (1 << doubled));
        }
        assert_near(pace.after_failure(None), hour);
        assert_near(pace.after_failure(None), hour);
    }

    #[test]
    fn a_witness_may_ask_for_patience_within_bounds() {
        let asked = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(asked("0"), Some(Duration::ZERO));
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        for endless in ["301", "18446744073709551615", "99999999999999999999999"] {
            assert_eq!(asked(endless), Some(RETRY_AFTER_MAX), "{endless}");
        }
        for other in [
            "",
            "-1",
            "+1",
            "1.5",
            "soon",
            "Wed, 21 Oct 2026 07:28:00 GMT",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
        let mut pace = Pace::new(Duration::ZERO);
        assert_eq!(pace.after_failure(asked("120")), Duration::from_secs(120));
    }
}
