//! The roots that a follower arrived at last.

use std::collections::VecDeque;
use std::time::Duration;

use candor_core::Hash;
use tokio::sync::watch;

/// Most sizes remembered: a log whose checkpoint is further behind its own feed does not get the
/// map's cosignatures until it asks for a newer one.
const SIZES_MAX: usize = 256;

/// Sizes and roots, ascending.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<(u64, Hash)>);

impl Recent {
    fn size(&self) -> u64 {
        self.0.back().map_or(0, |(size, _)| *size)
    }

    fn at(&self, size: u64) -> Option<Hash> {
        let place = self.0.binary_search_by_key(&size, |(size, _)| *size).ok()?;
        self.0.get(place).map(|(_, root)| *root)
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
    /// Says that the map was checked up to `size`, where the log's root is `root`.
    pub fn publish(&self, size: u64, root: Hash) {
        self.0.send_modify(|recent| {
            if recent.0.len() == SIZES_MAX {
                recent.0.pop_front();
            }
            recent.0.push_back((size, root));
        });
    }
}

impl CheckedRoots {
    /// The log's root at `size` if the map was checked up to there, after at most `wait`.
    pub async fn root_at(&self, size: u64, wait: Duration) -> Option<Hash> {
        let mut receiver = self.0.clone();
        let reached = receiver.wait_for(|recent| recent.size() >= size);
        let recent = tokio::time::timeout(wait, reached).await.ok()?.ok()?;
        recent.at(size)
    }

    /// Up to which size the map was checked.
    pub fn size(&self) -> u64 {
        self.0.borrow().size()
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
            publisher.publish(size, Hash([size as u8; 32]));
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
        publisher.publish(7, Hash([7; 32]));
        assert_eq!(waiting.await.unwrap(), Some(Hash([7; 32])));
        drop(publisher);
        assert_eq!(roots.root_at(8, LONG).await, None);
    }
}
