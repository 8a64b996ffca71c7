//! Taking a backup: through the running server, or of a stopped one's store.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candor_core::epoch::LogConfig;
use candor_core::note::{Checkpoint, LogVerifier, SignedNote};
use candor_host::durable::{self, WriteError};
use candor_proto::v1;
use candor_proto::v1::backup_part::Part;
use tokio::runtime::Handle;

use super::copy::Copy;
use super::{BackupError, Manifest, STORE, Told, configured_verifier, options};
use crate::anchor::Anchor;
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{Client, ConnectError};
use crate::ledger::{Ledger, LedgerError};
use crate::storage::{Engine, Storage, Table, VALUE_BYTES_MAX};

/// Longest message in bytes: the longest row, and room for the rest.
const MESSAGE_BYTES_MAX: usize = VALUE_BYTES_MAX + (1 << 20);

/// Makes a backup of the log in the directory `to`, which must not exist. The store in it is of
/// `engine`. A server that runs goes on meanwhile; if none does, none can start until it is done.
///
/// # Errors
///
/// [`BackupError`]; then nothing is left at `to`, unless the process ended.
pub async fn take(
    config: Config,
    to: PathBuf,
    engine: Engine,
    told: impl FnMut(crate::fsck::Progress) + Send + Sync + 'static,
) -> Result<Manifest, BackupError> {
    let verifier = configured_verifier(&config)?;
    let source = match Client::connect(&config).await? {
        Some(client) => Source::Server(Box::new(client)),
        None => Source::Store,
    };
    durable::create_directory(&to).map_err(|error| match error {
        WriteError::NotWritten { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
            BackupError::Exists { path: to.clone() }
        }
        error => error.into(),
    })?;
    let taking = tokio::task::spawn_blocking(move || {
        let mut told = told;
        let made = source.copy(&config, &verifier, &to, engine, &mut told);
        if made.is_err() {
            // It is ours, and no backup. What cannot be removed is none either.
            let _ = std::fs::remove_dir_all(&to);
        }
        made
    });
    taking.await?
}

/// Where the rows come from.
enum Source {
    Server(Box<Client>),
    Store,
}

/// What was copied.
struct Copied {
    store: Arc<dyn Storage>,
    rows: u64,
    /// The newest note that was signed when the copy began.
    note: Option<Vec<u8>>,
}

impl Source {
    fn copy(
        self,
        config: &Config,
        verifier: &LogVerifier,
        to: &Path,
        engine: Engine,
        told: Told<'_>,
    ) -> Result<Manifest, BackupError> {
        // The copy is of a moment after this one: what was erased before is not in it.
        let made_s = Clock::system().now_s();
        let copy = Copy::new(engine, &to.join(STORE), told)?;
        let copied = match self {
            Self::Server(client) => copy_from_server(*client, copy)?,
            Self::Store => copy_from_store(config, verifier, copy)?,
        };
        let ledger = Ledger::new(copied.store, 0);
        let note = copied.note.map(|note| checked(&note, &ledger, verifier));
        let head = ledger.head()?;
        let found = LogConfig::decode(&ledger.record(0)?)
            .map_err(|_| LedgerError::Damaged { table: "records" })?
            .origin;
        if found != config.origin {
            let configured = config.origin.clone();
            return Err(BackupError::OtherLog { found, configured });
        }
        let manifest = Manifest {
            format: Manifest::format(),
            origin: found,
            engine,
            size: head.size,
            root: head.root.to_string(),
            rows: copied.rows,
            made_s,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            note: note.transpose()?,
        };
        // The engine closes its files before the manifest says that they are a backup.
        drop(ledger);
        manifest.write(to)?;
        Ok(manifest)
    }
}

/// The log's own lines of a note whose head the copy holds. Anything else would make a backup of
/// something that the log did not sign, or no longer is.
fn checked(note: &[u8], ledger: &Ledger, verifier: &LogVerifier) -> Result<String, BackupError> {
    let note = SignedNote::parse(note)?;
    let size = Checkpoint::parse(note.text()).map_or(0, |checkpoint| checkpoint.size());
    let refused = || BackupError::SignedHead { size };
    let signed = verifier.verify(&note).map_err(|_| refused())?;
    let is_held = size <= ledger.head()?.size && ledger.root(size)? == *signed.checkpoint().root();
    let bytes = signed.to_note().to_bytes();
    let text = is_held.then(|| String::from_utf8(bytes).ok()).flatten();
    text.ok_or_else(refused)
}

fn copy_from_store(
    config: &Config,
    verifier: &LogVerifier,
    mut copy: Copy<'_>,
) -> Result<Copied, BackupError> {
    // As a server would: the lock first, and held until the copy is complete.
    let anchor = Anchor::open(&config.anchor, verifier.clone())?;
    let store = config.engine.open(&options(&config.store))?;
    copy.all_of(&*store)?;
    let (store, rows) = copy.finish()?;
    let note = anchor.note().map(<[u8]>::to_vec);
    Ok(Copied { store, rows, note })
}

fn copy_from_server(mut client: Client, mut copy: Copy<'_>) -> Result<Copied, BackupError> {
    let runtime = Handle::current();
    let refused = |status: tonic::Status| BackupError::Control(ConnectError::from(status));
    let admin = client.admin.clone();
    client.admin = admin.max_decoding_message_size(MESSAGE_BYTES_MAX);
    let asked = client.admin.backup(v1::BackupRequest {});
    let mut parts = runtime.block_on(asked).map_err(refused)?.into_inner();
    let (mut note, mut stated) = (None, None);
    while let Some(part) = runtime.block_on(parts.message()).map_err(refused)? {
        match part.part {
            Some(Part::Start(start)) => note = Some(start.note.to_vec()),
            Some(Part::Rows(rows)) => {
                let named = |table: &Table| table.name() == rows.table;
                let table = Table::ALL.into_iter().find(named);
                let table = table.ok_or(BackupError::CutOff)?;
                for row in rows.rows {
                    copy.put(table, row.key.to_vec(), row.value.to_vec())?;
                }
            }
            Some(Part::End(end)) => stated = Some(end.rows),
            None => return Err(BackupError::CutOff),
        }
    }
    let (store, rows) = copy.finish()?;
    match stated == Some(rows) {
        true => Ok(Copied { store, rows, note }),
        false => Err(BackupError::CutOff),
    }
}
