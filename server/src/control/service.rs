//! `candor.v1.Admin`.

use std::sync::Arc;

use candor_core::account::Label;
use candor_proto::v1;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::copy::{PARTS_MAX, PATIENCE, Sender};
use crate::head::{PublishedHead, SignedHead};
use crate::ledger::Ledger;
use crate::sequencer::erasure::{EraseError, Eraser, Scope};

/// What the operator's calls are answered from.
pub struct Admin {
    /// The log's name.
    pub origin: String,
    /// The rows.
    pub ledger: Ledger,
    /// Heads as they are signed.
    pub signed: watch::Receiver<Option<Arc<SignedHead>>>,
    /// The published head.
    pub published: Arc<PublishedHead>,
    /// The turn to copy the store: one copy at a time.
    pub copying: Arc<Semaphore>,
    /// Ends what is under way.
    pub shutdown: CancellationToken,
    /// Has versions erased.
    pub eraser: Eraser,
}

#[tonic::async_trait]
impl v1::admin_server::Admin for Admin {
    type BackupStream = ReceiverStream<Result<v1::BackupPart, Status>>;

    async fn get_status(
        &self,
        _request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let published = self.published.current();
        Ok(Response::new(v1::GetStatusResponse {
            origin: self.origin.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            signed_size: self.signed.borrow().as_ref().map_or(0, |head| head.size),
            published_size: published.map_or(0, |published| published.signed.size),
        }))
    }

    async fn backup(
        &self,
        _request: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let turn = Arc::clone(&self.copying).try_acquire_owned();
        let turn =
            turn.map_err(|_| Status::resource_exhausted("a backup is being made already"))?;
        // Signed before the rows are read, which therefore reach it.
        let signed = self.signed.borrow().clone();
        let signed = signed.ok_or_else(|| Status::unavailable("no head is signed yet"))?;
        let (parts, receiver) = mpsc::channel(PARTS_MAX);
        let shutdown = self.shutdown.clone();
        let sender = Sender {
            parts,
            shutdown,
            patience: PATIENCE,
        };
        let ledger = self.ledger.clone();
        tokio::task::spawn_blocking(move || {
            tracing::info!(size = signed.size, "a copy of the store begins");
            sender.send_all(&ledger, signed.note.to_bytes());
            tracing::info!("a copy of the store ended");
            drop(turn);
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn erase(
        &self,
        request: Request<v1::EraseRequest>,
    ) -> Result<Response<v1::EraseResponse>, Status> {
        let request = request.into_inner();
        let label = Label::parse(&request.label)
            .map_err(|_| Status::invalid_argument("the label is not in its normal form"))?;
        let scope = request.before_version.map_or(Scope::All, Scope::Before);
        let erased = self.eraser.erase(label, scope).await.map_err(refused)?;
        Ok(Response::new(v1::EraseResponse {
            erased: erased.versions,
            kept_from: erased.kept_from,
            newest_version: erased.newest,
            partial: erased.is_partial,
        }))
    }
}

fn refused(error: EraseError) -> Status {
    let message = error.to_string();
    match error {
        EraseError::Absent => Status::not_found(message),
        EraseError::Newest { .. } | EraseError::NotEmpty { .. } => {
            Status::failed_precondition(message)
        }
        EraseError::Unreadable => Status::data_loss(message),
        EraseError::NotStored => Status::unavailable(message),
        EraseError::Stopped => Status::unknown(message),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use candor_proto::v1::admin_server::Admin as _;
    use tonic::Code;

    use super::*;
    use crate::storage::MemoryStorage;

    #[tokio::test]
    async fn there_is_one_copy_at_a_time() {
        let (_, signed) = watch::channel(None);
        let admin = Admin {
            origin: "log.example".to_owned(),
            ledger: Ledger::new(Arc::new(MemoryStorage::new()), 0),
            signed,
            published: Arc::new(PublishedHead::starting_at(1)),
            copying: Arc::new(Semaphore::new(1)),
            shutdown: CancellationToken::new(),
            eraser: Eraser::new().0,
        };
        let refused = async || {
            let asked = admin.backup(Request::new(v1::BackupRequest {})).await;
            asked.err().unwrap().code()
        };
        assert_eq!(refused().await, Code::Unavailable);
        let turn = admin.copying.try_acquire().unwrap();
        assert_eq!(refused().await, Code::ResourceExhausted);
        drop(turn);
        assert_eq!(refused().await, Code::Unavailable);
    }
}
