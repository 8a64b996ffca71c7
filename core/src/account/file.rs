//! Account files: the versions of a log's accounts as lines of text, so that they can be carried
//! over to another log, whoever's software runs that.
//!
//! ```text
//! candor-accounts/v1 TAB origin TAB records      of the log that the accounts are of
//! label TAB version TAB value                    in base64 (RFC 4648, section 4), or "erased"
//! ```
//!
//! The versions of a label follow one another, from 0 on. Labels that were a binding at any version
//! come last, so that whoever reads a file from front to back finds what they lead to before them.
//! Values do not name the log, so their signatures hold wherever they are. Openings are not in the
//! file: another log commits with its own.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::label::Label;
use super::value::{UnverifiedValue, VerifiedValue};
use crate::limits::{KEY_NAME_BYTES_MAX, LABEL_BYTES_MAX, VALUE_BYTES_MAX};

const FORMAT: &str = "candor-accounts/v1";

const ERASED: &str = "erased";

/// Longest line in bytes, without its end.
pub const ACCOUNT_LINE_BYTES_MAX: usize =
    LABEL_BYTES_MAX + 1 + 10 + 1 + VALUE_BYTES_MAX.div_ceil(3) * 4;

/// Why a line is none of an account file. Who made the file is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AccountLineError {
    /// The first line is not that of this format.
    #[error("not an account file of this format")]
    Header,
    /// The line has not the three fields, or one of them is spelled in another way.
    #[error("the line is malformed")]
    Malformed,
    /// The value cannot be one of the label.
    #[error("the value is not one of the label")]
    Value,
}

/// The first line: which log the accounts are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFileHeader {
    /// The log's origin.
    pub origin: String,
    /// How many records the log had.
    pub size: u64,
}

impl AccountFileHeader {
    /// Parses a line.
    ///
    /// # Errors
    ///
    /// [`AccountLineError::Header`].
    pub fn parse(line: &str) -> Result<Self, AccountLineError> {
        let [format, origin, size] = fields(line).ok_or(AccountLineError::Header)?;
        let is_origin = (1..=KEY_NAME_BYTES_MAX).contains(&origin.len());
        let size = size.parse().ok().filter(|_| format == FORMAT && is_origin);
        let header = size.map(|size| Self {
            origin: origin.to_owned(),
            size,
        });
        let is_spelled = |header: &Self| header.to_string() == line;
        header.filter(is_spelled).ok_or(AccountLineError::Header)
    }
}

impl fmt::Display for AccountFileHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORMAT}\t{}\t{}", self.origin, self.size)
    }
}

/// A version of an account. `Display` is the line: it names a person, and is for no log.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountLine {
    /// The account's label.
    pub label: Label,
    /// The version.
    pub version: u32,
    /// The value, which was verified for the label; `None` if it was erased.
    pub value: Option<VerifiedValue>,
}

impl AccountLine {
    /// Parses a line, and verifies its value for its label.
    ///
    /// # Errors
    ///
    /// [`AccountLineError`].
    pub fn parse(line: &str) -> Result<Self, AccountLineError> {
        use AccountLineError::{Malformed, Value};
        if line.len() > ACCOUNT_LINE_BYTES_MAX {
            return Err(Malformed);
        }
        let [label, version, value] = fields(line).ok_or(Malformed)?;
        let label = Label::parse(label).map_err(|_| Malformed)?;
        let number: u32 = version.parse().map_err(|_| Malformed)?;
        if number.to_string() != version {
            return Err(Malformed);
        }
        let value = match value {
            ERASED => None,
            value => {
                let bytes = STANDARD.decode(value).map_err(|_| Malformed)?;
                let value = UnverifiedValue::decode(&bytes).map_err(|_| Value)?;
                Some(value.verify(&label).map_err(|_| Value)?)
            }
        };
        Ok(Self {
            label,
            version: number,
            value,
        })
    }
}

impl fmt::Display for AccountLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}\t", self.label, self.version)?;
        match &self.value {
            Some(value) => f.write_str(&STANDARD.encode(value.encode())),
            None => f.write_str(ERASED),
        }
    }
}

