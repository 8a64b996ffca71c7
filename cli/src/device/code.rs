//! `candor device code`: the public verification code, and entering a contact's.

use std::fmt;
use std::path::{Path, PathBuf};

use candor_core::account::Label;
use candor_core::verification::PublicCode;
use candor_host::durable;
use candor_sdk::QrPicture;
use candor_sdk::device::{CodeEntered, DeviceError};
use serde::Serialize;

use crate::arguments;
use crate::device::phone::Phone;
use crate::device::trouble;
use crate::failure::Failure;
use crate::output::{ALARM, Exit, GOOD, Report, WARN, paint};
use crate::view::{write_field, write_title};

/// Pixels of a side of a module in PNG files.
const SCALE: usize = 8;

/// Shows the public verification code, as text and as a picture to be scanned; or enters a
/// contact's.
///
/// The code stands for the account key. It holds nothing private.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor device code
  candor device code --svg code.svg --png code.png
  candor device code --enter acct:bob 'cand or1q y4d8 ...'

--enter exits with 3 if the code is not the contact's, and with 1 if it is mistyped.")]
pub struct Arguments {
    /// Write the picture as an SVG file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the picture as a PNG file.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Hold a code that you were given against a contact's account key.
    #[arg(long, num_args = 2, value_names = ["CONTACT", "CODE"])]
    #[arg(conflicts_with_all = ["svg", "png"])]
    pub enter: Option<Vec<String>>,
}

/// The own code.
#[derive(Serialize)]
pub struct CodeReport {
    label: String,
    code: String,
    /// What was written.
    files: Vec<String>,
    #[serde(skip)]
    picture: String,
}

pub async fn show(arguments: &Arguments, phone: &Phone) -> Result<CodeReport, Failure> {
    let code = phone
        .device
        .public_code()
        .await?
        .ok_or(DeviceError::NoKey)?;
    let picture = QrPicture::of(&code);
    let mut files = Vec::new();
    let mut write = |path: &Option<PathBuf>, bytes: &dyn Fn() -> Vec<u8>| match path {
        None => Ok(()),
        Some(path) => {
            files.push(path.display().to_string());
            save(path, &bytes())
        }
    };
    write(&arguments.svg, &|| picture.to_svg().into_bytes())?;
    write(&arguments.png, &|| picture.to_png(SCALE))?;
    Ok(CodeReport {
        label: phone.label.to_string(),
        code: code.to_string(),
        files,
        picture: picture.to_terminal(),
    })
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    Ok(durable::create_new(path, bytes)?)
}

impl Report for CodeReport {
    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.label)?;
        write_field(out, "code", &self.code)?;
        self.files
            .iter()
            .try_for_each(|file| write_field(out, "written", file))?;
        out.push_str(&self.picture);
        Ok(())
    }
}

/// What entering a code led to.
#[derive(Serialize)]
pub struct EnterReport {
    contact: String,
    /// `matches`, `differs`, `waits` or `full`.
    result: &'static str,
}

/// `words` are the contact and the code.
pub async fn enter(words: &[String], phone: &Phone) -> Result<EnterReport, Failure> {
    let [contact, code] = words else {
        return Err(Failure::usage(
            "a contact and a code are needed",
            "see --help",
        ));
    };
    let contact: Label = arguments::label(contact)
        .map_err(|error| Failure::usage(error, "name the contact first, then the code"))?;
    let code = PublicCode::parse(code).map_err(|error| {
        Failure::usage(
            error,
            "check the typing, or ask for the code again; spaces do not matter",
        )
    })?;
    let entered = phone.device.enter_code(&contact, code).await?;
    let entered = entered.map_err(|trouble| trouble::failure(&trouble))?;
    Ok(EnterReport {
        contact: contact.to_string(),
        result: match entered {
            CodeEntered::Matches => "matches",
            CodeEntered::Differs => "differs",
            CodeEntered::Waits => "waits",
            CodeEntered::Full => "full",
        },
    })
}

impl Report for EnterReport {
    fn exit(&self) -> Exit {
        match self.result {
            "differs" => Exit::Alarm,
            "full" => Exit::Local,
            _ => Exit::Done,
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.contact)?;
        let contact = &self.contact;
        let result = match self.result {
            "matches" => paint(GOOD, format_args!("✓✓ the code is {contact}'s: verified")),
            "waits" => paint(
                WARN,
                format_args!("{contact} has no account key yet; the code is checked when it has"),
            ),
            "full" => paint(WARN, "no more contacts can be marked"),
            _ => {
                let what = format!("✗ well typed, and not {contact}'s: nothing was stored");
                write_field(out, "result", paint(ALARM, what))?;
                let what = "ask in another way whose code this is; it may be the wrong person";
                return write_field(out, "do", what);
            }
        };
        write_field(out, "result", result)
    }
}
