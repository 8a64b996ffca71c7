//! Labels: the typed identifiers that name accounts, each in one normal form.
//!
//! The server files an account under the bytes of its label and a device searches by them, so both
//! must come to the same bytes whatever a person typed. [`Label::normalize`] makes the normal form
//! at the edge where people type; everything behind that edge uses [`Label::parse`], which accepts
//! the normal form alone. That rules out two accounts that look like one identifier, and characters
//! that a reader cannot see.
//!
//! The local part of an e-mail address is lower-cased. RFC 5321 leaves its case to the receiving
//! host, but services in use ignore it, and two accounts that differ in case alone would be a trap.

use core::fmt;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::limits::{LABEL_BYTES_MAX, LABEL_INPUT_BYTES_MAX, LABEL_NAME_BYTES_MAX};

/// The identifier of an account in its normal form (`docs/protocol.md`, "Labels").
///
/// `Display` prints it; `Debug` shows its kind only, because identifiers stay out of logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    text: Box<str>,
}

impl Label {
    /// Accepts `text` if it is the normal form of an identifier.
    ///
    /// # Errors
    ///
    /// Why it is not one, [`LabelError::NotNormal`] when [`Self::normalize`] would make it one. The
    /// sender is at fault.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        let label = Self::normalize(text)?;
        if label.as_str() == text {
            Ok(label)
        } else {
            Err(LabelError::NotNormal)
        }
    }

    /// Makes the normal form of what a person typed.
    ///
    /// An identifier without its kind is a telephone number when it begins with `+`, else an e-mail
    /// address. Normalizing a normal form changes nothing.
    ///
    /// # Errors
    ///
    /// Why `text` is no identifier. Whoever typed it is at fault.
    pub fn normalize(text: &str) -> Result<Self, LabelError> {
        if text.len() > LABEL_INPUT_BYTES_MAX {
            return Err(LabelError::TooLong);
        }
        let (kind, rest) = split_kind(text.trim())?;
        let identifier = match kind {
            LabelKind::Telephone => telephone(rest)?,
            LabelKind::Email => {
                let (local, domain) = rest.rsplit_once('@').ok_or(LabelError::Domain)?;
                format!("{}@{}", name(local)?, ascii_domain(domain)?)
            }
            LabelKind::UserName => match rest.rsplit_once('@') {
                Some((user, domain)) => format!("{}@{}", name(user)?, ascii_domain(domain)?),
                None => name(rest)?,
            },
        };
        let text = format!("{}{identifier}", kind.prefix());
        if text.len() > LABEL_BYTES_MAX {
            return Err(LabelError::TooLong);
        }
        Ok(Self { text: text.into() })
    }

    /// The label's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes that are hashed, 1 to 255.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// What kind of identifier it is.
    pub fn kind(&self) -> LabelKind {
        LabelKind::ALL
            .into_iter()
            .find(|kind| self.text.starts_with(kind.prefix()))
            .expect("every label begins with the prefix of its kind")
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({}..)", self.kind().prefix())
    }
}

/// The kinds of identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelKind {
    /// `tel:+` and 7 to 15 digits (E.164).
    Telephone,
    /// `mailto:local@domain`.
    Email,
    /// `acct:name` or `acct:name@domain` (RFC 7565, the domain being optional here).
    UserName,
}

impl LabelKind {
    const ALL: [Self; 3] = [Self::Telephone, Self::Email, Self::UserName];

    /// The prefix that labels of this kind begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Telephone => "tel:",
            Self::Email => "mailto:",
            Self::UserName => "acct:",
        }
    }
}

