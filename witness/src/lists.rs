//! Logs are added from lists that others publish (format `logs/v0`), while the witness runs.
//!
//! A list only ever adds. What it says of a log that is known is not taken over; if it has another
//! key for it, that is loud and changes nothing: whoever controls a list must not be able to speak
//! for a log. Only the operator changes keys, in the configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use candor_core::limits::LOG_LIST_BYTES_MAX;
use candor_core::note::{ListedLog, LogList, LogListError, VerifierKey};
use candor_host::durable::{self, ReadError};
use candor_host::fetch::{self, BodyError, Timeouts};
use tokio_util::sync::CancellationToken;
use tonic::transport::Uri;

use crate::added::{self, AddedError};
use crate::logs::LOGS_MAX;
use crate::map::jittered;
use crate::witness::Witness;

/// Most lists of one witness.
pub const LISTS_MAX: usize = 16;

/// How often a file is looked at, and a list is asked for.
const FILE_INTERVAL: Duration = Duration::from_secs(2);
const URL_INTERVAL: Duration = Duration::from_secs(3_600);

/// How soon a list that failed is asked for again.
const RETRY: Duration = Duration::from_secs(300);

/// How long a list's server may take.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    total: Duration::from_secs(60),
};

/// Where a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSource {
    /// As the operator wrote it.
    name: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Url(String),
}

/// The place of a list cannot be used. The operator is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListSourceError {
    /// It is empty.
    #[error("no file name")]
    Empty,
    /// It is no address.
    #[error("not an address")]
    Address,
    /// Whoever is on the way could add logs.
    #[error("lists come by https, or http from this machine")]
    Plain,
}

impl ListSource {
    /// Takes an address, or the path of a file relative to `directory`.
    ///
    /// # Errors
    ///
    /// [`ListSourceError`].
    pub fn new(text: &str, directory: &Path) -> Result<Self, ListSourceError> {
        let place = if text.contains("://") {
            let uri: Uri = text.parse().map_err(|_| ListSourceError::Address)?;
            let host = uri.host().ok_or(ListSourceError::Address)?;
            let is_here = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
            match uri.scheme_str() {
                Some("https") => {}
                Some("http") if is_here => {}
                _ => return Err(ListSourceError::Plain),
            }
            Place::Url(text.to_owned())
        } else if text.is_empty() {
            return Err(ListSourceError::Empty);
        } else {
            Place::File(directory.join(text))
        };
        Ok(Self {
            name: text.to_owned(),
            place,
        })
    }
}

