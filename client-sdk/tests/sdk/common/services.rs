//! The gRPC services: an honest answer, then the lie, if there is one.

use std::sync::Arc;

use candor_core::account::{Label, UnverifiedValue};
use candor_core::answer::Query;
use candor_proto::v1;
use candor_proto::v1::audit_server::{Audit, AuditServer};
use candor_proto::v1::directory_server::{Directory, DirectoryServer};
use candor_proto::v1::log_server::{Log, LogServer};
use candor_proto::v1::registrar_server::{Registrar, RegistrarServer};
use candor_proto::v1::submit_update_response::Outcome;
use candor_proto::{hashes_to_wire, head_to_wire, second_to_wire};
use tokio_stream::Iter;
use tonic::{Request, Response, Status, Streaming};

use super::world::World;
use super::{Lie, Shared};

type Messages<T> = Iter<std::vec::IntoIter<Result<T, Status>>>;

#[derive(Clone)]
pub struct Services(Arc<Shared>);

pub fn all(
    shared: &Arc<Shared>,
) -> (
    DirectoryServer<Services>,
    LogServer<Services>,
    RegistrarServer<Services>,
    AuditServer<Services>,
) {
    let services = || Services(Arc::clone(shared));
    (
        DirectoryServer::new(services()),
        LogServer::new(services()),
        RegistrarServer::new(services()),
        AuditServer::new(services()),
    )
}

impl Services {
    /// Makes the honest answer, and lets the lie change it.
    fn answer<T>(
        &self,
        lie: impl Fn(&super::Lies) -> &Lie<T>,
        honest: impl FnOnce(&mut World) -> T,
    ) -> Result<Response<T>, Status> {
        let mut world = self.0.world.lock().unwrap();
        let lies = self.0.lies.lock().unwrap();
        if let Some(status) = &lies.status {
            return Err(status.clone());
        }
        let mut answer = honest(&mut world);
        if let Some(lie) = lie(&lies) {
            lie(&world, &mut answer);
        }
        Ok(Response::new(answer))
    }
}

/// The second head, if it is asked for and larger than the verified one.
fn second(
    world: &World,
    second: Option<(u64, u64)>,
    verified_size: Option<u64>,
) -> Option<v1::SecondHead> {
    let is_newer = |(size, _): &(u64, u64)| verified_size.is_some_and(|known| known < *size);
    let (size, time_s) = second.filter(is_newer)?;
    Some(second_to_wire(&world.second(size, world.size(), time_s)))
}

fn head(world: &World, verified_size: u64) -> Option<v1::Head> {
    let size = world.size();
    (size != verified_size).then(|| head_to_wire(&world.head(size)))
}

fn consistency(world: &World, verified_size: u64) -> Vec<prost::bytes::Bytes> {
    match verified_size {
        0 => Vec::new(),
        old if old > world.size() => Vec::new(),
        old => hashes_to_wire(&world.consistency(old, world.size())),
    }
}

fn account(world: &World, query: &v1::Query) -> prost::bytes::Bytes {
    let wanted = Query {
        from_version: query.from_version,
        max_versions: query.max_versions,
    };
    world
        .account(&query.label, &wanted, world.size())
        .encode()
        .into()
}

#[tonic::async_trait]
impl Directory for Services {
    async fn lookup(
        &self,
        request: Request<v1::LookupRequest>,
    ) -> Result<Response<v1::LookupResponse>, Status> {
        let request = request.into_inner();
        let stored = *self.0.second.lock().unwrap();
        self.answer(
            |lies| &lies.lookup,
            |world| v1::LookupResponse {
                head: head(world, request.verified_size),
                consistency: consistency(world, request.verified_size),
                account: account(world, &request.query.unwrap()),
                second: second(world, stored, request.second_verified_size),
                padding: vec![vec![0; 99].into()],
            },
        )
    }

    async fn lookup_batch(
        &self,
        request: Request<v1::LookupBatchRequest>,
    ) -> Result<Response<v1::LookupBatchResponse>, Status> {
        let request = request.into_inner();
        let stored = *self.0.second.lock().unwrap();
        self.answer(
            |lies| &lies.batch,
            |world| v1::LookupBatchResponse {
                head: head(world, request.verified_size),
                consistency: consistency(world, request.verified_size),
                accounts: request
                    .queries
                    .iter()
                    .map(|query| account(world, query))
                    .collect(),
                second: second(world, stored, request.second_verified_size),
                padding: vec![vec![0; 99].into()],
            },
        )
    }
}

#[tonic::async_trait]
impl Log for Services {
    type WatchHeadsStream = Messages<v1::GetHeadResponse>;

