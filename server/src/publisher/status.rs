//! How publication is doing: each witness, the alarms that it raised, and the quorum. The status
//! page and the metrics show it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What ends an alarm by itself. The later in this order, the longer it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clears {
    /// A valid answer of the witness: what was configured wrongly is right now.
    WithAnswer,
    /// A cosignature on a head of at least this size: proof that what the witness claimed to hold
    /// is part of this log.
    WithSize(u64),
    /// Nothing: an operator has to look, and starts the server again.
    ByOperator,
}

/// Something that retrying cannot explain away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What happened.
    pub what: String,
    /// When it was raised, in POSIX seconds.
    pub since_s: u64,
    /// What ends it.
    pub clears: Clears,
}

/// How a witness is doing.
#[derive(Clone, Debug)]
pub struct WitnessStatus {
    /// Where the witness is asked.
    pub url: String,
    /// Size that it cosigned last; 0 if it has not yet.
    pub size: u64,
    /// When it did so, in POSIX seconds; when the server started if it has not yet.
    pub cosigned_s: u64,
    /// Why it did not answer the last time, if it did not.
    pub failure: Option<String>,
    /// The alarm that stands.
    pub alarm: Option<Alarm>,
}

impl WitnessStatus {
    /// A witness that was not asked yet.
    pub const fn new(url: String, now_s: u64) -> Self {
        Self {
            url,
            size: 0,
            cosigned_s: now_s,
            failure: None,
            alarm: None,
        }
    }

    /// The witness cosigned. Returns the failure that is over, if there was one.
    pub(super) fn succeeded(&mut self, size: u64, now_s: u64) -> Option<String> {
        (self.size, self.cosigned_s) = (size, now_s);
        let is_over = |alarm: &mut Alarm| match alarm.clears {
            Clears::WithAnswer => true,
            Clears::WithSize(claimed) => size >= claimed,
            Clears::ByOperator => false,
        };
        self.alarm.take_if(is_over);
        self.failure.take()
    }

    /// The witness failed, with an alarm if `clears` says what would end it. Returns whether
    /// that is news.
    pub(super) fn failed(&mut self, what: &str, clears: Option<Clears>, now_s: u64) -> bool {
        if let Some(clears) = clears {
            let standing = self.alarm.as_ref();
            let is_graver = standing.map(|alarm| alarm.clears) < Some(clears);
            let is_other = |alarm: &Alarm| alarm.clears == clears && alarm.what != what;
            if is_graver || standing.is_some_and(is_other) {
                self.alarm = Some(Alarm {
                    what: what.to_owned(),
                    since_s: now_s,
                    clears,
                });
            }
        }
        let is_news = self.failure.as_deref() != Some(what);
        self.failure = Some(what.to_owned());
        is_news
    }
}

/// How publication is doing.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The witnesses, in the order of the publisher's.
    pub witnesses: Vec<WitnessStatus>,
    /// Since when the quorum is lost, in POSIX seconds; `None` while it is met.
    pub quorum_lost_s: Option<u64>,
}

/// A [`Status`] that the publisher writes and everybody reads. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct StatusBoard(Arc<Mutex<Status>>);

impl StatusBoard {
    /// Witnesses that were not asked yet.
    pub fn new<'a>(urls: impl IntoIterator<Item = &'a str>, now_s: u64) -> Self {
        let witnesses = urls
            .into_iter()
            .map(|url| WitnessStatus::new(url.to_owned(), now_s))
            .collect();
        Self(Arc::new(Mutex::new(Status {
            witnesses,
            quorum_lost_s: None,
        })))
    }

    /// The status, whatever a panicking thread did to its lock: it is plain data.
    pub fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the status of the witness at `index`.
    pub(super) fn update<T: Default>(
        &self,
        index: usize,
        change: impl FnOnce(&mut WitnessStatus) -> T,
    ) -> T {
        let mut status = self.lock();
        status
            .witnesses
            .get_mut(index)
            .map_or_else(T::default, change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness() -> WitnessStatus {
        WitnessStatus::new("http://w".to_owned(), 100)
    }

    #[test]
    fn an_alarm_about_configuration_ends_with_an_answer() {
        let mut witness = witness();
        assert!(witness.failed("unknown log", Some(Clears::WithAnswer), 101));
        assert!(!witness.failed("unknown log", Some(Clears::WithAnswer), 102));
        assert_eq!(witness.alarm.as_ref().map(|alarm| alarm.since_s), Some(101));
        assert_eq!(
            witness.succeeded(2, 103).as_deref(),
            Some("unknown log"),
            "the end of a failure is told once"
        );
        assert_eq!((witness.alarm, witness.cosigned_s), (None, 103));
    }

    #[test]
    fn a_claim_stands_until_the_log_has_grown_over_it() {
        let mut witness = witness();
        witness.failed("ahead", Some(Clears::WithSize(5)), 101);
        witness.succeeded(4, 102);
        assert!(witness.alarm.is_some());
        // A larger claim takes the place of the smaller one, a smaller one does not.
        witness.failed("ahead", Some(Clears::WithSize(7)), 103);
        witness.failed("ahead", Some(Clears::WithSize(5)), 104);
        witness.succeeded(6, 105);
        assert!(witness.alarm.is_some());
        witness.succeeded(7, 106);
        assert_eq!(witness.alarm, None);
    }

    #[test]
    fn a_contradiction_stands_whatever_comes_later() {
        let mut witness = witness();
        witness.failed("contradicted", Some(Clears::ByOperator), 101);
        witness.failed("unknown log", Some(Clears::WithAnswer), 102);
        witness.failed("ahead", Some(Clears::WithSize(3)), 103);
        witness.failed("no answer", None, 104);
        witness.succeeded(u64::MAX, 105);
        let what = witness.alarm.map(|alarm| alarm.what);
        assert_eq!(what.as_deref(), Some("contradicted"));
        assert_eq!(witness.failure, None);
    }
}
