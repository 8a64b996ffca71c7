//! The own account, as an application changes, checks and shares it.

use candor_core::account::Device as DeviceRecord;
use candor_core::verification::PublicCode;

use super::{Device, DeviceError, internal, random, unexpected};
use crate::device::edit::Edit;
use crate::device::machine::Machine;
use crate::device::protocol::{Command, EditFailure, Edited, Outcome};
use crate::device::requirements::AccountFacts;
use crate::device::trouble::Trouble;
use crate::shared::{Merge, SealedState, SeenHead, SharedKey};
use crate::store::Store;

impl<S: Store> Device<S> {
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

    /// The code that stands for the own account key; `None` without one.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn public_code(&self) -> Result<Option<PublicCode>, DeviceError> {
        self.change(|machine| machine.public_code()).await
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

    /// Whether verification was on for the own account at the last check.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Store`].
    pub async fn is_on(&self) -> Result<bool, DeviceError> {
        self.change(|machine| machine.is_on()).await
    }

    /// What the person's devices share, sealed: to be kept where all of them find it. Call
    /// [`Self::sync_uploaded`] when it is there.
    ///
    /// # Errors
    ///
    /// [`DeviceError::NoKey`], [`DeviceError::Seal`], [`DeviceError::Store`].
    pub async fn sync_export(&self) -> Result<SealedState, DeviceError> {
        let key = self.shared_key()?;
        let head = self.client.known_head().await.map_err(internal)?;
        let export = |machine: &mut Machine| {
            if let Some(head) = head {
                let (size, root) = (head.size, head.root);
                machine.saw_head(SeenHead { size, root });
            }
            machine.export()
        };
        let state = self.change(export).await?;
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
}
