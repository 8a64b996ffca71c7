//! How a follower that is behind gets on: what it says of that, and when.

use std::fmt;
use std::time::{Duration, Instant};

/// How often it is told.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// From where a follower catches up, and how far.
#[derive(Debug)]
pub struct CatchUp {
    began: Instant,
    reported: Instant,
    first: u64,
    target: u64,
    versions: u64,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Epochs checked since it began.
    pub epochs: u64,
    /// Versions that they inserted.
    pub versions: u64,
    /// Epochs up to the newest head that is known.
    pub left: u64,
    /// Time since it began.
    pub elapsed: Duration,
}

impl CatchUp {
    /// Begins at `size` entries, if the log's head has more.
    pub fn begin(size: u64, target: u64, now: Instant) -> Option<Self> {
        (target > size).then_some(Self {
            began: now,
            reported: now,
            first: size,
            target,
            versions: 0,
        })
    }

    /// Takes notice of versions that were checked.
    pub const fn note(&mut self, versions: u64) {
        self.versions = self.versions.saturating_add(versions);
    }

    /// Whether it is time to tell; it is then taken as told.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now.saturating_duration_since(self.reported) >= REPORT_INTERVAL;
        if is_due {
            self.reported = now;
        }
        is_due
    }

    /// The log has grown meanwhile.
    pub fn extend(&mut self, target: u64) {
        self.target = self.target.max(target);
    }

    /// How far it has come when the map is checked up to `size`.
    pub fn report(&self, size: u64, now: Instant) -> Report {
        Report {
            epochs: size.saturating_sub(self.first),
            versions: self.versions,
            left: self.target.saturating_sub(size),
            elapsed: now.saturating_duration_since(self.began),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64().max(1e-3);
        let rate = |count: u64| count as f64 / seconds;
        write!(
            f,
            "{} epochs behind, {} checked, {:.0} epochs/s, {:.0} versions/s",
            self.left,
            self.epochs,
            rate(self.epochs),
            rate(self.versions),
        )?;
        if self.left > 0 && self.epochs > 0 {
            write!(
                f,
                ", about {:.0} s left",
                self.left as f64 / rate(self.epochs)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_behind_does_not_catch_up() {
        let now = Instant::now();
        assert!(CatchUp::begin(7, 7, now).is_none());
        assert!(CatchUp::begin(7, 0, now).is_none());
        assert!(CatchUp::begin(7, 8, now).is_some());
    }

    #[test]
    fn it_tells_now_and_then_how_far_it_is() {
        let began = Instant::now();
        let mut catch_up = CatchUp::begin(100, 1_100, began).unwrap();
        let nothing = catch_up.report(100, began).to_string();
        assert_eq!(
            nothing,
            "1000 epochs behind, 0 checked, 0 epochs/s, 0 versions/s"
        );
        catch_up.note(2_000);
        let later = began + REPORT_INTERVAL;
        assert!(!catch_up.is_due(later - Duration::from_millis(1)));
        assert!(catch_up.is_due(later) && !catch_up.is_due(later));
        catch_up.extend(1_300);
        catch_up.extend(1_200);
        let report = catch_up.report(300, later);
        let expected = "1000 epochs behind, 200 checked, 20 epochs/s, 200 versions/s, \
                        about 50 s left";
        assert_eq!(report.to_string(), expected);
        let done = catch_up.report(1_300, later);
        assert_eq!(done.left, 0);
        assert!(!done.to_string().contains("left"));
        // A clock that stands still, a size from before: no panic, no division by nothing.
        let _ = catch_up.report(0, began).to_string();
        let _ = catch_up.report(u64::MAX, began).to_string();
    }
}
