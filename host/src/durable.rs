//! Small files that survive a crash: after it a file holds its old contents or its new ones.
//!
//! [`replace`] writes a temporary file beside the target, makes it durable, renames it over the
//! target and makes the rename durable, in that order, so no reader and no crash ever meets half a
//! file. The parent directory is opened before anything is written: a directory that cannot be
//! made durable fails the call while the old contents are still untouched. When a sync fails, the
//! kernel may have dropped the data and say "clean" from then on; so the error says that the
//! outcome is unknown, and nothing here reads back to guess it. Files are private to their owner.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Why a file was not, or perhaps not, written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The environment failed before the target changed: it holds what it held before.
    #[error("could not write {}, which is unchanged", path.display())]
    NotWritten {
        /// The file that was to be written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The environment failed while the change was made durable: now, or after a crash, the target
    /// may be old or new. Stop, and recover by starting again.
    #[error("{} may hold its old or its new contents", path.display())]
    OutcomeUnknown {
        /// The file that was to be written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file is longer than its reader allows: it is not the file that was meant, or damaged.
    #[error("{} is longer than {limit_bytes} bytes", path.display())]
    TooLong {
        /// The file that was to be read.
        path: PathBuf,
        /// The limit that it exceeds.
        limit_bytes: usize,
    },
    /// The environment failed, or there is no such file.
    #[error("could not read {}", path.display())]
    Io {
        /// The file that was to be read.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Replaces the contents of the file at `path`, or creates it, atomically and durably.
///
/// Two calls at once on one path leave one of the two contents whole; which one, they do not know.
/// Whoever needs to know holds an [`InstanceLock`].
///
/// # Errors
///
/// The environment's fault: [`WriteError::NotWritten`] while the old contents are certainly in
/// place, [`WriteError::OutcomeUnknown`] after a failed sync or rename.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let not_written = |source| WriteError::NotWritten {
        path: path.to_owned(),
        source,
    };
    let unknown = |source| WriteError::OutcomeUnknown {
        path: path.to_owned(),
        source,
    };

    let directory = Directory::open_parent(path).map_err(not_written)?;
    let temporary = temporary_path(path).map_err(not_written)?;
    let mut file = create_private(&temporary).map_err(not_written)?;
    let renamed = file
        .write_all(bytes)
        .map_err(not_written)
        .and_then(|()| file.sync_all().map_err(unknown))
        .and_then(|()| fs::rename(&temporary, path).map_err(unknown));
    if renamed.is_err() {
        // Best effort: a leftover is garbage, never mistaken for the target.
        let _ = fs::remove_file(&temporary);
    }
    renamed?;
    directory.sync().map_err(unknown)
}

/// Creates the file at `path` atomically and durably, and refuses to overwrite one that exists.
///
/// # Errors
///
/// [`WriteError::NotWritten`] with [`io::ErrorKind::AlreadyExists`] is the caller's fault, all
/// else the environment's.
pub fn create_new(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let not_written = |source| WriteError::NotWritten {
        path: path.to_owned(),
        source,
    };
    let unknown = |source| WriteError::OutcomeUnknown {
        path: path.to_owned(),
        source,
    };

    let directory = Directory::open_parent(path).map_err(not_written)?;
    let temporary = temporary_path(path).map_err(not_written)?;
    let mut file = create_private(&temporary).map_err(not_written)?;
    // Unlike a rename, a link replaces nothing.
    let linked = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&temporary, path))
        .map_err(not_written);
    // Best effort: a leftover is garbage, never mistaken for the target.
    let _ = fs::remove_file(&temporary);
    linked?;
    directory.sync().map_err(unknown)
}

/// Creates a directory at `path` durably, private to its owner, and refuses one that exists.
///
/// # Errors
///
/// [`WriteError::NotWritten`] with [`io::ErrorKind::AlreadyExists`] is the caller's fault, all
/// else the environment's.
pub fn create_directory(path: &Path) -> Result<(), WriteError> {
    let not_written = |source| WriteError::NotWritten {
        path: path.to_owned(),
        source,
    };
    let parent = Directory::open_parent(path).map_err(not_written)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(not_written)?;
    parent.sync().map_err(|source| WriteError::OutcomeUnknown {
        path: path.to_owned(),
        source,
    })
}

/// Renames a file or a directory durably, to a name in the same directory. A file, or an empty
/// directory, that has the name is replaced.
///
/// # Errors
///
/// The environment's fault: [`WriteError::NotWritten`] while nothing has changed,
/// [`WriteError::OutcomeUnknown`] after a failed sync.
pub fn rename(from: &Path, to: &Path) -> Result<(), WriteError> {
    let not_written = |source| WriteError::NotWritten {
        path: to.to_owned(),
        source,
    };
    let directory = Directory::open_parent(to).map_err(not_written)?;
    fs::rename(from, to).map_err(not_written)?;
    directory
        .sync()
        .map_err(|source| WriteError::OutcomeUnknown {
            path: to.to_owned(),
            source,
        })
}

/// Reads the file at `path`, if it is at most `limit_bytes` long.
///
/// # Errors
///
/// [`ReadError::TooLong`] if it is longer; [`ReadError::Io`] if the environment fails or there is
/// no such file.
pub fn read_bounded(path: &Path, limit_bytes: usize) -> Result<Vec<u8>, ReadError> {
    let file = File::open(path).map_err(|source| ReadError::Io {
        path: path.to_owned(),
        source,
    })?;
    read_file_bounded(&file, path, limit_bytes)
}

