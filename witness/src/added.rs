//! The logs that were added while the witness ran, or by a command: a list in the format `logs/v0`
//! beside the database. Lists and commands only add to it; an origin keeps its keys.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use candor_core::limits::LOG_LIST_BYTES_MAX;
use candor_core::note::{ListedLog, LogList, LogListError, LogVerifier, VerifierKey};
use candor_host::durable::{self, InstanceLock, LockError, ReadError, WriteError};

use crate::logs::{LOGS_MAX, Log};

/// How often, and after which wait, a lock that another process holds is tried again: 5 s in all.
const LOCK_TRIES: usize = 50;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// Why logs were not read or added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddedError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file was damaged or edited.
    #[error("the list of added logs is damaged")]
    Damaged(#[from] LogListError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Another process holds the file.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is no room for more logs.
    #[error("no room for more logs: at most {LOGS_MAX}, and {LOG_LIST_BYTES_MAX} bytes of them")]
    Full,
}

/// Reads the logs at `path`; none if there is no such file.
///
/// # Errors
///
/// [`AddedError`].
pub fn read(path: &Path) -> Result<Vec<ListedLog>, AddedError> {
    match durable::read_bounded(path, LOG_LIST_BYTES_MAX) {
        Ok(bytes) => Ok(LogList::parse(&bytes)?.logs),
        Err(ReadError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(error.into()),
    }
}

/// Adds those logs to the file at `path`, durably, whose origin it does not have, and returns them.
/// It waits for a moment while another process does the same.
///
/// # Errors
///
/// [`AddedError`]; nothing was added.
pub fn add(path: &Path, logs: Vec<ListedLog>) -> Result<Vec<ListedLog>, AddedError> {
    if logs.is_empty() {
        return Ok(logs);
    }
    let _lock = lock(&path.with_extension("lock"))?;
    let mut all = read(path)?;
    let known: BTreeSet<String> = all.iter().map(|log| log.origin.clone()).collect();
    let mut new = logs;
    new.retain(|log| !known.contains(&log.origin));
    all.extend(new.iter().cloned());
    let origins: BTreeSet<&str> = all.iter().map(|log| log.origin.as_str()).collect();
    let is_too_many = origins.len() > LOGS_MAX;
    let list = LogList {
        logs: all,
        unsupported: 0,
    };
    let text = list.to_string();
    if is_too_many || text.len() > LOG_LIST_BYTES_MAX {
        return Err(AddedError::Full);
    }
    durable::replace(path, text.as_bytes())?;
    Ok(new)
}

fn lock(path: &Path) -> Result<InstanceLock, LockError> {
    for _ in 1..LOCK_TRIES {
        match InstanceLock::acquire(path) {
            Err(LockError::Held { .. }) => std::thread::sleep(LOCK_WAIT),
            other => return other,
        }
    }
    InstanceLock::acquire(path)
}

/// The logs of entries that may share an origin: one with the keys of all of them.
pub fn logs_of(listed: Vec<ListedLog>) -> Vec<Log> {
    let mut by_origin: BTreeMap<String, (Vec<VerifierKey>, ListedLog)> = BTreeMap::new();
    for log in listed {
        let key = log.key.clone();
        let (keys, _) = by_origin
            .entry(log.origin.clone())
            .or_insert_with(|| (Vec::new(), log));
        keys.push(key);
    }
    let log = |(origin, (keys, first)): (String, (Vec<VerifierKey>, ListedLog))| {
        Log::new(LogVerifier::new(&origin, keys), None)
            .limited(Some(first.qpd))
            .with_contact(Some(first.contact))
    };
    by_origin.into_iter().map(log).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use candor_core::crypto::Ed25519SecretKey;
    use candor_core::note::{KeyName, NoteSigner as _, SoftwareSigner};

    fn listed(origin: &str, seed: u8) -> ListedLog {
        let name = KeyName::new("log.example").unwrap();
        let signer = SoftwareSigner::ed25519(name, Ed25519SecretKey::from_seed(&[seed; 32]));
        ListedLog::new(signer.verifier_key().clone(), origin, 24, "nobody").unwrap()
    }

    #[test]
    fn an_origin_keeps_the_keys_with_which_it_was_added() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs");
        assert_eq!(read(&path).unwrap(), []);
        let both_keys = vec![listed("a", 1), listed("a", 2)];
        assert_eq!(add(&path, both_keys.clone()).unwrap(), both_keys);
        let more = vec![listed("a", 3), listed("b", 1)];
        assert_eq!(add(&path, more).unwrap(), [listed("b", 1)]);
        let all = [listed("a", 1), listed("a", 2), listed("b", 1)];
        assert_eq!(read(&path).unwrap(), all);
        let logs = logs_of(all.into());
        let origins: Vec<&str> = logs.iter().map(Log::origin).collect();
        assert_eq!(origins, ["a", "b"]);
        assert_eq!(logs[0].verifier.keys().len(), 2);
    }

    #[test]
    fn a_damaged_file_is_neither_read_nor_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs");
        std::fs::write(&path, "logs/v0\nvkey").unwrap();
        assert!(matches!(read(&path), Err(AddedError::Damaged(_))));
        let refused = add(&path, vec![listed("a", 1)]);
        assert!(matches!(refused, Err(AddedError::Damaged(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"logs/v0\nvkey");
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs");
        let logs = (0..=LOGS_MAX).map(|number| listed(&format!("log/{number}"), 1));
        let mut logs: Vec<_> = logs.collect();
        assert!(matches!(add(&path, logs.clone()), Err(AddedError::Full)));
        logs.pop();
        assert_eq!(add(&path, logs).unwrap().len(), LOGS_MAX);
        let refused = add(&path, vec![listed("one more", 1)]);
        assert!(matches!(refused, Err(AddedError::Full)));
    }
}
