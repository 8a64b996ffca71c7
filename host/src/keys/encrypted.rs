//! Secret keys in files that a passphrase opens.
//!
//! A file has three lines: what it is and the kind of key; how the passphrase becomes a key (scrypt
//! with r = 8 and p = 1, log2 N, and a salt); and the seed, encrypted with its tag:
//!
//! ```text
//! candor-encrypted-key v1 ed25519
//! scrypt 17 <24 characters of base64>
//! <64 characters of base64>
//! ```
//!
//! The cipher is ChaCha20-Poly1305 (RFC 8439) with the first two lines as associated data. The salt
//! is fresh for every file, so the key encrypts once only, and the nonce can be zero. As for plain
//! files, there is one spelling, a kind, and nothing is overwritten.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use zeroize::Zeroizing;

use super::secret::Secret;
use crate::durable::{self, WriteError};
use crate::key_file::{self, ENCRYPTED_HEADER, KeyFileError, KeyKind, SEED_BYTES, SecretSeed};

/// Work of new files: N = 2^17 is 128 MiB and some tenths of a second, the least that OWASP's
/// password storage cheat sheet advises for scrypt.
const LOG_N: u8 = 17;

/// Most work that a file may ask for: N = 2^20 is 1 GiB and some seconds.
const LOG_N_MAX: u8 = 20;

/// scrypt's block size: each of its N blocks is 128 r bytes.
const R: u32 = 8;

/// scrypt's parallelism.
const P: u32 = 1;

const SALT_BYTES: usize = 16;

const TAG_BYTES: usize = 16;

/// Why an encrypted key was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptedKeyError {
    /// As for plain key files.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// It is a plain key file: the operator's fault.
    #[error("{} is not encrypted: its kind is \"file\"", path.display())]
    Plain {
        /// The key file.
        path: PathBuf,
    },
    /// It asks for more work than any file that this program writes.
    #[error("{} asks for scrypt work of 2^{log_n}; at most 2^{LOG_N_MAX} is done", path.display())]
    Work {
        /// The key file.
        path: PathBuf,
        /// The logarithm of the work.
        log_n: u8,
    },
    /// The passphrase is another one, or the file was altered: the cipher cannot tell.
    #[error("wrong passphrase for {}, or the file was altered", path.display())]
    NotOpened {
        /// The key file.
        path: PathBuf,
    },
}

/// Why an encrypted key was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The file exists, or the environment failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The environment has no randomness.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Where the encrypted file of the plain one at `path` is: beside it, with `.enc` behind its name.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".enc");
    name.into()
}

/// Writes `seed` to a new file at `path` that `passphrase` opens.
///
/// # Errors
///
/// [`EncryptError`]; nothing is overwritten.
pub fn create(
    path: &Path,
    kind: KeyKind,
    seed: &SecretSeed,
    passphrase: &Secret,
) -> Result<(), EncryptError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt)?;
    let text = encode(kind, seed, passphrase, LOG_N, &salt);
    Ok(durable::create_new(path, text.as_bytes())?)
}

/// Reads the key of `kind` from the file at `path`.
///
/// # Errors
///
/// [`EncryptedKeyError`].
pub fn read(
    path: &Path,
    kind: KeyKind,
    passphrase: &Secret,
) -> Result<SecretSeed, EncryptedKeyError> {
    let bytes = key_file::read_private(path)?;
    if !bytes.starts_with(ENCRYPTED_HEADER.as_bytes()) && key_file::read(path, kind).is_ok() {
        return Err(EncryptedKeyError::Plain {
            path: path.to_owned(),
        });
    }
    let malformed = || KeyFileError::Malformed {
        path: path.to_owned(),
    };
    let body = key_file::after_header(&bytes, ENCRYPTED_HEADER, path, kind)?;
    let (log_n, salt, encrypted) = decode(body).ok_or_else(malformed)?;
    if log_n > LOG_N_MAX {
        return Err(EncryptedKeyError::Work {
            path: path.to_owned(),
            log_n,
        });
    }
    let (ciphertext, tag) = encrypted.split_at(SEED_BYTES);
    let mut seed = SecretSeed(Zeroizing::new([0; SEED_BYTES]));
    seed.0.copy_from_slice(ciphertext);
    let tag = Tag::try_from(tag).map_err(|_| malformed())?;
    let cipher = cipher(passphrase, log_n, &salt).ok_or_else(malformed)?;
    let associated = associated_data(kind, log_n, &salt);
    cipher
        .decrypt_inout_detached(
            &Nonce::default(),
            associated.as_bytes(),
            seed.0.as_mut_slice().into(),
            &tag,
        )
        .map_err(|_| EncryptedKeyError::NotOpened {
            path: path.to_owned(),
        })?;
    Ok(seed)
}

