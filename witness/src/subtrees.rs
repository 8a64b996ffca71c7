//! The path of a request to cosign a part of a checkpoint that this witness cosigned
//! (c2sp.org/tlog-witness, "sign-subtree"). It changes nothing.

use std::sync::Arc;

use candor_core::log::verify_subtree;
use candor_core::note::{SignSubtree, SignatureLine, SubtreeHead};

use crate::decision::{Recorded, Refusal, read_checkpoint};
use crate::metrics::Outcome;
use crate::store::{Change, Doubt, Quarantine};
use crate::witness::{AddError, Witness};

impl Witness {
    /// Checks that a part belongs to a checkpoint that this witness cosigned, and cosigns it.
    ///
    /// # Errors
    ///
    /// [`AddError`].
    pub async fn sign_subtree(
        self: &Arc<Self>,
        request: SignSubtree,
    ) -> Result<Vec<SignatureLine>, AddError> {
        let result = self.begin_subtree(request).await;
        let outcome = result
            .as_ref()
            .map_or_else(AddError::outcome, |_| Outcome::Cosigned);
        self.metrics.subtree(outcome);
        result
    }

    async fn begin_subtree(
        self: &Arc<Self>,
        request: SignSubtree,
    ) -> Result<Vec<SignatureLine>, AddError> {
        let permit = Arc::clone(&self.subtrees).try_acquire_owned();
        let permit = permit.map_err(|_| AddError::Busy)?;
        let this = Arc::clone(self);
        let signing = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            this.check_and_sign(&request)
        });
        match signing.await? {
            Err(SubtreeError::Forgotten { origin }) => Err(self.forgot(&origin).await),
            Err(SubtreeError::Add(error)) => Err(error),
            Ok(lines) => Ok(lines),
        }
    }

    /// The witness signed what it does not remember: neither database nor anchor is the newest.
    async fn forgot(&self, origin: &str) -> AddError {
        let quarantine = Quarantine {
            doubt: Doubt::Forgotten,
            floor: None,
        };
        tracing::error!(origin, reason = %quarantine, "log in quarantine");
        self.metrics.quarantine(origin, true);
        let change = Change::Quarantine(quarantine);
        match self.store.apply(origin, change).await {
            Ok(()) => AddError::Quarantined(quarantine),
            Err(error) => error.into(),
        }
    }

    fn check_and_sign(&self, request: &SignSubtree) -> Result<Vec<SignatureLine>, SubtreeError> {
        let checkpoint = read_checkpoint(&request.note).map_err(AddError::from)?;
        if request.subtree.end() > checkpoint.size() {
            return Err(AddError::from(Refusal::SubtreeBeyond).into());
        }
        let origin = checkpoint.origin();
        let log = self.logs().find(origin).ok_or(Refusal::UnknownLog);
        log.map_err(AddError::from)?;
        let entry = self.entry(origin);
        verify_subtree(
            request.subtree,
            &request.hash,
            checkpoint.size(),
            checkpoint.root(),
            &request.proof,
        )
        .map_err(|error| AddError::from(Refusal::Inconsistent(error)))?;
        let part = SubtreeHead {
            origin,
            subtree: request.subtree,
            hash: request.hash,
        };
        let with_map = entry.map_alarm.is_none();
        let signed = self.cosigner.cosign_subtree(&request.note, &part, with_map);
        let lines = signed.map_err(AddError::from)?;
        let lines = lines.ok_or(AddError::from(Refusal::NotCosigned))?;
        // What was cosigned was recorded before anybody had it. In quarantine too: the floor may
        // be too low.
        let cosigned = Recorded::of(&checkpoint);
        let floor = entry.quarantine.and_then(|quarantine| quarantine.floor);
        let mut records = [Some(entry.recorded()), floor].into_iter().flatten();
        if !records.any(|recorded| cosigned.size < recorded.size || cosigned == recorded) {
            return Err(SubtreeError::Forgotten {
                origin: origin.to_owned(),
            });
        }
        entry.check_not_suspended()?;
        Ok(lines)
    }
}

enum SubtreeError {
    Add(AddError),
    /// There is a cosignature of this witness on a checkpoint that it does not remember.
    Forgotten {
        origin: String,
    },
}

impl From<AddError> for SubtreeError {
    fn from(error: AddError) -> Self {
        Self::Add(error)
    }
}
