//! Which engine a store is of, and what all durable engines share: creating, opening, the reserve.
//!
//! A store is a directory with the engine's own directory in it, and beside it a marker that names
//! the engine. The marker is written last, so a store whose creation was interrupted is none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candor_host::durable::{self, WriteError};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::{EngineError, FjallStorage, NotCommitted, SledStorage, Storage};

/// The engines that keep a store on the local disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// What `init` takes by default: made for batches of many small rows.
    Fjall,
    /// Slower, and a second implementation to fall back on.
    Sled,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 2] = [Self::Fjall, Self::Sled];

    /// The name in configurations and at rest. Part of the stored format: it never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
        }
    }

    /// Creates an empty store in a directory that does not exist yet.
    ///
    /// # Errors
    ///
    /// [`OpenError::Exists`] is the operator's fault; all else the environment's. What a failed
    /// creation leaves behind cannot be opened, and can be removed.
    pub fn create(self, options: &StoreOptions) -> Result<Arc<dyn Storage>, OpenError> {
        let path = &options.path;
        durable::create_directory(path).map_err(|error| match error {
            WriteError::NotWritten { source, .. }
                if source.kind() == io::ErrorKind::AlreadyExists =>
            {
                OpenError::Exists { path: path.clone() }
            }
            error => OpenError::engine(path, error),
        })?;
        let store: Arc<dyn Storage> = match self {
            Self::Fjall => Arc::new(FjallStorage::create(options)?),
            Self::Sled => Arc::new(SledStorage::create(options)?),
        };
        // Last: the marker says that all tables are there.
        durable::create_new(&path.join(MARKER_NAME), self.marker().as_bytes())
            .map_err(|error| OpenError::engine(path, error))?;
        Ok(store)
    }

    /// Opens a store that [`Engine::create`] created.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] and [`OpenError::OtherEngine`] are the operator's fault,
    /// [`OpenError::Locked`] another process's; all else the environment's.
    pub fn open(self, options: &StoreOptions) -> Result<Arc<dyn Storage>, OpenError> {
        self.expect_at(&options.path)?;
        Ok(match self {
            Self::Fjall => Arc::new(FjallStorage::open(options)?),
            Self::Sled => Arc::new(SledStorage::open(options)?),
        })
    }

    /// Makes sure that a store of this engine is at `path`, without opening it.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] and [`OpenError::OtherEngine`] are the operator's fault; all else the
    /// environment's.
    pub fn expect_at(self, path: &Path) -> Result<(), OpenError> {
        match Self::of(path)? {
            found if found == self => Ok(()),
            found => Err(OpenError::OtherEngine {
                path: path.to_owned(),
                found: found.name(),
                configured: self.name(),
            }),
        }
    }

    /// The engine of the store at `path`.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] is the operator's fault; all else the environment's.
    pub fn of(path: &Path) -> Result<Self, OpenError> {
        let missing = || OpenError::Missing {
            path: path.to_owned(),
        };
        match durable::read_bounded(&path.join(MARKER_NAME), MARKER_BYTES_MAX) {
            Ok(marker) => Self::ALL
                .into_iter()
                .find(|engine| engine.marker().as_bytes() == marker)
                .ok_or_else(missing),
            Err(durable::ReadError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Err(missing())
            }
            Err(error) => Err(OpenError::engine(path, error)),
        }
    }

    fn marker(self) -> String {
        format!("candor-store v1 {}\n", self.name())
    }
}

/// Where a store is and what it may use.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The store's directory, for the store alone.
    pub path: PathBuf,
    /// Memory for cached rows, in bytes. Write buffers come on top: usually some 100 MB.
    pub cache_bytes: u64,
    /// Free disk space in bytes below which commits are refused. An engine needs it to tidy up
    /// what is already committed.
    pub reserve_bytes: u64,
}

impl StoreOptions {
    /// A store at `path` with a cache of 256 MiB and a reserve of 1 GiB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: 256 << 20,
            reserve_bytes: 1 << 30,
        }
    }

    /// Refuses a batch for which there is no room.
    pub(super) fn check_space(&self, batch: &Batch) -> Result<(), NotCommitted> {
        let space = rustix::fs::statvfs(&self.path).map_err(|errno| NotCommitted::Engine {
            source: io::Error::from(errno).into(),
        })?;
        let available_bytes = space.f_bavail.saturating_mul(space.f_frsize);
        let required_bytes = self.reserve_bytes.saturating_add(batch.bytes());
        if available_bytes < required_bytes {
            return Err(NotCommitted::DiskFull {
                available_bytes,
                required_bytes,
            });
        }
        Ok(())
    }
}

