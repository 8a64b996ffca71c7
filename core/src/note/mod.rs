//! Signed notes and what is built from them: checkpoints, cosignatures, policies, proofs and the
//! bodies of the witness protocol, as C2SP specifies them.
//!
//! Parsing and trusting are apart. [`SignedNote`] and [`Checkpoint`] are only well formed; what
//! keys vouch for is a [`LogCheckpoint`] (by [`LogVerifier`], the log's keys alone) or a
//! [`VerifiedCheckpoint`] (by [`Policy`], the log's keys and a quorum of witnesses), and nothing
//! but verification makes one. A line by a known key that does not verify condemns the whole
//! note; lines by unknown keys are ignored. Checkpoints with extension lines are refused: ML-DSA
//! cosignatures do not cover them, so they could differ between readers.

mod checkpoint;
mod evidence;
mod head_gossip;
mod key;
mod log_list;
mod policy;
mod policy_parser;
mod signature;
mod signed_note;
mod signer;
mod subtree;
mod text;
mod tlog_proof;
mod verified;
mod witness_api;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use evidence::{Evidence, EvidenceError, ProvedBeginning};
pub use head_gossip::GossipHead;
pub use key::{Algorithm, KeyId, KeyName, KeyNameError, VerifierKey, VkeyError};
pub use log_list::{ListedLog, LogList, LogListError};
pub use policy::{Policy, PolicyLog, PolicyName, PolicyWitness};
pub use policy_parser::{PolicyFault, PolicyParseError};
pub use signature::{LineError, VerifiedSignature};
pub use signed_note::{NoteError, SignatureLine, SignedNote};
pub use signer::{NoteSigner, SignError, SoftwareSigner};
pub use subtree::{SignSubtree, SubtreeHead};
pub use tlog_proof::{TlogProof, TlogProofError, TlogProofParseError};
pub use verified::{
    Cosignature, FreshnessError, LogCheckpoint, LogVerifier, LogVerifyError, PolicyError,
    VerifiedCheckpoint,
};
pub use witness_api::{
    AddCheckpoint, BodyError, SIZE_CONTENT_TYPE, encode_cosignatures, encode_size, monitoring_path,
    parse_cosignatures, parse_size,
};
