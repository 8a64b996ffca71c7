//! The gRPC services: each a thin edge that checks a request's shape, asks the part of the server
//! that knows, and puts the answer into a message. Nothing here decides anything. Who may call what
//! is [`crate::access`]'s business, but for the one question that the message answers: whether
//! older versions are asked for.

mod audit;
mod directory;
mod log;
mod padding;
mod registrar;

use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_host::request::Port;
use candor_proto::v1::audit_server::AuditServer;
use candor_proto::v1::directory_server::DirectoryServer;
use candor_proto::v1::log_server::LogServer;
use candor_proto::v1::registrar_server::RegistrarServer;
use candor_proto::{Bytes, hashes_to_wire, v1};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Status};

use crate::head::{Published, PublishedHead, SignedHead};
use crate::ledger::{Ledger, LedgerError};
use crate::limits::{Class, Client, Limit, Limiter, Reads};
use crate::metrics::Metrics;
use crate::sequencer::admission::Admission;
use crate::sequencer::ladders::Ladders;

/// Longest request message in bytes: an update of 64 KiB, or 64 labels, and room for the rest.
const REQUEST_BYTES_MAX: usize = 128 << 10;

/// Most epochs that audit feeds hold in memory at a time, over all connections.
pub const FEEDS_MAX: usize = 64;

/// How long a lookup may take.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How requests are counted: by these names, and `other`.
pub(crate) const PORT: Port = Port {
    name: "grpc",
    methods: &[
        "/candor.v1.Audit/StreamEpochs",
        "/candor.v1.Directory/Lookup",
        "/candor.v1.Directory/LookupBatch",
        "/candor.v1.Log/GetConfig",
        "/candor.v1.Log/GetConsistency",
        "/candor.v1.Log/GetHead",
        "/candor.v1.Log/WatchHeads",
        "/candor.v1.Registrar/SubmitUpdate",
        "/candor.v1.Registrar/SubmitUpdates",
    ],
};

/// What every service answers from.
#[derive(Clone)]
pub struct Service {
    /// The rows.
    pub ledger: Ledger,
    /// The published head.
    pub published: Arc<PublishedHead>,
    /// Heads as they are signed.
    pub signed: watch::Receiver<Option<Arc<SignedHead>>>,
    /// Where updates come in.
    pub admission: Admission,
    /// Compute search keys that are not stored.
    pub ladders: Ladders,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What callers get.
    pub limits: Limiter,
    /// Turns to read the store.
    pub reads: Reads,
    /// Places of audit feeds; each holds one epoch's delta in memory.
    pub feeds: Arc<Semaphore>,
    /// Ends the streams.
    pub shutdown: CancellationToken,
    /// Says that nothing more will be published.
    pub unpublishing: CancellationToken,
}

impl Service {
    /// All services as routes of one listener.
    pub fn routes(self) -> Routes {
        let limit = REQUEST_BYTES_MAX;
        let mut routes = Routes::builder();
        routes
            .add_service(LogServer::new(self.clone()).max_decoding_message_size(limit))
            .add_service(DirectoryServer::new(self.clone()).max_decoding_message_size(limit))
            .add_service(RegistrarServer::new(self.clone()).max_decoding_message_size(limit))
            .add_service(AuditServer::new(self).max_decoding_message_size(limit));
        routes.routes()
    }

    /// The published head.
    fn published(&self) -> Result<Arc<Published>, Status> {
        let none = || Status::unavailable("no head is published yet");
        self.published.current().ok_or_else(none)
    }

    /// Lets a call that is no lookup pass within its caller's limits; who that is to them.
    fn pass<T>(&self, request: &Request<T>) -> Result<Client, Status> {
        let client = self.limits.client(request.extensions().get());
        self.limits.call(&client, Instant::now())?;
        Ok(client)
    }

    /// Answers from memory, at once, if all that it takes is there; else from the store, where
    /// blocking is allowed. The same code makes the answer, so it is the same.
    async fn answer<T: Send + 'static>(
        &self,
        make: impl Fn(&Self, &Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Status> {
        match make(self, &self.ledger.in_memory()) {
            Err(error) if error.is_not_in_memory() => {
                self.read(move |service| make(service, &service.ledger))
                    .await
            }
            made => made.map_err(failed),
        }
    }

    /// Runs something that reads the store where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Status> {
        self.read_in(Class::Plain, read).await
    }

    /// The same for what may cost more. Nobody waits long for a turn: who does not get one is told
    /// when to come back.
    async fn read_in<T: Send + 'static>(
        &self,
        class: Class,
        read: impl FnOnce(&Self) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Status> {
        let turn = self.reads.of(class).enter().await;
        let turn = turn.map_err(|busy| self.limits.refuse(Limit::Reads, busy.wait))?;
        let this = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let _running = this.metrics.reads.running();
            let result = read(&this);
            drop(turn);
            result
        });
        reading
            .await
            .map_err(|_| Status::internal("a read was interrupted"))?
            .map_err(failed)
    }
}

/// A failure of the store, without its details: they are for the operator.
fn failed(error: LedgerError) -> Status {
    match error {
        LedgerError::OutOfRange => Status::failed_precondition("the log does not reach there"),
        LedgerError::Erased => Status::unavailable("the head was replaced meanwhile; ask again"),
        error => {
            tracing::error!(%error, "a request failed in the store");
            Status::unavailable("the log cannot be read at the moment")
        }
    }
}

/// What a caller has verified, and what it wants to see of heads.
#[derive(Clone, Copy)]
struct HeadQuery {
    verified_size: u64,
    post_quantum: bool,
    second_verified_size: Option<u64>,
}

impl HeadQuery {
    /// The published head with the consistency proof from what the caller verified last.
    fn head(
        self,
        ledger: &Ledger,
        published: &Published,
    ) -> Result<(v1::Head, Vec<Bytes>), LedgerError> {
        let (known, size) = (self.verified_size, published.signed.size);
        let consistency = if (1..size).contains(&known) {
            ledger.consistency(known, size)?
        } else {
            Vec::new()
        };
        let head = published.head(self.post_quantum).clone();
        Ok((head, hashes_to_wire(&consistency)))
    }

    /// The same, but no head if the caller has just this one.
    fn newer_head(
        self,
        ledger: &Ledger,
        published: &Published,
    ) -> Result<(Option<v1::Head>, Vec<Bytes>), LedgerError> {
        if self.verified_size == published.signed.size {
            return Ok((None, Vec::new()));
        }
        let (head, consistency) = self.head(ledger, published)?;
        Ok((Some(head), consistency))
    }

    /// The second head, if the caller asks for one and has not verified it already.
    fn second(
        self,
        ledger: &Ledger,
        published: &Published,
    ) -> Result<Option<v1::SecondHead>, LedgerError> {
        let asked = self.second_verified_size.zip(published.second.as_ref());
        let Some((_, second)) = asked.filter(|(verified, second)| second.size > *verified) else {
            return Ok(None);
        };
        let consistency = ledger.consistency(second.size, published.signed.size)?;
        Ok(Some(v1::SecondHead {
            checkpoint: second.checkpoint(self.post_quantum).clone(),
            consistency: hashes_to_wire(&consistency),
        }))
    }
}
