//! The witness over gRPC: `candor.v1.Witness`, on the same path as over HTTP, gossip, and health.

use std::sync::Arc;
use std::time::Duration;

use candor_core::limits::{ADD_CHECKPOINT_BYTES_MAX, LOG_SIZE_MAX};
use candor_core::note::{AddCheckpoint, BodyError, SignedNote, encode_cosignatures};
use candor_host::grpc::{self, within};
use candor_host::http2::{Http2Limits, PATIENCE};
use candor_host::listener::Listener;
use candor_host::request::Port;
use candor_proto::hashes_from_wire;
use candor_proto::v1::add_checkpoint_response::Outcome as Answer;
use candor_proto::v1::witness_server::{self, WitnessServer};
use candor_proto::v1::{
    AddCheckpointRequest, AddCheckpointResponse, GetCheckpointRequest, GetCheckpointResponse,
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tower::Layer as _;

use crate::decision::Refusal;
use crate::gossip;
use crate::metrics::Outcome;
use crate::witness::{AddError, Witness};

/// Longest message in bytes. The hashes are shorter than as text, so the body's limit is enough.
const MESSAGE_BYTES_MAX: usize = ADD_CHECKPOINT_BYTES_MAX;

/// Most calls at a time on one connection.
const CALLS_MAX: u32 = 64;

/// Longest question for health in bytes: the name of a service.
const HEALTH_BYTES_MAX: usize = 1 << 10;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection grants. A peer that is gone is noticed by pings; its calls are short, so
/// that the end of a connection interrupts none.
const LIMITS: Http2Limits = Http2Limits {
    requests: CALLS_MAX,
    ping: Duration::from_secs(30),
    patience: PATIENCE,
    lifetime: Some(Duration::from_secs(3600)),
    drain: CALL_TIMEOUT,
};

/// How requests are counted: by these names, and `other`.
const PORT: Port = Port {
    name: "grpc",
    methods: &[
        "/candor.v1.Gossip/Exchange",
        "/candor.v1.Witness/AddCheckpoint",
        "/candor.v1.Witness/GetCheckpoint",
    ],
};

/// Serves gRPC until `shutdown` is cancelled and the calls in flight are answered.
pub async fn serve(listener: Listener, witness: Arc<Witness>, shutdown: CancellationToken) {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<WitnessServer<Service>>().await;
    let health = health.max_decoding_message_size(HEALTH_BYTES_MAX);
    let gossip = witness
        .gossip()
        .map(|node| gossip::service(Arc::clone(node), witness.metrics().clone()));
    let requests = witness.metrics().watched.clone();
    let service = WitnessServer::new(Service { witness })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let mut routes = Routes::builder();
    routes.add_service(health).add_service(service);
    if let Some(gossip) = gossip {
        routes.add_service(gossip);
    }
    let routes = routes.routes().prepare().into_axum_router();
    let routes = within(routes, CALL_TIMEOUT);
    let watched = requests.watch(PORT).layer(routes);
    grpc::serve(listener, watched, LIMITS, shutdown).await;
}

struct Service {
    witness: Arc<Witness>,
}

#[tonic::async_trait]
impl witness_server::Witness for Service {
    async fn add_checkpoint(
        &self,
        request: Request<AddCheckpointRequest>,
    ) -> Result<Response<AddCheckpointResponse>, Status> {
        let request = parse(&request.into_inner()).inspect_err(|_| {
            self.witness.metrics().request(Outcome::Malformed);
        })?;
        let answer = match self.witness.add_checkpoint(request).await {
            Ok(lines) => Answer::Signatures(encode_cosignatures(&lines)),
            Err(AddError::Refused(Refusal::Conflict { size })) => Answer::ConflictSize(size),
            Err(error) => return Err(status(&error)),
        };
        Ok(Response::new(AddCheckpointResponse {
            outcome: Some(answer),
        }))
    }

    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        let origin = request.into_inner().origin;
        let log = self.witness.logs().find(&origin);
        let state = log.and_then(|log| self.witness.entry(log.origin()).state);
        let state = state.ok_or_else(|| Status::not_found("no checkpoint"))?;
        Ok(Response::new(GetCheckpointResponse {
            checkpoint: state.cosigned_note().to_bytes().into(),
        }))
    }
}

fn parse(request: &AddCheckpointRequest) -> Result<AddCheckpoint, Status> {
    let malformed = |error: &dyn std::error::Error| Status::invalid_argument(error.to_string());
    if request.old_size > LOG_SIZE_MAX {
        return Err(malformed(&BodyError::Malformed));
    }
    Ok(AddCheckpoint {
        old_size: request.old_size,
        proof: hashes_from_wire(&request.consistency).map_err(|error| malformed(&error))?,
        note: SignedNote::parse(&request.checkpoint).map_err(|error| malformed(&error))?,
    })
}

fn status(error: &AddError) -> Status {
    let code = match error.outcome() {
        Outcome::Cosigned => Code::Ok,
        Outcome::Malformed => Code::InvalidArgument,
        Outcome::UnknownLog => Code::NotFound,
        Outcome::Unsigned => Code::PermissionDenied,
        Outcome::Conflict | Outcome::Inconsistent => Code::FailedPrecondition,
        Outcome::Busy | Outcome::RateLimited => Code::ResourceExhausted,
        Outcome::Suspended | Outcome::Failed => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}
