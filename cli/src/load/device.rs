//! The devices of one connection: what they ask, and what becomes of it.

use std::sync::Arc;
use std::time::Instant;

use candor_core::answer::Query;
use candor_proto::Bytes;
use candor_proto::v1::directory_client::DirectoryClient;
use candor_proto::v1::{self, LookupBatchRequest, LookupRequest};
use fastrand::Rng;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::accounts::{Accounts, label};
use super::measured::Recorder;
use super::mix::Operation;
use super::popularity::Popularity;
use super::schedule::Schedule;
use super::updates::Order;
use super::verifier::{AccountAnswer, HeadAnswer, Verifier};
use super::{CALL_TIMEOUT, Plan};

/// Labels of a batch.
const BATCH: usize = 16;

/// Versions that an owner looks back on.
const HISTORY: u32 = 8;

/// Devices that share a connection, a known head, and a recorder.
pub struct Device {
    pub channel: Channel,
    pub verifier: Verifier,
    pub recorder: Arc<Recorder>,
    pub accounts: Arc<Accounts>,
    /// Updates to submit.
    pub orders: mpsc::Sender<Order>,
    pub popularity: Popularity,
    pub plan: Plan,
}

/// An answer, taken apart.
struct Answer {
    head: HeadAnswer,
    accounts: Vec<AccountAnswer>,
    /// Bytes that are there for the answer's length alone.
    padding: usize,
}

impl Answer {
    /// Roughly its size on the wire: all but tags and lengths.
    fn bytes(&self) -> usize {
        let head = self.head.head.as_ref();
        let head = head.map_or(0, |it| {
            it.checkpoint.len() + it.record.len() + it.inclusion.len() * 34
        });
        let accounts: usize = self.accounts.iter().map(|it| it.proof.len()).sum();
        head + self.head.consistency.len() * 34 + accounts + self.padding
    }
}

impl Device {
    /// Makes calls as long as the schedule has some.
    pub async fn work(self: Arc<Self>, schedule: Arc<Schedule>, mut rng: Rng) {
        let mut directory = DirectoryClient::new(self.channel.clone());
        while let Some(due) = schedule.next().await {
            match self.plan.mix.draw(&mut rng) {
                Operation::Update => self.update(due, &mut rng).await,
                operation => self.ask(&mut directory, operation, due, &mut rng).await,
            }
        }
    }

    /// Hands an update over; its outcome is taken down when it is known.
    async fn update(&self, due: Instant, rng: &mut Rng) {
        match self.accounts.take_any(rng) {
            Some((account, version)) => {
                let order = Order::new(account, version, due);
                // Fails only when the run is over.
                let _ended = self.orders.send(order).await;
            }
            None => self
                .recorder
                .failed(Operation::Update, due, "no-account-free", false),
        }
    }

    async fn ask(
        self: &Arc<Self>,
        directory: &mut DirectoryClient<Channel>,
        operation: Operation,
        due: Instant,
        rng: &mut Rng,
    ) {
        let asking = async {
            match operation {
                Operation::Batch => self.batch(directory, rng).await,
                Operation::Monitor => {
                    let query = Query {
                        from_version: Some(0),
                        max_versions: HISTORY,
                    };
                    self.lookup(directory, query, rng).await
                }
                _ => self.lookup(directory, Query::GREATEST, rng).await,
            }
        };
        let late = |_| Err(Status::deadline_exceeded("no answer in time"));
        let answer = tokio::time::timeout(CALL_TIMEOUT, asking).await;
        match answer.unwrap_or_else(late) {
            Ok(answer) => {
                self.recorder.answered(operation, due, answer.bytes());
                self.judge(answer, rng).await;
            }
            Err(status) => {
                let is_late = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled);
                let code = code(status.code());
                self.recorder.failed(operation, due, &code, is_late);
            }
        }
    }

    async fn lookup(
        &self,
        directory: &mut DirectoryClient<Channel>,
        query: Query,
        rng: &mut Rng,
    ) -> Result<Answer, Status> {
        let label = label(self.popularity.draw(rng));
        let asked = self.verifier.known();
        let request = LookupRequest {
            query: Some(to_wire(label.as_str(), query)),
            verified_size: asked.map_or(0, |head| head.size),
            post_quantum: self.verifier.post_quantum(),
            second_verified_size: None,
        };
        let answer = directory.lookup(request).await?.into_inner();
        let proof = answer.account;
        Ok(Answer {
            padding: length(&answer.padding),
            head: HeadAnswer {
                asked,
                head: answer.head,
                consistency: answer.consistency,
            },
            accounts: vec![AccountAnswer {
                label,
                query,
                proof,
            }],
        })
    }

    async fn batch(
        &self,
        directory: &mut DirectoryClient<Channel>,
        rng: &mut Rng,
    ) -> Result<Answer, Status> {
        let labels = (0..BATCH).map(|_| label(self.popularity.draw(rng)));
        let labels: Vec<_> = labels.collect();
        let asked = self.verifier.known();
        let queries = labels.iter();
        let queries = queries.map(|label| to_wire(label.as_str(), Query::GREATEST));
        let request = LookupBatchRequest {
            queries: queries.collect(),
            verified_size: asked.map_or(0, |head| head.size),
            post_quantum: self.verifier.post_quantum(),
            second_verified_size: None,
        };
        let answer = directory.lookup_batch(request).await?.into_inner();
        if answer.accounts.len() != BATCH {
            return Err(Status::data_loss("another number of answers"));
        }
        let accounts = labels.into_iter().zip(answer.accounts);
        let accounts = accounts.map(|(label, proof)| AccountAnswer {
            label,
            query: Query::GREATEST,
            proof,
        });
        Ok(Answer {
            padding: length(&answer.padding),
            head: HeadAnswer {
                asked,
                head: answer.head,
                consistency: answer.consistency,
            },
            accounts: accounts.collect(),
        })
    }

    /// Verifies an answer that is in the sample, and any head that is new.
    async fn judge(self: &Arc<Self>, answer: Answer, rng: &mut Rng) {
        let is_sampled = rng.f64() < self.plan.verified;
        if !is_sampled && answer.head.head.is_none() {
            return;
        }
        let device = Arc::clone(self);
        // Where it does not hold up what others wait for.
        let judging = tokio::task::spawn_blocking(move || {
            if is_sampled {
                let verified = device.verifier.verify(answer.head, answer.accounts);
                device.recorder.verified(verified);
            } else if let Err(reason) = device.verifier.renew(answer.head) {
                device.recorder.verified(Err(reason));
            }
        });
        // It ends early only if the run does.
        let _ended = judging.await;
    }
}

fn length(padding: &[Bytes]) -> usize {
    padding.iter().map(Bytes::len).sum()
}

fn to_wire(label: &str, query: Query) -> v1::Query {
    v1::Query {
        label: label.to_owned(),
        from_version: query.from_version,
        max_versions: query.max_versions,
    }
}

/// A status code as a word, for example `deadline-exceeded`.
pub fn code(code: Code) -> String {
    let mut word = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.extend(letter.to_lowercase());
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words() {
        assert_eq!(code(Code::DeadlineExceeded), "deadline-exceeded");
        assert_eq!(code(Code::Unavailable), "unavailable");
    }
}