fn encode(
    kind: KeyKind,
    seed: &SecretSeed,
    passphrase: &Secret,
    log_n: u8,
    salt: &[u8; SALT_BYTES],
) -> String {
    let mut text = associated_data(kind, log_n, salt);
    let cipher = cipher(passphrase, log_n, salt).expect("the parameters are constants and valid");
    let mut encrypted = Zeroizing::new([0; SEED_BYTES + TAG_BYTES]);
    let (ciphertext, tag) = encrypted.split_at_mut(SEED_BYTES);
    ciphertext.copy_from_slice(seed.expose());
    let computed = cipher
        .encrypt_inout_detached(&Nonce::default(), text.as_bytes(), ciphertext.into())
        .expect("32 bytes are not too long for the cipher");
    tag.copy_from_slice(&computed);
    STANDARD.encode_string(encrypted.as_slice(), &mut text);
    text.push('\n');
    text
}

/// The lines after the header: work, salt, ciphertext with tag. `None` if they have another
/// spelling.
fn decode(body: &[u8]) -> Option<(u8, [u8; SALT_BYTES], [u8; SEED_BYTES + TAG_BYTES])> {
    let body = str::from_utf8(body).ok()?;
    let (scrypt, encrypted) = body.strip_suffix('\n')?.split_once('\n')?;
    let (log_n_text, salt_text) = scrypt.strip_prefix("scrypt ")?.split_once(' ')?;
    let log_n: u8 = log_n_text.parse().ok()?;
    if log_n == 0 || log_n.to_string() != log_n_text {
        return None;
    }
    Some((log_n, exact(salt_text)?, exact(encrypted)?))
}

fn exact<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    (length == BYTES).then_some(bytes)
}

fn associated_data(kind: KeyKind, log_n: u8, salt: &[u8; SALT_BYTES]) -> String {
    let (kind, salt) = (kind.name(), STANDARD.encode(salt));
    format!("{ENCRYPTED_HEADER}{kind}\nscrypt {log_n} {salt}\n")
}

