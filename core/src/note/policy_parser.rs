//! The grammar of policy files, to the letter (c2sp.org/tlog-policy, "Policy file syntax and
//! structure").

use std::collections::{HashMap, HashSet};

use thiserror::Error;

use super::key::{Algorithm, VerifierKey, VkeyError};
use super::policy::{Group, Member, Policy, PolicyLog, PolicyName, PolicyWitness};
use crate::limits::{POLICY_BYTES_MAX, POLICY_ENTRIES_MAX};

/// A policy file breaks the specification in a line; its author is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub struct PolicyParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: PolicyFault,
}

/// What can be wrong with a line of a policy file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// The file is longer than [`POLICY_BYTES_MAX`].
    #[error("file exceeds {POLICY_BYTES_MAX} bytes")]
    FileTooLong,
    /// More logs, witnesses or groups than [`POLICY_ENTRIES_MAX`].
    #[error("more than {POLICY_ENTRIES_MAX} logs, witnesses or groups")]
    TooManyEntries,
    /// A control character other than tab and newline.
    #[error("octet {octet:#04x} is not allowed")]
    ForbiddenOctet {
        /// The octet.
        octet: u8,
    },
    /// The last line does not end in a newline.
    #[error("line does not end in a newline")]
    Unterminated,
    /// The first word is none of `log`, `witness`, `group`, `quorum`.
    #[error("unknown keyword")]
    UnknownKeyword,
    /// A word is missing, or one too many.
    #[error("wrong number of words")]
    WrongWordCount,
    /// The verifier key cannot be used.
    #[error(transparent)]
    Key(#[from] VkeyError),
    /// The key's signature type does not fit a log, or not a witness.
    #[error("signature type does not fit")]
    WrongKeyType,
    /// Another log, or another witness, has the same public key.
    #[error("public key appears twice")]
    DuplicateKey,
    /// The name is already that of a witness or group.
    #[error("name {0} is defined twice")]
    DuplicateName(PolicyName),
    /// `none` cannot be defined.
    #[error("name none is reserved")]
    ReservedName,
    /// No witness or group before this line has the name.
    #[error("name {0} is not defined above")]
    UndefinedName(PolicyName),
    /// The name is already member of a group.
    #[error("name {0} is member twice")]
    DuplicateMember(PolicyName),
    /// The threshold is neither `any`, `all` nor a decimal from 1 to the number of members.
    #[error("threshold is not between 1 and the number of members")]
    InvalidThreshold,
    /// A second quorum line.
    #[error("quorum is defined twice")]
    DuplicateQuorum,
    /// The file ends without a quorum line.
    #[error("quorum is missing")]
    MissingQuorum,
}

pub(super) fn parse(file: &[u8]) -> Result<Policy, PolicyParseError> {
    let mut parser = Parser::default();
    if file.len() > POLICY_BYTES_MAX {
        return Err(PolicyParseError {
            line: 1,
            fault: PolicyFault::FileTooLong,
        });
    }
    let mut line = 1;
    for text in file.split_inclusive(|octet| *octet == b'\n') {
        parser
            .line(text)
            .map_err(|fault| PolicyParseError { line, fault })?;
        line += 1;
    }
    parser
        .finish()
        .map_err(|fault| PolicyParseError { line, fault })
}

#[derive(Default)]
struct Parser {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    names: HashMap<Vec<u8>, Member>,
    members: HashSet<Vec<u8>>,
    /// Some as soon as there was a quorum line; the inner None is `quorum none`.
    quorum: Option<Option<Member>>,
}

impl Parser {
    fn line(&mut self, line: &[u8]) -> Result<(), PolicyFault> {
        let line = line.strip_suffix(b"\n").ok_or(PolicyFault::Unterminated)?;
        let forbidden = |octet: &u8| !matches!(octet, b'\t' | 0x20..=0x7e | 0x80..);
        if let Some(&octet) = line.iter().find(|octet| forbidden(octet)) {
            return Err(PolicyFault::ForbiddenOctet { octet });
        }
        let words: Vec<&[u8]> = line
            .split(|octet| matches!(octet, b' ' | b'\t'))
            .filter(|word| !word.is_empty())
            .collect();
        match words[..] {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", ref words @ ..] => self.log(words),
            [b"witness", ref words @ ..] => self.witness(words),
            [b"group", ref words @ ..] => self.group(words),
            [b"quorum", ref words @ ..] => self.quorum(words),
            _ => Err(PolicyFault::UnknownKeyword),
        }
    }

