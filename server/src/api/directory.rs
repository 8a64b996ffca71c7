//! `candor.v1.Directory`: lookups.

use std::sync::Arc;
use std::time::Instant;

use candor_core::account::Label;
use candor_core::answer::Query;
use candor_proto::Bytes;
use candor_proto::v1::directory_server::Directory;
use candor_proto::v1::{
    self, LookupBatchRequest, LookupBatchResponse, LookupRequest, LookupResponse,
};
use tonic::{Code, Request, Response, Status, async_trait};

use super::padding::{class, padding};
use super::{HeadQuery, LOOKUP_TIMEOUT, Service, failed};
use crate::access::{Caller, Role};
use crate::head::Published;
use crate::ledger::{Ledger, LedgerError};
use crate::limits::Class;
use crate::lookup::{is_costly, prove_account};

/// Most labels of a batch.
const BATCH_QUERIES_MAX: usize = 64;

/// Longest account proofs of an answer in bytes, padded: with a head and framing they fit the
/// 16 MiB that clients are told to accept.
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
        let head = HeadQuery {
            verified_size: request.verified_size,
            post_quantum: request.post_quantum,
            second_verified_size: request.second_verified_size,
        };
        let answered = answer(self, caller.as_ref(), vec![query], head).await?;
        let account = answered.accounts.into_iter().next().unwrap_or_default();
        let padding = padding([&account]);
        Ok(Response::new(LookupResponse {
            head: answered.head,
            consistency: answered.consistency,
            account,
            second: answered.second,
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
        let head = HeadQuery {
            verified_size: request.verified_size,
            post_quantum: request.post_quantum,
            second_verified_size: request.second_verified_size,
        };
        self.metrics.reads.batch(request.queries.len());
        let answered = answer(self, caller.as_ref(), request.queries, head).await?;
        let padding = padding(&answered.accounts);
        Ok(Response::new(LookupBatchResponse {
            head: answered.head,
            consistency: answered.consistency,
            accounts: answered.accounts,
            second: answered.second,
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

/// What a lookup asks for.
struct Asked {
    accounts: Vec<(Label, Query)>,
    head: HeadQuery,
    published: Arc<Published>,
}

/// What a lookup is answered with, and what it cost.
#[derive(Default)]
struct Answered {
    head: Option<v1::Head>,
    consistency: Vec<Bytes>,
    second: Option<v1::SecondHead>,
    /// The encoded account proofs, in the order of the queries.
    accounts: Vec<Bytes>,
    /// Versions that were opened beside the newest ones.
    opened: usize,
    /// Labels that do not exist.
    absent: usize,
    /// The proofs do not fit one answer; those that do are there.
    is_too_large: bool,
}

/// Answers some queries at the published head, within the caller's limits.
async fn answer(
    service: &Service,
    caller: Option<&Caller>,
    queries: Vec<v1::Query>,
    head: HeadQuery,
) -> Result<Answered, Status> {
    let started = Instant::now();
    may_ask(caller, &queries)?;
    let accounts = queries
        .into_iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    let asked = Asked {
        accounts,
        head,
        published: service.published()?,
    };
    let labels = asked.accounts.len();
    let pairs = asked.accounts.iter().map(|(label, query)| (label, query));
    let client = service.limits.client(caller);
    let reserved = service.limits.lookups(&client, pairs, started)?;
    let late = |_| Err(Status::deadline_exceeded("the lookup took too long"));
    let answered = tokio::time::timeout(LOOKUP_TIMEOUT, prove(service, asked)).await;
    let answered = match answered.unwrap_or_else(late) {
        Ok(answered) => answered,
        Err(failed) => {
            // A refusal gives nothing back of what might have been absent: it would tell.
            reserved.settle(0, labels);
            service.metrics.reads.proved(false, started.elapsed());
            // Who was refused for want of a turn is counted there.
            if failed.code() != Code::ResourceExhausted {
                service.metrics.looked_up("failed");
            }
            return Err(failed);
        }
    };
    reserved.settle(answered.opened, answered.absent);
    let is_answered = !answered.is_too_large;
    service.metrics.reads.proved(is_answered, started.elapsed());
    let floor = service.limits.answer_floor(labels);
    if let Some(left) = floor.checked_sub(started.elapsed()) {
        tokio::time::sleep(left).await;
    }
    if answered.is_too_large {
        return Err(Status::out_of_range(
            "the answer is too large; ask for less",
        ));
    }
    Ok(answered)
}

/// What a query asks for.
fn read(query: v1::Query) -> Result<(Label, Query), Status> {
    let label = Label::parse(&query.label)
        .map_err(|_| Status::invalid_argument("a label is not in its normal form"))?;
    let (from_version, max_versions) = (query.from_version, query.max_versions);
    let query = Query {
        from_version,
        max_versions,
    };
    Ok((label, query))
}

/// Makes an answer: of one label at once, on the thread that took the call, if all that it takes
/// is in memory; else where blocking is allowed, and so that whoever needs the curve or a history
/// does not keep others from what is at hand.
async fn prove(service: &Service, asked: Asked) -> Result<Answered, Status> {
    if asked.accounts.len() == 1 {
        match asked.answer(service, &service.ledger.in_memory()) {
            Err(error) if error.is_not_in_memory() => {}
            answered => return answered.map_err(failed),
        }
    }
    let asked = Arc::new(asked);
    let first = Arc::clone(&asked);
    let cheap = service.read(move |service| {
        for (label, query) in &first.accounts {
            let head = &first.published.signed;
            if is_costly(&service.ledger, head, label, query)? {
                return Ok(None);
            }
        }
        first.answer(service, &service.ledger).map(Some)
    });
    if let Some(answered) = cheap.await? {
        return Ok(answered);
    }
    let costly = move |service: &Service| asked.answer(service, &service.ledger);
    service.read_in(Class::Costly, costly).await
}

impl Asked {
    fn answer(&self, service: &Service, ledger: &Ledger) -> Result<Answered, LedgerError> {
        // What may have to be read comes first: nothing is proved twice for it.
        let second = self.head.second(ledger, &self.published)?;
        let (head, consistency) = self.head.newer_head(ledger, &self.published)?;
        let mut answered = Answered {
            head,
            consistency,
            second,
            accounts: Vec::with_capacity(self.accounts.len()),
            ..Answered::default()
        };
        let mut bytes = 0;
        for (label, query) in &self.accounts {
            let (ladders, signed) = (&service.ladders, &self.published.signed);
            let proof = prove_account(ledger, ladders, signed, label, query)?;
            let opened = query.opened(proof.greatest).len();
            answered.opened += opened.saturating_sub(1);
            service.metrics.reads.opened(opened);
            service.metrics.looked_up(match proof.greatest {
                Some(_) => "present",
                None => {
                    answered.absent += 1;
                    "absent"
                }
            });
            let encoded = proof.encode();
            bytes += class(encoded.len());
            if bytes > BATCH_BYTES_MAX {
                answered.is_too_large = true;
                break;
            }
            answered.accounts.push(encoded.into());
        }
        Ok(answered)
    }
}