impl fmt::Debug for AccountLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountLine")
            .field("label", &self.label)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

fn fields(line: &str) -> Option<[&str; 3]> {
    let mut fields = line.split('\t');
    let found = [fields.next()?, fields.next()?, fields.next()?];
    fields.next().is_none().then_some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::account::{AccountState, Binding};

    fn line(version: u32, value: Option<VerifiedValue>) -> AccountLine {
        let label = Label::parse("acct:alice").unwrap();
        AccountLine {
            label,
            version,
            value,
        }
    }

    fn state() -> VerifiedValue {
        let label = Label::parse("acct:alice").unwrap();
        VerifiedValue::State(AccountState::first().without_signature(&label).unwrap())
    }

    #[test]
    fn a_line_is_what_it_was_made_of() {
        let label = Label::parse("acct:alice").unwrap();
        let primary = Label::parse("mailto:alice@example.org").unwrap();
        let binding = VerifiedValue::Binding(Binding::new(label, primary).unwrap());
        for line in [
            line(0, Some(state())),
            line(u32::MAX, Some(binding)),
            line(7, None),
        ] {
            assert_eq!(AccountLine::parse(&line.to_string()), Ok(line));
        }
        let header = AccountFileHeader {
            origin: "log.example/kt".to_owned(),
            size: u64::MAX,
        };
        assert_eq!(AccountFileHeader::parse(&header.to_string()), Ok(header));
    }

    #[test]
    fn there_is_one_spelling() {
        let good = line(1, Some(state())).to_string();
        let value = good.rsplit('\t').next().unwrap();
        for (bad, error) in [
            (format!("{good}\t"), AccountLineError::Malformed),
            (format!("{good}\r"), AccountLineError::Malformed),
            (format!(" {good}"), AccountLineError::Malformed),
            (
                format!("Acct:Alice\t1\t{value}"),
                AccountLineError::Malformed,
            ),
            (
                format!("acct:alice\t01\t{value}"),
                AccountLineError::Malformed,
            ),
            (
                format!("acct:alice\t+1\t{value}"),
                AccountLineError::Malformed,
            ),
            (
                format!("acct:alice\t4294967296\t{value}"),
                AccountLineError::Malformed,
            ),
            (
                format!("acct:alice\t1\t{value}="),
                AccountLineError::Malformed,
            ),
            ("acct:alice\t1\tAAAA".to_owned(), AccountLineError::Value),
            ("acct:alice\t1\t".to_owned(), AccountLineError::Value),
            ("acct:alice\t1".to_owned(), AccountLineError::Malformed),
            (String::new(), AccountLineError::Malformed),
        ] {
            assert_eq!(AccountLine::parse(&bad), Err(error), "{bad:?}");
        }
        for bad in [
            "",
            "candor-accounts/v1\tlog.example\t",
            "candor-accounts/v1\tlog.example\t+1",
            "candor-accounts/v1\tlog.example\t01",
            "candor-accounts/v1\t\t1",
            "candor-accounts/v2\tlog.example\t1",
        ] {
            let parsed = AccountFileHeader::parse(bad);
            assert_eq!(parsed, Err(AccountLineError::Header), "{bad:?}");
        }
        // No label has what separates fields and lines.
        for bad in ["acct:a\tb", "acct:a\nb", "mailto:a\tb@example.org"] {
            Label::normalize(bad).unwrap_err();
        }
    }

    #[test]
    fn a_value_of_another_label_is_refused() {
        let secret = crate::crypto::Ed25519SecretKey::from_seed(&[1; 32]);
        let label = Label::parse("acct:alice").unwrap();
        let signed = AccountState::first().sign(&label, &secret).unwrap();
        let good = line(0, Some(VerifiedValue::State(signed))).to_string();
        AccountLine::parse(&good).unwrap();
        let bad = good.replace("acct:alice", "acct:bob");
        assert_eq!(AccountLine::parse(&bad), Err(AccountLineError::Value));
    }
}