/// [`read_bounded`] for a file that is already open; `path` is for the errors.
pub(crate) fn read_file_bounded(
    file: &File,
    path: &Path,
    limit_bytes: usize,
) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let length_bytes = file.metadata().map_err(failed)?.len();
    let limit_u64 = limit_bytes as u64;
    // One byte more than the file: the buffer need not grow to meet the end, so a secret is not
    // left behind in an old one.
    let capacity = length_bytes.min(limit_u64) as usize + 1;
    let mut bytes = Vec::with_capacity(capacity);
    // The length is only a hint, the file may grow meanwhile: the limit holds while reading.
    file.take(limit_u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > limit_bytes {
        return Err(ReadError::TooLong {
            path: path.to_owned(),
            limit_bytes,
        });
    }
    Ok(bytes)
}

/// The right to be the only instance of a process on some state, while it lives.
///
/// The operating system holds it, so it ends with the process, however that ends. The lock file
/// itself stays: removing it would let two processes lock two files of the same name.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
}

/// Why the instance lock was not acquired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds it. The operator's fault, or a supervisor's.
    #[error("another instance holds {}", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// The environment failed, or the file system has no locks.
    #[error("could not lock {}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl InstanceLock {
    /// Locks the file at `path`, creating it if there is none, or fails at once.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] if another instance is running, [`LockError::Io`] if the environment
    /// fails.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let mut options = private_options();
        options.create(true).truncate(false);
        let failed = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// An open directory, held so that it can be made durable.
struct Directory {
    #[cfg(unix)]
    handle: File,
}

impl Directory {
    #[cfg(unix)]
    fn open_parent(path: &Path) -> io::Result<Self> {
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(io::ErrorKind::IsADirectory.into()),
        };
        Ok(Self {
            handle: File::open(parent)?,
        })
    }

    #[cfg(unix)]
    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Windows opens no directories as files; its journal orders a rename after the file's flush.
    #[cfg(not(unix))]
    fn open_parent(_path: &Path) -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn create_private(path: &Path) -> io::Result<File> {
    private_options().create_new(true).open(path)
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A fresh name beside `path`: a crash's leftover never stands in the way of the next write.
fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(
        ".{:016x}.tmp",
        getrandom::u64().map_err(io::Error::other)?
    ));
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn replace_creates_and_overwrites_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head");
        replace(&path, b"a longer first value").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(read_bounded(&path, 6).unwrap(), b"second");
        assert_eq!(names(directory.path()), ["head"]);
    }

    #[test]
    fn replace_without_parent_directory_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let error = replace(&directory.path().join("absent/head"), b"x").unwrap_err();
        assert!(matches!(error, WriteError::NotWritten { .. }), "{error:?}");
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn failed_rename_is_unknown_and_cleans_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = replace(&path, b"x").unwrap_err();
        assert!(
            matches!(error, WriteError::OutcomeUnknown { .. }),
            "{error:?}"
        );
        assert_eq!(names(directory.path()), ["taken"]);
    }

    #[test]
    fn replace_of_a_path_without_name_is_refused() {
        for path in ["/", "..", ""] {
            let error = replace(Path::new(path), b"x").unwrap_err();
            assert!(
                matches!(error, WriteError::NotWritten { .. }),
                "{path}: {error:?}"
            );
        }
    }

    #[test]
    fn create_new_refuses_to_overwrite() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        create_new(&path, b"first").unwrap();
        match create_new(&path, b"second").unwrap_err() {
            WriteError::NotWritten { source, .. } => {
                assert_eq!(source.kind(), io::ErrorKind::AlreadyExists);
            }
            error => panic!("{error:?}"),
        }
        assert_eq!(read_bounded(&path, 5).unwrap(), b"first");
    }

    #[test]
    fn create_directory_refuses_what_exists() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        create_directory(&path).unwrap();
        match create_directory(&path).unwrap_err() {
            WriteError::NotWritten { source, .. } => {
                assert_eq!(source.kind(), io::ErrorKind::AlreadyExists);
            }
            error => panic!("{error:?}"),
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (a, b, c) = (
            directory.path().join("a"),
            directory.path().join("b"),
            directory.path().join("c"),
        );
        replace(&a, b"x").unwrap();
        create_new(&b, b"x").unwrap();
        let _lock = InstanceLock::acquire(&c).unwrap();
        for path in [a, b, c] {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn reading_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        replace(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert!(matches!(
            read_bounded(&path, 4),
            Err(ReadError::TooLong { limit_bytes: 4, .. })
        ));
        let absent = read_bounded(&directory.path().join("absent"), 4);
        assert!(matches!(absent, Err(ReadError::Io { .. })));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn endless_file_is_refused() {
        // Its length reads as 0: only the limit while reading stops it.
        let result = read_bounded(Path::new("/dev/zero"), 1000);
        assert!(matches!(result, Err(ReadError::TooLong { .. })));
    }

    #[test]
    fn instance_lock_is_exclusive_and_ends_with_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = InstanceLock::acquire(&path).unwrap();
        assert!(matches!(
            InstanceLock::acquire(&path),
            Err(LockError::Held { .. })
        ));
        drop(lock);
        InstanceLock::acquire(&path).unwrap();
    }
}
