//! Secret keys in plain files, guarded by the file's mode and nothing else.
//!
//! A file is a header line that names the kind of key, and the base64 of its 32-byte seed:
//!
//! ```text
//! candor-secret-key v1 ed25519
//! <44 characters of base64>
//! ```
//!
//! There is exactly one spelling of a key, a key of one kind cannot be loaded as another, and a
//! file that others may read is refused, with the command that repairs it. Files are created,
//! never overwritten: a lost key is worse than a failed command.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::durable::{self, ReadError, WriteError};

/// What a secret key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// Signs with Ed25519 (RFC 8032): the private key seed.
    Ed25519,
    /// Signs with ML-DSA-44 (FIPS 204): the key generation seed, ξ.
    MlDsa44,
    /// Evaluates ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381): the secret key.
    Vrf,
}

impl KeyKind {
    /// The word in the file's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::Vrf => "vrf-edwards25519",
        }
    }
}

/// A secret seed, erased from memory when dropped.
#[derive(Clone)]
pub struct SecretSeed(pub(crate) Zeroizing<[u8; SEED_BYTES]>);

impl SecretSeed {
    /// A seed from the operating system's random source.
    ///
    /// # Errors
    ///
    /// The environment's fault: the random source failed.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        getrandom::fill(seed.as_mut())?;
        Ok(Self(seed))
    }

    /// The secret bytes. Do not copy them.
    pub fn expose(&self) -> &[u8; SEED_BYTES] {
        &self.0
    }
}

impl fmt::Debug for SecretSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSeed(..)")
    }
}

/// Why a key file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The environment failed, or the file is far too long.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Others than the owner may read or write it: the operator's fault, and the key may be known.
    #[error("others may access {path}, repair it with: chmod 600 {path}", path = path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
    },
    /// It is not a key file, or damaged.
    #[error("{} is not a key file", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// It holds a key for something else: the operator's fault.
    #[error("{} does not hold a key of kind {}", path.display(), expected.name())]
    WrongKind {
        /// The key file.
        path: PathBuf,
        /// What was asked for.
        expected: KeyKind,
    },
    /// It is encrypted, and was not expected to be: the operator's fault.
    #[error("{} is encrypted: its kind is \"encrypted-file\"", path.display())]
    Encrypted {
        /// The key file.
        path: PathBuf,
    },
}

/// Writes `seed` to a new file at `path`, readable by its owner only.
///
/// # Errors
///
/// As [`durable::create_new`]: the caller's fault if the file exists, else the environment's.
pub fn create(path: &Path, kind: KeyKind, seed: &SecretSeed) -> Result<(), WriteError> {
    durable::create_new(path, encode(kind, seed).as_bytes())
}

/// Reads the key of `kind` from the file at `path`.
///
/// # Errors
///
/// The operator's fault if the file is exposed to others, not a key file, or of another kind;
/// else the environment's.
pub fn read(path: &Path, kind: KeyKind) -> Result<SecretSeed, KeyFileError> {
    let bytes = read_private(path)?;
    if bytes.starts_with(ENCRYPTED_HEADER.as_bytes()) {
        return Err(KeyFileError::Encrypted {
            path: path.to_owned(),
        });
    }
    let body = after_header(&bytes, HEADER, path, kind)?;
    let encoded = body.strip_suffix(b"\n").unwrap_or_default();
    let mut seed = SecretSeed(Zeroizing::new([0; SEED_BYTES]));
    match STANDARD.decode_slice(encoded, seed.0.as_mut()) {
        Ok(SEED_BYTES) => Ok(seed),
        Ok(_) | Err(_) => Err(KeyFileError::Malformed {
            path: path.to_owned(),
        }),
    }
}

/// Reads the key from the file at `path`, whatever its kind.
///
/// # Errors
///
/// As [`read`].
pub fn read_any(path: &Path) -> Result<(KeyKind, SecretSeed), KeyFileError> {
    let mut result = read(path, KeyKind::Ed25519).map(|seed| (KeyKind::Ed25519, seed));
    for kind in [KeyKind::MlDsa44, KeyKind::Vrf] {
        if let Err(KeyFileError::WrongKind { .. }) = result {
            result = read(path, kind).map(|seed| (kind, seed));
        }
    }
    result
}

/// Reads a file that its owner alone may access, and that is no longer than a key file.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let file = open_private(path)?;
    let bytes = durable::read_file_bounded(&file, path, FILE_BYTES_MAX)?;
    Ok(Zeroizing::new(bytes))
}

/// Opens a file that its owner alone may access.
pub(crate) fn open_private(path: &Path) -> Result<File, KeyFileError> {
    let file = File::open(path).map_err(|source| ReadError::Io {
        path: path.to_owned(),
        source,
    })?;
    refuse_exposed(&file, path)?;
    Ok(file)
}

