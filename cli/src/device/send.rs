//! `candor device send`: a message, if it may go to the devices that the messenger offers.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_core::account::Label;
use candor_sdk::device::Clearance;
use serde::Serialize;

use crate::arguments;
use crate::device::mailbox::Message;
use crate::device::phone::Phone;
use crate::device::show::ClearanceView;
use crate::device::trouble;
use crate::failure::Failure;
use crate::output::{Exit, GOOD, Report, WARN, paint};
use crate::time::now_ms;
use crate::view::{write_field, write_title};

/// Sends a message to a saved contact, unless something has to be settled first.
///
/// It is put into the inbox of each device that the messenger offers for the contact. Nothing is
/// encrypted.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor device send acct:bob 'See you at eight'
  candor device send acct:bob 'It is me' --proof

Exits with 7 if the message was not sent because of an alert, and with 2 if it cannot be told now
whether it may be.")]
pub struct Arguments {
    /// The contact.
    #[arg(value_parser = arguments::label)]
    contact: Label,
    /// The message.
    text: String,
    /// Let one message in N carry the newest head of the log; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub gossip_one_in: u32,
    /// Send the proof of your own keys along, so that the contact need not ask the server.
    #[arg(long)]
    proof: bool,
}

/// What became of a message.
#[derive(Serialize)]
pub struct SendReport {
    contact: String,
    sent: bool,
    /// How many devices got it.
    devices: usize,
    /// Length of the head that went along, in bytes.
    gossip_bytes: Option<usize>,
    /// Length of the proof that went along, in bytes.
    proof_bytes: Option<usize>,
    clearance: ClearanceView,
}

pub async fn run(arguments: Arguments, phone: &Phone) -> Result<SendReport, Failure> {
    let contact = &arguments.contact;
    let offered = phone.mailbox.offered(contact)?;
    let clearance = phone.device.before_send(contact, offered.clone()).await?;
    let alerts = phone.alerts_about(contact).await?;
    let mut report = SendReport {
        contact: contact.to_string(),
        sent: false,
        devices: 0,
        gossip_bytes: None,
        proof_bytes: None,
        clearance: ClearanceView::new(contact.as_str(), &clearance, &offered, &alerts),
    };
    if !matches!(clearance, Clearance::Yes { .. }) {
        return Ok(report);
    }
    if offered.is_empty() {
        let message = format!("the messenger offers no device of {contact}");
        let help = "the contact has to publish first; check the mailbox directory";
        return Err(Failure::new(Exit::Temporary, "no-devices", message, help));
    }
    let gossip = phone.device.gossip_out().await?;
    let proof = match arguments.proof {
        true => Some(phone.device.proof_out().await),
        false => None,
    };
    let proof = proof.transpose().map_err(|it| trouble::failure(&it))?;
    report.gossip_bytes = gossip.as_ref().map(Vec::len);
    report.proof_bytes = proof.as_ref().map(Vec::len);
    let message = Message {
        from: phone.label.to_string(),
        sent_ms: now_ms(),
        text: arguments.text,
        gossip: gossip.map(|head| STANDARD.encode(head)),
        proof: proof.map(|proof| STANDARD.encode(proof)),
    };
    for device in &offered {
        phone.mailbox.send(contact, &device.id, &message)?;
    }
    report.sent = true;
    report.devices = offered.len();
    Ok(report)
}

impl Report for SendReport {
    fn exit(&self) -> Exit {
        self.clearance.exit
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, format_args!("to {}", self.contact))?;
        self.clearance.write(out)?;
        if !self.sent {
            return write_field(out, "not sent", paint(WARN, "nothing left this phone"));
        }
        let mut with = Vec::new();
        if let Some(bytes) = self.gossip_bytes {
            with.push(format!(", with a head of {bytes} bytes"));
        }
        if let Some(bytes) = self.proof_bytes {
            with.push(format!(", with a proof of {bytes} bytes"));
        }
        let devices = match self.devices {
            1 => "1 device".to_owned(),
            count => format!("{count} devices"),
        };
        let sent = format!("to {devices}{}", with.concat());
        write_field(out, "sent", paint(GOOD, sent))
    }
}
