//! Lookup answers as files: made here, verified anywhere, without asking anyone.

use candor_core::account::Label;
use candor_core::answer::{
    AccountProof, AccountProofError, HeadError, ProofFile, Query, SecondHeadError, VerifiedLookup,
};
use candor_core::epoch::{RecordOrderError, Successor};
use candor_core::note::SignedNote;
use candor_proto::WireError;

use crate::client::Client;
use crate::error::Error;
use crate::heads::HeadAnswer;
use crate::lookup::wire_query;
use crate::memory::{AccountMemory, LogMemory};
use crate::store::Store;

impl<S: Store> Client<S> {
    /// Looks a label up and returns the verified answer as a `.candor-proof` file.
    ///
    /// # Errors
    ///
    /// As [`Self::lookup`].
    pub async fn save_proof(&self, label: &Label) -> Result<Vec<u8>, Error> {
        let mut session = self.session().await?;
        let query = Query::GREATEST;
        // The file needs the whole heads, whatever the device holds.
        let nothing = self.nothing_verified();
        let response = self
            .rpc()
            .lookup(wire_query(label, &query), nothing)
            .await?;
        let mut answer = HeadAnswer::new(response.head, &[], response.second)?;
        let (checkpoint, _) = session.accept_whole_heads(&mut answer).await?;
        let head = answer.head.ok_or(WireError::Missing { field: "head" })?;
        session
            .accept_account(label, &query, &response.account)
            .await?;
        let (config, _) = session.fetch_config(&checkpoint).await?;
        session.commit_living().await?;
        let account = AccountProof::decode(&response.account).map_err(AccountProofError::from)?;
        // What the device remembers instead of a bad one does not help who gets the file.
        let second = match (self.trust().second(), answer.second) {
            (None, _) => None,
            (Some(_), None) => return Err(SecondHeadError::Missing.into()),
            (Some(asked), Some(second)) => {
                second.verify(asked, &checkpoint, self.now_s())?;
                Some(second)
            }
        };
        let file = ProofFile {
            head,
            second,
            config,
            label: label.clone(),
            account,
        };
        Ok(file.to_bytes()?)
    }

    /// Verifies a `.candor-proof` file without any network, and holds it against what this device
    /// remembers. The device remembers nothing of the file: what is in it was not shown to follow
    /// from the log that the device knows.
    ///
    /// # Errors
    ///
    /// [`HeadError::Ended`] if the device knows that the log has ended; [`Error::ProofFile`] if it
    /// is no such file; [`Error::SplitView`], [`Error::ContentChanged`]
    /// and [`Error::VersionWentBack`] if it contradicts what the device verified; else what is
    /// wrong with the answer in it.
    pub async fn verify_proof(&self, bytes: &[u8]) -> Result<(Label, VerifiedLookup), Error> {
        let file = ProofFile::parse(bytes)?;
        let session = self.session().await?;
        let label = file.label.clone();
        let remembered = session.account_memory(&label).await?;
        let known = session.log.as_ref().map(|log| log.known);
        // First of all: what the log signed and contradicts is evidence, even in a file in which
        // nothing else is wrong.
        let head = SignedNote::parse(&file.head.checkpoint).ok();
        let second = file.second.as_ref();
        let accused = session
            .find_evidence(&file.head.checkpoint, None)
            .or_else(|| {
                second.and_then(|second| session.find_evidence(&second.checkpoint, head.as_ref()))
            });
        if let Some(accused) = accused {
            return Err(accused);
        }
        let verified = file.verify(self.trust(), known.as_ref(), self.now_s())?;
        // Of the time before the end, or of none: nothing in it holds now.
        if let Some((log, successor)) = log_that_ended(session.log.as_ref()) {
            return Err(match verified.head.known().size > log.known.size {
                true => HeadError::from(RecordOrderError::Ended).into(),
                false => HeadError::Ended(Box::new(successor.clone())).into(),
            });
        }
        // An older head may well show fewer versions than the device has seen since.
        let size = verified.head.known().size;
        let is_older = known.is_some_and(|known| size < known.size);
        match AccountMemory::check(remembered, &verified.account) {
            Err(Error::VersionWentBack { .. }) if is_older => {}
            result => drop(result?),
        }
        Ok((label, verified))
    }
}

fn log_that_ended(log: Option<&LogMemory>) -> Option<(&LogMemory, &Successor)> {
    let log = log?;
    Some((log, log.successor.as_ref()?))
}
