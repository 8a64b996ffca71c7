//! Writing a store anew, so that its files hold its rows and nothing else.
//!
//! Engines keep what was replaced or removed, in journals and files, for as long as suits them;
//! none of ours can be told to let go of it all. So the rows are copied to a new store beside the
//! old one, compared, and the two directories change places in one step of the file system. Then
//! the old one, which is now beside, is deleted.
//!
//! A crash before the exchange leaves the old store and a part of a new one; after it, the new
//! store and what is left of the old one. Whatever is found beside the store is deleted at the
//! beginning, so doing it again is all there is to recover.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};

use super::{
    Batch, CommitError, Engine, KeyRange, OpenError, Order, ReadError, Storage, StoreOptions,
    Table, place,
};

/// Rows and bytes after which what was read is committed.
const BATCH_ROWS: usize = 16 * 1024;
const BATCH_BYTES: usize = 8 << 20;

/// Why a store was not written anew. It is as it was, unless the message says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// The store could not be opened, or the new one not made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The new store could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The new store has other rows than the old one: memory or disk fail.
    #[error("the rows that were copied are not those that were read")]
    Differs,
    /// The file system failed; where two directories cannot change places, it is not one for a
    /// store.
    #[error("{}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Writes the store anew, and returns how many rows it has. Nobody else may use it meanwhile: the
/// caller holds the lock of the log. It takes as much disk again as the store's rows have.
///
/// # Errors
///
/// [`RewriteError`]; the environment is at fault. Whatever happened, it can be done again.
pub fn rewrite(engine: Engine, options: &StoreOptions) -> Result<u64, RewriteError> {
    engine.expect_at(&options.path)?;
    let path = place(&options.path).map_err(|error| io_error(&options.path, error))?;
    let options = &StoreOptions {
        path,
        ..options.clone()
    };
    let mut beside = OsString::from(&options.path);
    beside.push(".rewrite");
    let beside = PathBuf::from(beside);
    let rows = {
        let old = engine.open(options)?;
        delete(&beside)?;
        let new = engine.create(&StoreOptions {
            path: beside.clone(),
            ..options.clone()
        })?;
        let copied = copied(&*old, &new);
        drop(new);
        if copied.is_err() {
            // It would take the room that the log needs to go on, and hold what is to be gone.
            let _left = delete(&beside);
        }
        copied?
    };
    let failed = |source: rustix::io::Errno| RewriteError::Io {
        path: options.path.clone(),
        source: source.into(),
    };
    renameat_with(CWD, &beside, CWD, &options.path, RenameFlags::EXCHANGE).map_err(failed)?;
    sync_parent(&options.path)?;
    delete(&beside)?;
    sync_parent(&options.path)?;
    Ok(rows)
}

/// Copies all rows, compares them as they are then, and returns how many there are.
fn copied(old: &dyn Storage, new: &Arc<dyn Storage>) -> Result<u64, RewriteError> {
    copy(old, new)?;
    let (expected, found) = (digest(old)?, digest(&**new)?);
    match expected == found {
        true => Ok(expected.0),
        false => Err(RewriteError::Differs),
    }
}

fn copy(old: &dyn Storage, new: &Arc<dyn Storage>) -> Result<(), RewriteError> {
    for table in Table::ALL {
        let mut next = KeyRange::all();
        loop {
            let (mut batch, mut rows, mut bytes) = (Batch::new(), 0, 0);
            let mut last = Vec::new();
            old.scan(table, &next, Order::Ascending, &mut |key, value| {
                batch.put(table, key, value);
                rows += 1;
                bytes += key.len() + value.len();
                last = key.to_vec();
                match rows < BATCH_ROWS && bytes < BATCH_BYTES {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })?;
            if rows == 0 {
                break;
            }
            new.commit(batch)?;
            // The least key that is greater.
            next = KeyRange::from([&last[..], &[0]].concat());
        }
    }
    Ok(())
}

/// How many rows a store has, and a hash of all of them.
fn digest(store: &dyn Storage) -> Result<(u64, [u8; 32]), ReadError> {
    let (mut rows, mut hash) = (0, Sha256::new());
    for table in Table::ALL {
        let mut add = |key: &[u8], value: &[u8]| {
            rows += 1;
            for part in [key, value] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            ControlFlow::Continue(())
        };
        store.scan(table, &KeyRange::all(), Order::Ascending, &mut add)?;
        // Where a table ends.
        hash.update(u64::MAX.to_be_bytes());
    }
    Ok((rows, hash.finalize().into()))
}

/// Deletes a directory, if there is one.
fn delete(path: &Path) -> Result<(), RewriteError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

fn sync_parent(path: &Path) -> Result<(), RewriteError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| io_error(parent, error))
}

