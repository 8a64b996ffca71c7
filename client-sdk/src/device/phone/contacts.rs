//! Contacts, and what devices of different people send each other.

use candor_core::account::Label;
use candor_core::verification::{ComparisonCode, ComparisonError, ComparisonMessage, PublicCode};

use super::{Device, DeviceError, internal, random, unexpected};
use crate::device::machine::Compared;
use crate::device::protocol::{
    Clearance, CodeEntered, Command, CompareFailure, ContactView, OfferedDevice, Outcome,
};
use crate::device::trouble::Trouble;
use crate::store::Store;

impl<S: Store> Device<S> {
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

    /// The newest head that this device verified, to go with a message to a contact; `None` for the
    /// messages that carry none ([`gossip_one_in`]).
    ///
    /// [`gossip_one_in`]: crate::device::Identity::gossip_one_in
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
}
