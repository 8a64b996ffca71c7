//! Follows one log's map: receives, checks, publishes, and remembers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_core::Hash;
use candor_core::note::LogVerifier;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::ahead::Epoch;
use super::catch_up::CatchUp;
use super::feed::{Feed, FeedError};
use super::progress::{MapFault, MapProgress};
use super::roots::{self, CheckedRoots, RootsPublisher};
use crate::dial::LogAddress;
use crate::metrics::Metrics;
use crate::store::{ApplyError, Change, Store};

/// How often progress is saved while epochs arrive, and after how many epochs at the latest: what
/// is lost in a crash is checked again.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);
const SAVE_EPOCHS: u64 = 2048;

/// Waits between two connections.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Turns of followers to check epochs: all processors but one, so that however many logs catch up,
/// checkpoints are cosigned meanwhile.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(
            processors.saturating_sub(1).max(1),
        )))
    }
}

/// Follows the map of one log.
#[derive(Debug)]
pub struct Follower {
    log: LogVerifier,
    address: LogAddress,
    store: Store,
    metrics: Metrics,
    turns: Turns,
    roots: RootsPublisher,
    progress: Option<MapProgress>,
    catch_up: Option<CatchUp>,
    saved: Instant,
    saved_size: u64,
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
    /// A follower that goes on where an earlier one stopped, and the roots it will publish. All
    /// followers of a process share `turns`.
    pub fn new(
        log: LogVerifier,
        address: impl Into<LogAddress>,
        store: Store,
        metrics: Metrics,
        turns: Turns,
    ) -> (Self, CheckedRoots) {
        let (publisher, roots) = roots::channel();
        let progress = load(&store, log.origin());
        if let Some(progress) = &progress {
            publisher.publish([(progress.size(), progress.root())]);
            metrics.map_size(log.origin(), progress.size());
        }
        let follower = Self {
            log,
            address: address.into(),
            store,
            metrics,
            turns,
            roots: publisher,
            saved: Instant::now(),
            saved_size: progress.as_ref().map_or(0, MapProgress::size),
            progress,
            catch_up: None,
            retry: RETRY_MIN,
        };
        (follower, roots)
    }

