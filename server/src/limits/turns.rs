//! Turns to do something that takes a thread: few at a time, some that wait for a short while, and
//! whoever comes beyond that is told at once to come back.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many may wait for each that works.
const WAITING: usize = 16;

/// One kind of work. Clones share the turns.
#[derive(Clone)]
pub struct Turns {
    working: Arc<Semaphore>,
    /// Those who work or wait.
    present: Arc<Semaphore>,
    patience: Duration,
    waiting: IntGauge,
}

/// A turn, until it is dropped.
pub struct Turn {
    _working: OwnedSemaphorePermit,
    _present: OwnedSemaphorePermit,
}

/// There is no turn in time. Nobody is at fault but the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// When it may be worth to come back.
    pub wait: Duration,
}

/// Counts who waits, also if the wait is given up.
struct Waiting<'a>(&'a IntGauge);

impl Turns {
    /// `working` at a time; others wait for at most `patience`, and `waiting` counts them.
    pub fn new(working: usize, patience: Duration, waiting: IntGauge) -> Self {
        Self {
            working: Arc::new(Semaphore::new(working)),
            present: Arc::new(Semaphore::new(working.saturating_mul(1 + WAITING))),
            patience,
            waiting,
        }
    }

    /// Waits for a turn, first come, first served.
    ///
    /// # Errors
    ///
    /// [`Busy`] at once if too many wait, or when patience ends.
    pub async fn enter(&self) -> Result<Turn, Busy> {
        let busy = Busy {
            wait: self.patience,
        };
        let present = Arc::clone(&self.present);
        let present = present.try_acquire_owned().map_err(|_| busy)?;
        let working = Arc::clone(&self.working);
        let working = match Arc::clone(&working).try_acquire_owned() {
            Ok(working) => working,
            Err(_) => {
                let _waiting = Waiting::new(&self.waiting);
                let turn = tokio::time::timeout(self.patience, working.acquire_owned()).await;
                let turn = turn.map_err(|_| busy)?;
                turn.map_err(|_| busy)?
            }
        };
        Ok(Turn {
            _working: working,
            _present: present,
        })
    }
}

impl<'a> Waiting<'a> {
    fn new(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    fn turns(working: usize) -> (Turns, IntGauge) {
        let gauge = IntGauge::new("waiting", "Who waits.").unwrap();
        (Turns::new(working, PATIENCE, gauge.clone()), gauge)
    }

    #[tokio::test]
    async fn a_turn_that_ends_is_the_next_ones() {
        let (turns, waiting) = turns(1);
        let first = turns.enter().await.unwrap();
        let next = tokio::spawn({
            let turns = turns.clone();
            async move { turns.enter().await.is_ok() }
        });
        while waiting.get() == 0 {
            tokio::task::yield_now().await;
        }
        drop(first);
        assert!(next.await.unwrap());
        assert_eq!(waiting.get(), 0);
    }

    #[tokio::test]
    async fn patience_ends_and_the_place_comes_back() {
        let (turns, waiting) = turns(1);
        let held = turns.enter().await.unwrap();
        // More than can be present: those who gave up do not count.
        for _ in 0..3 {
            let busy = turns.enter().await.err().unwrap();
            assert_eq!(busy.wait, PATIENCE);
        }
        assert_eq!(waiting.get(), 0);
        drop(held);
        turns.enter().await.unwrap();
    }

    #[tokio::test]
    async fn whoever_comes_when_all_places_to_wait_are_taken_is_told_at_once() {
        let (turns, waiting) = turns(2);
        let held = [turns.enter().await.unwrap(), turns.enter().await.unwrap()];
        let patient: Vec<_> = (0..2 * WAITING)
            .map(|_| {
                let turns = turns.clone();
                tokio::spawn(async move { turns.enter().await.is_ok() })
            })
            .collect();
        while waiting.get() < 2 * WAITING as i64 {
            tokio::task::yield_now().await;
        }
        // It does not wait: the first poll answers.
        let mut entering = std::pin::pin!(turns.enter());
        let polled = futures::poll!(entering.as_mut());
        assert!(matches!(polled, std::task::Poll::Ready(Err(_))));
        for waiting in &patient {
            waiting.abort();
        }
        for ended in patient {
            let _aborted = ended.await;
        }
        assert_eq!(waiting.get(), 0);
        drop(held);
        turns.enter().await.unwrap();
    }
}
