//! Carries out what the state machine wants: asks peers and logs, and stops what is convicted.

use std::sync::Arc;
use std::time::Duration;

use candor_core::codec::DecodeError;
use candor_proto::v1::GossipRequest;
use candor_proto::v1::gossip_client::GossipClient;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::identity::Refused;
use super::message::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX};
use super::node::Node;
use super::peers::Peer;
use super::service::ENVELOPE_BYTES_MAX;
use super::{Action, Answer, Fault, PeerId, Question, Request, source};
use crate::map::jittered;
use crate::witness::{Witness, now_s};

/// How often the machine looks at what is due.
const TICK: Duration = Duration::from_secs(1);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Why an exchange failed. It accuses nobody.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error("the peer answered {}: {}", .0.code(), .0.message())]
    Status(Box<tonic::Status>),
    #[error("the peer's answer is not by it: {0}")]
    Signature(#[from] Refused),
    #[error("the peer's answer is malformed: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the random source failed: {0}")]
    Random(#[from] getrandom::Error),
    #[error("interrupted")]
    Interrupted,
}

/// Compares with one peer, again and again, until `shutdown` is cancelled.
pub async fn follow_peer(
    witness: Arc<Witness>,
    node: Arc<Node>,
    id: PeerId,
    peer: Peer,
    shutdown: CancellationToken,
) {
    let endpoint = peer
        .endpoint
        .clone()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT);
    let client = GossipClient::new(endpoint.connect_lazy())
        .max_decoding_message_size(ANSWER_BYTES_MAX + ENVELOPE_BYTES_MAX)
        .max_encoding_message_size(REQUEST_BYTES_MAX + ENVELOPE_BYTES_MAX);
    let metrics = witness.metrics().clone();
    let mut is_failing = false;
    loop {
        let result = exchange(&witness, &node, id, &peer, client.clone(), &shutdown).await;
        if shutdown.is_cancelled() {
            return;
        }
        match result {
            Ok(()) => {
                let now_s = now_s();
                node.set_exchanged_s(id, now_s);
                metrics.peer_exchange(&peer.url, now_s);
                is_failing = false;
            }
            Err(error) => {
                metrics.peer_failure(&peer.url);
                if !is_failing {
                    tracing::warn!(peer = peer.url, %error, "no exchange with a peer");
                }
                is_failing = true;
            }
        }
        let pause = tokio::time::sleep(jittered(node.times().interval));
        if shutdown.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Two rounds: digests, then what they show to be missing.
async fn exchange(
    witness: &Witness,
    node: &Arc<Node>,
    id: PeerId,
    peer: &Peer,
    mut client: GossipClient<Channel>,
    shutdown: &CancellationToken,
) -> Result<(), ExchangeError> {
    let mut request = node.begin(id);
    for _ in 0..2 {
        // What was answered is carried out to the end, whatever comes: it may convict a log.
        let asking = ask(node, id, peer, &mut client, &request);
        let answer = shutdown.run_until_cancelled(asking).await;
        let answer = answer.ok_or(ExchangeError::Interrupted)??;
        let taking = Arc::clone(node);
        let taken = tokio::task::spawn_blocking(move || taking.on_answer(id, answer)).await;
        let actions = taken.map_err(|_| ExchangeError::Interrupted)?;
        let left = carry_out(witness, node, actions).await;
        let next = left.into_iter().find_map(|action| match action {
            Action::Ask { request, .. } => Some(request),
            _ => None,
        });
        match next {
            Some(next) => request = next,
            None => break,
        }
    }
    Ok(())
}

async fn ask(
    node: &Node,
    id: PeerId,
    peer: &Peer,
    client: &mut GossipClient<Channel>,
    request: &Request,
) -> Result<Answer, ExchangeError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    let question = node.ask(id, nonce, request);
    let question = question.ok_or(ExchangeError::Interrupted)?;
    let asking = client.exchange(GossipRequest {
        sender: question.sender.to_vec().into(),
        time_ms: question.time_ms,
        nonce: question.nonce.to_vec().into(),
        body: question.body.clone().into(),
        signature: question.signature.to_vec().into(),
    });
    let answer = asking
        .await
        .map_err(|status| ExchangeError::Status(Box::new(status)))?
        .into_inner();
    let signature: &[u8; 64] = answer.signature[..]
        .try_into()
        .map_err(|_| Refused::Signature)?;
    question.check_answer(&peer.key, &answer.body, signature)?;
    Ok(Answer::decode(&answer.body)?)
}

/// Asks logs for proofs and raises alarms, until `shutdown` is cancelled.
pub async fn follow_logs(witness: Arc<Witness>, node: Arc<Node>, shutdown: CancellationToken) {
    let mut proofs = JoinSet::new();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {
                for action in carry_out(&witness, &node, node.tick()).await {
                    if let Action::Prove(question) = action {
                        proofs.spawn(prove(Arc::clone(&witness), question));
                    }
                }
            }
            Some(proved) = proofs.join_next() => {
                if let Ok((question, beginning)) = proved {
                    let actions = node.on_proof(&question, beginning);
                    carry_out(&witness, &node, actions).await;
                }
            }
        }
    }
}

type Proved = (Question, Option<candor_core::note::ProvedBeginning>);

async fn prove(witness: Arc<Witness>, question: Question) -> Proved {
    let log = witness.logs().find(&question.origin);
    let Some(prefix) = log.and_then(|log| log.tiles.clone()) else {
        return (question, None);
    };
    let proved = source::prove(&prefix, &question).await;
    let (origin, from, to) = (
        &question.origin,
        question.smaller.size,
        question.larger.size,
    );
    let beginning = proved
        .inspect_err(|error| tracing::warn!(origin, from, to, %error, "no proof from the log"))
        .ok();
    (question, beginning)
}

/// Does what needs nobody else, and returns the rest.
async fn carry_out(witness: &Witness, node: &Node, actions: Vec<Action>) -> Vec<Action> {
    let mut left = Vec::new();
    for action in actions {
        match action {
            Action::Stop { origin, evidence } => {
                if let Err(error) = witness.convict(&origin, &evidence).await {
                    tracing::error!(origin, %error, "log not stopped");
                }
            }
            Action::Unreconciled { origin, is_raised } => {
                witness.metrics().unreconciled(&origin, is_raised);
                if is_raised {
                    tracing::error!(
                        origin,
                        "log not shown to be consistent with what peers have"
                    );
                } else {
                    tracing::info!(origin, "log consistent with what peers have");
                }
            }
            Action::Dropped { peer, fault } => {
                let reason = match fault {
                    Fault::Unasked => "unasked",
                    Fault::Head => "head",
                    Fault::Evidence => "evidence",
                };
                witness.metrics().gossip_dropped(node.name(peer), reason);
            }
            Action::Ask { .. } | Action::Prove(_) => left.push(action),
        }
    }
    left
}
