//! The roots that a follower arrived at last.

use std::collections::VecDeque;
use std::time::Duration;

use candor_core::Hash;
use tokio::sync::watch;

use super::catch_up::Report;

/// Most sizes remembered: a log whose checkpoint is further behind its own feed does not get the
/// map's cosignatures until it asks for a newer one. Nor is anybody kept waiting for a follower
/// that is further behind.
const SIZES_MAX: usize = 256;

#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// Sizes and roots, ascending.
    roots: VecDeque<(u64, Hash)>,
    catching_up: Option<Report>,
}

impl Recent {
    fn size(&self) -> u64 {
        self.roots.back().map_or(0, |(size, _)| *size)
    }

    fn at(&self, size: u64) -> Option<Hash> {
        let place = self.roots.binary_search_by_key(&size, |(size, _)| *size);
        self.roots.get(place.ok()?).map(|(_, root)| *root)
    }
}

/// Where requests wait for a size to be checked.
#[derive(Clone, Debug)]
pub struct CheckedRoots(watch::Receiver<Recent>);

/// Where the follower says what it has checked.
#[derive(Debug)]
pub struct RootsPublisher(watch::Sender<Recent>);

/// A publisher of roots, and its readers' end.
pub fn channel() -> (RootsPublisher, CheckedRoots) {
    let (sender, receiver) = watch::channel(Recent::default());
    (RootsPublisher(sender), CheckedRoots(receiver))
}

impl RootsPublisher {
    /// Says that the map was checked up to these sizes, where the log's roots are these.
    pub fn publish(&self, roots: impl IntoIterator<Item = (u64, Hash)>) {
        self.0.send_modify(|recent| {
            for root in roots {
                if recent.roots.len() == SIZES_MAX {
                    recent.roots.pop_front();
                }
                recent.roots.push_back(root);
            }
        });
    }

    /// Says how far it is while it catches up, or that it does not.
    pub fn report(&self, report: Option<Report>) {
        self.0.send_modify(|recent| recent.catching_up = report);
    }
}

impl CheckedRoots {
    /// The log's root at `size` if the map was checked up to there, after at most `wait`.
    pub async fn root_at(&self, size: u64, wait: Duration) -> Option<Hash> {
        let is_far = size.saturating_sub(self.size()) > SIZES_MAX as u64;
        let wait = if is_far { Duration::ZERO } else { wait };
        let mut receiver = self.0.clone();
        let reached = receiver.wait_for(|recent| recent.size() >= size);
        let recent = tokio::time::timeout(wait, reached).await.ok()?.ok()?;
        recent.at(size)
    }

    /// Up to which size the map was checked.
    pub fn size(&self) -> u64 {
        self.0.borrow().size()
    }

    /// How far the follower is, if it catches up.
    pub fn catching_up(&self) -> Option<Report> {
        self.0.borrow().catching_up
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn only_recent_sizes_have_a_root() {
        let (publisher, roots) = channel();
        assert_eq!(roots.root_at(1, NOW).await, None);
        let last = SIZES_MAX as u64 + 5;
        for size in 1..=last {
            publisher.publish([(size, Hash([size as u8; 32]))]);
        }
        assert_eq!(roots.size(), last);
        assert_eq!(roots.root_at(5, NOW).await, None);
        assert_eq!(roots.root_at(6, NOW).await, Some(Hash([6; 32])));
        assert_eq!(roots.root_at(last, NOW).await, Some(Hash([last as u8; 32])));
        assert_eq!(roots.root_at(last + 1, NOW).await, None);
    }

    #[tokio::test]
    async fn a_reader_waits_until_the_size_is_reached_or_the_follower_ends() {
        let (publisher, roots) = channel();
        let waiting = {
            let roots = roots.clone();
            tokio::spawn(async move { roots.root_at(7, LONG).await })
        };
        publisher.publish([(7, Hash([7; 32]))]);
        assert_eq!(waiting.await.unwrap(), Some(Hash([7; 32])));
        drop(publisher);
        assert_eq!(roots.root_at(8, LONG).await, None);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_follower_that_is_far_behind() {
        let (publisher, roots) = channel();
        publisher.publish([(7, Hash([7; 32]))]);
        let far = 7 + SIZES_MAX as u64 + 1;
        assert_eq!(roots.root_at(far, Duration::MAX).await, None);
    }
}
