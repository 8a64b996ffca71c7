//! What a person has to be told: a closed set of alerts, one for each cause.
//!
//! An alert is identified by its subject and kind. The same cause seen again changes nothing; a
//! later cause of the same kind takes the place of the earlier and is told again. Kinds that a
//! person has to decide about stay until [`acknowledged`](super::Device::acknowledge); the others
//! go away when a check shows that they no longer hold. What this rules out: an alert that repeats,
//! and one that stays when all is well.

use std::fmt;

use candor_core::account::{AccountState, Device, Label};
use candor_core::codec::{DecodeError, Reader, Writer as _};
use candor_core::limits::{DEVICE_NAME_BYTES_MAX, DEVICE_PLATFORM_BYTES_MAX, LABEL_BYTES_MAX};

/// Most bytes of evidence that an alert keeps; a note is at most half of it.
pub(super) const EVIDENCE_BYTES_MAX: usize = 1 << 19;

/// Most changes of devices that an alert shows.
pub(super) const CHANGES_MAX: usize = 16;

/// Whom an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The person's own account.
    Own,
    /// The log.
    Log,
    /// A contact, by the label that it is saved under.
    Contact(Label),
}

/// How grave an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something is late or missing. Nobody is suspected.
    Notice,
    /// Something changed that the person should know of before going on.
    Warning,
    /// The person may be talking to somebody else.
    Danger,
}

