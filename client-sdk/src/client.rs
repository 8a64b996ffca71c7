//! The client and its sessions: one verified exchange at a time.
//!
//! A [`Session`] holds the client's turn, the memory as it was, and the changes to it. Every answer
//! passes through [`Session::accept_heads`] and then [`Session::accept_account`], and only
//! [`Session::commit`] writes, once, after everything was verified. This rules out that a refused
//! answer leaves a trace, and that two answers are verified against the same memory and then
//! overwrite each other's.

use std::sync::{self, Arc, MutexGuard, PoisonError};

use candor_core::account::Label;
use candor_core::answer::{
    AccountProof, AccountProofError, HeadError, KnownHead, Query, Trust, VerifiedAccount,
};
use candor_core::epoch::Successor;
use candor_core::note::{LogVerifier, VerifiedCheckpoint};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::config::{ClientConfig, Clock};
use crate::error::Error;
use crate::heads::HeadAnswer;
use crate::kept::Kept;
use crate::memory::{AccountMemory, Kind, LogMemory, OwnMemory, key};
use crate::rpc::Rpc;
use crate::store::{Change, Key, Store};

/// A device's view of one log. Clones share it.
///
/// Calls that verify take turns: a device asks one question at a time, or many in one
/// [`Client::lookup_batch`].
#[derive(Debug)]
pub struct Client<S> {
    inner: Arc<Inner<S>>,
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

pub(crate) struct Inner<S> {
    pub(crate) trust: Trust,
    pub(crate) rpc: Rpc,
    clock: Clock,
    store: Arc<S>,
    turn: Arc<Mutex<()>>,
    kept: sync::Mutex<Kept>,
}

impl<S> std::fmt::Debug for Inner<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("origin", &self.trust.origin())
            .finish_non_exhaustive()
    }
}

impl<S: Store> Client<S> {
    /// Makes a client. It connects at its first call, so being offline is no error here.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// As [`ClientConfig::connection`]; the caller is at fault.
    pub fn new(config: ClientConfig, store: S) -> Result<Self, Error> {
        let rpc = Rpc::new(&config)?;
        let inner = Inner {
            trust: config.trust,
            rpc,
            clock: config.clock,
            store: Arc::new(store),
            turn: Arc::new(Mutex::new(())),
            kept: sync::Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        self.inner.trust.origin()
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.inner.store
    }

    /// Fetches and verifies the newest published head.
    ///
    /// [`HeadError::Ended`] if that ended the log, as from every call that tells what holds now.
    /// Calls that look back answer all the same ([`Self::history`], [`Self::monitor_own`],
    /// [`Self::audit`], [`Self::gossip_in`], [`Self::checkpoint`]): what was done just before the
    /// end must not stay unseen.
    ///
    /// # Errors
    ///
    /// [`Error`]; see [`Error::fault`].
    pub async fn head(&self) -> Result<KnownHead, Error> {
        let mut session = self.session().await?;
        let head = session.ask_head().await?;
        session.commit_living().await?;
        Ok(head)
    }

    /// As [`Self::head`], with the whole checkpoint: every cosignature that the server has, where
    /// other answers may leave out what the quorum does not need or the device holds already.
    ///
    /// # Errors
    ///
    /// [`Error`]; see [`Error::fault`].
    pub async fn checkpoint(&self) -> Result<(VerifiedCheckpoint, KnownHead), Error> {
        let mut session = self.session().await?;
        let response = self.rpc().head(self.nothing_verified()).await?;
        let mut answer = HeadAnswer::whole(response)?;
        let accepted = session.accept_whole_heads(&mut answer).await?;
        session.commit().await?;
        Ok(accepted)
    }

    /// The head that was verified last, without asking the server.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn known_head(&self) -> Result<Option<KnownHead>, Error> {
        Ok(self.session().await?.log.map(|log| log.known))
    }

    /// The log that this one goes on as, if the head that was verified last ended it, without
    /// asking the server.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn successor(&self) -> Result<Option<Successor>, Error> {
        Ok(self.session().await?.log.and_then(|log| log.successor))
    }

    pub(crate) fn rpc(&self) -> &Rpc {
        &self.inner.rpc
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.inner.trust
    }

    pub(crate) fn now_s(&self) -> u64 {
        (self.inner.clock)()
    }

    /// What this process verified before.
    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        let kept = self.inner.kept.lock();
        kept.unwrap_or_else(PoisonError::into_inner)
    }

    /// The log's keys alone.
    pub(crate) fn log_verifier(&self) -> LogVerifier {
        let keys = self.trust().policy().logs().iter();
        LogVerifier::new(self.origin(), keys.map(|log| log.key().clone()).collect())
    }

    /// Waits for the client's turn and reads what it remembers of the log.
    pub(crate) async fn session(&self) -> Result<Session<S>, Error> {
        let turn = Arc::clone(&self.inner.turn).lock_owned().await;
        let mut session = Session {
            client: self.clone(),
            turn,
            log: None,
            changes: Vec::new(),
        };
        let bytes = session.read(key(Kind::Log, self.origin(), b"")).await?;
        session.log = bytes.map(|bytes| LogMemory::decode(&bytes)).transpose()?;
        Ok(session)
    }
}

