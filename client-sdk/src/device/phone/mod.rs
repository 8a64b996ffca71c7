//! The state machine with a network, a clock and a store: what an application calls.

mod account;
mod contacts;

use std::fmt;
use std::sync::Arc;

use candor_core::epoch::Successor;
use tokio::sync::{Mutex, MutexGuard};

use super::alert::{Alert, AlertKind, Subject};
use super::judge::Logged;
use super::machine::{Identity, Machine};
use super::protocol::{Action, Answer, Command, Event, Outcome, Question};
use super::trouble::Trouble;
use crate::client::Client;
use crate::error::Error;
use crate::gossip::Gossiped;
use crate::publish::Published;
use crate::shared::SealError;
use crate::store::{Store, StoreError};

/// Most events kept for an application that does not ask for them.
const EVENTS_MAX: usize = 1024;

/// A device of a person's account. Clones share it; calls take turns.
///
/// Everything that the person has to be told is in [`Self::alerts`], and what changed since the
/// last call in [`Self::take_events`]. A call that is cancelled leaves everything as if there had
/// been no network.
pub struct Device<S> {
    client: Client<S>,
    me: Identity,
    inner: Arc<Mutex<Inner>>,
}

impl<S> fmt::Debug for Device<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").finish_non_exhaustive()
    }
}

impl<S> Clone for Device<S> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            me: self.me.clone(),
            inner: Arc::clone(&self.inner),
        }
    }
}

#[derive(Default)]
struct Inner {
    /// `None` while something is written, and after that failed: then what is stored counts, and is
    /// read again.
    machine: Option<Machine>,
    events: Vec<Event>,
}

impl Inner {
    /// Keeps what the application was not told yet. What it never asks for is in
    /// [`Device::alerts`] all the same.
    fn keep(&mut self, event: Event) {
        self.events.retain(|known| *known != event);
        if self.events.len() >= EVENTS_MAX {
            self.events.remove(0);
        }
        self.events.push(event);
    }
}

/// Why a call of a [`Device`] failed. What the log does is never an error here, but an outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The device's store failed. The environment is at fault; nothing was told that was not kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The identity names another log than the client's. The caller is at fault.
    #[error("the identity names another log")]
    OtherLog,
    /// The contact is not saved. The caller is at fault.
    #[error("the contact is not saved")]
    NotSaved,
    /// There is no room for another contact. The caller is at fault.
    #[error("no more contacts can be saved")]
    Full,
    /// This device does not have the account key.
    #[error("this device does not have the account key")]
    NoKey,
    /// What the devices share could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// This library is at fault.
    #[error("an internal task failed")]
    Internal,
}

