//! The log as values, and what a device's client makes of its answers.
//!
//! There are no trees and proofs here: those of the log are simulated beside (`crate::log`). A head
//! is a branch and a size; whoever has two heads can tell whether one extends the other, which is
//! what proofs of consistency are for.

use std::collections::BTreeMap;

use candor_core::account::{Label, UnverifiedValue, VerifiedValue, check_successor};
use candor_core::crypto::{Commitment, Opening};
use candor_core::note::GossipHead;
use candor_sdk::device::{Logged, Trouble};

/// A head of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Which history: 1 is the one for a victim.
    pub branch: usize,
    /// How many entries.
    pub size: usize,
}

impl Head {
    /// As it travels with messages.
    pub fn encode(self) -> Vec<u8> {
        let mut message = vec![0; GossipHead::BYTES];
        message[0] = u8::try_from(self.branch).unwrap_or(u8::MAX);
        message[1] = u8::try_from(self.size >> 8).unwrap_or(u8::MAX);
        message[2] = u8::try_from(self.size & 0xff).unwrap_or(u8::MAX);
        message
    }

    /// Reads what [`Self::encode`] made.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [branch, high, low, ..] = *bytes else {
            return None;
        };
        Some(Self {
            branch: usize::from(branch),
            size: usize::from(high) << 8 | usize::from(low),
        })
    }
}

/// A value of a label.
#[derive(Clone, Debug)]
struct Entry {
    label: Label,
    logged: Logged,
    /// `None` if it is no value of the label.
    verified: Option<VerifiedValue>,
}

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    /// The history for everybody, and that for a victim.
    branches: Vec<Vec<Entry>>,
    /// How long both are the same.
    fork_at: usize,
    /// The label of which the victim's history has other values.
    forked: Option<Label>,
    /// Accepted, and visible at the next step.
    late: Vec<(Label, Vec<u8>)>,
}

/// What the server does with a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is visible at once.
    Visible,
    /// It is visible at the next step.
    Late,
    /// It is accepted and never seen again.
    Withheld,
}

impl Log {
    /// A log without entries.
    pub fn new() -> Self {
        Self {
            branches: vec![Vec::new()],
            ..Self::default()
        }
    }

    /// The newest head of a branch, or of the only one.
    pub fn head(&self, branch: usize) -> Head {
        let branch = branch.min(self.branches.len() - 1);
        Head {
            branch,
            size: self.branches[branch].len(),
        }
    }

    /// Whether two heads contradict each other.
    pub fn contradict(&self, one: Head, other: Head) -> bool {
        one.branch != other.branch && one.size.min(other.size) > self.fork_at
    }

    /// Every version of a label at a head.
    pub fn history(&self, head: Head, label: &Label) -> Vec<Logged> {
        let entries = &self.branches[head.branch][..head.size];
        let found = entries.iter().filter(|entry| entry.label == *label);
        found.map(|entry| entry.logged.clone()).collect()
    }

    /// The newest value of a label, if it is well formed.
    pub fn newest(&self, head: Head, label: &Label) -> Option<VerifiedValue> {
        let entries = &self.branches[head.branch][..head.size];
        let mut found = entries.iter().rev().filter(|entry| entry.label == *label);
        found.next()?.verified.clone()
    }

    /// Logs bytes whatever they are, as an operator with the log's keys can. Returns the version.
    pub fn force(&mut self, label: &Label, value: Vec<u8>) -> u32 {
        let version = self.append(0, label, value.clone());
        if self.branches.len() > 1 && self.forked.as_ref() != Some(label) {
            self.append(1, label, value);
        }
        version
    }

    /// From now on a victim is shown another history, in which `label` has this value.
    pub fn fork(&mut self, label: &Label, value: Vec<u8>) -> u32 {
        let copy = self.branches[0].clone();
        self.fork_at = copy.len();
        self.forked = Some(label.clone());
        self.branches.push(copy);
        self.append(1, label, value)
    }

