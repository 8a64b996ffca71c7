//! The state machine with a network, a clock and a store: what an application calls.

use std::sync::Arc;

use candor_core::account::{Device as DeviceRecord, Label};
use candor_core::verification::{ComparisonCode, ComparisonError, ComparisonMessage, PublicCode};
use tokio::sync::{Mutex, MutexGuard};

use super::alert::{Alert, AlertKind, Subject};
use super::edit::Edit;
use super::judge::Logged;
use super::machine::{Compared, Identity, Machine};
use super::protocol::{
    Action, Answer, Clearance, CodeEntered, Command, CompareFailure, ContactView, EditFailure,
    Edited, Event, OfferedDevice, Outcome, Question,
};
use super::requirements::AccountFacts;
use super::trouble::Trouble;
use crate::client::Client;
use crate::error::Error;
use crate::gossip::Gossiped;
use crate::publish::Published;
use crate::shared::{Merge, SealError, SealedState, SharedKey};
use crate::store::{Store, StoreError};

/// A device of a person's account. Clones share it; calls take turns.
///
/// Everything that the person has to be told is in [`Self::alerts`], and what changed since the
/// last call in [`Self::take_events`]. A call that is cancelled leaves everything as if there had
/// been no network.
#[derive(Debug)]
pub struct Device<S> {
    client: Client<S>,
    me: Identity,
    inner: Arc<Mutex<Inner>>,
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

#[derive(Debug, Default)]
struct Inner {
    /// `None` while something is written, and after that failed: then what is stored counts, and is
    /// read again.
    machine: Option<Machine>,
    events: Vec<Event>,
}

/// Why a call of a [`Device`] failed. What the log does is never an error here, but an outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The device's store failed. The environment is at fault; nothing was told that was not kept.
    #[error(transparent)]
    Store(#[from] StoreError),
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

    /// Publishes this device as its identity has it, and creates the account if there is none.
    ///
    /// # Errors
    ///
    /// [`DeviceError`]; how it went is the outcome.
    pub async fn publish(&self) -> Result<Result<Edited, EditFailure>, DeviceError> {
        self.edit(Edit::Publish).await
    }

    /// Turns verification on for the whole account, if every device of it meets the requirements.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub async fn enrol(
        &self,
        facts: AccountFacts,
    ) -> Result<Result<Edited, EditFailure>, DeviceError> {
        self.edit(Edit::TurnOn(facts)).await
    }

