//! `candor.v1.Directory`: lookups.

use std::sync::Arc;

use candor_core::account::Label;
use candor_core::answer::Query;
use candor_proto::hashes_to_wire;
use candor_proto::v1::directory_server::Directory;
use candor_proto::v1::{
    self, LookupBatchRequest, LookupBatchResponse, LookupRequest, LookupResponse,
};
use tonic::{Request, Response, Status, async_trait};

use super::{LOOKUP_TIMEOUT, Service, head_answer, second_answer};
use crate::access::{Caller, Role};
use crate::head::Published;
use crate::lookup::prove_account;

/// Most labels of a batch.
const BATCH_QUERIES_MAX: usize = 64;

/// Longest account proofs of an answer in bytes: with a head and framing they fit the 16 MiB that
/// clients are told to accept.
const BATCH_BYTES_MAX: usize = 15 << 20;

#[async_trait]
impl Directory for Service {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let query = request
            .query
            .ok_or_else(|| Status::invalid_argument("query is missing"))?;
        may_ask(caller.as_ref(), std::slice::from_ref(&query))?;
        let published = self.published()?;
        let mut accounts = answer(self, &published, vec![query]).await?;
        let (head, consistency) = answer_head(
            self,
            &published,
            request.verified_size,
            request.post_quantum,
        )
        .await?;
        let second = second_answer(
            self,
            &published,
            request.second_verified_size,
            request.post_quantum,
        )
        .await?;
        let account = accounts.pop().unwrap_or_default().into();
        Ok(Response::new(LookupResponse {
            head,
            consistency,
            account,
            second,
        }))
    }

    async fn lookup_batch(
        &self,
        request: Request<LookupBatchRequest>,
    ) -> Result<Response<LookupBatchResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        if request.queries.len() > BATCH_QUERIES_MAX {
            return Err(Status::invalid_argument("a batch holds at most 64 queries"));
        }
        may_ask(caller.as_ref(), &request.queries)?;
        let published = self.published()?;
        let accounts = answer(self, &published, request.queries).await?;
        let (head, consistency) = answer_head(
            self,
            &published,
            request.verified_size,
            request.post_quantum,
        )
        .await?;
        let second = second_answer(
            self,
            &published,
            request.second_verified_size,
            request.post_quantum,
        )
        .await?;
        let accounts = accounts.into_iter().map(Into::into).collect();
        Ok(Response::new(LookupBatchResponse {
            head,
            consistency,
            accounts,
            second,
        }))
    }
}

/// Who asks, as the gate found out.
fn caller<T>(request: &Request<T>) -> Option<Caller> {
    request.extensions().get::<Caller>().cloned()
}

/// Older versions are for those who may monitor.
fn may_ask(caller: Option<&Caller>, queries: &[v1::Query]) -> Result<(), Status> {
    if queries.iter().all(|query| query.from_version.is_none()) {
        return Ok(());
    }
    let unknown = || Status::internal("a call passed no gate");
    caller.ok_or_else(unknown)?.may(Role::Monitor)
}

/// The head, unless the caller has just this one.
async fn answer_head(
    service: &Service,
    published: &Published,
    verified_size: u64,
    post_quantum: bool,
) -> Result<(Option<v1::Head>, Vec<candor_proto::Bytes>), Status> {
    if verified_size == published.signed.size {
        return Ok((None, Vec::new()));
    }
    let (head, consistency) = head_answer(service, published, verified_size, post_quantum).await?;
    Ok((Some(head), hashes_to_wire(&consistency)))
}

/// The encoded account proofs for some queries, in order, at one head.
async fn answer(
    service: &Service,
    published: &Arc<Published>,
    queries: Vec<v1::Query>,
) -> Result<Vec<Vec<u8>>, Status> {
    let queries = queries
        .into_iter()
        .map(|query| {
            let label = Label::parse(&query.label)
                .map_err(|_| Status::invalid_argument("a label is not in its normal form"))?;
            let (from_version, max_versions) = (query.from_version, query.max_versions);
            Ok((
                label,
                Query {
                    from_version,
                    max_versions,
                },
            ))
        })
        .collect::<Result<Vec<_>, Status>>()?;
    let head = Arc::clone(published);
    let proving = service.read(move |service| {
        let mut accounts = Vec::with_capacity(queries.len());
        let mut bytes = 0;
        for (label, query) in &queries {
            let (ledger, ladders) = (&service.ledger, &service.ladders);
            let proof = prove_account(ledger, ladders, &head.signed, label, query)?;
            service.metrics.looked_up(match proof.greatest {
                Some(_) => "present",
                None => "absent",
            });
            let encoded = proof.encode();
            bytes += encoded.len();
            if bytes > BATCH_BYTES_MAX {
                return Ok(None);
            }
            accounts.push(encoded);
        }
        Ok(Some(accounts))
    });
    let late = |_| Status::deadline_exceeded("the lookup took too long");
    let proved = tokio::time::timeout(LOOKUP_TIMEOUT, proving)
        .await
        .map_err(late)?;
    let too_large = || Status::out_of_range("the answer is too large; ask for less");
    proved
        .inspect_err(|_| service.metrics.looked_up("failed"))?
        .ok_or_else(too_large)
}
