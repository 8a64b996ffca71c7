//! The load that the soak puts on a system tells the truth: it sees a stall, and a lie.

use std::sync::Arc;
use std::time::{Duration, Instant};

use candor::load::{Load, Measured, Mix, Operation, Plan, Target};
use candor_proto::v1::directory_server::{Directory, DirectoryServer};
use candor_proto::v1::{LookupBatchRequest, LookupBatchResponse, LookupRequest, LookupResponse};
use candor_system::system::System;
use candor_tests::relay::{self, Lie};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, async_trait};

const ACCOUNTS: u32 = 20;

fn plan() -> Plan {
    Plan {
        accounts: ACCOUNTS,
        mix: Mix::LOOKUPS,
        skew: 0.5,
        rate: Some(200.0),
        duration: Duration::from_millis(1_200),
        warm_up: Duration::ZERO,
        channels: 1,
        concurrency: 4,
        verified: 0.0,
        seed: 1,
    }
}

fn target(system: &System, endpoint: &str) -> Target {
    let token = std::fs::read_to_string(system.token_path()).unwrap();
    Target {
        endpoint: Endpoint::from_shared(endpoint.to_owned()).unwrap(),
        authorization: Some(format!("Bearer {}", token.trim()).parse().unwrap()),
        trust: system.trust().unwrap(),
        post_quantum: false,
    }
}

async fn run(plan: Plan, target: Target) -> Measured {
    let load = Load::new(plan, target);
    load.start().await.unwrap().finish().await
}

const STALL_BEGINS: Duration = Duration::from_millis(200);
const STALL_ENDS: Duration = Duration::from_millis(700);

/// Answers at once, but for half a second in which it answers nothing.
#[derive(Default)]
struct Stalling(OnceCell<Instant>);

#[async_trait]
impl Directory for Stalling {
    async fn lookup(
        &self,
        _request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let first = self.0.get_or_init(async || Instant::now()).await;
        if first.elapsed() >= STALL_BEGINS {
            tokio::time::sleep_until((*first + STALL_ENDS).into()).await;
        }
        Ok(Response::new(LookupResponse::default()))
    }

    async fn lookup_batch(
        &self,
        _request: Request<LookupBatchRequest>,
    ) -> Result<Response<LookupBatchResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_seen_by_every_call_that_was_due_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let system = System::create(folder.path(), 1).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(DirectoryServer::new(Stalling::default()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let measured = run(plan(), target(&system, &endpoint)).await;
    let lookups = measured.latencies(Operation::Lookup);
    // Four calls at a time could be made, and all that were due are there.
    assert_eq!(lookups.count(), 240);
    // 40 calls were due in the first 200 ms of the stall and waited for its end: a sixth of all. A
    // client that waits with its next calls would have seen four of them.
    let slowest_tenth = lookups.quantile_us(0.9);
    assert!(slowest_tenth >= 290_000, "{slowest_tenth} us");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_is_counted_and_honest_answers_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), 1).unwrap();
    system.start().await.unwrap();
    let honest = target(&system, &system.endpoint());
    let all_verified = Plan {
        verified: 1.0,
        rate: Some(40.0),
        mix: "lookup=3,batch=1,monitor=1,update=1".parse().unwrap(),
        ..plan()
    };
    let load = Load::new(all_verified.clone(), honest);
    load.prepare(|_| {}).await.unwrap();
    let measured = load.start().await.unwrap().finish().await;
    assert_eq!(measured.refused, 0, "{:?}", measured.first_refusal);
    assert!(measured.verified > 0);
    assert!(measured.errors.is_empty(), "{:?}", measured.errors);
    for operation in Operation::ALL {
        assert!(measured.latencies(operation).count() > 0, "{operation:?}");
    }

    let lie: Lie = Arc::new(|answer| {
        let mut account = answer.account.to_vec();
        *account.last_mut().unwrap() ^= 1;
        answer.account = account.into();
    });
    let address = relay::start(&system.endpoint(), lie).await.unwrap();
    let plan = Plan {
        mix: Mix::LOOKUPS,
        ..all_verified
    };
    let measured = run(plan, target(&system, &format!("http://{address}"))).await;
    assert_eq!(measured.verified, 0);
    assert!(measured.refused > 0);
    assert!(measured.first_refusal.is_some());
}