    async fn get_head(
        &self,
        request: Request<v1::GetHeadRequest>,
    ) -> Result<Response<v1::GetHeadResponse>, Status> {
        let request = request.into_inner();
        let stored = *self.0.second.lock().unwrap();
        let size = request.verified_size;
        self.answer(
            |lies| &lies.head,
            |world| v1::GetHeadResponse {
                head: Some(head_to_wire(&world.head(world.size()))),
                consistency: consistency(world, size),
                second: second(world, stored, request.second_verified_size),
            },
        )
    }

    /// Every head from size 2 on, as a server that was watched all the time would have sent them.
    async fn watch_heads(
        &self,
        request: Request<v1::WatchHeadsRequest>,
    ) -> Result<Response<Self::WatchHeadsStream>, Status> {
        let stored = *self.0.second.lock().unwrap();
        let wanted = request.into_inner().second_verified_size;
        let world = self.0.world.lock().unwrap();
        let heads: Vec<_> = (2..=world.size())
            .map(|size| {
                Ok(v1::GetHeadResponse {
                    head: Some(head_to_wire(&world.head(size))),
                    consistency: Vec::new(),
                    second: second(&world, stored, wanted).filter(|_| size == world.size()),
                })
            })
            .collect();
        Ok(Response::new(tokio_stream::iter(heads)))
    }

    async fn get_consistency(
        &self,
        request: Request<v1::GetConsistencyRequest>,
    ) -> Result<Response<v1::GetConsistencyResponse>, Status> {
        let request = request.into_inner();
        self.answer(
            |lies| &lies.consistency,
            |world| v1::GetConsistencyResponse {
                consistency: hashes_to_wire(&world.consistency(request.old_size, request.new_size)),
            },
        )
    }

    async fn get_config(
        &self,
        request: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        let size = request.into_inner().size;
        self.answer(
            |lies| &lies.config,
            |world| {
                let proof = world.config(size);
                v1::GetConfigResponse {
                    config: proof.config.into(),
                    inclusion: hashes_to_wire(&proof.inclusion),
                    size,
                }
            },
        )
    }
}

#[tonic::async_trait]
impl Registrar for Services {
    type SubmitUpdatesStream = Messages<v1::SubmitUpdateResponse>;

    async fn submit_update(
        &self,
        request: Request<v1::SubmitUpdateRequest>,
    ) -> Result<Response<v1::SubmitUpdateResponse>, Status> {
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        let drops = {
            let mut lies = self.0.lies.lock().unwrap();
            lies.authorization = authorization;
            lies.drops_updates
        };
        let update = request.into_inner();
        self.answer(
            |lies| &lies.submitted,
            |world| {
                let label = Label::parse(&update.label).unwrap();
                let value = UnverifiedValue::decode(&update.value)
                    .unwrap()
                    .verify(&label);
                assert!(value.is_ok());
                let there = world.epochs.last().unwrap().accounts.get(&update.label);
                let next = u32::try_from(there.map_or(0, Vec::len)).unwrap();
                let outcome = if update.version == next {
                    if !drops {
                        world.add(&[(&update.label, &update.value)]);
                    }
                    let size = world.size();
                    Outcome::Visible(v1::Visible {
                        epoch: size - 1,
                        size,
                    })
                } else {
                    Outcome::Refused(v1::Refused {
                        code: "version-conflict".to_owned(),
                        message: String::new(),
                        greatest_version: next.checked_sub(1),
                        retryable: false,
                        retry_after_ms: 0,
                    })
                };
                v1::SubmitUpdateResponse {
                    request_id: update.request_id,
                    outcome: Some(outcome),
                }
            },
        )
    }

    async fn submit_updates(
        &self,
        _: Request<Streaming<v1::SubmitUpdateRequest>>,
    ) -> Result<Response<Self::SubmitUpdatesStream>, Status> {
        Err(Status::unimplemented("devices submit one by one"))
    }
}

#[tonic::async_trait]
impl Audit for Services {
    type StreamEpochsStream = Messages<v1::EpochChunk>;

    /// Sends each delta in two parts.
    async fn stream_epochs(
        &self,
        request: Request<v1::StreamEpochsRequest>,
    ) -> Result<Response<Self::StreamEpochsStream>, Status> {
        let request = request.into_inner();
        let world = self.0.world.lock().unwrap();
        let lies = self.0.lies.lock().unwrap();
        let mut chunks = Vec::new();
        for epoch in request.from_epoch..=request.to_epoch {
            let stored = &world.epochs[usize::try_from(epoch).unwrap()];
            let (first, second) = stored.delta.split_at(stored.delta.len() / 2);
            for (record, part, last) in [(&stored.record[..], first, false), (&[], second, true)] {
                let mut chunk = v1::EpochChunk {
                    epoch,
                    record: record.to_vec().into(),
                    delta_part: part.to_vec().into(),
                    last,
                };
                if let Some(lie) = &lies.chunk {
                    lie(&world, &mut chunk);
                }
                chunks.push(Ok(chunk));
            }
        }
        Ok(Response::new(tokio_stream::iter(chunks)))
    }
}