fn io_error(path: &Path, source: io::Error) -> RewriteError {
    RewriteError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"what must be nowhere any more, once it is erased";

    fn options(path: &Path) -> StoreOptions {
        StoreOptions {
            cache_bytes: 1 << 20,
            reserve_bytes: 0,
            ..StoreOptions::new(path.join("store"))
        }
    }

    /// A store whose secret was replaced, among other rows. It is closed.
    fn make(engine: Engine, options: &StoreOptions) {
        let store = engine.create(options).unwrap();
        let secret = [SECRET, &[0; 5000], SECRET].concat();
        for value in [&secret[..], b"erased"] {
            let mut batch = Batch::new();
            for number in 0..100_u8 {
                batch.put(Table::Leaves, [7, number], vec![number; 40]);
            }
            batch.put(
                Table::Versions,
                b"short",
                &value[..SECRET.len().min(value.len())],
            );
            batch.put(Table::Versions, b"long", value);
            store.commit(batch).unwrap();
        }
    }

    /// Whether any file below a directory has the secret in it.
    fn is_anywhere(directory: &Path) -> bool {
        fs::read_dir(directory).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => is_anywhere(&path),
                false => {
                    let bytes = fs::read(&path).unwrap();
                    bytes.windows(SECRET.len()).any(|part| part == SECRET)
                }
            }
        })
    }

    fn check(engine: Engine, options: &StoreOptions) {
        let store = engine.open(options).unwrap();
        assert_eq!(digest(&*store).unwrap().0, 102);
        let long = store.get(Table::Versions, b"long").unwrap();
        assert_eq!(long.as_deref(), Some(&b"erased"[..]));
    }

    #[test]
    fn no_file_holds_what_was_replaced() {
        for engine in Engine::ALL {
            let dir = tempfile::tempdir().unwrap();
            let options = options(dir.path());
            make(engine, &options);
            assert!(is_anywhere(dir.path()), "this is why it is done");
            assert_eq!(rewrite(engine, &options).unwrap(), 102);
            assert!(!is_anywhere(dir.path()), "{}", engine.name());
            check(engine, &options);
            assert_eq!(rewrite(engine, &options).unwrap(), 102);
        }
    }

    #[test]
    fn what_a_crash_left_is_in_nobodys_way() {
        for engine in Engine::ALL {
            let dir = tempfile::tempdir().unwrap();
            let options = options(dir.path());
            make(engine, &options);
            let beside = dir.path().join("store.rewrite");
            // Before the exchange: a store of which a part was copied.
            let part = engine.create(&StoreOptions {
                path: beside.clone(),
                ..options.clone()
            });
            drop(part.unwrap());
            check(engine, &options);
            rewrite(engine, &options).unwrap();
            // After the exchange: a part of the old store.
            fs::create_dir_all(beside.join(engine.name())).unwrap();
            fs::write(beside.join(engine.name()).join("old"), SECRET).unwrap();
            check(engine, &options);
            rewrite(engine, &options).unwrap();
            assert!(!is_anywhere(dir.path()), "{}", engine.name());
            check(engine, &options);
        }
    }

    #[test]
    fn without_room_nothing_is_left() {
        for engine in Engine::ALL {
            let dir = tempfile::tempdir().unwrap();
            let options = options(dir.path());
            make(engine, &options);
            let full = StoreOptions {
                reserve_bytes: u64::MAX,
                ..options.clone()
            };
            let failed = rewrite(engine, &full);
            assert!(matches!(failed, Err(RewriteError::Commit(_))));
            assert!(!dir.path().join("store.rewrite").exists());
            check(engine, &options);
        }
    }

    #[test]
    fn a_store_in_use_and_none_are_refused() {
        for engine in Engine::ALL {
            let dir = tempfile::tempdir().unwrap();
            let options = options(dir.path());
            let none = rewrite(engine, &options);
            assert!(matches!(
                none,
                Err(RewriteError::Open(OpenError::Missing { .. }))
            ));
            make(engine, &options);
            let used = engine.open(&options).unwrap();
            let held = rewrite(engine, &options);
            assert!(matches!(
                held,
                Err(RewriteError::Open(OpenError::Locked { .. }))
            ));
            drop(used);
        }
    }
}