    /// Whether there is a history for a victim.
    pub fn is_forked(&self) -> bool {
        self.branches.len() > 1
    }

    fn append(&mut self, branch: usize, label: &Label, value: Vec<u8>) -> u32 {
        let versions = self.history(self.head(branch), label).len();
        let version = u32::try_from(versions).unwrap_or(u32::MAX);
        let logged = Logged {
            version,
            commitment: Commitment::new(&Opening([0; 16]), label.as_bytes(), version, &value),
            value: Some(value),
        };
        let decoded = logged.value.as_deref();
        let decoded = decoded.and_then(|value| UnverifiedValue::decode(value).ok());
        let entry = Entry {
            label: label.clone(),
            verified: decoded.and_then(|value| value.verify(label).ok()),
            logged,
        };
        self.branches[branch].push(entry);
        version
    }

    /// What an honest server does with a publication: one at a time, by the rules of accounts.
    /// Returns whether it is visible.
    ///
    /// # Errors
    ///
    /// [`Trouble::Refused`].
    pub fn publish(
        &mut self,
        version: u32,
        value: &VerifiedValue,
        fate: Fate,
    ) -> Result<bool, Trouble> {
        let label = value.label();
        let refused = |code: &str| Trouble::Refused {
            code: code.to_owned(),
            is_retryable: false,
        };
        let is_late = self.late.iter().any(|late| late.0 == *label);
        if is_late || self.history(self.head(0), label).len() != version as usize {
            return Err(refused("version-conflict"));
        }
        let newest = self.newest(self.head(0), label);
        check_successor(newest.as_ref(), value).map_err(|_| refused("rules"))?;
        match fate {
            Fate::Visible => drop(self.force(label, value.encode())),
            Fate::Late => self.late.push((label.clone(), value.encode())),
            Fate::Withheld => {}
        }
        Ok(fate == Fate::Visible)
    }

    /// What was late is visible now.
    pub fn release(&mut self) {
        for (label, value) in std::mem::take(&mut self.late) {
            self.force(&label, value);
        }
    }
}

/// What a device's client remembers: it is written with every answer that is taken.
#[derive(Clone, Debug, Default)]
pub struct ClientMemory {
    /// The newest head.
    pub head: Option<Head>,
    /// The greatest version of each label, and its commitment.
    accounts: BTreeMap<Label, (u32, Commitment)>,
}

impl ClientMemory {
    /// Takes an answer as `client-sdk` does: `HeadProof::verify` with the known head, whose errors
    /// `Trouble` sorts, then `AccountMemory::check` of `client-sdk/src/memory.rs`, then the pages
    /// of `Client::versions` in `client-sdk/src/lookup.rs`.
    ///
    /// # Errors
    ///
    /// What the client would say.
    pub fn take(
        &mut self,
        log: &Log,
        served: Head,
        label: &Label,
        from: Option<u32>,
    ) -> Result<Vec<Logged>, Trouble> {
        if let Some(known) = self.head {
            if log.contradict(known, served) {
                return Err(match known.size == served.size {
                    true => fork(),
                    false => Trouble::Unproven,
                });
            }
            if served.size < known.size {
                return Err(Trouble::Behind);
            }
        }
        self.head = Some(served);
        let mut versions = log.history(served, label);
        if let Some((greatest, commitment)) = self.accounts.get(label) {
            match versions.get(*greatest as usize) {
                Some(again) if again.commitment == *commitment => {}
                _ => return Err(Trouble::HistoryChanged),
            }
        }
        if let Some(newest) = versions.last() {
            let remembered = (newest.version, newest.commitment);
            self.accounts.insert(label.clone(), remembered);
        }
        let first = from.map_or(versions.len().saturating_sub(1), |from| from as usize);
        Ok(versions.split_off(first.min(versions.len())))
    }
}

/// Evidence that the log signed two histories.
pub fn fork() -> Trouble {
    Trouble::Fork {
        evidence: b"two heads of one size".to_vec(),
    }
}
