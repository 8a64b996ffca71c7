//! The task that asks one witness, round after round.

use std::sync::Arc;

use candor_core::note::LogVerifier;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::Instrument as _;

use super::pace::Pace;
use super::status::StatusBoard;
use super::witness::{Comparison, Failure, Target, WitnessNode};
use super::{Cosigned, PublisherError};
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::metrics::Metrics;

/// Asks one witness for each head that becomes the target.
pub(super) struct Asker {
    pub witness: WitnessNode,
    /// Its place on the board.
    pub index: usize,
    pub ledger: Ledger,
    pub verifier: LogVerifier,
    pub target: watch::Receiver<Option<Arc<Target>>>,
    pub answers: mpsc::Sender<Cosigned>,
    pub stops: mpsc::Sender<PublisherError>,
    pub board: StatusBoard,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
}

impl Asker {
    /// Runs until the publisher is gone.
    pub async fn run(mut self) {
        let mut known_size = 0;
        let mut done_size = 0;
        let mut pace = Pace::new(self.witness.interval());
        let mut not_before = Instant::now();
        loop {
            sleep_until(not_before).await;
            let target = self.target.borrow_and_update().clone();
            let Some(target) = target.filter(|target| target.size > done_size) else {
                if self.target.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let size = target.size;
            let asked_at = Instant::now();
            let asked = self
                .witness
                .ask(&target, &mut known_size, &self.ledger, &self.clock);
            let span = tracing::info_span!("witness.ask", witness = self.witness.url(), size);
            let pause = match asked.instrument(span).await {
                Ok(lines) => {
                    // A witness that could not check the map yet signs with some of its keys only:
                    // it is asked again, or a quorum that needs the others would never be met.
                    let is_complete = self.witness.is_complete(&lines);
                    self.note_success(size, asked_at);
                    if self.answers.send(Cosigned { size, lines }).await.is_err() {
                        return;
                    }
                    if is_complete {
                        done_size = size;
                        pace.after_answer()
                    } else {
                        pace.after_failure(None)
                    }
                }
                Err(failure) => {
                    self.note_failure(&failure);
                    match failure {
                        Failure::Overtaken { .. } => {
                            done_size = size;
                            pace.after_answer()
                        }
                        Failure::Ahead { .. } | Failure::Contradicted => {
                            known_size = 0;
                            self.stop_if_proved().await;
                            pace.after_failure(None)
                        }
                        failure => pace.after_failure(failure.retry_after()),
                    }
                }
            };
            not_before = Instant::now() + pause;
        }
    }

    /// Stops publication if the witness can prove that the store is not what was signed. Its claim
    /// alone proves nothing: a lying witness must not stop the log.
    async fn stop_if_proved(&self) {
        let what = match self.witness.compare(&self.verifier, &self.ledger).await {
            Ok(Comparison::Ahead) => "a larger log",
            Ok(Comparison::Contradicts) => "another root at the same size",
            _ => return,
        };
        let url = self.witness.url().to_owned();
        let _stopping = self
            .stops
            .try_send(PublisherError::StoreContradicted { url, what });
    }

    fn note_success(&self, size: u64, asked_at: Instant) {
        let (url, now_s) = (self.witness.url(), self.clock.now_s());
        self.metrics.cosigned(url, asked_at.elapsed());
        let succeeded = |status: &mut super::WitnessStatus| status.succeeded(size, now_s);
        if self.board.update(self.index, succeeded).is_some() {
            tracing::info!(witness = url, "cosigns again");
        }
    }

    fn note_failure(&self, failure: &Failure) {
        let (url, now_s) = (self.witness.url(), self.clock.now_s());
        let (what, alarm) = (failure.to_string(), failure.alarm());
        self.metrics.witness_failed(url, failure.kind());
        let failed = |status: &mut super::WitnessStatus| status.failed(&what, alarm, now_s);
        // Once for each change, not for each retry.
        if self.board.update(self.index, failed) {
            let alarm = alarm.is_some();
            tracing::warn!(witness = url, %failure, alarm, "not cosigned");
        }
    }
}
