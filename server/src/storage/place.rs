//! Where a store's directory is, for those who put another one in its place.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The place of a store that is there or is to be: links are followed, since a directory cannot
/// take a link's place. It is asked before hours of copying, not by the rename after them.
///
/// # Errors
///
/// The file system's, or that a link leads nowhere, or that a disk is mounted at the place, which
/// has to stay there. The operator is at fault.
pub fn place(path: &Path) -> io::Result<PathBuf> {
    if matches!(fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound) {
        return Ok(path.to_owned());
    }
    let path = fs::canonicalize(path)?;
    if let Some(parent) = path.parent()
        && fs::metadata(&path)?.dev() != fs::metadata(parent)?.dev()
    {
        return Err(io::Error::new(
            ErrorKind::ResourceBusy,
            "a disk is mounted there, and no directory can take its place: put the store in a \
             directory on that disk",
        ));
    }
    Ok(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_and_have_to_lead_somewhere() {
        let directory = tempfile::tempdir().unwrap();
        let (store, link) = (
            directory.path().join("store"),
            directory.path().join("link"),
        );
        assert_eq!(place(&store).unwrap(), store);
        symlink(&store, &link).unwrap();
        assert_eq!(place(&link).unwrap_err().kind(), ErrorKind::NotFound);
        fs::create_dir(&store).unwrap();
        let real = fs::canonicalize(&store).unwrap();
        assert_eq!(place(&link).unwrap(), real);
        assert_eq!(place(&store).unwrap(), real);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_mounted_disk_stays_where_it_is() {
        let refused = place(Path::new("/proc")).unwrap_err();
        assert!(refused.to_string().contains("mounted"), "{refused}");
    }
}
