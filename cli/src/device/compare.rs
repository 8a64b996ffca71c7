//! `candor device compare`: two people compare eight digits, each at a terminal.

use std::fmt;
use std::time::Duration;

use candor_core::account::Label;
use candor_core::verification::{ComparisonCode, ComparisonError, ComparisonMessage, LIFETIME_S};
use candor_sdk::device::{CompareFailure, Compared};
use serde::Serialize;

use crate::arguments;
use crate::device::phone::Phone;
use crate::device::trouble;
use crate::failure::Failure;
use crate::output::{ALARM, Exit, GOOD, Report, STRONG, WARN, paint};
use crate::view::{write_field, write_title};

/// How often the mailbox is looked into.
const POLL: Duration = Duration::from_millis(200);

/// Compares codes with a contact: both run this at once, and read eight digits to each other.
///
/// No digits are shown before both have begun.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor device compare acct:bob
  candor device compare acct:bob --answer yes --wait 10

Exits with 3 if the codes are different, and with 2 if the contact does not begin in time.")]
pub struct Arguments {
    /// The contact.
    #[arg(value_parser = arguments::label)]
    contact: Label,
    /// Answer this, without being asked, whether both see the same digits.
    #[arg(long)]
    answer: Option<Answer>,
    /// How long to wait for the contact.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=LIFETIME_S))]
    wait: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Answer {
    Yes,
    No,
}

/// What a comparison led to.
#[derive(Serialize)]
pub struct CompareReport {
    contact: String,
    /// Two groups of four digits.
    code: String,
    spoken: String,
    /// `verified`, `different` or `full`.
    result: &'static str,
}

pub async fn run(arguments: Arguments, phone: &Phone) -> Result<CompareReport, Failure> {
    let contact = &arguments.contact;
    let begun = phone.device.compare(contact).await?;
    let first = begun.map_err(not_begun)?;
    let mut line = Line {
        phone,
        contact,
        is_done: false,
    };
    // What an earlier session left would end this one.
    line.clear()?;
    line.send(&first)?;
    anstream::eprintln!(
        "waiting for {contact}, who runs: candor device compare {}",
        phone.label
    );
    let wait = Duration::from_secs(arguments.wait);
    let code = match tokio::time::timeout(wait, line.code()).await {
        Ok(code) => code?,
        Err(_) => {
            let message = format!("{contact} did not begin in time");
            let help = "call the contact, and run this both at once";
            return Err(Failure::new(Exit::Temporary, "nobody-there", message, help));
        }
    };
    line.is_done = true;
    let digits = paint(STRONG, code);
    anstream::eprintln!("\n    {digits}\n    {}\n", code.spoken());
    let is_equal = match arguments.answer {
        Some(answer) => answer == Answer::Yes,
        None => ask(contact).await?,
    };
    let compared = phone.device.compare_finish(contact, is_equal).await?;
    Ok(CompareReport {
        contact: contact.to_string(),
        code: code.to_string(),
        spoken: code.spoken(),
        result: match compared {
            Compared::Verified => "verified",
            Compared::Different => "different",
            Compared::Full => "full",
            Compared::Changed => {
                return Err(Failure::new(
                    Exit::Alarm,
                    "key-changed",
                    "the contact's account key was replaced meanwhile",
                    "see `candor device check`, then compare again",
                ));
            }
            Compared::NothingShown => return Err(over(ComparisonError::Over)),
        },
    })
}

/// The way to the contact's terminal and back.
struct Line<'a> {
    phone: &'a Phone,
    contact: &'a Label,
    /// Whether the contact still needs what was sent.
    is_done: bool,
}

impl Line<'_> {
    fn send(&self, message: &ComparisonMessage) -> Result<(), Failure> {
        let (from, mailbox) = (&self.phone.label, &self.phone.mailbox);
        mailbox.compare_send(from, self.contact, &message.encode())
    }

    fn clear(&self) -> Result<(), Failure> {
        let (from, mailbox) = (&self.phone.label, &self.phone.mailbox);
        mailbox.compare_clear(from, self.contact)
    }

    /// Passes messages on until there is a code.
    async fn code(&self) -> Result<ComparisonCode, Failure> {
        let Self { phone, contact, .. } = self;
        loop {
            for bytes in phone.mailbox.compare_take(contact, &phone.label)? {
                let message = ComparisonMessage::decode(&bytes)
                    .map_err(|_| over(ComparisonError::OutOfOrder))?;
                let reply = phone.device.compare_receive(contact, &message).await?;
                if let Some(reply) = reply.map_err(over)? {
                    self.send(&reply)?;
                }
            }
            if let Some(code) = phone.device.compare_code(contact).await? {
                return Ok(code);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Line<'_> {
    /// Who gives up takes back what would end the next session.
    fn drop(&mut self) {
        if !self.is_done {
            let _ = self.clear();
        }
    }
}

async fn ask(contact: &Label) -> Result<bool, Failure> {
    loop {
        anstream::eprint!("Does {contact} see the same digits? (yes or no) ");
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = line.await.map_err(std::io::Error::other);
        let line = line.and_then(|line| line).map_err(Failure::system)?;
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ if line.is_empty() => {
                return Err(Failure::usage("nobody answered", "use --answer in scripts"));
            }
            _ => {}
        }
    }
}

fn not_begun(failure: CompareFailure) -> Failure {
    match failure {
        CompareFailure::Trouble(trouble) => trouble::failure(&trouble),
        CompareFailure::NoKey => Failure::new(
            Exit::Withheld,
            "no-account-key",
            "one of the two accounts has no account key to compare",
            "both publish from a phone that has one; see `candor device check`",
        ),
        CompareFailure::Comparison(error) => over(error),
    }
}

fn over(error: ComparisonError) -> Failure {
    match error {
        ComparisonError::NotOpened | ComparisonError::SameKey => Failure::new(
            Exit::Alarm,
            "comparison-failed",
            error,
            "somebody may be in between: meet, or compare over another channel",
        ),
        _ => Failure::new(
            Exit::Temporary,
            "comparison-over",
            error,
            "run it again, both at once",
        ),
    }
}

impl Report for CompareReport {
    fn exit(&self) -> Exit {
        match self.result {
            "verified" => Exit::Done,
            "different" => Exit::Alarm,
            _ => Exit::Local,
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.contact)?;
        write_field(out, "code", &self.code)?;
        let contact = &self.contact;
        match self.result {
            "verified" => {
                let what = format!("✓✓ {contact} is verified, for all your devices");
                write_field(out, "result", paint(GOOD, what))
            }
            "different" => {
                let what = format!("✗ you and {contact} do not have each other's keys");
                write_field(out, "result", paint(ALARM, what))?;
                let why = "somebody may be in between, or a digit was misread; nothing was stored";
                write_field(out, "why", why)?;
                let what = "send nothing private; meet, or compare again over another channel";
                write_field(out, "do", what)
            }
            _ => write_field(out, "result", paint(WARN, "no more contacts can be marked")),
        }
    }
}