macro_rules! kinds {
    (
        $($(#[$doc:meta])*
        $name:ident = $number:literal, $code:literal, $severity:ident, $stays:literal;)*
    ) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum AlertKind {
            $($(#[$doc])* $name = $number,)*
        }

        impl AlertKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// A name that stays the same, for programs.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// How grave it is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// Whether it stays until the person acts, whatever later checks find.
            pub const fn stays(self) -> bool {
                match self { $(Self::$name => $stays,)* }
            }

            fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// The contact turned verification off.
    ContactTurnedOff = 1, "contact-turned-off", Warning, false;
    /// The application was offered a device, or a key of one, that the contact's account key did
    /// not sign.
    ContactUnrecognisedDevice = 2, "contact-unrecognised-device", Danger, false;
    /// The contact's account key, or what it had signed, was replaced without its consent.
    ContactCodeChanged = 3, "contact-code-changed", Danger, true;
    /// The contact's account key was replaced by a declared reset.
    ContactReset = 4, "contact-reset", Danger, true;
    /// The identifier leads to another account than before.
    ContactMoved = 5, "contact-moved", Danger, true;
    /// What the server answered about the contact does not verify.
    ContactProofFailed = 6, "contact-proof-failed", Warning, false;
    /// What the log shows of the contact contradicts what it showed before.
    ContactHistoryChanged = 7, "contact-history-changed", Danger, true;
    /// For long nothing could be verified about the contact.
    ContactUnavailable = 8, "contact-unavailable", Notice, false;
    /// The public code that the person entered is that of another account key.
    ContactCodeDiffers = 9, "contact-code-differs", Danger, true;
    /// What the log held of the contact was erased before this device saw it.
    ContactHistoryErased = 10, "contact-history-erased", Warning, true;
    /// The log signed two histories.
    LogFork = 20, "log-fork", Danger, true;
    /// The log shows nothing newer than an old head.
    LogStale = 21, "log-stale", Notice, false;
    /// Too few witnesses vouch for the log.
    LogPolicyNotMet = 22, "log-policy-not-met", Warning, false;
    /// The application is too old for what the log holds.
    LogNeedsNewerClient = 23, "log-needs-newer-client", Notice, true;
    /// The device's clock is wrong.
    ClockWrong = 24, "clock-wrong", Notice, false;
    /// For long the log did not prove that a head which somebody else has, and which it signed,
    /// belongs to the history that this device has.
    LogProofMissing = 25, "log-proof-missing", Danger, false;
    /// The log's operator ended it: keys can no longer be replaced there.
    LogEnded = 26, "log-ended", Warning, true;
    /// The account lists a device that none of the person's devices added.
    OwnUnrecognisedDevice = 40, "own-unrecognised-device", Danger, false;
    /// The account has a version that none of the person's devices published.
    OwnUnexpectedVersion = 41, "own-unexpected-version", Danger, true;
    /// What this device published is not in the log.
    OwnMissingUpdate = 42, "own-missing-update", Warning, false;
    /// A device of the account no longer meets what verification needs.
    OwnDeviceUnable = 43, "own-device-unable", Notice, false;
    /// What the log shows of the own account contradicts what a device of it saw before.
    OwnHistoryChanged = 44, "own-history-changed", Danger, true;
    /// What the server answered about the own account does not verify.
    OwnProofFailed = 45, "own-proof-failed", Warning, false;
    /// For long the own account could not be checked.
    OwnUnavailable = 46, "own-unavailable", Notice, false;
    /// An identifier of the person leads to another account.
    OwnIdentifierMoved = 47, "own-identifier-moved", Danger, true;
    /// The server gave back an older shared state of the person's devices.
    OwnStateRolledBack = 48, "own-state-rolled-back", Danger, true;
    /// A version of the account was erased before a device of the person recognised it.
    OwnHistoryErased = 49, "own-history-erased", Warning, true;
}

/// One difference between the devices of two states.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceChange {
    /// What is different.
    pub what: DeviceDifference,
    /// The device's name, as its account gives it.
    pub name: String,
    /// Its platform, likewise.
    pub platform: String,
}

/// How a device differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DeviceDifference {
    /// It was not there.
    Added = 1,
    /// It is no longer there.
    Removed = 2,
    /// It has other keys.
    OtherKeys = 3,
}

impl fmt::Debug for DeviceChange {
    /// A device's name tells whose it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceChange")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

impl DeviceChange {
    pub(super) fn new(what: DeviceDifference, device: &Device) -> Self {
        Self {
            what,
            name: device.name.clone(),
            platform: device.platform.clone(),
        }
    }
}

/// How the devices of a state differ from those of the one before.
pub(super) fn device_changes(
    before: Option<&AccountState>,
    now: &AccountState,
) -> Vec<DeviceChange> {
    use DeviceDifference::{Added, OtherKeys, Removed};
    let before = before.map_or(&[][..], |state| &state.devices);
    let same_id = |devices: &[Device], id: &[u8]| devices.iter().find(|it| it.id == id).cloned();
    let now_there = now
        .devices
        .iter()
        .filter_map(|device| match same_id(before, &device.id) {
            None => Some(DeviceChange::new(Added, device)),
            Some(old) if old.keys != device.keys => Some(DeviceChange::new(OtherKeys, device)),
            Some(_) => None,
        });
    let gone = before
        .iter()
        .filter(|device| same_id(&now.devices, &device.id).is_none());
    let gone = gone.map(|device| DeviceChange::new(Removed, device));
    now_there.chain(gone).collect()
}

/// Something that a person has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Whom it is about.
    pub subject: Subject,
    /// What happened.
    pub kind: AlertKind,
    /// When this device found it, in POSIX seconds.
    pub since_s: u64,
    /// What tells causes of one kind apart: the version in question, or what identifies a
    /// contradiction.
    pub cause: u64,
    /// How the devices of the account changed, where that is what happened: at most 16.
    pub changes: Vec<DeviceChange>,
    /// What convinces others: bytes of [`Evidence`](crate::Evidence).
    pub evidence: Option<Vec<u8>>,
    /// Whether the person has acted on it.
    pub is_acknowledged: bool,
}

impl Alert {
    /// Whether trying again may make it go away without anyone's doing.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            AlertKind::ContactProofFailed
                | AlertKind::ContactUnavailable
                | AlertKind::LogStale
                | AlertKind::LogPolicyNotMet
                | AlertKind::LogProofMissing
                | AlertKind::OwnMissingUpdate
                | AlertKind::OwnProofFailed
                | AlertKind::OwnUnavailable
        )
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        match &self.subject {
            Subject::Contact(label) => out.opaque8(label.as_bytes()),
            Subject::Own | Subject::Log => out.opaque8(b""),
        }
        out.extend(self.since_s.to_be_bytes());
        out.extend(self.cause.to_be_bytes());
        out.present(self.is_acknowledged);
        let changes = &self.changes[..self.changes.len().min(CHANGES_MAX)];
        out.push(u8::try_from(changes.len()).expect("at most CHANGES_MAX"));
        for change in changes {
            out.push(change.what as u8);
            out.opaque8(change.name.as_bytes());
            out.opaque8(change.platform.as_bytes());
        }
        out.opaque32(self.evidence.as_deref().unwrap_or_default());
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let invalid = |field| DecodeError::Invalid { field };
        let kind = AlertKind::from_number(reader.u8("alert kind")?);
        let kind = kind.ok_or(invalid("alert kind"))?;
        let label = text(
            reader.opaque8(LABEL_BYTES_MAX, "alert subject")?,
            "alert subject",
        )?;
        let subject = match kind as u8 {
            40.. => Subject::Own,
            20.. => Subject::Log,
            _ => Subject::Contact(Label::parse(&label).map_err(|_| invalid("alert subject"))?),
        };
        let since_s = reader.u64("alert time")?;
        let cause = reader.u64("alert cause")?;
        let is_acknowledged = reader.present("acknowledged")?;
        let count = usize::from(reader.u8("alert changes")?);
        if count > CHANGES_MAX {
            return Err(invalid("alert changes"));
        }
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            let what = match reader.u8("device change")? {
                1 => DeviceDifference::Added,
                2 => DeviceDifference::Removed,
                3 => DeviceDifference::OtherKeys,
                _ => return Err(invalid("device change")),
            };
            let name = text(reader.opaque8(DEVICE_NAME_BYTES_MAX, "name")?, "name")?;
            let platform = reader.opaque8(DEVICE_PLATFORM_BYTES_MAX, "platform")?;
            let platform = text(platform, "platform")?;
            changes.push(DeviceChange {
                what,
                name,
                platform,
            });
        }
        let evidence = reader.opaque32(EVIDENCE_BYTES_MAX, "evidence")?;
        Ok(Self {
            subject,
            kind,
            since_s,
            cause,
            changes,
            evidence: (!evidence.is_empty()).then(|| evidence.to_vec()),
            is_acknowledged,
        })
    }
}

fn text(bytes: &[u8], field: &'static str) -> Result<String, DecodeError> {
    let text = str::from_utf8(bytes).map_err(|_| DecodeError::Invalid { field })?;
    Ok(text.to_owned())
}
