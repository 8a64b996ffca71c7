//! What goes in and out of the state machine: commands and answers in, actions out.

use std::fmt;

use candor_core::Hash;
use candor_core::account::{Device, DeviceKey, Label, VerifiedValue};
use candor_core::verification::{ComparisonError, ComparisonMessage};

use super::alert::{Alert, AlertKind, Subject};
use super::edit::{Edit, EditError};
use super::judge::{Level, Logged};
use super::trouble::Trouble;
use crate::store::Change;

/// What the application wants.
#[derive(Clone)]
pub enum Command {
    /// Checks a saved contact.
    Check(Label),
    /// Checks a saved contact, and whether messages may be encrypted to these devices.
    BeforeSend(Label, Vec<OfferedDevice>),
    /// Checks the own account.
    SelfCheck,
    /// Changes the own account.
    Edit(Edit),
    /// Holds a head that came with a contact's message against the own.
    Gossip(Vec<u8>),
    /// Holds a saved contact's own proof, which came with a message, against what is known of it.
    Proof(Label, Vec<u8>),
    /// Begins to compare codes with a saved contact. The nonce is fresh and random.
    Compare(Label, [u8; 32]),
    /// Holds a public code against a saved contact's key.
    EnterCode(Label, candor_core::verification::PublicCode),
}

impl fmt::Debug for Command {
    /// The kind alone: commands hold labels, and a nonce that is secret for a while.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check(_) => "Check(..)",
            Self::BeforeSend(..) => "BeforeSend(..)",
            Self::SelfCheck => "SelfCheck",
            Self::Edit(_) => "Edit(..)",
            Self::Gossip(_) => "Gossip(..)",
            Self::Proof(..) => "Proof(..)",
            Self::Compare(..) => "Compare(..)",
            Self::EnterCode(..) => "EnterCode(..)",
        })
    }
}

/// A device as the messenger's own servers offer it to be encrypted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedDevice {
    /// Its identifier.
    pub id: Vec<u8>,
    /// The keys that would be used: some of the device's, or all.
    pub keys: Vec<DeviceKey>,
}

/// What the machine asks of the log. Answers are verified before they come back.
#[derive(Clone, Debug)]
pub enum Question {
    /// Every version of a label from this one on, or the newest one alone.
    History {
        /// The label.
        label: Label,
        /// The first version.
        from: Option<u32>,
    },
    /// Publishes a version of the own label.
    Publish {
        /// The version.
        version: u32,
        /// The value.
        value: VerifiedValue,
    },
    /// Whether a head that somebody else has belongs to the log that this device knows.
    Gossip(Vec<u8>),
    /// What a proof file holds, verified without asking the server about anyone.
    Proof(Vec<u8>),
}

/// The answer to a [`Question`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Question::History`].
    History {
        /// Ascending, without gaps.
        versions: Result<Vec<Logged>, Trouble>,
        /// Hash of what the log says of its successor, if it has ended.
        successor: Option<Hash>,
    },
    /// To [`Question::Publish`]: whether the version is visible already.
    Published(Result<bool, Trouble>),
    /// To [`Question::Gossip`]: whether it does; `false` if the log is not that far yet.
    Gossip(Result<bool, Trouble>),
    /// To [`Question::Proof`]: the label that the file is about and its newest version.
    Proof(Result<(Label, Option<Logged>), Trouble>),
}

/// What the machine wants done, in this order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Make these changes of the store, all or none, durably.
    Write(Vec<Change>),
    /// Ask, and bring the answer. No other action comes before.
    Ask(Question),
    /// Tell the application.
    Tell(Event),
    /// The oldest command is done.
    Done(Outcome),
}

/// What the application is told without having asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Show this.
    Raised(Alert),
    /// No longer show this.
    Resolved(Subject, AlertKind),
    /// Verification is now on, or off, for the own account, wherever that was done.
    TurnedOn(bool),
    /// A contact is verified to another degree than at the last check.
    LevelChanged(Label, Level),
    /// The public code entered earlier is the contact's.
    CodeConfirmed(Label),
    /// What the person's devices share has changed: export and send it.
    Share,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// [`Command::Check`].
    Contact(Result<ContactView, Trouble>),
    /// [`Command::BeforeSend`].
    Clearance(Clearance),
    /// [`Command::SelfCheck`]: whether the account is in order.
    SelfCheck(Result<bool, Trouble>),
    /// [`Command::Edit`].
    Edited(Result<Edited, EditFailure>),
    /// [`Command::Gossip`].
    Gossip(Result<bool, Trouble>),
    /// [`Command::Proof`]: what it shows of the contact; `None` if only a check can tell, because
    /// the file shows something else than what was seen before.
    Proof(Result<Option<ContactView>, Trouble>),
    /// [`Command::Compare`]: what to send to the contact.
    Compare(Result<ComparisonMessage, CompareFailure>),
    /// [`Command::EnterCode`].
    Code(Result<CodeEntered, Trouble>),
    /// The contact is not saved.
    NotSaved,
}

/// What is known of a contact after a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactView {
    /// How far it is verified.
    pub level: Level,
    /// Its devices, as the log holds them and without those that have expired.
    pub devices: Vec<Device>,
    /// What the person has to act on.
    pub alerts: Vec<AlertKind>,
}

/// Whether messages may be encrypted to the devices that the messenger offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clearance {
    /// They may, as far as `level` says.
    Yes {
        /// How far the contact is verified.
        level: Level,
        /// The devices that the log holds.
        devices: Vec<Device>,
        /// Offered, but not in the log with these keys: nothing says whose they are. Only where
        /// verification is not on at both; else it is an alert.
        unlisted: Vec<OfferedDevice>,
    },
    /// They may not, before the person has acted on the alerts.
    No {
        /// Why.
        alerts: Vec<AlertKind>,
        /// The devices that the log holds.
        devices: Vec<Device>,
    },
    /// It cannot be told now.
    Unknown(Trouble),
}

/// How a change of the own account went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    /// The log shows this version.
    Visible(u32),
    /// The log accepted this version and will show it.
    Accepted(u32),
    /// The account was like that already.
    Unchanged,
}

/// Why a change of the own account did not happen, or is not known to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditFailure {
    /// It is not possible as things are.
    Edit(EditError),
    /// The account exists, and this device has not merged what its other devices share.
    NeedsSync,
    /// The account has a version that none of the devices known to this one published. Merge what
    /// they share; if that does not explain it, the person is told and has to acknowledge it.
    Unexplained,
    /// What this device shares with the others is full. The caller has to run self checks.
    Full,
    /// The log could not be asked, or refused.
    Trouble(Trouble),
}

/// Why no comparison began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareFailure {
    /// The contact could not be checked.
    Trouble(Trouble),
    /// One of the two accounts has no account key.
    NoKey,
    /// The session could not begin.
    Comparison(ComparisonError),
}

/// What entering a public code led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeEntered {
    /// The code is that of the contact's account key: the contact is verified.
    Matches,
    /// It is not. Nothing is stored.
    Differs,
    /// The contact has no account key yet; the code is kept and checked when it has.
    Waits,
    /// No more contacts can be marked.
    Full,
}
