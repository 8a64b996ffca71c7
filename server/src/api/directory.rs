//! `candor.v1.Directory`: lookups.

use std::sync::Arc;
use std::time::Instant;

use candor_core::account::Label;
use candor_core::answer::Query;
use candor_proto::v1::directory_server::Directory;
use candor_proto::v1::{
    self, LookupBatchRequest, LookupBatchResponse, LookupRequest, LookupResponse,
};
use candor_proto::{Bytes, hashes_to_wire};
use tonic::{Code, Request, Response, Status, async_trait};

use super::padding::{class, padding};
use super::{LOOKUP_TIMEOUT, Service, head_answer, second_answer};
use crate::access::{Caller, Role};
use crate::head::Published;
use crate::ledger::LedgerError;
use crate::limits::Class;
use crate::lookup::{is_costly, prove_account};

/// Most labels of a batch.
const BATCH_QUERIES_MAX: usize = 64;

/// Longest account proofs of an answer in bytes, padded: with a head and framing they fit the 16 MiB that
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
        let mut accounts = answer(self, caller.as_ref(), &published, vec![query]).await?;
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
        let account = accounts.pop().unwrap_or_default();
        let padding = padding([&account]);
        Ok(Response::new(LookupResponse {
            head,
            consistency,
            account,
            second,
            padding,
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
        self.metrics.reads.batch(request.queries.len());
        let published = self.published()?;
        let accounts = answer(self, caller.as_ref(), &published, request.queries).await?;
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
        let padding = padding(&accounts);
        Ok(Response::new(LookupBatchResponse {
            head,
            consistency,
            accounts,
            second,
            padding,
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
) -> Result<(Option<v1::Head>, Vec<Bytes>), Status> {
    if verified_size == published.signed.size {
        return Ok((None, Vec::new()));
    }
    let (head, consistency) = head_answer(service, published, verified_size, post_quantum).await?;
    Ok((Some(head), hashes_to_wire(&consistency)))
}

/// The encoded account proofs for some queries, in order, at one head.
async fn answer(
    service: &Service,
    caller: Option<&Caller>,
    published: &Arc<Published>,
    queries: Vec<v1::Query>,
) -> Result<Vec<Bytes>, Status> {
    let started = Instant::now();
    let asked = queries.into_iter().map(asked);
    let asked = Arc::new(asked.collect::<Result<Vec<_>, _>>()?);
    let pairs = asked.iter().map(|(label, query)| (label, query));
    let client = service.limits.client(caller);
    let reserved = service.limits.lookups(&client, pairs, started)?;
    let proving = async {
        let (first, head) = (Arc::clone(&asked), Arc::clone(published));
        // Whoever needs the curve or a history does not keep others from what is at hand.
        let cheap = service.read(move |service| {
            for (label, query) in first.iter() {
                if is_costly(&service.ledger, &head.signed, label, query)? {
                    return Ok(None);
                }
            }
            prove(service, &head, &first).map(Some)
        });
        if let Some(proved) = cheap.await? {
            return Ok(proved);
        }
        let (all, head) = (Arc::clone(&asked), Arc::clone(published));
        let costly = move |service: &Service| prove(service, &head, &all);
        service.read_in(Class::Costly, costly).await
    };
    let late = |_| Err(Status::deadline_exceeded("the lookup took too long"));
    let proved = tokio::time::timeout(LOOKUP_TIMEOUT, proving).await;
    let Proved {
        accounts,
        opened,
        absent,
    } = match proved.unwrap_or_else(late) {
        Ok(proved) => proved,
        Err(failed) => {
            reserved.settle(0, 0);
            service.metrics.reads.proved(false, started.elapsed());
            // Who was refused for want of a turn is counted there.
            if failed.code() != Code::ResourceExhausted {
                service.metrics.looked_up("failed");
            }
            return Err(failed);
        }
    };
    reserved.settle(opened, absent);
    let is_answered = accounts.is_some();
    service.metrics.reads.proved(is_answered, started.elapsed());
    let accounts =
        accounts.ok_or_else(|| Status::out_of_range("the answer is too large; ask for less"));
    let floor = service.limits.answer_floor(asked.len());
    if let Some(left) = floor.checked_sub(started.elapsed()) {
        tokio::time::sleep(left).await;
    }
    accounts
}

/// What a query asks for.
fn asked(query: v1::Query) -> Result<(Label, Query), Status> {
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
}

/// Account proofs, and what they cost.
#[derive(Default)]
struct Proved {
    /// None if they are too large for one answer.
    accounts: Option<Vec<Bytes>>,
    /// Versions that were opened beside the newest ones.
    opened: usize,
    /// Labels that do not exist.
    absent: usize,
}

fn prove(
    service: &Service,
    published: &Published,
    asked: &[(Label, Query)],
) -> Result<Proved, LedgerError> {
    let mut accounts = Vec::with_capacity(asked.len());
    let mut proved = Proved::default();
    let mut bytes = 0;
    for (label, query) in asked {
        let (ledger, ladders) = (&service.ledger, &service.ladders);
        let proof = prove_account(ledger, ladders, &published.signed, label, query)?;
        let opened = query.opened(proof.greatest).len();
        proved.opened += opened.saturating_sub(1);
        service.metrics.reads.opened(opened);
        service.metrics.looked_up(match proof.greatest {
            Some(_) => "present",
            None => {
                proved.absent += 1;
                "absent"
            }
        });
        let encoded = proof.encode();
        bytes += class(encoded.len());
        if bytes > BATCH_BYTES_MAX {
            return Ok(proved);
        }
        accounts.push(encoded.into());
    }
    proved.accounts = Some(accounts);
    Ok(proved)
}