/// Why a text is not an identifier. Whoever typed or sent it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LabelError {
    /// It is an identifier, but not written in its normal form.
    #[error("the identifier is not in its normal form")]
    NotNormal,
    /// Its normal form is, or would be, longer than a label can be.
    #[error("the identifier is longer than a label can be")]
    TooLong,
    /// It begins with no known prefix, and is neither a telephone number nor an e-mail address.
    #[error("the identifier is of no known kind")]
    UnknownKind,
    /// The telephone number is not `+` and 7 to 15 digits of which the first is not 0.
    #[error("the telephone number is not in international form")]
    Telephone,
    /// The user name or local part is empty, too long, or holds a character that is not allowed.
    #[error("the user name is empty, too long, or holds a character that is not allowed")]
    Name,
    /// The domain is missing or is not a valid internationalized domain name.
    #[error("the domain is not a valid domain name")]
    Domain,
}

fn split_kind(text: &str) -> Result<(LabelKind, &str), LabelError> {
    for kind in LabelKind::ALL {
        if let Some((head, rest)) = text.split_at_checked(kind.prefix().len())
            && head.eq_ignore_ascii_case(kind.prefix())
        {
            return Ok((kind, rest));
        }
    }
    if text.starts_with('+') {
        Ok((LabelKind::Telephone, text))
    } else if text.contains('@') {
        Ok((LabelKind::Email, text))
    } else {
        Err(LabelError::UnknownKind)
    }
}

/// Drops the visual separators (RFC 3966, section 5.1.1, and the spaces people type).
fn telephone(text: &str) -> Result<String, LabelError> {
    let number: String = text
        .chars()
        .filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ' | '\u{a0}' | '\u{202f}'))
        .collect();
    let digits = number.strip_prefix('+').ok_or(LabelError::Telephone)?;
    let well_formed = (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if well_formed {
        Ok(number)
    } else {
        Err(LabelError::Telephone)
    }
}

/// A user name or local part: NFC, every code point lower-cased for itself, so that the result
/// depends on no context and no locale.
fn name(text: &str) -> Result<String, LabelError> {
    let name: String = if text.is_ascii() {
        text.to_ascii_lowercase() // The same, in a fraction of the time.
    } else {
        text.nfc().flat_map(char::to_lowercase).nfc().collect()
    };
    let dots_apart = name.split('.').all(|atom| !atom.is_empty());
    let well_formed = name.len() <= LABEL_NAME_BYTES_MAX
        && dots_apart
        && name.chars().all(is_name_char)
        && !name.starts_with(is_combining_mark);
    if well_formed {
        Ok(name)
    } else {
        Err(LabelError::Name)
    }
}

/// `atext` and the dot of RFC 5322 (section 3.2.3), and beyond ASCII (RFC 6532) what can be seen.
fn is_name_char(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c)
    } else {
        !c.is_control() && !c.is_whitespace() && !is_invisible(c) && !is_without_meaning(c)
    }
}

/// `Default_Ignorable_Code_Point` of the Unicode Character Database, which covers the marks and
/// embeddings that change the direction of text. Who shows text of others shows these as numbers.
pub const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Private use areas and noncharacters: what they show is up to the font.
fn is_without_meaning(c: char) -> bool {
    let code_point = u32::from(c);
    matches!(code_point, 0xe000..=0xf8ff | 0xf_0000..=0x10_ffff | 0xfdd0..=0xfdef)
        || code_point & 0xfffe == 0xfffe
        || c == char::REPLACEMENT_CHARACTER
}

