//! The accounts, values and batches that both sides get: the same for both, and in every run.

use candor_core::account::{AccountState, Binding, Label, VerifiedValue};

/// Length of every value in bytes: as long as the binding to a label of 30 bytes is.
pub const VALUE_BYTES: usize = 32;

/// A step through the accounts that is prime and above every size, so that it meets each once.
const STRIDE: u64 = 2_654_435_761;

/// The label of an account.
pub fn label(account: u64) -> Label {
    Label::parse(&format!("acct:user{account:010}")).unwrap()
}

/// The value that an account gets in an epoch of the run, different in each: the binding to the
/// epoch's primary label.
pub fn value(account: u64, epoch: u64) -> VerifiedValue {
    let value = VerifiedValue::Binding(Binding::new(label(account), primary(epoch)).unwrap());
    assert_eq!(value.encode().len(), VALUE_BYTES);
    value
}

/// The state that an epoch's primary label must hold before our side takes a binding to it.
pub fn primary_state(epoch: u64) -> VerifiedValue {
    let state = AccountState::first().without_signature(&primary(epoch));
    VerifiedValue::State(state.unwrap())
}

fn primary(epoch: u64) -> Label {
    Label::parse(&format!("acct:primary{epoch:018}")).unwrap()
}

/// Accounts of a map that holds `0..total`, in an order without a pattern: the ones from `start`
/// on in that order, around its end if need be, `count` different ones.
pub fn scattered(total: u64, start: u64, count: u64) -> Vec<u64> {
    assert!(count <= total, "a batch names an account once");
    let step = STRIDE % total;
    (start..start + count)
        .map(|place| (u128::from(place % total) * u128::from(step) % u128::from(total)) as u64)
        .collect()
}
