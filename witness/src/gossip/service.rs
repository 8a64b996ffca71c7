//! Answers peers: `candor.v1.Gossip`.

use std::sync::Arc;

use candor_proto::v1::gossip_server::{self, GossipServer};
use candor_proto::v1::{GossipAnswer, GossipRequest};
use tonic::{Request, Response, Status};

use super::identity::{Question, Refused};
use super::message::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX};
use super::node::{Node, Rejected};
use crate::metrics::Metrics;

/// Most bytes of a message besides its body.
pub(super) const ENVELOPE_BYTES_MAX: usize = 256;

pub(crate) struct Service {
    node: Arc<Node>,
    metrics: Metrics,
}

/// The service, with the limits of its messages.
pub(crate) fn service(node: Arc<Node>, metrics: Metrics) -> GossipServer<Service> {
    GossipServer::new(Service { node, metrics })
        .max_decoding_message_size(REQUEST_BYTES_MAX + ENVELOPE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX + ENVELOPE_BYTES_MAX)
}

#[tonic::async_trait]
impl gossip_server::Gossip for Service {
    async fn exchange(
        &self,
        request: Request<GossipRequest>,
    ) -> Result<Response<GossipAnswer>, Status> {
        let reject = |reason, status| {
            self.metrics.gossip_dropped("asker", reason);
            status
        };
        let question = read(request.into_inner())
            .ok_or_else(|| reject("malformed", Status::invalid_argument("malformed message")))?;
        // A stranger costs next to nothing, and a peer's questions are few.
        let (body, signature) = self.node.reply(&question).map_err(|rejected| {
            let text = rejected.to_string();
            match rejected {
                Rejected::Unknown => reject("unknown_peer", Status::unauthenticated(text)),
                Rejected::Malformed => reject("malformed", Status::invalid_argument(text)),
                Rejected::Refused(Refused::TooMany) => {
                    reject("too_many", Status::resource_exhausted(text))
                }
                Rejected::Refused(Refused::Time) => reject("time", Status::unauthenticated(text)),
                Rejected::Refused(Refused::Signature) => {
                    reject("signature", Status::unauthenticated(text))
                }
            }
        })?;
        Ok(Response::new(GossipAnswer {
            body: body.into(),
            signature: signature.to_vec().into(),
        }))
    }
}

fn read(request: GossipRequest) -> Option<Question> {
    Some(Question {
        sender: request.sender.as_ref().try_into().ok()?,
        time_ms: request.time_ms,
        nonce: request.nonce.as_ref().try_into().ok()?,
        body: request.body.into(),
        signature: request.signature.as_ref().try_into().ok()?,
    })
}
