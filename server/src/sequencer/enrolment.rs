//! What the operator asks of accounts beyond the rules of succession: how long resets are apart,
//! and what devices of enrolled accounts must be capable of.
//!
//! When a key was last reset is read from the label's versions and the records of their epochs: the
//! log itself, so that no restart forgets it, and nothing can say otherwise. Only a reset pays for
//! it, by reading what its label published within the cooldown.

use std::time::Duration;

use candor_core::account::{Label, UnverifiedValue, VerifiedValue};
use candor_core::epoch::EpochRecord;

use super::admission::Refusal;
use crate::ledger::{Account, Ledger, LedgerError, Version, damaged};
use crate::storage::Table;

/// What the operator asks of accounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnrolmentRules {
    /// Least time between two resets of a label, by the times of their records; none if zero.
    pub reset_cooldown: Duration,
    /// Least capability of each device of an enrolled account.
    pub enrolled_capability: u16,
}

impl EnrolmentRules {
    /// Whether every device of an enrolled state is capable enough.
    pub(super) fn check_capability(&self, value: &VerifiedValue) -> Result<(), Refusal> {
        let least = self.enrolled_capability;
        let VerifiedValue::State(state) = value else {
            return Ok(());
        };
        let state = state.state();
        let devices = state.devices.iter();
        if state.enrolled && devices.map(|device| device.capability).any(|it| it < least) {
            return Err(Refusal::CapabilityTooLow { least });
        }
        Ok(())
    }

    /// Whether a reset of a label may follow the resets that are stored.
    pub(super) fn check_reset(
        &self,
        ledger: &Ledger,
        label: &Label,
        now_ms: u64,
    ) -> Result<Result<(), Refusal>, LedgerError> {
        let account = ledger.account(label)?;
        let Some((newest, version)) = account.newest() else {
            return Ok(Ok(()));
        };
        let waited = self.check_wait(epoch_ms(ledger, version.epoch)?, now_ms);
        if waited.is_ok() || is_reset(&stored_value(label, &version.value, Table::Accounts)?) {
            return Ok(waited);
        }
        for number in (0..*newest).rev() {
            let earlier = ledger.version(label, number)?;
            // Records do not go back in time: what is before a version that is old enough, is too.
            let waited = self.check_wait(epoch_ms(ledger, earlier.epoch)?, now_ms);
            // What was erased may have been a reset. An erasure must not make the next one sooner.
            let is_reset = match earlier.kept {
                Some(version) => is_reset(&stored_value(label, &version.value, Table::Versions)?),
                None => true,
            };
            if waited.is_ok() || is_reset {
                return Ok(waited);
            }
        }
        Ok(Ok(()))
    }

    /// Whether a reset may follow one of `reset_ms`. A clock that is behind it has not waited.
    pub(super) fn check_wait(&self, reset_ms: u64, now_ms: u64) -> Result<(), Refusal> {
        let cooldown_ms = u64::try_from(self.reset_cooldown.as_millis()).unwrap_or(u64::MAX);
        let left_ms = match cooldown_ms {
            0 => 0,
            _ => reset_ms.saturating_add(cooldown_ms).saturating_sub(now_ms),
        };
        match left_ms.div_ceil(1000) {
            0 => Ok(()),
            left_s => Err(Refusal::ResetCooldown { left_s }),
        }
    }
}

/// Whether a value declares a reset. No first state can.
pub(super) fn is_reset(value: &VerifiedValue) -> bool {
    matches!(value, VerifiedValue::State(state) if state.state().reset.is_some())
}

/// Whether a binding may name this account: devices follow one step, to a state.
pub(super) fn has_state(account: &Account) -> Result<bool, LedgerError> {
    let Some((_, newest)) = account.newest() else {
        return Ok(false);
    };
    match UnverifiedValue::decode(&newest.value) {
        Ok(value) => Ok(matches!(value, UnverifiedValue::State(_))),
        Err(_) => Err(damaged(Table::Accounts)),
    }
}

/// The newest value of a label.
pub(super) fn newest_value(account: &Account) -> Result<Option<VerifiedValue>, LedgerError> {
    let value = |(_, newest): &(u32, Version)| {
        stored_value(account.label(), &newest.value, Table::Accounts)
    };
    account.newest().map(value).transpose()
}

/// A value that was read from the store. It was verified when it was admitted; what is stored is
/// not believed again without it.
fn stored_value(label: &Label, bytes: &[u8], table: Table) -> Result<VerifiedValue, LedgerError> {
    let value = UnverifiedValue::decode(bytes).ok();
    let value = value.and_then(|value| value.verify(label).ok());
    value.ok_or_else(|| damaged(table))
}

/// When an epoch was made.
fn epoch_ms(ledger: &Ledger, epoch: u64) -> Result<u64, LedgerError> {
    let record = EpochRecord::decode(&ledger.record(epoch)?);
    let record = record.map_err(|_| damaged(Table::Records))?;
    Ok(record.timestamp_ms)
}