/// What follows the header line, if that names a key of `kind`.
pub(crate) fn after_header<'a>(
    bytes: &'a [u8],
    header: &str,
    path: &Path,
    kind: KeyKind,
) -> Result<&'a [u8], KeyFileError> {
    let named = bytes.strip_prefix(header.as_bytes());
    let mut lines = named.unwrap_or_default().splitn(2, |&byte| byte == b'\n');
    match (lines.next(), lines.next()) {
        (Some(name), Some(rest)) if name == kind.name().as_bytes() => Ok(rest),
        (Some(_), Some(_)) => Err(KeyFileError::WrongKind {
            path: path.to_owned(),
            expected: kind,
        }),
        _ => Err(KeyFileError::Malformed {
            path: path.to_owned(),
        }),
    }
}

fn encode(kind: KeyKind, seed: &SecretSeed) -> Zeroizing<String> {
    // The capacity is enough, so that no copy of the secret is left in a buffer that grew.
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
    text.push_str(HEADER);
    text.push_str(kind.name());
    text.push('\n');
    STANDARD.encode_string(seed.expose(), &mut text);
    text.push('\n');
    text
}

/// Looks at the open file, not at the path again, so that nobody can exchange it in between.
#[cfg(unix)]
fn refuse_exposed(file: &File, path: &Path) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(|source| ReadError::Io {
        path: path.to_owned(),
        source,
    })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Access lists of other systems are the operator's to keep.
#[cfg(not(unix))]
fn refuse_exposed(_file: &File, _path: &Path) -> Result<(), KeyFileError> {
    Ok(())
}

/// All secret keys of the protocol grow from seeds of this size.
pub(crate) const SEED_BYTES: usize = 32;

const HEADER: &str = "candor-secret-key v1 ";

/// How a file begins that [`crate::keys::encrypted`] wrote.
pub(crate) const ENCRYPTED_HEADER: &str = "candor-encrypted-key v1 ";

/// Longest key file in bytes, plain or encrypted: a header of 24, a kind of at most 32, scrypt and
/// its parameters in 35, base64 of 64, three line ends.
const FILE_BYTES_MAX: usize = 24 + 32 + 35 + 64 + 3;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const TEXT: &str =
        "candor-secret-key v1 ed25519\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

    fn read_text(text: &[u8], kind: KeyKind) -> Result<SecretSeed, KeyFileError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        durable::create_new(&path, text).unwrap();
        read(&path, kind)
    }

    #[test]
    fn format_is_pinned() {
        let seed = read_text(TEXT.as_bytes(), KeyKind::Ed25519).unwrap();
        assert_eq!(
            seed.expose(),
            &std::array::from_fn::<u8, 32, _>(|i| i as u8)
        );
        assert_eq!(*encode(KeyKind::Ed25519, &seed), TEXT);
    }

    #[test]
    fn generated_keys_come_back_and_differ() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for kind in [KeyKind::Ed25519, KeyKind::MlDsa44, KeyKind::Vrf] {
            let seed = SecretSeed::generate().unwrap();
            assert_ne!(seed.expose(), SecretSeed::generate().unwrap().expose());
            create(&path, kind, &seed).unwrap();
            assert_eq!(read(&path, kind).unwrap().expose(), seed.expose());
            assert!(create(&path, kind, &seed).is_err(), "must not overwrite");
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn exposed_file_is_refused_with_its_repair() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        create(&path, KeyKind::Vrf, &SecretSeed::generate().unwrap()).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path, KeyKind::Vrf).unwrap_err();
            assert!(
                matches!(error, KeyFileError::Exposed { .. }),
                "{mode:o}: {error:?}"
            );
            assert!(
                error
                    .to_string()
                    .contains(&format!("chmod 600 {}", path.display()))
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        read(&path, KeyKind::Vrf).unwrap();
    }

    #[test]
    fn other_kind_is_refused() {
        let error = read_text(TEXT.as_bytes(), KeyKind::Vrf).unwrap_err();
        assert!(matches!(error, KeyFileError::WrongKind { .. }), "{error:?}");
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let last_bits = TEXT.replace("Hh8=", "Hh9=");
        let longer = TEXT.replace("Hh8=", "Hh8g");
        let shorter = TEXT.replace("Hh8=", "Hg==");
        let cases: [(&str, String); 9] = [
            ("empty", String::new()),
            ("no line end", TEXT.trim_end().to_owned()),
            ("extra line end", format!("{TEXT}\n")),
            ("carriage return", TEXT.replace('\n', "\r\n")),
            ("no padding", TEXT.replace('=', "")),
            ("unused bits set", last_bits),
            ("33 bytes", longer),
            ("31 bytes", shorter),
            ("another version", TEXT.replace("v1", "v2")),
        ];
        for (case, text) in cases {
            assert_ne!(text, TEXT, "{case}");
            assert!(
                read_text(text.as_bytes(), KeyKind::Ed25519).is_err(),
                "{case}"
            );
        }
        let endless = [TEXT, &"A".repeat(FILE_BYTES_MAX)].concat();
        let error = read_text(endless.as_bytes(), KeyKind::Ed25519).unwrap_err();
        assert!(
            matches!(error, KeyFileError::Read(ReadError::TooLong { .. })),
            "{error:?}"
        );
    }

    #[test]
    fn debug_hides_the_seed() {
        let seed = read_text(TEXT.as_bytes(), KeyKind::Ed25519).unwrap();
        assert_eq!(format!("{seed:?}"), "SecretSeed(..)");
    }
}
