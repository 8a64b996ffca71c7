//! `.candor-proof` files: a lookup answer without its transport.
//!
//! The file is a tlog-proof (c2sp.org/tlog-proof) of the newest epoch record, so every tool for
//! those checks the record's inclusion and the cosignatures. Its `extra` line holds what only this
//! protocol knows: the record, the log's configuration and the account proof. Whoever has the file
//! and the policy can verify it without asking anyone, so nobody learns who looks whom up.
//!
//! ```text
//! struct {
//!   uint8 format = 1;                // 2 with a second head
//!   opaque record<0..2^8-1>;
//!   opaque config<0..2^16-1>;
//!   uint8 count; Hash config_inclusion[count];
//!   opaque label<1..2^8-1>;
//!   opaque account<0..2^32-1>;       // AccountProof for the greatest version
//!   select (format) { case 2:
//!     opaque second<0..2^32-1>;      // the checkpoint of the second head
//!     uint8 count; Hash second_consistency[count]; };
//! } Extra;
//! ```

use thiserror::Error;

use super::account::{AccountProof, AccountProofError, Query, VerifiedAccount};
use super::config::{ConfigError, ConfigProof, VerifiedConfig};
use super::head::{HeadError, HeadProof, KnownHead, VerifiedHead};
use super::second::{SecondHead, SecondHeadError};
use super::trust::Trust;
use crate::Hash;
use crate::account::Label;
use crate::codec::{DecodeError, Reader, Writer as _};
use crate::epoch::EpochRecord;
use crate::limits::{
    LABEL_BYTES_MAX, LOG_PROOF_HASHES_MAX, NOTE_BYTES_MAX, TLOG_PROOF_EXTRA_BYTES_MAX,
};
use crate::note::{NoteError, SignedNote, TlogProof, TlogProofParseError, VerifiedCheckpoint};

const FORMAT: u8 = 1;

const FORMAT_WITH_SECOND: u8 = 2;

/// Longest configuration in bytes: what its length can say.
const CONFIG_BYTES_MAX: usize = u16::MAX as usize;

/// A lookup answer as a file. It proves nothing until [`ProofFile::verify`].
#[derive(Clone, Debug)]
pub struct ProofFile {
    /// The head at which the account is proved.
    pub head: HeadProof,
    /// The second head, for those whose trust asks for one.
    pub second: Option<SecondHead>,
    /// The log's configuration at that head.
    pub config: ConfigProof,
    /// The label that was looked up.
    pub label: Label,
    /// The proof of its greatest version.
    pub account: AccountProof,
}

