//! How much of a disk the files of a directory take.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The space of a directory and its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What the files take, in bytes.
    pub used_bytes: u64,
    /// What is left to unprivileged processes, in bytes.
    pub free_bytes: u64,
}

impl Space {
    /// The space of a directory. Blocks: it looks at each file.
    ///
    /// # Errors
    ///
    /// The environment's. A file that is removed meanwhile is none.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let disk = rustix::fs::statvfs(directory)?;
        Ok(Self {
            used_bytes: used_bytes(directory)?,
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        })
    }
}

fn used_bytes(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let Some(entries) = unless_gone(std::fs::read_dir(directory))? else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            let Some(metadata) = unless_gone(entry.metadata())? else {
                continue;
            };
            if metadata.is_dir() {
                directories.push(entry.path());
            }
            // What is allocated: files may have holes. POSIX counts in blocks of 512 bytes.
            bytes = bytes.saturating_add(metadata.blocks().saturating_mul(512));
        }
    }
    Ok(bytes)
}

fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_below_the_directory_count() {
        let directory = tempfile::tempdir().unwrap();
        let before = Space::of(directory.path()).unwrap();
        let below = directory.path().join("tables");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("rows"), vec![1; 1 << 20]).unwrap();
        let after = Space::of(directory.path()).unwrap();
        assert!(after.used_bytes >= before.used_bytes + (1 << 20));
        assert!(after.free_bytes > 0);
        assert!(Space::of(&directory.path().join("missing")).is_err());
    }
}
