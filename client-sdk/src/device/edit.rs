//! Changes that a person makes to the own account, as the next state of it.

use candor_core::account::{
    AccountKey, AccountState, Device, Label, RuleError, StateError, VerifiedState, VerifiedValue,
    check_successor,
};
use candor_core::crypto::Ed25519SecretKey;
use thiserror::Error;

use super::own::record_tag;
use super::requirements::{AccountFacts, Requirements, Unmet};
use crate::shared::SharedState;

/// A change of the own account.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Publishes this device as it is now; the account is created if there is none.
    Publish,
    /// Turns verification on for the whole account.
    TurnOn(AccountFacts),
    /// Turns it off. Contacts are told.
    TurnOff,
    /// Adds a device, or replaces it.
    AddDevice(Device),
    /// Removes a device, by its identifier; with an unrecognised one all unrecognised ones.
    RemoveDevice(Vec<u8>),
    /// Declares that the account key is lost and replaced by this device's. Contacts are told, and
    /// what they verified is void.
    Reset,
}

/// Why a change was not made. The caller is at fault, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EditError {
    /// The account may not turn verification on yet.
    #[error("verification cannot be turned on yet")]
    Unmet(Vec<Unmet>),
    /// This device has no account key.
    #[error("this device does not have the account key")]
    NoKey,
    /// The account has another account key than this device: another device replaced it.
    #[error("the account has another account key than this device")]
    OtherKey,
    /// The own label is bound to another account. The operator is at fault.
    #[error("the label of this account leads to another one")]
    Bound,
    /// There is no account yet, or no such device.
    #[error("there is nothing to change")]
    Nothing,
    /// The account has devices that none of the person's devices added, and signing the change
    /// would vouch for them: their names. Remove them first, or add those that are the person's.
    #[error("the account has unrecognised devices")]
    Strangers(Vec<String>),
    /// The device does not fit in a state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The change breaks the rules of accounts.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

/// This device's account, as far as an edit needs it.
pub(super) struct Account<'a> {
    pub(super) label: &'a Label,
    pub(super) device: &'a Device,
    pub(super) key: Option<&'a Ed25519SecretKey>,
    pub(super) requirements: &'a Requirements,
    pub(super) shared: &'a SharedState,
}

impl Account<'_> {
    /// The value that makes a change after `newest`; `None` if it holds already.
    pub(super) fn apply(
        &self,
        newest: Option<&VerifiedValue>,
        edit: &Edit,
    ) -> Result<Option<VerifiedValue>, EditError> {
        let current = match newest {
            None => None,
            Some(VerifiedValue::State(state)) => Some(state),
            Some(VerifiedValue::Binding(_)) => return Err(EditError::Bound),
        };
        let mut next = match current {
            None => AccountState::first(),
            Some(state) => state.successor()?,
        };
        self.change(&mut next, current, edit)?;
        let added = match edit {
            Edit::AddDevice(device) => std::slice::from_ref(device),
            _ => &[],
        };
        let devices = next.devices.iter();
        let strangers = devices.filter(|device| !self.is_ours(device, added));
        let strangers: Vec<_> = strangers.map(|device| device.name.clone()).collect();
        if !strangers.is_empty() {
            return Err(EditError::Strangers(strangers));
        }
        let unchanged = current.is_some_and(|state| {
            let state = state.state();
            let key = self.key.map(own_key);
            state.devices == next.devices
                && state.enrolled == next.enrolled
                && state.account_key == key
        });
        if unchanged {
            return Ok(None);
        }
        let value = VerifiedValue::State(match self.key {
            Some(key) => next.sign(self.label, key)?,
            None => next.without_signature(self.label)?,
        });
        match check_successor(newest, &value) {
            Ok(_) => Ok(Some(value)),
            Err(RuleError::KeyChanged) => Err(EditError::OtherKey),
            Err(RuleError::Unsigned) => Err(EditError::NoKey),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a device, with these keys, is one that the person's devices added.
    fn is_ours(&self, device: &Device, added: &[Device]) -> bool {
        let is_same = |known: &Device| known.id == device.id && known.keys == device.keys;
        is_same(self.device)
            || added.iter().any(is_same)
            || self.shared.has_device(record_tag(device))
    }

    fn change(
        &self,
        next: &mut AccountState,
        current: Option<&VerifiedState>,
        edit: &Edit,
    ) -> Result<(), EditError> {
        match edit {
            Edit::Publish => put(&mut next.devices, self.device),
            Edit::AddDevice(device) => put(&mut next.devices, device),
            Edit::RemoveDevice(id) => {
                let gone = next.devices.iter().find(|device| device.id == *id);
                let is_stranger = !self.is_ours(gone.ok_or(EditError::Nothing)?, &[]);
                next.devices.retain(|device| device.id != *id);
                // To sign what is left would vouch for the others.
                if is_stranger {
                    next.devices.retain(|device| self.is_ours(device, &[]));
                }
            }
            Edit::TurnOff => {
                current.ok_or(EditError::Nothing)?;
                next.enrolled = false;
            }
            Edit::TurnOn(facts) => {
                self.key.ok_or(EditError::NoKey)?;
                put(&mut next.devices, self.device);
                let unmet = self.requirements.unmet(&next.devices, facts);
                if !unmet.is_empty() {
                    return Err(EditError::Unmet(unmet));
                }
                next.enrolled = true;
            }
            Edit::Reset => {
                let key = self.key.map(own_key).ok_or(EditError::NoKey)?;
                let lost = current.and_then(|state| state.state().account_key);
                if lost.is_none() || lost == Some(key) {
                    return Err(EditError::Nothing);
                }
                next.reset = lost;
                // What the lost key vouched for, the new one does not.
                next.devices = vec![self.device.clone()];
            }
        }
        Ok(())
    }
}

pub(super) fn own_key(key: &Ed25519SecretKey) -> AccountKey {
    AccountKey(*key.public_key().as_bytes())
}

fn put(devices: &mut Vec<Device>, device: &Device) {
    match devices.binary_search_by(|other| other.id.cmp(&device.id)) {
        Ok(place) => devices[place] = device.clone(),
        Err(place) => devices.insert(place, device.clone()),
    }
}
