//! `candor.v1.Log`: heads, consistency, configuration.

use std::pin::Pin;

use candor_proto::hashes_to_wire;
use candor_proto::v1::log_server::Log;
use candor_proto::v1::{
    GetConfigRequest, GetConfigResponse, GetConsistencyRequest, GetConsistencyResponse,
    GetHeadRequest, GetHeadResponse, WatchHeadsRequest,
};
use futures::{Stream, StreamExt as _};
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, async_trait};

use super::{HeadQuery, Service};
use crate::metrics::reads::StreamKind;

type Heads = Pin<Box<dyn Stream<Item = Result<GetHeadResponse, Status>> + Send>>;

#[async_trait]
impl Log for Service {
    async fn get_head(
        &self,
        request: Request<GetHeadRequest>,
    ) -> Result<Response<GetHeadResponse>, Status> {
        self.pass(&request)?;
        let request = request.into_inner();
        let published = self.published()?;
        let query = HeadQuery {
            verified_size: request.verified_size,
            post_quantum: request.post_quantum,
            second_verified_size: request.second_verified_size,
        };
        let answered = self.answer(move |_, ledger| {
            let (head, consistency) = query.head(ledger, &published)?;
            Ok(GetHeadResponse {
                head: Some(head),
                consistency,
                second: query.second(ledger, &published)?,
            })
        });
        Ok(Response::new(answered.await?))
    }

    type WatchHeadsStream = Heads;

    async fn watch_heads(
        &self,
        request: Request<WatchHeadsRequest>,
    ) -> Result<Response<Heads>, Status> {
        let client = self.pass(&request)?;
        let place = self.limits.stream(&client)?;
        let WatchHeadsRequest {
            post_quantum,
            mut second_verified_size,
        } = request.into_inner();
        let service = self.clone();
        let mut last_size = 0;
        let open = self.metrics.reads.stream(StreamKind::Heads);
        let heads = WatchStream::new(self.published.progress())
            .filter_map(move |_| {
                let _held = &place;
                let _open = &open;
                let current = service.published.current();
                let head = current.filter(|head| head.signed.size > last_size);
                let verified_size = second_verified_size;
                if let Some(head) = &head {
                    last_size = head.signed.size;
                    let sent = head.second.as_ref().map_or(0, |second| second.size);
                    second_verified_size = verified_size.map(|size| size.max(sent));
                }
                let service = service.clone();
                async move {
                    let head = head?;
                    let query = HeadQuery {
                        verified_size: 0,
                        post_quantum,
                        second_verified_size: verified_size,
                    };
                    let answer = service.answer(move |_, ledger| {
                        Ok(GetHeadResponse {
                            head: Some(head.head(post_quantum).clone()),
                            consistency: Vec::new(),
                            second: query.second(ledger, &head)?,
                        })
                    });
                    Some(answer.await)
                }
            })
            .take_until(self.shutdown.clone().cancelled_owned());
        Ok(Response::new(Box::pin(heads)))
    }

    async fn get_consistency(
        &self,
        request: Request<GetConsistencyRequest>,
    ) -> Result<Response<GetConsistencyResponse>, Status> {
        self.pass(&request)?;
        let GetConsistencyRequest { old_size, new_size } = request.into_inner();
        let published = self.published()?.signed.size;
        if old_size > new_size || new_size > published {
            return Err(Status::failed_precondition(
                "the published log does not reach there",
            ));
        }
        let proof = self
            .read(move |this| this.ledger.consistency(old_size, new_size))
            .await?;
        Ok(Response::new(GetConsistencyResponse {
            consistency: hashes_to_wire(&proof),
        }))
    }

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> Result<Response<GetConfigResponse>, Status> {
        self.pass(&request)?;
        // Witnesses ask before anything is published: record 0 is then served without a proof.
        let published = self.published.current().map_or(0, |head| head.signed.size);
        let size = match request.into_inner().size {
            0 => published,
            size => size,
        };
        if size > published {
            return Err(Status::failed_precondition(
                "the published log does not reach there",
            ));
        }
        let (config, inclusion) = self
            .read(move |this| {
                let inclusion = match size {
                    0 => Vec::new(),
                    size => this.ledger.inclusion(0, size)?,
                };
                Ok((this.ledger.record(0)?, inclusion))
            })
            .await?;
        let inclusion = hashes_to_wire(&inclusion);
        Ok(Response::new(GetConfigResponse {
            config: config.into(),
            inclusion,
            size,
        }))
    }
}
