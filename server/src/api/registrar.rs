//! `candor.v1.Registrar`: updates.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_core::answer::HeadProof;
use candor_proto::v1::registrar_server::Registrar;
use candor_proto::v1::submit_update_response::Outcome;
use candor_proto::v1::{self, SubmitUpdateRequest, SubmitUpdateResponse};
use futures::{Stream, StreamExt as _};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::Service;
use crate::access::Caller;
use crate::metrics::reads::StreamKind;
use crate::sequencer::admission::{Refusal, SubmitError};

/// How long an update waits to become visible, if the caller sets no deadline of its own.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait that a caller can ask for.
const VISIBLE_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Most updates of one stream that are on their way at once; the rest wait in the connection.
const STREAM_UPDATES_MAX: usize = 4096;

type Answers = Pin<Box<dyn Stream<Item = Result<SubmitUpdateResponse, Status>> + Send>>;

#[async_trait]
impl Registrar for Service {
    async fn submit_update(
        &self,
        request: Request<SubmitUpdateRequest>,
    ) -> Result<Response<SubmitUpdateResponse>, Status> {
        let registrar = name(&request);
        let patience = patience(request.metadata());
        Ok(Response::new(
            submit(self, &registrar, request.into_inner(), patience).await?,
        ))
    }

    type SubmitUpdatesStream = Answers;

    async fn submit_updates(
        &self,
        request: Request<Streaming<SubmitUpdateRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let registrar = name(&request);
        let this = self.clone();
        let open = self.metrics.reads.stream(StreamKind::Updates);
        let answers = request
            .into_inner()
            .take_until(self.shutdown.clone().cancelled_owned())
            .map(move |update| {
                let _open = &open;
                let (this, registrar) = (this.clone(), Arc::clone(&registrar));
                async move { submit(&this, &registrar, update?, VISIBLE_TIMEOUT).await }
            })
            .buffer_unordered(STREAM_UPDATES_MAX);
        Ok(Response::new(Box::pin(answers)))
    }
}

/// The name of the registrar's credential.
fn name<T>(request: &Request<T>) -> Arc<str> {
    let caller = request.extensions().get::<Caller>();
    let name = caller.and_then(|caller| caller.name.clone());
    // Whoever may submit without a credential is one registrar with all others who may, by a name
    // that no credential has.
    name.unwrap_or_default()
}

/// Submits one update and waits until it is visible, or until patience ends.
async fn submit(
    service: &Service,
    registrar: &str,
    update: SubmitUpdateRequest,
    patience: Duration,
) -> Result<SubmitUpdateResponse, Status> {
    let deadline = tokio::time::Instant::now() + patience;
    let SubmitUpdateRequest {
        request_id,
        label,
        version,
        value,
    } = update;
    let allowed = service.limits.update(registrar, &label, Instant::now());
    let submitted = match allowed {
        Ok(()) => service.admission.submit(&label, version, &value).await,
        Err(limited) => Err(SubmitError::Refused(Refusal::RateLimited {
            wait_ms: limited.wait_ms(),
        })),
    };
    let epoch = match submitted {
        Ok(epoch) => epoch,
        Err(error @ SubmitError::OutcomeUnknown) => return Err(Status::unknown(error.to_string())),
        Err(SubmitError::Refused(refusal)) => {
            service.metrics.refused(refusal.code());
            let outcome = Some(Outcome::Refused(refused(&refusal)));
            return Ok(SubmitUpdateResponse {
                request_id,
                outcome,
            });
        }
    };
    let outcome = match tokio::time::timeout_at(deadline, visible(service, epoch)).await {
        Ok(Some(size)) => Outcome::Visible(v1::Visible { epoch, size }),
        // Late or going down: the update is in the log all the same, and here is the proof.
        Ok(None) | Err(_) => Outcome::Committed(committed(service, epoch).await?),
    };
    Ok(SubmitUpdateResponse {
        request_id,
        outcome: Some(outcome),
    })
}

/// Waits until a published head shows an epoch; its size.
async fn visible(service: &Service, epoch: u64) -> Option<u64> {
    let mut progress = service.published.progress();
    tokio::select! {
        biased;
        size = progress.wait_for(|size| *size > epoch) => size.ok().map(|size| *size),
        () = service.unpublishing.cancelled() => None,
    }
}

/// Proof that the log is bound to an epoch: a signed checkpoint that includes its record.
async fn committed(service: &Service, epoch: u64) -> Result<v1::Committed, Status> {
    let signed = service.signed.borrow().clone();
    let signed = signed.filter(|head| head.size > epoch);
    let signed = signed.ok_or_else(|| Status::unavailable("the epoch is not signed yet"))?;
    let size = signed.size;
    let (record, inclusion) = service
        .read(move |this| {
            Ok((
                this.ledger.record(epoch)?,
                this.ledger.inclusion(epoch, size)?,
            ))
        })
        .await?;
    let head = HeadProof {
        checkpoint: signed.note.to_bytes(),
        record,
        inclusion,
    };
    Ok(v1::Committed {
        epoch,
        head: Some(candor_proto::head_to_wire(&head)),
    })
}

fn refused(refusal: &Refusal) -> v1::Refused {
    let greatest_version = match refusal {
        Refusal::VersionConflict { greatest } => *greatest,
        _ => None,
    };
    v1::Refused {
        code: refusal.code().to_owned(),
        message: refusal.to_string(),
        greatest_version,
        retryable: refusal.is_retryable(),
        retry_after_ms: refusal.retry_after_ms(),
    }
}

/// How long the caller wants to wait: a little less than its gRPC deadline, so that it gets the
/// proof of a late update rather than nothing.
fn patience(metadata: &MetadataMap) -> Duration {
    let Some(timeout) = metadata
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
    else {
        return VISIBLE_TIMEOUT;
    };
    let Some((digits, unit)) = timeout.split_at_checked(timeout.len().saturating_sub(1)) else {
        return VISIBLE_TIMEOUT;
    };
    let Ok(count) = digits.parse::<u32>() else {
        return VISIBLE_TIMEOUT;
    };
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return VISIBLE_TIMEOUT,
    };
    let asked = unit.saturating_mul(count).min(VISIBLE_TIMEOUT_MAX);
    asked.saturating_sub((asked / 10).max(Duration::from_millis(50)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_before_the_deadline_and_has_a_bound() {
        let of = |timeout: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", timeout.parse().unwrap());
            patience(&metadata)
        };
        assert_eq!(of("10S"), Duration::from_secs(9));
        assert_eq!(of("1000m"), Duration::from_millis(900));
        assert_eq!(of("10m"), Duration::ZERO);
        assert_eq!(of("9999H"), Duration::from_secs(54));
        assert_eq!(of("nonsense"), VISIBLE_TIMEOUT);
        assert_eq!(of("S"), VISIBLE_TIMEOUT);
        assert_eq!(patience(&MetadataMap::new()), VISIBLE_TIMEOUT);
    }
}
