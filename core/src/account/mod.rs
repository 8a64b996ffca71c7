//! Accounts: what they are called, what is logged of them, and what may follow what.
//!
//! A [`Label`] names an account. Its logged value is a state of the account ([`AccountState`]), or,
//! where people know a person by several identifiers, a [`Binding`] of the label to the one that
//! holds the state. [`check_successor`] holds the rules by which one value may follow another; the
//! server applies them before it logs and a device when it looks back, so neither has rules of its
//! own. A state is encoded by hand, not by a general serializer, because its hash and its signature
//! need one encoding; decoding gives an unverified type, and only verification (or signing) gives
//! the verified one that the rules take. So no chain of states is judged that was not checked.
//!
//! # Specification
//!
//! `docs/protocol.md`, "Labels, versions, values" and "Accounts and contact key verification".

mod device;
mod file;
mod label;
mod rules;
mod state;
mod value;

pub use device::{Device, DeviceKey};
pub use file::{ACCOUNT_LINE_BYTES_MAX, AccountFileHeader, AccountLine, AccountLineError};
pub use label::{Label, LabelError, LabelKind, is_invisible};
pub use rules::{Change, RuleError, check_successor};
pub use state::{AccountKey, AccountState, Standing, StateError, UnverifiedState, VerifiedState};
pub use value::{Binding, BindingError, UnverifiedValue, ValueError, VerifiedValue};