    /// Turns verification off for the whole account. Contacts who have it on are told.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub async fn turn_off(&self) -> Result<Result<Edited, EditFailure>, DeviceError> {
        self.edit(Edit::TurnOff).await
    }

    /// Adds another device of the person, or replaces it.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub async fn add_device(
        &self,
        device: DeviceRecord,
    ) -> Result<Result<Edited, EditFailure>, DeviceError> {
        self.edit(Edit::AddDevice(device)).await
    }

    /// Removes a device of the account, by its identifier.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub async fn remove_device(
        &self,
        id: &[u8],
    ) -> Result<Result<Edited, EditFailure>, DeviceError> {
        self.edit(Edit::RemoveDevice(id.to_vec())).await
    }

    /// Declares the account key lost and replaced by this device's. Contacts are told.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub async fn reset(&self) -> Result<Result<Edited, EditFailure>, DeviceError> {
        self.edit(Edit::Reset).await
    }

    async fn edit(&self, edit: Edit) -> Result<Result<Edited, EditFailure>, DeviceError> {
        match self.run(Command::Edit(edit)).await? {
            Outcome::Edited(outcome) => Ok(outcome),
            _ => Err(DeviceError::Internal),
        }
    }

    /// What the application knows of the account's devices now: to be told whenever that changes.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn set_facts(&self, facts: &AccountFacts) -> Result<(), DeviceError> {
        let now_s = self.client.now_s();
        self.change(|machine| machine.set_facts(now_s, facts)).await
    }

    /// Saves a contact, whom ticks then check.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Full`], [`DeviceError::Store`].
    pub async fn save_contact(&self, label: &Label) -> Result<(), DeviceError> {
        match self.change(|machine| machine.save_contact(label)).await? {
            true => Ok(()),
            false => Err(DeviceError::Full),
        }
    }

    /// Forgets a contact and what was verified of it.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn forget_contact(&self, label: &Label) -> Result<(), DeviceError> {
        self.change(|machine| machine.forget_contact(label)).await
    }

    /// The saved contacts, and whether the person verified the key of each.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn contacts(&self) -> Result<Vec<(Label, bool)>, DeviceError> {
        self.change(|machine| {
            let contacts = machine.contacts();
            contacts
                .map(|(label, mark)| (label.clone(), mark))
                .collect()
        })
        .await
    }

    /// Checks a saved contact now.
    ///
    /// # Errors
    ///
    /// [`DeviceError::NotSaved`], [`DeviceError::Store`].
    pub async fn check(&self, label: &Label) -> Result<Result<ContactView, Trouble>, DeviceError> {
        match self.run(Command::Check(label.clone())).await? {
            Outcome::Contact(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether messages to a saved contact may be encrypted to these devices, which the messenger's
    /// own servers offer.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub async fn before_send(
        &self,
        label: &Label,
        offered: Vec<OfferedDevice>,
    ) -> Result<Clearance, DeviceError> {
        match self
            .run(Command::BeforeSend(label.clone(), offered))
            .await?
        {
            Outcome::Clearance(clearance) => Ok(clearance),
            other => Err(unexpected(&other)),
        }
    }

    /// Checks the own account now. `true` if it is in order.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn self_check(&self) -> Result<Result<bool, Trouble>, DeviceError> {
        match self.run(Command::SelfCheck).await? {
            Outcome::SelfCheck(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// Does everything that is due: call it whenever the application wakes up, at least daily.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn tick(&self) -> Result<(), DeviceError> {
        let now_s = self.client.now_s();
        let mut inner = self.machine().await?;
        machine_of(&mut inner)?.tick(now_s);
        self.drive(&mut inner).await.map(drop)
    }

    /// Begins to compare codes with a saved contact, when the person taps Verify. The message goes
    /// to the contact's device.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub async fn compare(
        &self,
        label: &Label,
    ) -> Result<Result<ComparisonMessage, CompareFailure>, DeviceError> {
        let nonce = random()?;
        match self.run(Command::Compare(label.clone(), nonce)).await? {
            Outcome::Compare(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes a message of the contact's comparison; what comes back goes to the contact's device.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`]; why a session ended is the outcome.
    pub async fn compare_receive(
        &self,
        label: &Label,
        message: &ComparisonMessage,
    ) -> Result<Result<Option<ComparisonMessage>, ComparisonError>, DeviceError> {
        let now_s = self.client.now_s();
        self.change(|machine| machine.compare_receive(now_s, label, message))
            .await
    }

    /// The code to show and to read aloud, once there is one.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn compare_code(&self, label: &Label) -> Result<Option<ComparisonCode>, DeviceError> {
        self.change(|machine| machine.compare_code(label)).await
    }

    /// Ends the comparison with what the person said: whether both see the same code.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn compare_finish(
        &self,
        label: &Label,
        is_equal: bool,
    ) -> Result<Compared, DeviceError> {
        self.change(|machine| machine.compare_finish(label, is_equal))
            .await
    }

    /// The code that stands for the own account key; `None` without one.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn public_code(&self) -> Result<Option<PublicCode>, DeviceError> {
        self.change(|machine| machine.public_code()).await
    }

    /// Holds a public code, which the person pasted or scanned, against a saved contact's key.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub async fn enter_code(
        &self,
        label: &Label,
        code: PublicCode,
    ) -> Result<Result<CodeEntered, Trouble>, DeviceError> {
        match self.run(Command::EnterCode(label.clone(), code)).await? {
            Outcome::Code(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// What a saved contact's own proof, which came with a message, shows of it, without asking the
    /// server about anyone: its devices, if the account key is the one seen before; `None` if only
    /// [`Self::check`] can tell.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub async fn proof_in(
        &self,
        label: &Label,
        file: &[u8],
    ) -> Result<Result<Option<ContactView>, Trouble>, DeviceError> {
        let command = Command::Proof(label.clone(), file.to_vec());
        match self.run(command).await? {
            Outcome::Proof(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// A proof of the own account as it is now, to be sent along with messages.
    ///
    /// # Errors
    ///
    /// None of its own: why there is none is the outcome.
    pub async fn proof_out(&self) -> Result<Vec<u8>, Trouble> {
        let file = self.client.save_proof(&self.me.label).await;
        file.map_err(|error| Trouble::from(&error))
    }

    /// The newest head that this device verified, to go with a message to a contact; `None` for the
    /// messages that carry none ([`Identity::gossip_one_in`]).
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`], [`DeviceError::Internal`].
    pub async fn gossip_out(&self) -> Result<Option<Vec<u8>>, DeviceError> {
        let drawn = u32::from_be_bytes(random()?);
        match drawn.checked_rem(self.me.gossip_one_in) {
            Some(0) => self.client.gossip_out().await.map_err(internal),
            Some(_) | None => Ok(None),
        }
    }

    /// Holds a head that came with a contact's message against the own: whether it belongs to the
    /// log, or `false` if the log is not that far yet. It is tried again by ticks then.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn gossip_in(&self, message: &[u8]) -> Result<Result<bool, Trouble>, DeviceError> {
        match self.run(Command::Gossip(message.to_vec())).await? {
            Outcome::Gossip(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether verification was on for the own account at the last check.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn is_on(&self) -> Result<bool, DeviceError> {
        self.change(|machine| machine.is_on()).await
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

    /// What the person's devices share, sealed: to be kept where all of them find it. Call
    /// [`Self::sync_uploaded`] when it is there.
    ///
    /// # Errors
    ///
    /// [`DeviceError::NoKey`], [`DeviceError::Seal`], [`DeviceError::Store`].
    pub async fn sync_export(&self) -> Result<SealedState, DeviceError> {
        let key = self.shared_key()?;
        let state = self.change(|machine| machine.shared().clone()).await?;
        Ok(SealedState::seal(&state, &key, random()?)?)
    }

    /// What was exported last is where the other devices find it: it must not be lost again.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn sync_uploaded(&self) -> Result<(), DeviceError> {
        self.change(Machine::uploaded).await
    }

    /// Takes in what another device of the person exported.
    ///
    /// # Errors
    ///
    /// As [`Self::sync_export`].
    pub async fn sync_merge(&self, sealed: &[u8]) -> Result<Merge, DeviceError> {
        let state = SealedState::open(sealed, &self.shared_key()?)?;
        let now_s = self.client.now_s();
        self.change(|machine| machine.merge(now_s, &state)).await
    }

    fn shared_key(&self) -> Result<SharedKey, DeviceError> {
        let seed = self.me.account_key.as_ref().ok_or(DeviceError::NoKey)?;
        Ok(SharedKey::derive(seed, &self.me.origin, &self.me.label))
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
            let (client, me) = (self.client.clone(), self.me.clone());
            let load = move || Machine::load(me, |key| client.store().read(key));
            let loaded = tokio::task::spawn_blocking(load).await;
            inner.machine = Some(loaded.map_err(|_| DeviceError::Internal)??);
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
                Action::Tell(event) => inner.events.push(event),
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
            Question::History { label, from } => {
                let found = self.client.versions(&label, from).await;
                Answer::History(match found {
                    Ok(versions) => Ok(versions.iter().map(Logged::from).collect()),
                    Err(error) => Err(Trouble::from(&error)),
                })
            }
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
