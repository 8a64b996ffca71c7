//! Publishing a version of an account, and what the device gets in return.

use candor_core::account::VerifiedValue;
use candor_core::answer::HeadProof;
use candor_core::epoch::EpochRecord;
use candor_core::log::{leaf_hash, verify_inclusion};
use candor_core::note::SignedNote;
use candor_proto::v1::submit_update_response::Outcome;
use candor_proto::{WireError, head_from_wire, v1};

use crate::client::Client;
use crate::error::{Error, ReceiptError};
use crate::lookup::AccountVersion;
use crate::memory::value_hash;
use crate::store::Store;

/// Longest server code that is passed on, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// The outcome of a publication that was not refused.
#[derive(Clone, Debug)]
pub enum Published {
    /// The version is in the published map: verified by a lookup.
    Visible(AccountVersion),
    /// The log signed for an epoch that, by the server's word, holds the version; the witnesses'
    /// quorum is still missing. [`Client::monitor_own`] will tell whether it became visible.
    Committed(Receipt),
}

/// What the log signed for an epoch before the witnesses did. Keep it: it commits the log to the
/// epoch's map.
#[derive(Clone, Debug)]
pub struct Receipt {
    epoch: u64,
    record: EpochRecord,
    checkpoint: SignedNote,
}

impl Receipt {
    /// The epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Its record, which is in the log that [`Self::checkpoint`] is of.
    pub const fn record(&self) -> &EpochRecord {
        &self.record
    }

    /// The checkpoint with the log's signatures.
    pub const fn checkpoint(&self) -> &SignedNote {
        &self.checkpoint
    }
}

impl<S: Store> Client<S> {
    /// Publishes `value` as this `version` of its label and waits until it is visible, or until the
    /// server's deadline. The version must be the greatest one plus one, 0 for a new label.
    ///
    /// That this device publishes the value is remembered before it is sent, so that monitoring
    /// will know it even if no answer comes. After every error but [`Error::Refused`], foremost
    /// [`Error::OutcomeUnknown`], [`Error::Timeout`] and [`Error::Unreachable`], the update may
    /// have happened or not: look the label up before trying again.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if nothing of it was kept; [`Error::NotVisible`] and [`Error::Receipt`]
    /// if the server's claim does not verify; else see [`Error::fault`].
    pub async fn publish(&self, version: u32, value: &VerifiedValue) -> Result<Published, Error> {
        let label = value.label();
        let mut session = self.session().await?;
        session.require_living()?;
        let mut own = session.own_memory(label).await?;
        let hash = value_hash(&value.encode());
        let is_new = own.publish(version, hash)?;
        session.remember_own(label, &own);
        session.commit().await?;

        let published = self.submit(version, value).await;
        if let Err(Error::Refused {
            greatest_version, ..
        }) = &published
        {
            // An earlier attempt may have become the version, or still become it.
            if is_new && *greatest_version < Some(version) {
                let mut session = self.session().await?;
                let mut own = session.own_memory(label).await?;
                own.withdraw(version, hash);
                session.remember_own(label, &own);
                session.commit().await?;
            }
        }
        published
    }

    /// As [`Self::publish`], for a caller who knows that the log lives and remembers itself what
    /// this device publishes.
    pub(crate) async fn submit(
        &self,
        version: u32,
        value: &VerifiedValue,
    ) -> Result<Published, Error> {
        let label = value.label();
        let update = v1::SubmitUpdateRequest {
            request_id: 0,
            label: label.as_str().to_owned(),
            version,
            value: value.encode().into(),
        };
        let response = self.rpc().submit(update).await?;
        match response
            .outcome
            .ok_or(WireError::Missing { field: "outcome" })?
        {
            Outcome::Visible(_) => match self.lookup_version(label, version).await? {
                Some(shown) if shown.value() == value => Ok(Published::Visible(shown)),
                _ => Err(Error::NotVisible { version }),
            },
            Outcome::Committed(committed) => Ok(Published::Committed(self.receipt(committed)?)),
            Outcome::Refused(refused) => Err(refusal(refused)),
        }
    }

    fn receipt(&self, committed: v1::Committed) -> Result<Receipt, Error> {
        let head = committed.head.ok_or(WireError::Missing { field: "head" })?;
        let head = head_from_wire(head)?;
        Ok(self.verify_receipt(committed.epoch, &head)?)
    }

    fn verify_receipt(&self, epoch: u64, head: &HeadProof) -> Result<Receipt, ReceiptError> {
        let note = SignedNote::parse(&head.checkpoint)?;
        let signed = self.log_verifier().verify(&note)?;
        let checkpoint = signed.checkpoint();
        let leaf = leaf_hash(&head.record);
        let (size, root) = (checkpoint.size(), checkpoint.root());
        let record = EpochRecord::decode(&head.record)?;
        verify_inclusion(epoch, size, &leaf, &head.inclusion, root)?;
        Ok(Receipt {
            epoch,
            record,
            checkpoint: signed.to_note(),
        })
    }
}

/// The server's words are passed on only if they look like a code.
fn refusal(refused: v1::Refused) -> Error {
    let is_code = |code: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=CODE_BYTES_MAX).contains(&code.len()) && code.bytes().all(allowed)
    };
    let code = match is_code(&refused.code) {
        true => refused.code,
        false => "unknown".to_owned(),
    };
    Error::Refused {
        code,
        greatest_version: refused.greatest_version,
        retryable: refused.retryable,
    }
}
