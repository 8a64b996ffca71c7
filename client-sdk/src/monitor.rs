//! Monitoring one's own account: did anybody publish what no device of mine did?
//!
//! A report is made from the last version that was found in order, or acknowledged, and comes again
//! until the application acknowledges it. So no alert is lost between the network and the person,
//! whatever crashes in between.

use std::collections::BTreeSet;

use candor_core::Hash;
use candor_core::account::{Change, Label, RuleError, VerifiedValue, check_successor};
use candor_core::answer::VerifiedVersion;

use crate::client::Client;
use crate::error::{ContentError, Error};
use crate::lookup::content;
use crate::memory::{AccountMemory, OwnMemory, value_hash};
use crate::store::Store;

/// A version that a device of the owner published: what devices tell each other, through the
/// application's end-to-end encrypted sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedVersion {
    /// The version.
    pub version: u32,
    /// SHA-256 of the value's encoding.
    pub value_hash: Hash,
}

/// What is to be thought of a version of one's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A device of the owner published it.
    Expected(Change),
    /// It keeps the rules, but no device that is known of published it. Show it to the person.
    Unexpected(Change),
    /// It may not follow the version before. Show it to the person.
    BreaksRules(RuleError),
    /// It is no value of the label. Show it to the person.
    Invalid(ContentError),
    /// It was erased before this device saw it, or follows one that was and is none that the
    /// owner's devices are known to have published. Nothing tells who made it. Show it to the
    /// person.
    Erased,
}

/// A version of one's own account that was published since the last report in order.
#[derive(Clone, Debug)]
pub struct OwnVersion {
    /// The version.
    pub version: u32,
    /// What it holds, if that is a value of the label.
    pub value: Option<VerifiedValue>,
    /// What is to be thought of it.
    pub verdict: Verdict,
}

/// What monitoring found.
#[derive(Clone, Debug)]
pub struct OwnReport {
    label: Label,
    versions: Vec<OwnVersion>,
    missing: Vec<u32>,
    newest: Option<AccountMemory>,
}

impl OwnReport {
    /// Every version since the last one found in order or acknowledged, ascending.
    pub fn versions(&self) -> &[OwnVersion] {
        &self.versions
    }

    /// The versions that the person has to see.
    pub fn alerts(&self) -> impl Iterator<Item = &OwnVersion> {
        let expected = |version: &&OwnVersion| matches!(version.verdict, Verdict::Expected(_));
        self.versions
            .iter()
            .filter(move |version| !expected(version))
    }

    /// Whether the log holds any version of the label.
    pub const fn is_present(&self) -> bool {
        self.newest.is_some()
    }

    /// Versions that this device submitted and that are not in the map: still on their way, or
    /// dropped.
    pub fn missing(&self) -> &[u32] {
        &self.missing
    }
}

impl<S: Store> Client<S> {
    /// What this device published of a label and has not monitored yet: for the owner's other
    /// devices.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn published(&self, label: &Label) -> Result<Vec<PublishedVersion>, Error> {
        let own = self.session().await?.own_memory(label).await?;
        Ok(published(&own).collect())
    }

    /// Fetches every version of one's own account since the last report in order, verifies that
    /// each may follow the one before, and tells which ones neither this device published nor
    /// those whose publications `others` lists.
    ///
    /// A report without alerts is settled. One with alerts comes again until [`Self::acknowledge`].
    ///
    /// # Errors
    ///
    /// [`Error`]; see [`Error::fault`]. What a verified answer shows is never an error here, but a
    /// part of the report.
    pub async fn monitor_own(
        &self,
        label: &Label,
        others: &[PublishedVersion],
    ) -> Result<OwnReport, Error> {
        let mut own = self.session().await?.own_memory(label).await?;
        let (own, found) = loop {
            let from = own.monitored.map_or(0, |monitored| monitored.greatest);
            let (found, _) = self.versions(label, Some(from)).await?;
            // Read again: what was found may have been published, or settled, meanwhile.
            let now = self.session().await?.own_memory(label).await?;
            if now.monitored == own.monitored {
                break (now, found);
            }
            own = now;
        };
        let report = judge(label, &own, others, &found)?;
        if report.alerts().next().is_none() && report.newest != own.monitored {
            self.acknowledge(&report).await?;
        }
        Ok(report)
    }

    /// Settles a report: the person saw its alerts. Later reports begin after it.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn acknowledge(&self, report: &OwnReport) -> Result<(), Error> {
        let Some(newest) = report.newest else {
            return Ok(());
        };
        let mut session = self.session().await?;
        let mut own = session.own_memory(&report.label).await?;
        if own
            .monitored
            .is_some_and(|monitored| monitored.greatest >= newest.greatest)
        {
            return Ok(());
        }
        own.monitored_to(newest);
        session.remember_own(&report.label, &own);
        session.commit().await
    }
}