/// Why a proof file was refused. Who made it is at fault, except where a case says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofFileError {
    /// The file is no tlog-proof.
    #[error("not a proof file: {0}")]
    Format(#[from] TlogProofParseError),
    /// Its checkpoint cannot be part of a file.
    #[error("not a proof file: {0}")]
    Note(#[from] NoteError),
    /// Its `extra` line is not Candor's.
    #[error("not a proof file of this protocol: {0}")]
    Extra(#[from] DecodeError),
    /// The head was refused; see [`HeadError`] for who is at fault.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The second head was refused; see [`SecondHeadError`] for who is at fault.
    #[error(transparent)]
    Second(#[from] SecondHeadError),
    /// The configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The account proof was refused.
    #[error(transparent)]
    Account(#[from] AccountProofError),
}

/// A lookup of which everything was verified.
#[derive(Clone, Debug)]
pub struct VerifiedLookup {
    /// The head at which it holds.
    pub head: VerifiedHead,
    /// The second head, if the trust asks for one.
    pub second: Option<VerifiedCheckpoint>,
    /// The log's configuration.
    pub config: VerifiedConfig,
    /// What the map holds of the label.
    pub account: VerifiedAccount,
}

impl ProofFile {
    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// [`ProofFileError::Note`] if the head's checkpoint is no note, [`ProofFileError::Extra`] if a
    /// part is longer than files have room for, as the record that ends a log is; the caller is at
    /// fault.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ProofFileError> {
        let note = SignedNote::parse(&self.head.checkpoint)?;
        let account = self.account.encode();
        let second = self.second.as_ref().map_or(&[][..], |it| &it.checkpoint);
        for (part, limit, field) in [
            (&self.head.record[..], EpochRecord::BYTES, "record"),
            (&self.config.config, CONFIG_BYTES_MAX, "configuration"),
            (&account, TLOG_PROOF_EXTRA_BYTES_MAX, "account proof"),
            (second, NOTE_BYTES_MAX, "second head"),
        ] {
            if part.len() > limit {
                return Err(DecodeError::TooLarge { field, limit }.into());
            }
        }
        let mut extra = vec![match self.second {
            None => FORMAT,
            Some(_) => FORMAT_WITH_SECOND,
        }];
        extra.opaque8(&self.head.record);
        extra.opaque16(&self.config.config);
        put_hashes(&mut extra, &self.config.inclusion, "configuration proof")?;
        extra.opaque8(self.label.as_bytes());
        extra.opaque32(&account);
        if let Some(second) = &self.second {
            extra.opaque32(&second.checkpoint);
            put_hashes(&mut extra, &second.consistency, "second head")?;
        }
        let size = crate::note::Checkpoint::parse(note.text()).map_or(0, |parsed| parsed.size());
        let index = size.saturating_sub(1);
        Ok(TlogProof {
            extra,
            index,
            hashes: self.head.inclusion.clone(),
            note,
        }
        .to_bytes())
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`ProofFileError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let proof = TlogProof::parse(bytes)?;
        let mut reader = Reader::new(&proof.extra);
        let has_second = match reader.u8("format")? {
            FORMAT => false,
            FORMAT_WITH_SECOND => true,
            _ => return Err(DecodeError::Invalid { field: "format" }.into()),
        };
        let record = reader.opaque8(EpochRecord::BYTES, "record")?.to_vec();
        let config = reader.opaque16(CONFIG_BYTES_MAX, "configuration")?.to_vec();
        let inclusion = hashes(&mut reader, "configuration proof")?;
        let label = str::from_utf8(reader.opaque8(LABEL_BYTES_MAX, "label")?)
            .ok()
            .and_then(|label| Label::parse(label).ok())
            .ok_or(DecodeError::Invalid { field: "label" })?;
        let account = reader.opaque32(TLOG_PROOF_EXTRA_BYTES_MAX, "account proof")?;
        let account = AccountProof::decode(account)?;
        let second = match has_second {
            false => None,
            true => Some(SecondHead {
                checkpoint: reader.opaque32(NOTE_BYTES_MAX, "second head")?.to_vec(),
                consistency: hashes(&mut reader, "second head")?,
            }),
        };
        reader.finish()?;
        let checkpoint = proof.note.to_bytes();
        let head = HeadProof {
            checkpoint,
            record,
            inclusion: proof.hashes,
        };
        let file = Self {
            head,
            second,
            config: ConfigProof { config, inclusion },
            label,
            account,
        };
        // The index is the one thing that the parts do not hold: there is one right one.
        if file.to_bytes()? == bytes {
            Ok(file)
        } else {
            Err(DecodeError::Invalid { field: "index" }.into())
        }
    }

    /// Verifies the file, offline. Nothing is compared with an earlier head unless the device
    /// `known`s the same size; a device that has one should ask the log for consistency.
    ///
    /// # Errors
    ///
    /// [`ProofFileError`].
    pub fn verify(
        self,
        trust: &Trust,
        known: Option<&KnownHead>,
        now_s: u64,
    ) -> Result<VerifiedLookup, ProofFileError> {
        // One of an ended log would prove its accounts for ever.
        let head = self.head.verify(trust, None, &[], now_s)?.living()?;
        let (size, root) = (head.known().size, head.known().root);
        if known.is_some_and(|known| known.size == size && known.root != root) {
            return Err(HeadError::SplitView { size }.into());
        }
        let second = match trust.second() {
            None => None,
            Some(asked) => {
                let second = self.second.ok_or(SecondHeadError::Missing)?;
                Some(second.verify(asked, head.checkpoint(), now_s)?)
            }
        };
        let config = self.config.verify(head.checkpoint())?;
        let root = &head.record().prefix_tree;
        let label = self.label.as_bytes();
        let account = self
            .account
            .verify(label, &Query::GREATEST, config.vrf(), root)?;
        Ok(VerifiedLookup {
            head,
            second,
            config,
            account,
        })
    }
}

fn put_hashes(out: &mut Vec<u8>, hashes: &[Hash], field: &'static str) -> Result<(), DecodeError> {
    check_count(hashes.len(), field)?;
    out.push(hashes.len() as u8);
    out.extend(hashes.iter().flat_map(|hash| hash.0));
    Ok(())
}

fn hashes(reader: &mut Reader<'_>, field: &'static str) -> Result<Vec<Hash>, DecodeError> {
    let count = usize::from(reader.u8(field)?);
    check_count(count, field)?;
    (0..count).map(|_| reader.hash(field)).collect()
}

const fn check_count(count: usize, field: &'static str) -> Result<(), DecodeError> {
    let limit = LOG_PROOF_HASHES_MAX;
    match count > limit {
        true => Err(DecodeError::TooLarge { field, limit }),
        false => Ok(()),
    }
}
