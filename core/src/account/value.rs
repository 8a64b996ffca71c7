//! The value of a label: a state of its account, or a binding to the account that holds the state.
//!
//! ```text
//! struct {
//!   uint8 kind;
//!   select (kind) {
//!     case 1: AccountState;
//!     case 2: opaque primary<1..255>;     /* a label in its normal form */
//!   };
//! } AccountValue;
//! ```
//!
//! A binding leads to a state in one step: a device that follows it and finds another binding
//! refuses. So no chain of bindings can be long, circular, or changed halfway.

use thiserror::Error;

use super::label::Label;
use super::state::{StateError, UnverifiedState, VerifiedState};
use crate::codec::{DecodeError, Reader, Writer as _};
use crate::limits::{LABEL_BYTES_MAX, VALUE_BYTES_MAX};

/// A well-formed value of which nothing was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnverifiedValue {
    /// The label's account has this state.
    State(UnverifiedState),
    /// The label's account is the one that `primary` names.
    Binding {
        /// The label that holds the state.
        primary: Label,
    },
}

impl UnverifiedValue {
    /// Decodes a value.
    ///
    /// # Errors
    ///
    /// Why `bytes` are not the encoding of a value. The sender is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                field: "value",
                limit: VALUE_BYTES_MAX,
            });
        }
        let mut reader = Reader::new(bytes);
        match reader.u8("value kind")? {
            KIND_STATE => {
                UnverifiedState::decode(reader.bytes(reader.remaining(), "account state")?)
                    .map(Self::State)
            }
            KIND_BINDING => {
                let text = str::from_utf8(reader.opaque8(LABEL_BYTES_MAX, "primary label")?);
                reader.finish()?;
                let primary = text.ok().and_then(|text| Label::parse(text).ok());
                primary
                    .map(|primary| Self::Binding { primary })
                    .ok_or(DecodeError::Invalid {
                        field: "primary label",
                    })
            }
            _ => Err(DecodeError::Invalid {
                field: "value kind",
            }),
        }
    }

    /// Verifies the value as one of `label`.
    ///
    /// # Errors
    ///
    /// Why the value cannot be believed of `label`. The server, or who gave it the value, is at
    /// fault.
    pub fn verify(self, label: &Label) -> Result<VerifiedValue, ValueError> {
        match self {
            Self::State(state) => Ok(VerifiedValue::State(state.verify(label)?)),
            Self::Binding { primary } => Ok(VerifiedValue::Binding(Binding::new(
                label.clone(),
                primary,
            )?)),
        }
    }
}

/// A value that was verified for its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifiedValue {
    /// The label's account has this state.
    State(VerifiedState),
    /// The label leads to another one.
    Binding(Binding),
}

impl VerifiedValue {
    /// The label whose value it is.
    pub const fn label(&self) -> &Label {
        match self {
            Self::State(state) => state.label(),
            Self::Binding(binding) => binding.label(),
        }
    }

    /// The bytes that the log commits to.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::State(state) => {
                out.push(KIND_STATE);
                out.extend_from_slice(state.as_bytes());
            }
            Self::Binding(binding) => {
                out.push(KIND_BINDING);
                out.opaque8(binding.primary().as_bytes());
            }
        }
        out
    }
}

/// That a label is a further identifier of the account that `primary` names.
///
/// No key signs it: who holds a telephone number is the operator's word. It is logged, so its owner
/// and every contact see when it moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    label: Label,
    primary: Label,
}

impl Binding {
    /// Binds `label` to the account of `primary`.
    ///
    /// # Errors
    ///
    /// [`BindingError::ToItself`] when both are the same. The caller or sender is at fault.
    pub fn new(label: Label, primary: Label) -> Result<Self, BindingError> {
        if label == primary {
            Err(BindingError::ToItself)
        } else {
            Ok(Self { label, primary })
        }
    }

    /// The label that is bound.
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// The label that holds the state.
    pub const fn primary(&self) -> &Label {
        &self.primary
    }
}

/// Why a binding cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BindingError {
    /// A label cannot lead to itself.
    #[error("the label is bound to itself")]
    ToItself,
}

/// Why a value cannot be believed of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The state does not verify.
    #[error(transparent)]
    State(#[from] StateError),
    /// The binding cannot be.
    #[error(transparent)]
    Binding(#[from] BindingError),
}

const KIND_STATE: u8 = 1;
const KIND_BINDING: u8 = 2;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::account::AccountState;

    fn label(text: &str) -> Label {
        Label::parse(text).unwrap()
    }

    #[test]
    fn both_kinds_come_back_as_they_were() {
        let alice = label("acct:alice");
        let state = AccountState::first().without_signature(&alice).unwrap();
        let binding = Binding::new(label("tel:+15551234567"), alice).unwrap();
        for value in [VerifiedValue::State(state), VerifiedValue::Binding(binding)] {
            let bytes = value.encode();
            let decoded = UnverifiedValue::decode(&bytes).unwrap();
            assert_eq!(decoded.verify(value.label()).unwrap(), value);
            for length in 0..bytes.len() {
                assert!(
                    UnverifiedValue::decode(&bytes[..length]).is_err(),
                    "{length}"
                );
            }
            assert!(UnverifiedValue::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_binding_names_another_label_in_its_normal_form() {
        for primary in [&b"acct:Alice"[..], b"alice", b"", b"acct:\xff"] {
            let mut bytes = vec![KIND_BINDING];
            bytes.opaque8(primary);
            let error = DecodeError::Invalid {
                field: "primary label",
            };
            assert_eq!(UnverifiedValue::decode(&bytes), Err(error));
        }
        let own = UnverifiedValue::Binding {
            primary: label("acct:alice"),
        };
        let error = ValueError::Binding(BindingError::ToItself);
        assert_eq!(own.verify(&label("acct:alice")), Err(error));
    }

    #[test]
    fn other_kinds_and_oversize_values_are_refused() {
        for kind in [0, 3, 255] {
            assert_eq!(
                UnverifiedValue::decode(&[kind, 1, b'a']),
                Err(DecodeError::Invalid {
                    field: "value kind"
                })
            );
        }
        assert_eq!(
            UnverifiedValue::decode(&vec![KIND_STATE; VALUE_BYTES_MAX + 1]),
            Err(DecodeError::TooLarge {
                field: "value",
                limit: VALUE_BYTES_MAX
            })
        );
    }
}
