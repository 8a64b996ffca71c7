//! What people compare: an account key, by 8 digits both read to each other, or by a public code.
//!
//! Both stand for the account key alone, so they hold while devices come and go, and end with a
//! reset. What the account is called, and which log holds it, is verified apart from them.

mod comparison;
mod public_code;

pub use comparison::{
    Comparison, ComparisonCode, ComparisonError, ComparisonMessage, LIFETIME_S, NONCE_BYTES, Step,
};
pub use public_code::{PublicCode, PublicCodeError};