/// The domain by UTS 46 (nontransitional, STD3 rules, lengths verified), in lower-case ASCII.
fn ascii_domain(domain: &str) -> Result<String, LabelError> {
    Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::Check,
            DnsLength::Verify,
        )
        .map(|ascii| ascii.into_owned())
        .map_err(|_| LabelError::Domain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_type_becomes_the_normal_form() {
        for (typed, normal) in [
            (" +1 (555) 123-4567 ", "tel:+15551234567"),
            ("TEL:+1.555.123.4567", "tel:+15551234567"),
            ("Alice@Example.ORG", "mailto:alice@example.org"),
            (
                "mailto:alice@b\u{fc}cher.example",
                "mailto:alice@xn--bcher-kva.example",
            ),
            ("Jose\u{301}@example.org", "mailto:jos\u{e9}@example.org"),
            ("\u{212a}elvin@example.org", "mailto:kelvin@example.org"),
            ("acct:\u{3a3}\u{3a3}", "acct:\u{3c3}\u{3c3}"),
            ("Acct:Alice@Example.org", "acct:alice@example.org"),
        ] {
            let label = Label::normalize(typed).unwrap();
            assert_eq!(label.as_str(), normal);
            assert_eq!(Label::parse(normal), Ok(label));
            assert_eq!(Label::parse(typed), Err(LabelError::NotNormal));
        }
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        use LabelError::{Domain, Name, Telephone, TooLong, UnknownKind};
        let long_name = format!("acct:{}", "a".repeat(65));
        let long_domain = format!("alice@{}", ["a".repeat(60).as_str(); 4].join("."));
        let huge = "a".repeat(LABEL_INPUT_BYTES_MAX + 1);
        for (typed, error) in [
            ("", UnknownKind),
            ("alice", UnknownKind),
            ("https://example.org", UnknownKind),
            ("+123456", Telephone),
            ("+1234567890123456", Telephone),
            ("+05551234567", Telephone),
            ("tel:15551234567", Telephone),
            ("+1555123456x", Telephone),
            (
                "+\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}\u{667}",
                Telephone,
            ),
            ("+1555\t1234567", Telephone),
            ("@example.org", Name),
            (".alice@example.org", Name),
            ("al..ice@example.org", Name),
            ("al ice@example.org", Name),
            ("\"alice\"@example.org", Name),
            ("alice@bob@example.org", Name),
            ("al\u{0}ice@example.org", Name),
            ("al\u{200d}ice@example.org", Name),
            ("al\u{202e}ice@example.org", Name),
            ("al\u{a0}ice@example.org", Name),
            ("al\u{e000}ice@example.org", Name),
            ("\u{301}alice@example.org", Name),
            ("acct:", Name),
            (&long_name, Name),
            ("alice@", Domain),
            ("mailto:alice", Domain),
            ("alice@exa mple.org", Domain),
            ("alice@example.org.", Domain),
            ("alice@-example.org", Domain),
            ("alice@exa_mple.org", Domain),
            ("alice@[192.0.2.1]", Domain),
            ("alice@example.org?subject=x", Domain),
            (&long_domain, TooLong),
            (&huge, TooLong),
        ] {
            assert_eq!(Label::normalize(typed), Err(error), "{typed:?}");
        }
    }

    #[test]
    fn debug_does_not_show_the_identifier() {
        let label = Label::parse("mailto:alice@example.org").unwrap();
        assert_eq!(format!("{label:?}"), "Label(mailto:..)");
        assert_eq!(label.to_string(), "mailto:alice@example.org");
    }

    proptest! {
        #[test]
        fn normalizing_twice_changes_nothing(
            kind in "(tel:|mailto:|acct:|)",
            name in "\\PC{1,12}",
            domain in "(@\\PC{1,8}\\.[a-zA-Z]{2,5})?",
        ) {
            let typed = format!("{kind}{name}{domain}");
            if let Ok(label) = Label::normalize(&typed) {
                prop_assert_eq!(Label::normalize(label.as_str()), Ok(label.clone()));
                prop_assert_eq!(Label::parse(&typed).is_ok(), typed == label.as_str());
            } else {
                prop_assert!(Label::parse(&typed).is_err());
            }
        }

        #[test]
        fn every_way_to_write_a_number_is_one_label(
            digits in "[1-9][0-9]{6,14}",
            separators in proptest::collection::vec("[-. ()]{0,2}", 15),
        ) {
            let mut written = String::new();
            for (digit, gap) in digits.chars().zip(&separators) {
                written.push(digit);
                written.push_str(gap);
            }
            let label = Label::normalize(&format!("+{written}")).unwrap();
            prop_assert_eq!(label.as_str(), format!("tel:+{digits}"));
        }
    }
}