fn published(own: &OwnMemory) -> impl Iterator<Item = PublishedVersion> {
    own.published
        .iter()
        .map(|(version, value_hash)| PublishedVersion {
            version: *version,
            value_hash: *value_hash,
        })
}

/// The change that a value tells of itself, where the one before it is not known.
fn declared(value: &VerifiedValue) -> Change {
    match value {
        VerifiedValue::State(state) if state.state().reset.is_some() => Change::Reset,
        VerifiedValue::State(_) => Change::Updated,
        VerifiedValue::Binding(_) => Change::Moved,
    }
}

fn judge(
    label: &Label,
    own: &OwnMemory,
    others: &[PublishedVersion],
    found: &[VerifiedVersion],
) -> Result<OwnReport, Error> {
    let expected: BTreeSet<_> = published(own).chain(others.iter().copied()).collect();
    let mut found = found.iter();
    let mut newest = own.monitored;
    let mut previous: Option<VerifiedValue> = None;
    // Then what follows cannot be held against the rules.
    let mut is_after_erased = false;
    if let Some(monitored) = own.monitored {
        // The version found in order before is looked at again, as the one that the next follows.
        let again = found.next().ok_or(Error::VersionWentBack {
            remembered: monitored.greatest,
            greatest: None,
        })?;
        if *again.commitment() != monitored.commitment {
            return Err(Error::ContentChanged {
                version: monitored.greatest,
            });
        }
        is_after_erased = again.value().is_none();
        previous = again.value().and_then(|value| content(label, value).ok());
    }
    let mut versions = Vec::with_capacity(found.len());
    for proved in found {
        let is_expected = proved.value().is_some_and(|value| {
            expected.contains(&PublishedVersion {
                version: proved.version(),
                value_hash: value_hash(value),
            })
        });
        let (value, verdict) = match proved.value().map(|value| content(label, value)) {
            None => (None, Verdict::Erased),
            Some(Err(error)) => (None, Verdict::Invalid(error)),
            Some(Ok(value)) => {
                let step = check_successor(previous.as_ref(), &value);
                let verdict = match step {
                    _ if is_after_erased && is_expected => Verdict::Expected(declared(&value)),
                    _ if is_after_erased => Verdict::Erased,
                    Err(error) => Verdict::BreaksRules(error),
                    Ok(change) if is_expected => Verdict::Expected(change),
                    Ok(change) => Verdict::Unexpected(change),
                };
                (Some(value), verdict)
            }
        };
        is_after_erased = proved.value().is_none();
        newest = Some(AccountMemory {
            greatest: proved.version(),
            commitment: *proved.commitment(),
        });
        previous = match is_after_erased {
            true => None,
            false => value.clone().or(previous),
        };
        versions.push(OwnVersion {
            version: proved.version(),
            value,
            verdict,
        });
    }
    let greatest = newest.map(|newest| newest.greatest);
    let submitted = published(own).map(|entry| entry.version);
    let mut missing: Vec<_> = submitted
        .filter(|version| Some(*version) > greatest)
        .collect();
    missing.dedup();
    Ok(OwnReport {
        label: label.clone(),
        versions,
        missing,
        newest,
    })
}
