//! Follows one log's map: receives, checks, publishes, and remembers.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tonic::transport::Uri;

use super::feed::{Epoch, Feed, FeedError};
use super::progress::{MapFault, MapProgress};
use super::roots::{self, CheckedRoots, RootsPublisher};
use crate::metrics::Metrics;
use crate::store::{ApplyError, Change, Store};

/// How often progress is saved while epochs arrive: what is lost is checked again.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);

/// Waits between two connections.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Follows the map of one log.
#[derive(Debug)]
pub struct Follower {
    origin: String,
    address: Uri,
    store: Store,
    metrics: Metrics,
    roots: RootsPublisher,
    progress: Option<MapProgress>,
    saved: Instant,
    retry: Duration,
}

enum End {
    Feed(FeedError),
    Fault(MapFault),
    Stopped,
}

impl<E: Into<FeedError>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Feed(error.into())
    }
}

impl Follower {
    /// A follower that goes on where an earlier one stopped, and the roots it will publish.
    pub fn new(origin: &str, address: Uri, store: Store, metrics: Metrics) -> (Self, CheckedRoots) {
        let (publisher, roots) = roots::channel();
        let follower = Self {
            origin: origin.to_owned(),
            address,
            progress: load(&store, origin),
            store,
            metrics,
            roots: publisher,
            saved: Instant::now(),
            retry: RETRY_MIN,
        };
        follower.publish();
        (follower, roots)
    }

    /// Follows until `shutdown` is cancelled, an epoch is refused, or the store stops.
    pub async fn run(mut self, shutdown: CancellationToken) {
        if self.store.entry(&self.origin).map_alarm.is_some() {
            return;
        }
        loop {
            let end = tokio::select! {
                end = self.follow() => end,
                () = shutdown.cancelled() => break,
            };
            match end {
                End::Feed(error) => {
                    let delay_ms = u64::try_from(self.retry.as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(origin = self.origin, %error, delay_ms, "map feed broken");
                    self.metrics.map_reconnect(&self.origin);
                }
                End::Fault(fault) => return self.alarm(fault).await,
                End::Stopped => return,
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(self.retry)) => {}
                () = shutdown.cancelled() => break,
            }
            self.retry = (self.retry * 2).min(RETRY_MAX);
        }
        // When the store has stopped, what is lost is checked again.
        let _ = self.save().await;
    }

    /// Follows over one connection; never ends well.
    async fn follow(&mut self) -> End {
        match self.try_follow().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_follow(&mut self) -> Result<std::convert::Infallible, End> {
        let feed = Feed::connect(self.address.clone()).await?;
        let mut progress = match &self.progress {
            Some(progress) => progress.clone(),
            None => {
                let config = feed.config().await?;
                let progress = MapProgress::start(&self.origin, &config).map_err(End::Fault)?;
                self.progress = Some(progress.clone());
                self.publish();
                progress
            }
        };
        let mut epochs = feed.epochs(progress.size()).await?;
        loop {
            let epoch = epochs.next().await?;
            progress = check(progress, epoch).await?;
            self.progress = Some(progress.clone());
            self.retry = RETRY_MIN;
            self.publish();
            if self.saved.elapsed() >= SAVE_INTERVAL {
                self.save().await.map_err(|_| End::Stopped)?;
            }
        }
    }

    fn publish(&self) {
        if let Some(progress) = &self.progress {
            self.roots.publish(progress.size(), progress.root());
            self.metrics.map_size(&self.origin, progress.size());
        }
    }

    async fn save(&mut self) -> Result<(), ApplyError> {
        self.saved = Instant::now();
        let Some(progress) = &self.progress else {
            return Ok(());
        };
        let change = Change::MapProgress(progress.encode());
        self.store.apply(&self.origin, change).await
    }

    async fn alarm(mut self, fault: MapFault) {
        tracing::error!(origin = self.origin, %fault, "map refused: it is cosigned no more");
        self.metrics.map_alarm(&self.origin, true);
        let reason = fault.to_string();
        // When the store has stopped, the next start meets the same fault.
        let _ = self
            .store
            .apply(&self.origin, Change::MapAlarm { reason })
            .await;
        let _ = self.save().await;
    }
}

/// Checks an epoch off the threads that serve requests: a large one takes a while.
async fn check(progress: MapProgress, epoch: Epoch) -> Result<MapProgress, End> {
    let checked = tokio::task::spawn_blocking(move || progress.after(&epoch.record, &epoch.delta));
    match checked.await {
        Ok(result) => result.map_err(End::Fault),
        // The runtime shuts down, and with it this task.
        Err(_) => Err(End::Stopped),
    }
}

/// Progress that cannot be read is made again from the start.
fn load(store: &Store, origin: &str) -> Option<MapProgress> {
    let bytes = match store.map_progress(origin) {
        Ok(bytes) => bytes?,
        Err(error) => {
            tracing::warn!(origin, %error, "map is checked from its start");
            return None;
        }
    };
    let decoded = MapProgress::decode(&bytes);
    decoded
        .inspect_err(|error| tracing::warn!(origin, %error, "map is checked from its start"))
        .ok()
}

/// Between half and all of `delay`, so that many witnesses do not return at once.
pub fn jittered(delay: Duration) -> Duration {
    let half = delay / 2;
    let random = getrandom::u32().unwrap_or(u32::MAX);
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