    fn log(&mut self, words: &[&[u8]]) -> Result<(), PolicyFault> {
        let (key, url) = match *words {
            [key] => (key, None),
            [key, url] => (key, Some(url.to_vec())),
            _ => return Err(PolicyFault::WrongWordCount),
        };
        let key = parse_key(key)?;
        if !matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::MlDsa44) {
            return Err(PolicyFault::WrongKeyType);
        }
        if self
            .logs
            .iter()
            .any(|other| other.key.has_same_public_key(&key))
        {
            return Err(PolicyFault::DuplicateKey);
        }
        check_room(self.logs.len())?;
        self.logs.push(PolicyLog { key, url });
        Ok(())
    }

    fn witness(&mut self, words: &[&[u8]]) -> Result<(), PolicyFault> {
        let (name, key, url) = match *words {
            [name, key] => (name, key, None),
            [name, key, url] => (name, key, Some(url.to_vec())),
            _ => return Err(PolicyFault::WrongWordCount),
        };
        let key = parse_key(key)?;
        if !matches!(
            key.algorithm(),
            Algorithm::Ed25519Cosignature | Algorithm::MlDsa44
        ) {
            return Err(PolicyFault::WrongKeyType);
        }
        if self
            .witnesses
            .iter()
            .any(|other| other.key.has_same_public_key(&key))
        {
            return Err(PolicyFault::DuplicateKey);
        }
        check_room(self.witnesses.len())?;
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(PolicyWitness {
            name: PolicyName(name.to_vec()),
            key,
            url,
        });
        Ok(())
    }

    fn group(&mut self, words: &[&[u8]]) -> Result<(), PolicyFault> {
        let [name, threshold, ref members @ ..] = *words else {
            return Err(PolicyFault::WrongWordCount);
        };
        if members.is_empty() {
            return Err(PolicyFault::WrongWordCount);
        }
        let threshold = match threshold {
            b"any" => 1,
            b"all" => members.len(),
            _ => parse_threshold(threshold, members.len())?,
        };
        check_room(self.groups.len())?;
        let members = members
            .iter()
            .map(|name| self.member(name))
            .collect::<Result<_, _>>()?;
        // Defined after its members are looked up, so that a group cannot be its own member.
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members });
        Ok(())
    }

    fn quorum(&mut self, words: &[&[u8]]) -> Result<(), PolicyFault> {
        let [name] = *words else {
            return Err(PolicyFault::WrongWordCount);
        };
        if self.quorum.is_some() {
            return Err(PolicyFault::DuplicateQuorum);
        }
        self.quorum = Some(if name == b"none" {
            None
        } else {
            Some(self.lookup(name)?)
        });
        Ok(())
    }

    fn define(&mut self, name: &[u8], member: Member) -> Result<(), PolicyFault> {
        if name == b"none" {
            return Err(PolicyFault::ReservedName);
        }
        match self.names.insert(name.to_vec(), member) {
            None => Ok(()),
            Some(_) => Err(PolicyFault::DuplicateName(PolicyName(name.to_vec()))),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Member, PolicyFault> {
        let undefined = || PolicyFault::UndefinedName(PolicyName(name.to_vec()));
        self.names.get(name).copied().ok_or_else(undefined)
    }

    fn member(&mut self, name: &[u8]) -> Result<Member, PolicyFault> {
        let member = self.lookup(name)?;
        if !self.members.insert(name.to_vec()) {
            return Err(PolicyFault::DuplicateMember(PolicyName(name.to_vec())));
        }
        Ok(member)
    }

    fn finish(self) -> Result<Policy, PolicyFault> {
        let Self {
            logs,
            witnesses,
            groups,
            quorum,
            ..
        } = self;
        let quorum = quorum.ok_or(PolicyFault::MissingQuorum)?;
        Ok(Policy {
            logs,
            witnesses,
            groups,
            quorum,
        })
    }
}

const fn check_room(count: usize) -> Result<(), PolicyFault> {
    if count < POLICY_ENTRIES_MAX {
        Ok(())
    } else {
        Err(PolicyFault::TooManyEntries)
    }
}

fn parse_key(word: &[u8]) -> Result<VerifierKey, PolicyFault> {
    let text = core::str::from_utf8(word).map_err(|_| VkeyError::Malformed)?;
    Ok(text.parse::<VerifierKey>()?)
}

/// A decimal without sign and leading zeroes, from 1 to `members`.
fn parse_threshold(word: &[u8], members: usize) -> Result<usize, PolicyFault> {
    core::str::from_utf8(word)
        .ok()
        .and_then(super::text::decode_decimal)
        .and_then(|threshold| usize::try_from(threshold).ok())
        .filter(|threshold| (1..=members).contains(threshold))
        .ok_or(PolicyFault::InvalidThreshold)
}