/// Why a store was not created or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is something already where a store was to be created: the operator's fault.
    #[error("{} exists already", path.display())]
    Exists {
        /// The store's directory.
        path: PathBuf,
    },
    /// There is no store, or its creation was interrupted: the operator's fault. A store is never
    /// created by the way, for that would hide a wrong path or a disk that is not mounted.
    #[error("{} holds no complete store", path.display())]
    Missing {
        /// The store's directory.
        path: PathBuf,
    },
    /// The store was created with another engine than the configured one: the operator's fault.
    #[error("the store at {} is of engine {found}, not {configured}", path.display())]
    OtherEngine {
        /// The store's directory.
        path: PathBuf,
        /// The engine that the store was created with.
        found: &'static str,
        /// The engine that was asked for.
        configured: &'static str,
    },
    /// Another process has the store open.
    #[error("another process has the store at {} open", path.display())]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },
    /// The environment failed, or the stored bytes are damaged.
    #[error("could not open the store at {}", path.display())]
    Engine {
        /// The store's directory.
        path: PathBuf,
        /// What the engine said.
        source: EngineError,
    },
}

impl OpenError {
    /// The engine's or the environment's failure.
    pub(super) fn engine(path: &Path, error: impl Into<EngineError>) -> Self {
        Self::Engine {
            path: path.to_owned(),
            source: error.into(),
        }
    }
}

/// The marker of a complete store.
const MARKER_NAME: &str = "candor-store";

/// More than any engine's marker has.
const MARKER_BYTES_MAX: usize = 64;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::super::{CommitError, Table};
    use super::*;

    fn options(directory: &Path) -> StoreOptions {
        StoreOptions {
            cache_bytes: 1 << 20,
            reserve_bytes: 0,
            ..StoreOptions::new(directory.join("store"))
        }
    }

    #[test]
    fn create_and_open_refuse_each_others_case() {
        for engine in Engine::ALL {
            let directory = tempfile::tempdir().unwrap();
            let options = options(directory.path());
            let missing = engine.open(&options).err();
            assert!(matches!(missing, Some(OpenError::Missing { .. })));
            drop(engine.create(&options).unwrap());
            let exists = engine.create(&options).err();
            assert!(matches!(exists, Some(OpenError::Exists { .. })));
            drop(engine.open(&options).unwrap());
            std::fs::remove_file(options.path.join(MARKER_NAME)).unwrap();
            let missing = engine.open(&options).err();
            assert!(matches!(missing, Some(OpenError::Missing { .. })));
        }
    }

    #[test]
    fn another_engines_store_is_refused() {
        for (engine, other) in [(Engine::Fjall, Engine::Sled), (Engine::Sled, Engine::Fjall)] {
            let directory = tempfile::tempdir().unwrap();
            let options = options(directory.path());
            drop(engine.create(&options).unwrap());
            let error = other.open(&options).err().unwrap();
            let names = (engine.name(), other.name());
            assert!(matches!(
                error,
                OpenError::OtherEngine { found, configured, .. } if (found, configured) == names
            ));
            drop(engine.open(&options).unwrap());
        }
    }

    #[test]
    fn second_opener_is_refused() {
        for engine in Engine::ALL {
            let directory = tempfile::tempdir().unwrap();
            let options = options(directory.path());
            let _store = engine.create(&options).unwrap();
            let locked = engine.open(&options).err();
            assert!(
                matches!(locked, Some(OpenError::Locked { .. })),
                "{locked:?}"
            );
        }
    }

    #[test]
    fn commits_leave_the_reserve_alone() {
        for engine in Engine::ALL {
            let directory = tempfile::tempdir().unwrap();
            let options = StoreOptions {
                reserve_bytes: u64::MAX,
                ..options(directory.path())
            };
            let store = engine.create(&options).unwrap();
            let mut batch = Batch::new();
            batch.put(Table::Meta, "head", "1");
            match store.commit(batch).unwrap_err() {
                CommitError::NotCommitted(error @ NotCommitted::DiskFull { .. }) => {
                    assert!(error.is_retryable());
                }
                error => panic!("{error:?}"),
            }
            assert_eq!(store.get(Table::Meta, b"head").unwrap(), None);
        }
    }
}