/// Why a list was not taken over. Nothing is changed by it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The list cannot be fetched; its server or the network is at fault.
    #[error("cannot fetch the list: {reason}")]
    Fetch {
        /// What happened.
        reason: String,
    },
    /// The answer's body cannot be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It is no list.
    #[error(transparent)]
    List(#[from] LogListError),
    /// Its logs cannot be recorded.
    #[error(transparent)]
    Added(#[from] AddedError),
    /// The process ends.
    #[error("interrupted")]
    Interrupted,
}

/// Adds to `witness` what was added before, from the file at `path`.
///
/// # Errors
///
/// [`AddedError`].
pub fn load_added(witness: &Witness, path: &Path) -> Result<(), AddedError> {
    for log in added::logs_of(added::read(path)?) {
        let origin = log.origin().to_owned();
        if witness.add_log(log) {
            tracing::info!(origin, "log added");
        } else if witness.logs().find(&origin).is_none() {
            tracing::error!(origin, "log not added: no room for more");
        }
    }
    Ok(())
}

/// Adds what the command `add-log` adds to the file at `path`, until `shutdown` is cancelled.
pub async fn follow_added(witness: Arc<Witness>, path: PathBuf, shutdown: CancellationToken) {
    let mut seen = None;
    while shutdown
        .run_until_cancelled(tokio::time::sleep(FILE_INTERVAL))
        .await
        .is_some()
    {
        let state = state_of(&path).await;
        if state.is_none() || state == seen {
            continue;
        }
        let (witness, path) = (Arc::clone(&witness), path.clone());
        let loading = tokio::task::spawn_blocking(move || load_added(&witness, &path)).await;
        if let Ok(Err(error)) = &loading {
            tracing::error!(%error, "added logs not read");
        }
        // What could not be read may be read next time; what is damaged is said once.
        if !matches!(loading, Ok(Err(AddedError::Read(_)))) {
            seen = state;
        }
    }
}

/// Takes logs over from one list, until `shutdown` is cancelled. `added` is where they are kept.
pub async fn follow_list(
    witness: Arc<Witness>,
    source: ListSource,
    added: PathBuf,
    shutdown: CancellationToken,
) {
    let mut seen = None;
    loop {
        let pulling = pull(&witness, &source, &added, &mut seen);
        let Some(result) = shutdown.run_until_cancelled(pulling).await else {
            return;
        };
        let delay = match (&source.place, result) {
            (Place::File(_), Ok(())) => FILE_INTERVAL,
            (Place::Url(_), Ok(())) => jittered(URL_INTERVAL),
            (_, Err(error)) => {
                tracing::warn!(list = source.name, %error, "list not taken over");
                witness.metrics().list_failure(&source.name);
                jittered(RETRY)
            }
        };
        let waiting = tokio::time::sleep(delay);
        if shutdown.run_until_cancelled(waiting).await.is_none() {
            return;
        }
    }
}

type FileState = Option<(SystemTime, u64)>;

async fn state_of(path: &Path) -> FileState {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

async fn pull(
    witness: &Arc<Witness>,
    source: &ListSource,
    added: &Path,
    seen: &mut FileState,
) -> Result<(), ListError> {
    let (bytes, state) = match &source.place {
        Place::File(path) => {
            let state = state_of(path).await;
            if state.is_some() && state == *seen {
                return Ok(());
            }
            let path = path.clone();
            let reading = move || durable::read_bounded(&path, LOG_LIST_BYTES_MAX);
            let bytes = tokio::task::spawn_blocking(reading).await;
            (bytes.map_err(|_| ListError::Interrupted)??, state)
        }
        Place::Url(url) => (fetch_list(url).await?, None),
    };
    let (witness, added) = (Arc::clone(witness), added.to_owned());
    let name = source.name.clone();
    let adopting = move || {
        let list = LogList::parse(&bytes)?;
        adopt(&witness, &name, &list, &added)
    };
    let adopted = tokio::task::spawn_blocking(adopting).await;
    adopted.map_err(|_| ListError::Interrupted)??;
    *seen = state;
    Ok(())
}

async fn fetch_list(url: &str) -> Result<Vec<u8>, ListError> {
    let failed = |reason: String| ListError::Fetch { reason };
    let client = fetch::client(TIMEOUTS).map_err(|error| failed(error.to_string()))?;
    let answer = client.get(url).send().await;
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    if answer.status().as_u16() != 200 {
        return Err(failed(format!("status {}", answer.status())));
    }
    Ok(fetch::read_body_bounded(answer, LOG_LIST_BYTES_MAX).await?)
}

/// Adds what is new, and is loud about what contradicts. Logs are recorded before they are
/// witnessed, so that they keep their keys.
fn adopt(witness: &Witness, source: &str, list: &LogList, added: &Path) -> Result<(), ListError> {
    let mut new: BTreeMap<&str, &ListedLog> = BTreeMap::new();
    let mut contradicting: BTreeMap<&str, &VerifierKey> = BTreeMap::new();
    let room = LOGS_MAX.saturating_sub(witness.logs().count());
    let mut is_full = false;
    for listed in &list.logs {
        let origin = listed.origin.as_str();
        let is_known = match (witness.logs().find(origin), new.get(origin)) {
            (Some(log), _) => Some(log.verifier.keys().contains(&listed.key)),
            (None, Some(first)) => Some(first.key == listed.key),
            (None, None) => None,
        };
        match is_known {
            Some(true) => {}
            Some(false) => {
                contradicting.insert(origin, &listed.key);
            }
            None if new.len() < room => {
                new.insert(origin, listed);
            }
            None => is_full = true,
        }
    }
    let adding = added::add(added, new.into_values().cloned().collect());
    let adding = adding.map(|recorded| {
        for log in added::logs_of(recorded) {
            let origin = log.origin().to_owned();
            if witness.add_log(log) {
                tracing::info!(origin, list = source, "log added");
            }
        }
    });
    // What could not be added silences nothing.
    for log in witness.logs().all() {
        let other = contradicting.get(log.origin()).copied();
        if !log.set_key_alarm(source, other) {
            continue;
        }
        if let Some(key) = other {
            tracing::error!(
                origin = log.origin(),
                list = source,
                %key,
                "list has another key for a known log: not taken over"
            );
        }
        let is_raised = !log.key_alarms().is_empty();
        witness.metrics().key_alarm(log.origin(), is_raised);
    }
    adding?;
    if list.unsupported > 0 {
        let count = list.unsupported;
        tracing::warn!(list = source, count, "logs left out: keys not supported");
    }
    if is_full {
        return Err(AddedError::Full.into());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_files_or_come_by_a_way_that_nobody_changes() {
        let directory = Path::new("/etc/witness");
        let new = |text: &str| ListSource::new(text, directory);
        assert_eq!(
            new("lists/own").unwrap().place,
            Place::File("/etc/witness/lists/own".into())
        );
        for url in [
            "https://witness-network.org/log-list",
            "http://127.0.0.1:80/list",
            "http://[::1]/list",
            "http://localhost/list",
        ] {
            assert_eq!(new(url).unwrap().place, Place::Url(url.to_owned()));
        }
        for url in [
            "http://witness-network.org/log-list",
            "http://localhost.example/list",
            "http://127.0.0.1@example/list",
            "ftp://localhost/list",
        ] {
            assert_eq!(new(url), Err(ListSourceError::Plain), "{url}");
        }
        for nonsense in ["https://", "://", "https:// a"] {
            assert_eq!(new(nonsense), Err(ListSourceError::Address), "{nonsense}");
        }
        assert_eq!(new(""), Err(ListSourceError::Empty));
    }
}