/// The cipher of a passphrase. `None` if scrypt has no such parameters.
fn cipher(passphrase: &Secret, log_n: u8, salt: &[u8; SALT_BYTES]) -> Option<ChaCha20Poly1305> {
    let parameters = scrypt::Params::new(log_n, R, P).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.expose(), salt, &parameters, key.as_mut_slice()).ok()?;
    Some(ChaCha20Poly1305::new((&*key).into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    /// Little work, so that tests are quick.
    const QUICK: u8 = 4;

    /// Made by another implementation: Python's `hashlib.scrypt` and `cryptography`.
    const PINNED: &str = "candor-encrypted-key v1 ed25519\n\
        scrypt 4 AAECAwQFBgcICQoLDA0ODw==\n\
        MZ4Fp111u1jbh6LgmaidGgCycCctioX2Z7VadsAkkSYL/9Ak4hzoqO9BGvquW6la\n";

    fn seed() -> SecretSeed {
        SecretSeed(Zeroizing::new(std::array::from_fn(|i| i as u8)))
    }

    fn passphrase(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn encoded(log_n: u8) -> String {
        let passphrase = passphrase("correct horse");
        encode(
            KeyKind::Ed25519,
            &seed(),
            &passphrase,
            log_n,
            &[7; SALT_BYTES],
        )
    }

    fn read_text(text: &[u8], with: &str) -> Result<SecretSeed, EncryptedKeyError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        durable::create_new(&path, text).unwrap();
        read(&path, KeyKind::Ed25519, &passphrase(with))
    }

    #[test]
    fn format_is_pinned() {
        let read = read_text(PINNED.as_bytes(), "correct horse").unwrap();
        assert_eq!(read.expose(), seed().expose());
        let salt = std::array::from_fn(|i| i as u8);
        let passphrase = passphrase("correct horse");
        let text = encode(KeyKind::Ed25519, &seed(), &passphrase, QUICK, &salt);
        assert_eq!(text, PINNED);
    }

    #[test]
    fn new_files_are_private_differ_and_are_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
        let passphrase = passphrase("x");
        for path in [&a, &b] {
            create(path, KeyKind::Vrf, &seed(), &passphrase).unwrap();
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_ne!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
        let opened = read(&a, KeyKind::Vrf, &passphrase).unwrap();
        assert_eq!(opened.expose(), seed().expose());
        let again = create(&a, KeyKind::Vrf, &seed(), &passphrase);
        assert!(matches!(again, Err(EncryptError::Write(_))));
    }

    #[test]
    fn wrong_passphrase_is_refused() {
        for wrong in ["", "correct", "correct horse ", "Correct horse"] {
            let error = read_text(encoded(QUICK).as_bytes(), wrong).unwrap_err();
            assert!(
                matches!(error, EncryptedKeyError::NotOpened { .. }),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_truncated_file_is_refused() {
        let text = encoded(QUICK);
        for length in 0..text.len() {
            let error = read_text(&text.as_bytes()[..length], "correct horse").unwrap_err();
            assert!(
                matches!(
                    error,
                    EncryptedKeyError::File(
                        KeyFileError::Malformed { .. } | KeyFileError::WrongKind { .. }
                    )
                ),
                "{length}: {error:?}"
            );
        }
    }

    #[test]
    fn every_altered_bit_is_refused() {
        let text = encoded(QUICK).into_bytes();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut altered = text.clone();
                altered[at] ^= 1 << bit;
                assert!(read_text(&altered, "correct horse").is_err(), "{at} {bit}");
            }
        }
    }

    #[test]
    fn more_work_than_allowed_is_refused_before_it_is_done() {
        let text = encoded(QUICK);
        for log_n in ["21", "30", "63", "255"] {
            let text = text.replace("scrypt 4 ", &format!("scrypt {log_n} "));
            let error = read_text(text.as_bytes(), "correct horse").unwrap_err();
            assert!(
                matches!(error, EncryptedKeyError::Work { .. }),
                "{log_n}: {error:?}"
            );
        }
        for log_n in ["0", "-1", "256", "04", "+4", "", "99999999999999999999"] {
            let text = text.replace("scrypt 4 ", &format!("scrypt {log_n} "));
            let error = read_text(text.as_bytes(), "correct horse").unwrap_err();
            assert!(
                matches!(error, EncryptedKeyError::File(_)),
                "{log_n}: {error:?}"
            );
        }
    }

    #[test]
    fn plain_encrypted_exposed_and_other_kinds_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let [plain, encrypted] = ["p", "e"].map(|name| directory.path().join(name));
        key_file::create(&plain, KeyKind::Ed25519, &seed()).unwrap();
        durable::create_new(&encrypted, encoded(QUICK).as_bytes()).unwrap();
        let passphrase = passphrase("correct horse");
        let read = |path, kind| read(path, kind, &passphrase).unwrap_err();

        let error = read(&plain, KeyKind::Ed25519);
        assert!(
            matches!(error, EncryptedKeyError::Plain { .. }),
            "{error:?}"
        );
        let error = key_file::read(&encrypted, KeyKind::Ed25519).unwrap_err();
        assert!(matches!(error, KeyFileError::Encrypted { .. }), "{error:?}");
        let error = read(&encrypted, KeyKind::Vrf);
        assert!(
            matches!(
                error,
                EncryptedKeyError::File(KeyFileError::WrongKind { .. })
            ),
            "{error:?}"
        );
        fs::set_permissions(&encrypted, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&encrypted, KeyKind::Ed25519);
        assert!(
            matches!(error, EncryptedKeyError::File(KeyFileError::Exposed { .. })),
            "{error:?}"
        );
    }
}
