//! Every sentence that a person may be shown about an alert, in one place, to be translated.
//!
//! They are written for somebody who is frightened and in a hurry: what happened, what it may mean,
//! what to do. `{who}` stands for the contact's name as the person knows it. No sentence says more
//! than is known: nobody is called an attacker, and nothing is called safe.

use super::alert::{AlertKind, Severity};

/// What to show of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertText {
    /// A line: what happened.
    pub title: String,
    /// What it may mean.
    pub cause: String,
    /// What the person can do.
    pub advice: String,
}

impl AlertKind {
    /// The sentences in English. `who` is the contact's name as the person knows it.
    pub fn text(self, who: &str) -> AlertText {
        let [title, cause, advice] = english(self);
        let fill = |text: &str| text.replace("{who}", who);
        AlertText {
            title: fill(title),
            cause: fill(cause),
            advice: fill(advice),
        }
    }
}

impl Severity {
    /// The word in English.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Notice => "Notice",
            Self::Warning => "Warning",
            Self::Danger => "Danger",
        }
    }
}

const fn english(kind: AlertKind) -> [&'static str; 3] {
    match kind {
        AlertKind::ContactTurnedOff => [
            "{who} turned contact verification off.",
            "From now on nobody but the service says which devices are {who}'s.",
            "If you talk about something that matters, ask {who} in another way why it is off.",
        ],
        AlertKind::ContactUnrecognisedDevice => [
            "A device that is not known to be {who}'s was added to this conversation.",
            "{who}'s account did not approve this device. Somebody else may be able to read what \
             you send.",
            "Do not send anything private. Ask {who} in another way, such as a call, whether this \
             device is theirs.",
        ],
        AlertKind::ContactCodeChanged => [
            "{who}'s keys were replaced, and {who}'s old keys did not agree.",
            "You may be talking to somebody else.",
            "Do not send anything private. Meet or call {who}, and compare codes again.",
        ],
        AlertKind::ContactReset => [
            "{who} started over with new keys.",
            "This happens when somebody loses all devices. It also happens when somebody else \
             takes over an account.",
            "Call {who} and compare codes again before you send anything private.",
        ],
        AlertKind::ContactMoved => [
            "{who}'s number or address now belongs to another account.",
            "Numbers are given to new people. It may no longer be {who} who reads what you send.",
            "Ask {who} in another way for the number or address to use.",
        ],
        AlertKind::ContactProofFailed => [
            "What the service says about {who} could not be confirmed.",
            "Its answer did not have a valid proof. That can be a fault of the service.",
            "Wait with anything private. It is tried again by itself; if it lasts for days, tell \
             the people who make this app.",
        ],
        AlertKind::ContactHistoryChanged => [
            "The service changed what it had said about {who} before.",
            "What was recorded can never change. The service showed you two different things.",
            "Do not send anything private. Tell {who}, and the people who make this app.",
        ],
        AlertKind::ContactUnavailable => [
            "{who} could not be checked for a while.",
            "You may be offline, or the service is. Nothing points to an attack.",
            "Nothing, if you have been offline. It is checked again by itself.",
        ],
        AlertKind::ContactCodeDiffers => [
            "The code that you entered is not {who}'s.",
            "Perhaps it was mistaken for somebody else's. It can also mean that you are talking to \
             somebody else.",
            "Ask {who} in another way for the code, and compare it letter by letter.",
        ],
        AlertKind::ContactHistoryErased => [
            "Part of what was recorded about {who} was erased before this device saw it.",
            "The service says that it removed old records. Whether {who}'s keys were others in \
             between cannot be told any more.",
            "Call {who} and compare codes again before you send anything private.",
        ],
        AlertKind::LogFork => [
            "The service showed different people different records.",
            "This is proved by its own signatures. It may be hiding a device from you, or you from \
             others.",
            "Do not send anything private through this app. Save the evidence and pass it on: \
             anybody can check it.",
        ],
        AlertKind::LogStale => [
            "The service has shown nothing new for a while.",
            "It may be out of order. What was checked before still holds.",
            "Nothing. It is tried again by itself.",
        ],
        AlertKind::LogPolicyNotMet => [
            "Too few independent witnesses confirm what the service says.",
            "Witnesses may be out of order. Until they are back, new information is not believed.",
            "Wait with anything private to new contacts or devices. It is tried again by itself.",
        ],
        AlertKind::LogNeedsNewerClient => [
            "This app is too old to check what the service says.",
            "The service uses something that this version does not know.",
            "Update the app.",
        ],
        AlertKind::ClockWrong => [
            "The clock of this device seems to be wrong.",
            "Whether an answer is recent cannot be told without the right time.",
            "Set the clock to the right time, or let the system set it.",
        ],
        AlertKind::LogProofMissing => [
            "The service does not show that you and a contact see the same records.",
            "It signed what your contact sees, but has not proved for days that it belongs to what \
             you see. It may be showing people different things.",
            "Wait with anything private. Tell the people who make this app.",
        ],
        AlertKind::LogEnded => [
            "The service ended its records, and names others that take their place.",
            "Keys can no longer be replaced in these records: a contact's new keys are not there, \
             and lost ones stay.",
            "Update the app if there is a new version. Until then send nothing private, and look \
             through the devices of your account.",
        ],
        AlertKind::OwnUnrecognisedDevice => [
            "Your account has a device that none of your devices added.",
            "Whoever has that device may read what people send you.",
            "If it is not yours, remove it now, and change the password of your account.",
        ],
        AlertKind::OwnUnexpectedVersion => [
            "Your account was changed, and none of your devices did it.",
            "Somebody else may have got into your account.",
            "Look at what changed. If it was not you, remove what you do not know and change the \
             password of your account.",
        ],
        AlertKind::OwnMissingUpdate => [
            "A change that you made has not been recorded.",
            "Your contacts do not see it yet. The service may be late.",
            "Nothing for now. If it lasts for a day, make the change again.",
        ],
        AlertKind::OwnDeviceUnable => [
            "One of your devices can no longer take part in verification.",
            "It may need an update, a passcode, or to sign in again.",
            "Bring the device up to date, or sign it out.",
        ],
        AlertKind::OwnHistoryChanged => [
            "The service changed what it had recorded about your account.",
            "What was recorded can never change. It showed your devices two different things.",
            "Tell the people who make this app, and your contacts in another way.",
        ],
        AlertKind::OwnProofFailed => [
            "What the service says about your account could not be confirmed.",
            "Its answer did not have a valid proof. That can be a fault of the service.",
            "It is tried again by itself; if it lasts for days, tell the people who make this app.",
        ],
        AlertKind::OwnUnavailable => [
            "Your account could not be checked for a while.",
            "You may be offline, or the service is. Nothing points to an attack.",
            "Nothing, if you have been offline. It is checked again by itself.",
        ],
        AlertKind::OwnIdentifierMoved => [
            "One of your numbers or addresses leads to another account.",
            "People who use it reach somebody else.",
            "If you did not give it away, ask the service to bring it back.",
        ],
        AlertKind::OwnStateRolledBack => [
            "The service gave your devices an older copy of what they share.",
            "It may be hiding a change that one of your devices made.",
            "Look through your devices and verified contacts. If it comes again, tell the people \
             who make this app.",
        ],
        AlertKind::OwnHistoryErased => [
            "A record of your account was erased before this device saw it.",
            "The service says that it removed old records. Whether one of your devices made this \
             one cannot be told any more.",
            "If you did not ask for it, look through your devices, and ask the service why.",
        ],
    }
}
