//! Lists of logs for witnesses, format `logs/v0` (witness-network.org/log-list-format).

use core::fmt;

use thiserror::Error;

use super::checkpoint::Checkpoint;
use super::key::{Algorithm, VerifierKey, VkeyError};
use super::text::decode_decimal;
use crate::Hash;
use crate::limits::LOG_LIST_BYTES_MAX;

const HEADER: &str = "logs/v0";

/// Greatest number of requests a day.
const QPD_MAX: u64 = (1 << 31) - 1;

/// Longest contact in bytes.
const CONTACT_BYTES_MAX: usize = 1024;

/// The logs of a list, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogList {
    /// The logs. One origin may be there more than once.
    pub logs: Vec<ListedLog>,
    /// How many logs were left out because their key is of a type that signs no logs, or none that
    /// is known here.
    pub unsupported: usize,
}

/// A log as a list has it. The list vouches for it, nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedLog {
    /// The key that the log signs with.
    pub key: VerifierKey,
    /// The log's origin.
    pub origin: String,
    /// How many requests the log may make a day, at least 1.
    pub qpd: u32,
    /// How to reach people about the log.
    pub contact: String,
}

/// Why a list is none. Who wrote it is at fault; nothing of it is used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LogListError {
    /// It is longer than [`LOG_LIST_BYTES_MAX`].
    #[error("list exceeds {LOG_LIST_BYTES_MAX} bytes")]
    TooLong,
    /// It is not UTF-8.
    #[error("list is not text")]
    NotText,
    /// A line is not what must stand there.
    #[error("line {line}: {expected} expected")]
    Unexpected {
        /// Which line, counted from 1; one behind the last if the list ends too early.
        line: usize,
        /// What must stand there.
        expected: &'static str,
    },
    /// A key cannot be read.
    #[error("line {line}: {source}")]
    Vkey {
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with the key.
        source: VkeyError,
    },
}

impl ListedLog {
    /// Puts an entry together; `None` if a list cannot say that.
    pub fn new(key: VerifierKey, origin: &str, qpd: u32, contact: &str) -> Option<Self> {
        let signs_logs = matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::MlDsa44);
        let is_line = |text: &str| {
            !text.is_empty() && text.trim() == text && !text.contains(char::is_control)
        };
        let is_origin = is_line(origin) && Checkpoint::new(origin, 0, Hash::EMPTY_LOG).is_ok();
        let is_contact = is_line(contact) && contact.len() <= CONTACT_BYTES_MAX;
        let is_qpd = (1..=QPD_MAX).contains(&u64::from(qpd));
        (signs_logs && is_origin && is_contact && is_qpd).then(|| Self {
            key,
            origin: origin.to_owned(),
            qpd,
            contact: contact.to_owned(),
        })
    }
}

impl LogList {
    /// Parses a list. Control characters of contacts become spaces.
    ///
    /// # Errors
    ///
    /// [`LogListError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, LogListError> {
        if bytes.len() > LOG_LIST_BYTES_MAX {
            return Err(LogListError::TooLong);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| LogListError::NotText)?;
        let mut lines = Lines::new(text);
        if lines.next() != Some(HEADER) {
            return Err(lines.unexpected("the header logs/v0"));
        }
        let mut list = Self::default();
        while let Some(first) = lines.next() {
            match lines.log(first)? {
                Some(log) => list.logs.push(log),
                None => list.unsupported += 1,
            }
        }
        Ok(list)
    }
}

impl fmt::Display for LogList {
    /// The list, without what was left out of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        for log in &self.logs {
            let (key, origin) = (&log.key, &log.origin);
            writeln!(f, "\nvkey {key}")?;
            if key.name().as_str() != origin {
                writeln!(f, "origin {origin}")?;
            }
            writeln!(f, "qpd {}\ncontact {}", log.qpd, log.contact)?;
        }
        Ok(())
    }
}

