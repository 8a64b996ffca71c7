//! What a device checks of answers, without a memory beyond the head.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use candor_core::account::{Label, UnverifiedValue};
use candor_core::answer::{AccountProof, ConfigProof, KnownHead, Query, Trust, VerifiedHead};
use candor_core::crypto::VrfPublicKey;
use candor_proto::v1::log_client::LogClient;
use candor_proto::v1::{GetConfigRequest, GetHeadRequest, Head};
use candor_proto::{Bytes, hashes_from_wire, head_from_wire};
use thiserror::Error;
use tonic::Status;
use tonic::transport::Channel;

use super::Target;

/// Why no load could be put on a server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no connection.
    #[error("the server could not be reached: {0}")]
    Unreachable(tonic::transport::Error),
    /// The server refused the first calls, which ask for its head and its configuration.
    #[error("the server refused the first calls: {}", .0.code())]
    Refused(Status),
    /// Its head or its configuration does not verify.
    #[error("the server's first answers do not verify: {0}")]
    Unverified(String),
}

/// Verifies the answers of one connection.
pub struct Verifier {
    trust: Trust,
    post_quantum: bool,
    /// None if no account proofs are verified.
    vrf: Option<VrfPublicKey>,
    known: Mutex<Option<KnownHead>>,
    /// Held by who verifies a newer head, so that others need not.
    renewing: Mutex<()>,
}

/// The part of an answer that shows a head.
pub struct HeadAnswer {
    /// The head that the device said that it knows.
    pub asked: Option<KnownHead>,
    /// A newer one, if there is one.
    pub head: Option<Head>,
    /// The proof that it extends the one that was asked with.
    pub consistency: Vec<Bytes>,
}

/// The part of an answer that shows an account.
pub struct AccountAnswer {
    pub label: Label,
    pub query: Query,
    pub proof: Bytes,
}

impl Verifier {
    /// Makes the verifier of a connection; if account proofs are to be verified it asks for the
    /// log's keys first.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(
        channel: &Channel,
        target: &Target,
        verifies_accounts: bool,
    ) -> Result<Self, ConnectError> {
        let post_quantum = target.post_quantum;
        let mut verifier = Self {
            trust: target.trust.clone(),
            post_quantum,
            vrf: None,
            known: Mutex::default(),
            renewing: Mutex::default(),
        };
        if verifies_accounts {
            let mut log = LogClient::new(channel.clone());
            let request = GetHeadRequest {
                post_quantum,
                ..GetHeadRequest::default()
            };
            let answer = log.get_head(request).await.map_err(ConnectError::Refused)?;
            let head = answer.into_inner().head.unwrap_or_default();
            let head = verifier.head(head, None, &[]);
            let head = head.map_err(ConnectError::Unverified)?;
            let size = head.known().size;
            let answer = log.get_config(GetConfigRequest { size }).await;
            let answer = answer.map_err(ConnectError::Refused)?.into_inner();
            let inclusion = hashes_from_wire(&answer.inclusion).map_err(unverified)?;
            let proof = ConfigProof {
                config: answer.config.into(),
                inclusion,
            };
            let config = proof.verify(head.checkpoint()).map_err(unverified)?;
            verifier.vrf = Some(config.vrf().clone());
            verifier.learn(head.known());
        }
        Ok(verifier)
    }

    /// Whether devices need post-quantum signatures.
    pub const fn post_quantum(&self) -> bool {
        self.post_quantum
    }

    /// The newest head that was verified.
    pub fn known(&self) -> Option<KnownHead> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Verifies a head that is newer than the known one, unless another thread is at it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn renew(&self, answer: HeadAnswer) -> Result<(), String> {
        let Ok(_turn) = self.renewing.try_lock() else {
            return Ok(());
        };
        match answer.head {
            Some(head) if self.known() == answer.asked => {
                let head = self.head(head, answer.asked.as_ref(), &answer.consistency)?;
                self.learn(head.known());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Verifies a whole answer, as a device does.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn verify(&self, answer: HeadAnswer, accounts: Vec<AccountAnswer>) -> Result<(), String> {
        let HeadAnswer {
            asked,
            head,
            consistency,
        } = answer;
        let known = match (head, asked) {
            (Some(head), asked) => self.head(head, asked.as_ref(), &consistency)?.known(),
            (None, Some(asked)) => asked,
            (None, None) => return Err("the head is missing".to_owned()),
        };
        self.learn(known);
        let vrf = self.vrf.as_ref().ok_or("nothing was to be verified")?;
        for AccountAnswer {
            label,
            query,
            proof,
        } in accounts
        {
            let proof = AccountProof::decode(&proof).map_err(told)?;
            let verified = proof.verify(label.as_bytes(), &query, vrf, &known.map.root);
            for version in verified.map_err(told)?.opened() {
                // One that was erased has nothing left to verify.
                let Some(value) = version.value() else {
                    continue;
                };
                let value = UnverifiedValue::decode(value).map_err(told)?;
                value.verify(&label).map_err(told)?;
            }
        }
        Ok(())
    }

    fn head(
        &self,
        head: Head,
        known: Option<&KnownHead>,
        consistency: &[Bytes],
    ) -> Result<VerifiedHead, String> {
        let consistency = hashes_from_wire(consistency).map_err(told)?;
        let proof = head_from_wire(head).map_err(told)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now_s = now.map_or(0, |now| now.as_secs());
        let verified = proof.verify(&self.trust, known, &consistency, now_s);
        verified.map_err(told)
    }

    /// Remembers a head if it is newer.
    fn learn(&self, head: KnownHead) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none_or(|known| known.size < head.size) {
            *known = Some(head);
        }
    }
}

fn told(error: impl ToString) -> String {
    error.to_string()
}

fn unverified(error: impl ToString) -> ConnectError {
    ConnectError::Unverified(told(error))
}
