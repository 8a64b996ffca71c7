//! A peer that lies, and questions that it puts.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use candor_core::Hash;
use candor_core::crypto::Ed25519PublicKey;
use candor_core::note::Evidence;
use candor_core::note::{LogVerifier, NoteSigner as _};
use candor_proto::v1::gossip_client::GossipClient;
use candor_proto::v1::gossip_server::{Gossip, GossipServer};
use candor_proto::v1::{GossipAnswer, GossipRequest};
use candor_witness::gossip::identity::{KeyText, Question};
use candor_witness::gossip::{
    Answer, Content, Digest, GossipKey, Item, LogId, Peer, Request, What,
};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Response, Status};

use super::ring::Member;
use crate::common::{History, ORIGIN, log_key, signed};

/// What it lies about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Head,
    Evidence,
    Signature,
}

pub struct Liar {
    address: String,
    key: Arc<GossipKey>,
    fault: Arc<Mutex<Fault>>,
    _directory: tempfile::TempDir,
}

struct Service {
    key: Arc<GossipKey>,
    fault: Arc<Mutex<Fault>>,
}

impl Liar {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = Arc::new(GossipKey::open(directory.path()).unwrap());
        let fault = Arc::new(Mutex::new(Fault::Head));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = Service {
            key: Arc::clone(&key),
            fault: Arc::clone(&fault),
        };
        let serving = Server::builder()
            .add_service(GossipServer::new(service))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(serving);
        Self {
            address,
            key,
            fault,
            _directory: directory,
        }
    }

    pub fn peer(&self) -> Peer {
        Peer::new(&self.address, &KeyText(self.key.public()).to_string()).unwrap()
    }

    pub fn tell(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub fn question(&self, receiver: &Ed25519PublicKey, time_ms: u64) -> Question {
        let body = Request::Digests.encode();
        self.key.ask(receiver, time_ms, [7; 16], body)
    }
}

#[tonic::async_trait]
impl Gossip for Service {
    async fn exchange(
        &self,
        request: tonic::Request<GossipRequest>,
    ) -> Result<Response<GossipAnswer>, Status> {
        let request = request.into_inner();
        let question = Question {
            sender: request.sender.as_ref().try_into().unwrap(),
            time_ms: request.time_ms,
            nonce: request.nonce.as_ref().try_into().unwrap(),
            body: request.body.into(),
            signature: request.signature.as_ref().try_into().unwrap(),
        };
        let fault = *self.fault.lock().unwrap();
        let body = lie(fault, &Request::decode(&question.body).unwrap()).encode();
        let mut signature = self.key.answer(&question, &body);
        if fault == Fault::Signature {
            signature[0] ^= 1;
        }
        Ok(Response::new(GossipAnswer {
            body: body.into(),
            signature: signature.to_vec().into(),
        }))
    }
}

fn lie(fault: Fault, request: &Request) -> Answer {
    let fork = History::new(1);
    let forged = |root| signed(log_key(2), ORIGIN, 9, root);
    let Request::Fetch(wanted) = request else {
        return Answer::Digests(vec![Digest {
            log: LogId::of(ORIGIN),
            size: 9,
            root: fork.root(9),
            fork: (fault == Fault::Evidence).then_some(Hash::ZERO),
        }]);
    };
    let content = |what| match what {
        What::Head => Content::Head(forged(fork.root(9)).to_bytes()),
        What::Evidence => {
            let stranger = LogVerifier::new(ORIGIN, vec![log_key(2).verifier_key().clone()]);
            let notes = [fork, History::honest()].map(|history| forged(history.root(9)));
            let evidence = Evidence::new(&stranger, &notes[0], &notes[1]).unwrap();
            Content::Evidence(evidence.to_bytes())
        }
    };
    Answer::Items(
        wanted
            .iter()
            .map(|wanted| Item {
                log: wanted.log,
                content: content(wanted.what),
            })
            .collect(),
    )
}

/// Puts a question to a witness, which may refuse it.
pub async fn put(member: &Member, question: &Question) -> Result<(), Code> {
    let mut client = GossipClient::connect(member.running().grpc.clone())
        .await
        .unwrap();
    let answered = client.exchange(GossipRequest {
        sender: question.sender.to_vec().into(),
        time_ms: question.time_ms,
        nonce: question.nonce.to_vec().into(),
        body: question.body.clone().into(),
        signature: question.signature.to_vec().into(),
    });
    match answered.await {
        Ok(answer) => {
            let answer = answer.into_inner();
            let signature = answer.signature.as_ref().try_into().unwrap();
            let key = member.gossip_key();
            question
                .check_answer(&key, &answer.body, signature)
                .unwrap();
            Answer::decode(&answer.body).unwrap();
            Ok(())
        }
        Err(status) => Err(status.code()),
    }
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
