//! Following the log's published heads.

use candor_core::answer::KnownHead;
use candor_proto::v1;
use tonic::Streaming;

use crate::client::Client;
use crate::error::Error;
use crate::heads::HeadAnswer;
use crate::store::Store;

/// A stream of verified heads, from [`Client::watch_heads`].
#[derive(Debug)]
pub struct HeadWatch<S> {
    client: Client<S>,
    stream: Streaming<v1::GetHeadResponse>,
}

impl<S: Store> Client<S> {
    /// Follows the published heads, from the newest one on.
    ///
    /// # Errors
    ///
    /// [`Error`]; see [`Error::fault`].
    pub async fn watch_heads(&self) -> Result<HeadWatch<S>, Error> {
        let mut session = self.session().await?;
        let verified = session.verified().await?;
        session.commit().await?;
        Ok(HeadWatch {
            client: self.clone(),
            stream: self.rpc().watch_heads(verified).await?,
        })
    }
}

impl<S: Store> HeadWatch<S> {
    /// Waits for the next head and verifies it; `None` when the server ended the stream. Heads that
    /// the client has overtaken meanwhile are skipped. After an error, watch again.
    ///
    /// # Errors
    ///
    /// [`Error`]; see [`Error::fault`].
    pub async fn next(&mut self) -> Result<Option<KnownHead>, Error> {
        loop {
            let Some(response) = self.client.rpc().next(&mut self.stream).await? else {
                return Ok(None);
            };
            let mut answer = HeadAnswer::whole(response)?;
            let mut session = self.client.session().await?;
            match session.accept_whole_heads(&mut answer).await {
                Ok((_, known)) => {
                    session.commit_living().await?;
                    return Ok(Some(known));
                }
                Err(Error::Head(candor_core::answer::HeadError::RolledBack { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
