//! `candor device inbox`: messages, and what they tell of the log and of their senders.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_core::account::Label;
use candor_sdk::device::{DeviceError, Trouble};
use serde::Serialize;

use crate::device::mailbox::{self, Message};
use crate::device::phone::Phone;
use crate::device::show::LevelView;
use crate::device::trouble;
use crate::failure::Failure;
use crate::output::{ALARM, Exit, FAINT, GOOD, Report, STRONG, WARN, paint, visible};
use crate::time::date_time;
use crate::view::{write_field, write_title};

/// The messages that have come.
#[derive(Serialize)]
pub struct InboxReport {
    label: String,
    messages: Vec<MessageView>,
    /// Contacts who wait to compare codes.
    comparing: Vec<String>,
    /// Files that are no messages.
    unreadable: usize,
}

#[derive(Serialize)]
struct MessageView {
    from: String,
    sent_ms: u64,
    text: String,
    /// What the sender's head says; `null` if none came.
    gossip: Option<Finding>,
    /// What the proof of the sender's keys says; `null` if none came.
    proof: Option<Finding>,
}

/// What was found of something that came with a message.
#[derive(Serialize)]
struct Finding {
    /// `good`, `open` if it cannot be told yet, or `bad`.
    verdict: Verdict,
    detail: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Open,
    Bad,
}

/// Takes the messages that have come, and looks at what came with them.
pub async fn run(phone: &Phone) -> Result<InboxReport, Failure> {
    let mut report = InboxReport {
        label: phone.label.to_string(),
        messages: Vec::new(),
        comparing: Vec::new(),
        unreadable: 0,
    };
    for (path, message) in phone.mailbox.inbox(&phone.label, &phone.me.id)? {
        match message {
            Some(message) => report
                .messages
                .push(MessageView::new(phone, message).await?),
            None => report.unreadable += 1,
        }
        mailbox::remove(&path)?;
    }
    for (contact, _) in phone.device.contacts().await? {
        if phone.mailbox.compare_waits(&contact, &phone.label)? {
            report.comparing.push(contact.to_string());
        }
    }
    Ok(report)
}

impl MessageView {
    async fn new(phone: &Phone, message: Message) -> Result<Self, Failure> {
        let gossip = match &message.gossip {
            Some(head) => Some(gossip(phone, head).await?),
            None => None,
        };
        let proof = match &message.proof {
            Some(file) => Some(proof(phone, &message.from, file).await?),
            None => None,
        };
        Ok(Self {
            from: message.from,
            sent_ms: message.sent_ms,
            text: message.text,
            gossip,
            proof,
        })
    }
}

async fn gossip(phone: &Phone, head: &str) -> Result<Finding, Failure> {
    let Ok(head) = STANDARD.decode(head) else {
        return Ok(Finding::new(Verdict::Bad, "no head of this log"));
    };
    Ok(match phone.device.gossip_in(&head).await? {
        Ok(true) => Finding::new(Verdict::Good, "the sender sees the same log"),
        Ok(false) => Finding::new(
            Verdict::Open,
            "newer than what the log shows us: asked again",
        ),
        Err(Trouble::Fault(_)) => Finding::new(Verdict::Bad, "no head of this log"),
        Err(found @ Trouble::Fork { .. }) => Finding::new(Verdict::Bad, trouble::sentence(&found)),
        Err(found) => Finding::new(
            Verdict::Open,
            format_args!("{}: asked again", trouble::sentence(&found)),
        ),
    })
}

/// Verifies the sender's keys with what the sender sent, asking nobody.
async fn proof(phone: &Phone, from: &str, file: &str) -> Result<Finding, Failure> {
    let (Ok(from), Ok(file)) = (Label::parse(from), STANDARD.decode(file)) else {
        return Ok(Finding::new(Verdict::Bad, "no proof of a sender"));
    };
    let shown = match phone.device.proof_in(&from, &file).await {
        Err(DeviceError::NotSaved) => {
            return Ok(Finding::new(
                Verdict::Open,
                "the sender is not a contact of yours",
            ));
        }
        shown => shown?,
    };
    Ok(match shown {
        Ok(Some(view)) => {
            let level = LevelView::new(from.as_str(), view.level);
            Finding::new(
                Verdict::Good,
                format_args!("{}; nobody was asked", level.text),
            )
        }
        Ok(None) => {
            let what = format!("it shows something new: candor device check {from}");
            Finding::new(Verdict::Open, what)
        }
        Err(found) => match trouble::failure(&found).exit() {
            Exit::Alarm => Finding::new(Verdict::Bad, trouble::sentence(&found)),
            _ => Finding::new(Verdict::Open, trouble::sentence(&found)),
        },
    })
}

impl Finding {
    fn new(verdict: Verdict, detail: impl fmt::Display) -> Self {
        let detail = detail.to_string();
        Self { verdict, detail }
    }

    fn line(&self) -> String {
        let (mark, style) = match self.verdict {
            Verdict::Good => ("✓", GOOD),
            Verdict::Open => ("?", WARN),
            Verdict::Bad => ("✗", ALARM),
        };
        format!("{} {}", paint(style, mark), self.detail)
    }
}

impl Report for InboxReport {
    fn exit(&self) -> Exit {
        let findings = self.messages.iter();
        let mut findings = findings.flat_map(|message| [&message.gossip, &message.proof]);
        match findings.any(|it| it.as_ref().is_some_and(|it| it.verdict == Verdict::Bad)) {
            true => Exit::Alarm,
            false => Exit::Done,
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, format_args!("inbox of {}", self.label))?;
        if self.messages.is_empty() {
            write_field(out, "messages", paint(FAINT, "none"))?;
        }
        for message in &self.messages {
            let from = paint(STRONG, visible(&message.from));
            let at = paint(FAINT, date_time(message.sent_ms));
            write_field(out, "from", format_args!("{from} {at}"))?;
            write_field(out, "", visible(&message.text))?;
            if let Some(found) = &message.gossip {
                write_field(out, "head", found.line())?;
            }
            if let Some(found) = &message.proof {
                write_field(out, "proof", found.line())?;
            }
        }
        for contact in &self.comparing {
            let what = format!("{contact} waits: candor device compare {contact}");
            write_field(out, "compare", what)?;
        }
        if self.unreadable > 0 {
            let what = format!(
                "{} files are no messages, and were removed",
                self.unreadable
            );
            write_field(out, "unreadable", paint(WARN, what))?;
        }
        Ok(())
    }
}
