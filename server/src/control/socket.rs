//! The socket itself: how it comes to be, and goes.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::SocketError;
use crate::anchor::Anchor;

/// Longest path that every system takes as a socket's: `sun_path` has 104 bytes on some, 108 on
/// Linux, the last one for a zero.
const PATH_BYTES_MAX: usize = 103;

/// A socket that listens, at its path.
pub struct ControlSocket {
    listener: tokio::net::UnixListener,
    path: SocketPath,
}

/// The path of a socket of ours, which is removed with this.
pub(super) struct SocketPath {
    path: PathBuf,
    /// Device and number of the socket's file: another server's is not removed.
    file: (u64, u64),
}

impl ControlSocket {
    /// Makes the socket. What a dead server left there is replaced: the lock that comes with the
    /// anchor says that it is dead.
    ///
    /// # Errors
    ///
    /// [`SocketError`]; the operator or the environment is at fault.
    pub fn bind(path: &Path, _lock: &Anchor) -> Result<Self, SocketError> {
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                let path = path.to_owned();
                return Err(SocketError::NotASocket { path });
            }
            Ok(_) if dial(path).is_ok() => {
                let path = path.to_owned();
                return Err(SocketError::Served { path });
            }
            _ => {}
        }
        Self::make(path).map_err(|source| SocketError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// Made in a directory that only we may enter and then put in its place, so that it was never
    /// open to others, and there is always one socket or none.
    fn make(path: &Path) -> io::Result<Self> {
        let mut directory = OsString::from(path);
        directory.push(".new");
        let directory = PathBuf::from(directory);
        let made = directory.join("socket");
        let _leftover = fs::remove_file(&made).and_then(|()| fs::remove_dir(&directory));
        let _empty_leftover = fs::remove_dir(&directory);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let listener = UnixListener::bind(Reachable::new(&made)?.path())?;
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        let file = identity(&made)?;
        fs::rename(&made, path)?;
        let path = SocketPath {
            path: path.to_owned(),
            file,
        };
        fs::remove_dir(&directory)?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        Ok(Self { listener, path })
    }

    pub(super) fn into_parts(self) -> (tokio::net::UnixListener, SocketPath) {
        (self.listener, self.path)
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // What cannot be removed is replaced by the next server.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether somebody listens at the path.
pub(super) fn dial(path: &Path) -> io::Result<()> {
    UnixStream::connect(Reachable::new(path)?.path()).map(|_| ())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// A path that is short enough for a socket, while this lives: by way of its open directory if it
/// is too long itself.
pub(super) struct Reachable {
    path: PathBuf,
    _directory: Option<File>,
}

impl Reachable {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let is_short = path.as_os_str().len() <= PATH_BYTES_MAX && path.to_str().is_some();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if is_short || !cfg!(target_os = "linux") {
            return Ok(Self {
                path: path.to_owned(),
                _directory: None,
            });
        }
        let directory = File::open(parent)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
        Ok(Self {
            path: Path::new("/proc/self/fd")
                .join(number.to_string())
                .join(name),
            _directory: Some(directory),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
