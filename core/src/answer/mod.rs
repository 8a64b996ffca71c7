//! What a device checks of an answer (`docs/protocol.md`, "What a device verifies"), in the order
//! of the specification.
//!
//! An answer is a head, proof that its newest record is the log's last leaf, and for each account a
//! proof at that record's map root. The types here hold an answer as it came; the only way from one
//! of them to its `Verified` counterpart is `verify`, and a later check takes the verified result
//! of an earlier one, so none can be left out. Nothing here asks a server: the same checks run on
//! an answer that came over gRPC, in a message, or in a `.candor-proof` file.

mod account;
mod config;
mod head;
mod proof_file;
mod proved_keys;
mod second;
mod trust;

pub use account::{
    AccountProof, AccountProofError, Disclosure, Query, VerifiedAccount, VerifiedVersion,
    VersionProof,
};
pub use config::{ConfigError, ConfigProof, VerifiedConfig};
pub use head::{HeadError, HeadProof, KnownHead, VerifiedHead};
pub use proof_file::{ProofFile, ProofFileError, VerifiedLookup};
pub use proved_keys::ProvedKeys;
pub use second::{SecondHead, SecondHeadError};
pub use trust::{MAX_AGE_S, SKEW_S, SecondTrust, Trust, TrustError};
