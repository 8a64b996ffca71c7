//! A running server, and taking it apart in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::RunError;
use crate::head::{PublishedHead, SignedHead};
use crate::publisher::PublisherError;
use crate::sequencer::FatalError;

/// How long the last epoch may take to be published when the server goes down.
const LAST_PUBLICATION: Duration = Duration::from_secs(5);

/// How long gRPC calls may take to end when the server goes down.
const DRAIN: Duration = Duration::from_secs(10);

/// A server that serves.
pub struct Running {
    /// Where gRPC is served.
    pub grpc_address: SocketAddr,
    /// Where tiles, health and metrics are served.
    pub http_address: SocketAddr,
    pub(super) tasks: Tasks,
}

/// The parts of a running server, and what ends them.
pub(super) struct Tasks {
    pub(super) sequencing: JoinHandle<Result<(), FatalError>>,
    pub(super) publishing: JoinHandle<Result<(), PublisherError>>,
    pub(super) grpc: JoinHandle<()>,
    pub(super) http: JoinHandle<()>,
    pub(super) control: JoinHandle<()>,
    pub(super) signed: watch::Receiver<Option<Arc<SignedHead>>>,
    pub(super) published: Arc<PublishedHead>,
    pub(super) stop: Stop,
}

/// The stages of going down.
#[derive(Clone, Default)]
pub(super) struct Stop {
    /// Take no new work, finish what was accepted.
    pub(super) shutdown: CancellationToken,
    /// Sign nothing more.
    pub(super) halt: CancellationToken,
    /// Publish nothing more.
    pub(super) unpublish: CancellationToken,
}

impl Running {
    /// Waits until the server stopped: because it was asked to, or because something forces it to.
    ///
    /// # Errors
    ///
    /// [`RunError`]; its message says what an operator can do.
    pub async fn finish(self) -> Result<(), RunError> {
        self.tasks.finish().await
    }
}

impl Tasks {
    /// Whatever ends first ends the rest. The sequencer drains what it accepted, unless publication
    /// failed; then the publisher gets a last chance, and callers their answers.
    async fn finish(mut self) -> Result<(), RunError> {
        let (mut sequenced, mut published, mut served) = (None, None, None);
        tokio::select! {
            ended = &mut self.sequencing => sequenced = Some(ended),
            ended = &mut self.publishing => {
                self.stop.halt.cancel();
                published = Some(ended);
            }
            ended = &mut self.grpc => served = Some(ended),
        }
        self.stop.shutdown.cancel();
        let sequenced = match sequenced {
            Some(ended) => ended,
            None => self.sequencing.await,
        };
        if published.is_none() && matches!(sequenced, Ok(Ok(()))) {
            let size = self.signed.borrow().as_ref().map_or(0, |head| head.size);
            let mut progress = self.published.progress();
            let last = progress.wait_for(|published| *published >= size);
            let _unpublished = tokio::time::timeout(LAST_PUBLICATION, last).await;
        }
        self.stop.unpublish.cancel();
        let published = match published {
            Some(ended) => ended,
            None => self.publishing.await,
        };
        let drain = async {
            match served {
                Some(ended) => ended,
                None => self.grpc.await,
            }
        };
        // A peer that keeps its streams open does not keep the server up.
        let served = tokio::time::timeout(DRAIN, drain).await.unwrap_or(Ok(()));
        self.http.await?;
        let _cut_off = tokio::time::timeout(DRAIN, self.control).await;
        tracing::info!("stopped");
        published??;
        sequenced??;
        Ok(served?)
    }
}