/// One exchange with the server, from what is remembered to what will be.
pub(crate) struct Session<S> {
    pub(crate) client: Client<S>,
    turn: OwnedMutexGuard<()>,
    pub(crate) log: Option<LogMemory>,
    pub(crate) changes: Vec<Change>,
}

impl<S: Store> Session<S> {
    /// Asks for the newest head, and accepts it.
    pub(crate) async fn ask_head(&mut self) -> Result<KnownHead, Error> {
        let verified = self.verified().await?;
        let response = self.client.rpc().head(verified).await?;
        let answer = HeadAnswer::whole(response)?;
        let (_, head) = self.accept_heads(&answer).await?;
        Ok(head)
    }

    /// What is remembered of an account.
    pub(crate) async fn account_memory(
        &self,
        label: &Label,
    ) -> Result<Option<AccountMemory>, Error> {
        let key = key(Kind::Account, self.client.origin(), label.as_bytes());
        let bytes = self.read(key).await?;
        Ok(bytes
            .map(|bytes| AccountMemory::decode(&bytes))
            .transpose()?)
    }

    /// What is remembered of an account of this device's owner.
    pub(crate) async fn own_memory(&self, label: &Label) -> Result<OwnMemory, Error> {
        let key = key(Kind::Own, self.client.origin(), label.as_bytes());
        let bytes = self.read(key).await?;
        let memory = bytes.map(|bytes| OwnMemory::decode(&bytes)).transpose()?;
        Ok(memory.unwrap_or_default())
    }

    /// Will remember this of an account of this device's owner.
    pub(crate) fn remember_own(&mut self, label: &Label, memory: &OwnMemory) {
        let key = key(Kind::Own, self.client.origin(), label.as_bytes());
        self.changes.push((key, Some(memory.encode())));
    }

    /// Verifies an account proof at the accepted head (checks 4 to 7) and against what is
    /// remembered of the account (8).
    pub(crate) async fn accept_account(
        &mut self,
        label: &Label,
        query: &Query,
        proof: &[u8],
    ) -> Result<VerifiedAccount, Error> {
        let proof = AccountProof::decode(proof).map_err(AccountProofError::from)?;
        let root = self.log.as_ref().map(|log| log.known.map.root);
        let root = root.expect("the head is accepted before accounts");
        let account = {
            let mut kept = self.client.kept();
            let keys = kept.keys().expect("the head is accepted before accounts");
            proof.verify_again(label.as_bytes(), query, keys, &root)?
        };
        let remembered = self.account_memory(label).await?;
        let now = AccountMemory::check(remembered, &account)?;
        if let Some(now) = now.filter(|_| now != remembered) {
            let key = key(Kind::Account, self.client.origin(), label.as_bytes());
            self.changes.push((key, Some(now.encode())));
        }
        Ok(account)
    }

    /// Writes what was verified, all at once. The turn ends when it is written, even if nobody
    /// waits for it any more.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        let Self {
            client,
            turn,
            changes,
            ..
        } = self;
        if changes.is_empty() {
            return Ok(());
        }
        let written = tokio::task::spawn_blocking(move || {
            let result = client.inner.store.write(&changes);
            drop(turn);
            result
        });
        Ok(written.await.map_err(|_| Error::Internal)??)
    }

    /// As [`Self::commit`], for an answer that tells what holds now: an ended log has none.
    pub(crate) async fn commit_living(self) -> Result<(), Error> {
        let living = self.require_living();
        self.commit().await?;
        living
    }

    /// [`HeadError::Ended`] if the head that was accepted last ended the log.
    pub(crate) fn require_living(&self) -> Result<(), Error> {
        match self.log.as_ref().and_then(|log| log.successor.clone()) {
            Some(successor) => Err(HeadError::Ended(Box::new(successor)).into()),
            None => Ok(()),
        }
    }

    async fn read(&self, key: Key) -> Result<Option<Vec<u8>>, Error> {
        let store = Arc::clone(&self.client.inner.store);
        let read = tokio::task::spawn_blocking(move || store.read(&key));
        Ok(read.await.map_err(|_| Error::Internal)??)
    }
}