/// Lines that say something.
struct Lines<'a> {
    rest: core::str::Split<'a, char>,
    /// Of the line that was returned last, counted from 1.
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text.split('\n'),
            number: 0,
        }
    }

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.number += 1;
            let line = self.rest.next()?.trim();
            if !line.is_empty() && !line.starts_with('#') {
                return Some(line);
            }
        }
    }

    const fn unexpected(&self, expected: &'static str) -> LogListError {
        LogListError::Unexpected {
            line: self.number,
            expected,
        }
    }

    /// Reads an entry whose first line is `first`; `None` if its key is not supported.
    fn log(&mut self, first: &'a str) -> Result<Option<ListedLog>, LogListError> {
        let vkey = after("vkey", first).ok_or(self.unexpected("vkey"))?;
        let key: Option<VerifierKey> = match vkey.parse() {
            Ok(key) => Some(key),
            Err(VkeyError::UnsupportedAlgorithm(_)) => None,
            Err(source) => {
                let line = self.number;
                return Err(LogListError::Vkey { line, source });
            }
        };
        let mut line = self.next().unwrap_or_default();
        let origin = after("origin", line);
        if origin.is_some() {
            line = self.next().unwrap_or_default();
        }
        let qpd = after("qpd", line)
            .and_then(decode_decimal)
            .filter(|qpd| (1..=QPD_MAX).contains(qpd))
            .and_then(|qpd| u32::try_from(qpd).ok())
            .ok_or(self.unexpected("qpd and a number from 1 to 2^31-1"))?;
        let line = self.next().unwrap_or_default();
        let contact = after("contact", line).ok_or(self.unexpected("contact"))?;
        let contact = contact.replace(char::is_control, " ");
        let Some(key) = key.filter(|key| key.algorithm() != Algorithm::Ed25519Cosignature) else {
            return Ok(None);
        };
        let name = key.name().as_str().to_owned();
        let log = ListedLog::new(key, origin.unwrap_or(&name), qpd, contact.trim());
        let expected = "an origin that a log can have, and a contact of at most 1024 bytes";
        log.map(Some).ok_or(self.unexpected(expected))
    }
}

fn after<'a>(keyword: &str, line: &'a str) -> Option<&'a str> {
    let value = line.strip_prefix(keyword)?.strip_prefix(' ')?.trim();
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const SUMDB: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

    fn list() -> String {
        format!(
            "#\n# List: test\n#\nlogs/v0\n\n# first\nvkey {SUMDB}\n  origin go.sum database tree \n\
             qpd 86400\ncontact security (at) golang.org\n\nvkey {SUMDB}\r\nqpd 1\ncontact x\ty\n"
        )
    }

    #[test]
    fn a_list_is_read_and_written() {
        let list = LogList::parse(list().as_bytes()).unwrap();
        let [first, second] = &list.logs[..] else {
            panic!("two logs")
        };
        assert_eq!(first.key.to_string(), SUMDB);
        assert_eq!(first.origin, "go.sum database tree");
        assert_eq!((first.qpd, second.qpd), (86_400, 1));
        assert_eq!(first.contact, "security (at) golang.org");
        assert_eq!(second.origin, "sum.golang.org");
        assert_eq!(second.contact, "x y");
        assert_eq!(list.unsupported, 0);
        assert_eq!(LogList::parse(list.to_string().as_bytes()), Ok(list));
        assert_eq!(LogList::parse(b"logs/v0\n"), Ok(LogList::default()));
    }

    #[test]
    fn keys_that_sign_no_logs_are_left_out() {
        for key in [
            "other.example+bc9afbea+Axpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "witness.example+5e3ffbc9+BBpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            let parsed = LogList::parse(list().replacen(SUMDB, key, 1).as_bytes()).unwrap();
            assert_eq!((parsed.logs.len(), parsed.unsupported), (1, 1), "{key}");
        }
    }

    #[test]
    fn anything_else_is_refused_as_a_whole() {
        let good = list();
        for (from, to) in [
            ("logs/v0", "logs/v1"),
            ("logs/v0\n", ""),
            ("vkey ", "vkeys "),
            ("vkey ", ""),
            ("033de0ae", "033de0af"),
            ("origin go.sum database tree", "origin"),
            ("origin go.sum database tree", "origin a\u{7}b"),
            ("qpd 86400\n", ""),
            ("qpd 86400", "qpd 0"),
            ("qpd 86400", "qpd 086400"),
            ("qpd 86400", "qpd +1"),
            ("qpd 86400", "qpd 2147483648"),
            ("qpd 86400", "qpd 1 2"),
            ("contact security (at) golang.org\n", ""),
            ("contact security (at) golang.org", "contact"),
            ("contact x", "bastion none\ncontact x"),
            ("contact x\ty\n", ""),
            ("qpd 1\ncontact x\ty\n", ""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from:?}");
            assert!(LogList::parse(bad.as_bytes()).is_err(), "{from:?} {to:?}");
        }
        let long_contact = good.replace("x\ty", &"x".repeat(CONTACT_BYTES_MAX + 1));
        assert!(LogList::parse(long_contact.as_bytes()).is_err());
        assert_eq!(LogList::parse(&[0xff]), Err(LogListError::NotText));
        let endless = vec![b'\n'; LOG_LIST_BYTES_MAX + 1];
        assert_eq!(LogList::parse(&endless), Err(LogListError::TooLong));
        assert!(LogList::parse(&endless[1..]).is_err());
    }
}