impl<S: Store> Device<S> {
    /// Opens a device with what its client's store holds. A client has one device.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn open(client: Client<S>, me: Identity) -> Result<Self, DeviceError> {
        if me.origin != client.origin() {
            return Err(DeviceError::OtherLog);
        }
        let device = Self {
            client,
            me,
            inner: Arc::default(),
        };
        drop(device.machine().await?);
        Ok(device)
    }

    /// The client beneath.
    pub const fn client(&self) -> &Client<S> {
        &self.client
    }

    /// Does everything that is due: call it whenever the application wakes up, at least daily.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn tick(&self) -> Result<(), DeviceError> {
        loop {
            let now_s = self.client.now_s();
            let mut inner = self.machine().await?;
            let is_more = machine_of(&mut inner)?.tick(now_s);
            self.drive(&mut inner).await?;
            if !is_more {
                return Ok(());
            }
        }
    }

    /// What the person has to see, the gravest first.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn alerts(&self) -> Result<Vec<Alert>, DeviceError> {
        self.change(|machine| machine.alerts()).await
    }

    /// The person has acted on an alert.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn acknowledge(&self, subject: &Subject, kind: AlertKind) -> Result<(), DeviceError> {
        self.change(|machine| machine.acknowledge(subject, kind))
            .await
    }

    /// What the application was not told yet.
    pub async fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.inner.lock().await.events)
    }

    /// Does one command.
    async fn run(&self, command: Command) -> Result<Outcome, DeviceError> {
        let now_s = self.client.now_s();
        let mut inner = self.machine().await?;
        machine_of(&mut inner)?.begin(now_s, command);
        self.drive(&mut inner).await?.ok_or(DeviceError::Internal)
    }

    /// Does something that asks for nothing.
    async fn change<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> Result<T, DeviceError> {
        let mut inner = self.machine().await?;
        let result = change(machine_of(&mut inner)?);
        self.drive(&mut inner).await?;
        Ok(result)
    }

    /// The machine, read from the store if need be, and rid of what a cancelled call left.
    async fn machine(&self) -> Result<MutexGuard<'_, Inner>, DeviceError> {
        let mut inner = self.inner.lock().await;
        if inner.machine.is_none() {
            // What a cancelled call still writes is written first.
            let turn = self.client.session().await.map_err(internal)?;
            let (client, me) = (self.client.clone(), self.me.clone());
            let load = move || Machine::load(me, |key| client.store().read(key));
            let loaded = tokio::task::spawn_blocking(load).await;
            inner.machine = Some(loaded.map_err(|_| DeviceError::Internal)??);
            drop(turn);
        }
        let now_s = self.client.now_s();
        machine_of(&mut inner)?.abandon(now_s);
        self.drive(&mut inner).await?;
        Ok(inner)
    }

    /// Does what the machine wants, and returns the last outcome.
    async fn drive(&self, inner: &mut Inner) -> Result<Option<Outcome>, DeviceError> {
        let mut outcome = None;
        while let Some(action) = machine_of(inner)?.next_action() {
            match action {
                // Who goes away while it is written leaves no machine that is ahead of the store.
                Action::Write(changes) => {
                    let machine = inner.machine.take();
                    self.write(changes).await?;
                    inner.machine = machine;
                }
                Action::Ask(question) => {
                    let answer = self.ask(question).await;
                    let now_s = self.client.now_s();
                    machine_of(inner)?.answer(now_s, answer);
                }
                Action::Tell(event) => inner.keep(event),
                Action::Done(done) => outcome = Some(done),
            }
        }
        Ok(outcome)
    }

    async fn write(&self, changes: Vec<crate::store::Change>) -> Result<(), DeviceError> {
        let written = async {
            let mut session = self.client.session().await?;
            session.changes = changes;
            session.commit().await
        };
        written.await.map_err(internal)
    }

    async fn ask(&self, question: Question) -> Answer {
        match question {
            Question::History { label, from } => match self.client.versions(&label, from).await {
                Ok((versions, successor)) => Answer::History {
                    versions: Ok(versions.iter().map(Logged::from).collect()),
                    successor: successor.as_ref().map(Successor::hash),
                },
                Err(error) => Answer::History {
                    versions: Err(Trouble::from(&error)),
                    successor: None,
                },
            },
            Question::Publish { version, value } => {
                let published = self.client.submit(version, &value).await;
                Answer::Published(match published {
                    Ok(Published::Visible(_)) => Ok(true),
                    Ok(Published::Committed(_)) => Ok(false),
                    Err(error) => Err(Trouble::from(&error)),
                })
            }
            Question::Proof(file) => {
                let verified = self.client.verify_proof(&file).await;
                Answer::Proof(match verified {
                    Ok((label, found)) => Ok((label, found.account.newest().map(Logged::from))),
                    Err(error) => Err(Trouble::from(&error)),
                })
            }
            Question::Gossip(message) => {
                let belongs = self.client.gossip_in(&message).await;
                Answer::Gossip(match belongs {
                    Ok(gossiped) => Ok(gossiped == Gossiped::Consistent),
                    Err(error) => Err(Trouble::from(&error)),
                })
            }
        }
    }
}

fn machine_of(inner: &mut Inner) -> Result<&mut Machine, DeviceError> {
    inner.machine.as_mut().ok_or(DeviceError::Internal)
}

fn internal(error: Error) -> DeviceError {
    match error {
        Error::Store(error) => DeviceError::Store(error),
        _ => DeviceError::Internal,
    }
}

fn unexpected(outcome: &Outcome) -> DeviceError {
    match outcome {
        Outcome::NotSaved => DeviceError::NotSaved,
        _ => DeviceError::Internal,
    }
}

fn random<const N: usize>() -> Result<[u8; N], DeviceError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| DeviceError::Internal)?;
    Ok(bytes)
}