    /// Follows until `shutdown` is cancelled, an epoch is refused, or the store stops.
    pub async fn run(mut self, shutdown: CancellationToken) {
        if self.store.entry(self.log.origin()).map_alarm.is_some() {
            return;
        }
        loop {
            let end = tokio::select! {
                end = self.follow() => end,
                () = shutdown.cancelled() => break,
            };
            match end {
                End::Feed(error) => {
                    let origin = self.log.origin();
                    let delay_ms = u64::try_from(self.retry.as_millis()).unwrap_or(u64::MAX);
                    if error.is_of_token() {
                        tracing::warn!(origin, %error, delay_ms, "map feed needs another token");
                    } else {
                        tracing::info!(origin, %error, delay_ms, "map feed broken");
                    }
                    self.metrics.map_reconnect(origin);
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
        let feed = Feed::connect(&self.address).await?;
        let mut progress = match self.progress.clone() {
            Some(progress) => progress,
            None => {
                let config = feed.config().await?;
                let start = MapProgress::start(self.log.origin(), &config).map_err(End::Fault)?;
                // The configuration alone is a size at which the log may be asked for, too.
                self.roots.publish([(start.size(), start.root())]);
                self.advance(Checked::nothing(start.clone()));
                start
            }
        };
        self.begin_catching_up(&feed, progress.size()).await;
        let mut epochs = feed.epochs(progress.size()).await?;
        loop {
            let checked = self.check(progress, epochs.next().await?).await?;
            progress = checked.progress.clone();
            let fault = checked.fault;
            self.advance(checked);
            if let Some(fault) = fault {
                return Err(End::Fault(fault));
            }
            self.retry = RETRY_MIN;
            self.tell(&feed, progress.size()).await;
            let unsaved = progress.size().saturating_sub(self.saved_size);
            if unsaved >= SAVE_EPOCHS || self.saved.elapsed() >= SAVE_INTERVAL {
                self.save().await.map_err(|_| End::Stopped)?;
            }
        }
    }

    /// Checks epochs off the threads that serve requests: large ones take a while.
    async fn check(&self, progress: MapProgress, epochs: Vec<Epoch>) -> Result<Checked, End> {
        let turn = Arc::clone(&self.turns.0).acquire_owned().await;
        let turn = turn.map_err(|_| End::Stopped)?;
        let origin = self.log.origin().to_owned();
        let checked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            check(&origin, progress, epochs)
        });
        // An error: the runtime shuts down, and with it this task.
        checked.await.map_err(|_| End::Stopped)
    }

    /// Says what was checked.
    fn advance(&mut self, checked: Checked) {
        let origin = self.log.origin();
        let size = checked.progress.size();
        self.metrics.map_size(origin, size);
        let epochs = checked.roots.len() as u64;
        self.metrics.map_checked(origin, epochs, checked.versions);
        self.roots.publish(checked.roots);
        self.progress = Some(checked.progress);
        if let Some(catch_up) = &mut self.catch_up {
            catch_up.note(checked.versions);
            let left = catch_up.report(size, Instant::now()).left;
            self.metrics.map_behind(origin, left);
        }
    }

    async fn begin_catching_up(&mut self, feed: &Feed, size: u64) {
        let target = self.head_size(feed).await.unwrap_or(0);
        let now = Instant::now();
        self.catch_up = CatchUp::begin(size, target, now);
        let report = self.catch_up.as_ref().map(|all| all.report(size, now));
        let behind = report.map_or(0, |report| report.left);
        self.metrics.map_behind(self.log.origin(), behind);
        self.roots.report(report);
        if behind > 0 {
            let origin = self.log.origin();
            tracing::info!(origin, "map is {behind} epochs behind: catching up");
        }
    }

    /// Says now and then how far it is, and once that the head is reached.
    async fn tell(&mut self, feed: &Feed, size: u64) {
        let now = Instant::now();
        let Some(catch_up) = &mut self.catch_up else {
            return;
        };
        let is_due = catch_up.is_due(now);
        if !is_due && catch_up.report(size, now).left > 0 {
            return;
        }
        if let Some(target) = self.head_size(feed).await
            && let Some(catch_up) = &mut self.catch_up
        {
            catch_up.extend(target);
        }
        let report = self.catch_up.as_ref().map(|all| all.report(size, now));
        let report = report.filter(|report| report.left > 0);
        let origin = self.log.origin();
        match report {
            Some(report) if is_due => tracing::info!(origin, "map is catching up: {report}"),
            Some(_) => {}
            None => tracing::info!(origin, size, "map caught up"),
        }
        self.metrics
            .map_behind(origin, report.map_or(0, |report| report.left));
        self.roots.report(report);
        if report.is_none() {
            self.catch_up = None;
        }
    }

    /// The size of the log's newest head; without it nobody knows how far there is to go.
    async fn head_size(&self, feed: &Feed) -> Option<u64> {
        feed.head_size(&self.log).await.ok().flatten()
    }

    async fn save(&mut self) -> Result<(), ApplyError> {
        self.saved = Instant::now();
        let Some(progress) = &self.progress else {
            return Ok(());
        };
        self.saved_size = progress.size();
        let change = Change::MapProgress(progress.encode());
        self.store.apply(self.log.origin(), change).await
    }

    async fn alarm(mut self, fault: MapFault) {
        let origin = self.log.origin();
        tracing::error!(origin, %fault, "map refused: it is cosigned no more");
        self.metrics.map_alarm(origin, true);
        let reason = fault.to_string();
        // When the store has stopped, the next start meets the same fault.
        let _ = self.store.apply(origin, Change::MapAlarm { reason }).await;
        let _ = self.save().await;
        self.roots.report(None);
    }
}

/// What is known after some epochs.
struct Checked {
    progress: MapProgress,
    /// Size and root after each epoch.
    roots: Vec<(u64, Hash)>,
    versions: u64,
    /// What is wrong with the epoch behind them.
    fault: Option<MapFault>,
}

impl Checked {
    fn nothing(progress: MapProgress) -> Self {
        Self {
            roots: Vec::new(),
            versions: 0,
            fault: None,
            progress,
        }
    }
}

/// Checks epochs in order, up to the first that is wrong.
fn check(origin: &str, progress: MapProgress, epochs: Vec<Epoch>) -> Checked {
    let mut checked = Checked::nothing(progress);
    for epoch in epochs {
        let before = checked.progress.leaves();
        match checked.progress.after(origin, &epoch.record, &epoch.delta) {
            Ok(after) => checked.progress = after,
            Err(fault) => {
                checked.fault = Some(fault);
                break;
            }
        }
        let after = &checked.progress;
        checked.versions += after.leaves().saturating_sub(before);
        checked.roots.push((after.size(), after.root()));
    }
    checked
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
