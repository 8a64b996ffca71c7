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

use super::{Service, head_answer};

type Heads = Pin<Box<dyn Stream<Item = Result<GetHeadResponse, Status>> + Send>>;

#[async_trait]
impl Log for Service {
    async fn get_head(
        &self,
        request: Request<GetHeadRequest>,
    ) -> Result<Response<GetHeadResponse>, Status> {
        let request = request.into_inner();
        let published = self.published()?;
        let (head, consistency) = head_answer(
            self,
            &published,
            request.verified_size,
            request.post_quantum,
        )
        .await?;
        let consistency = hashes_to_wire(&consistency);
        Ok(Response::new(GetHeadResponse {
            head: Some(head),
            consistency,
        }))
    }

    type WatchHeadsStream = Heads;

    async fn watch_heads(
        &self,
        request: Request<WatchHeadsRequest>,
    ) -> Result<Response<Heads>, Status> {
        let post_quantum = request.into_inner().post_quantum;
        let published = std::sync::Arc::clone(&self.published);
        let mut last_size = 0;
        let heads = WatchStream::new(self.published.progress())
            .filter_map(move |_| {
                let head = published
                    .current()
                    .filter(|head| head.signed.size > last_size);
                last_size = head.as_ref().map_or(last_size, |head| head.signed.size);
                let message = head.map(|head| GetHeadResponse {
                    head: Some(candor_proto::head_to_wire(head.head(post_quantum))),
                    consistency: Vec::new(),
                });
                std::future::ready(message.map(Ok))
            })
            .take_until(self.shutdown.clone().cancelled_owned());
        Ok(Response::new(Box::pin(heads)))
    }

    async fn get_consistency(
        &self,
        request: Request<GetConsistencyRequest>,
    ) -> Result<Response<GetConsistencyResponse>, Status> {
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
