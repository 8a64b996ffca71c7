//! Opening keys, and making new ones.

use std::path::{Path, PathBuf};

use candor_core::crypto::{Ed25519SecretKey, MlDsa44SecretKey};
use candor_core::note::{Algorithm, KeyName, NoteSigner, SoftwareSigner, VerifierKey};

use super::agent::Agent;
use super::encrypted::{self, EncryptError, EncryptedKeyError};
use super::openssh::OpensshKey;
use super::pkcs11::Token;
use super::reference::KeyReference;
use super::remote::{RemoteError, RemoteSigner};
use super::secret::{PASSPHRASE, SecretError, SecretSource, Secrets};
use super::{KeySlot, Keyring};
use crate::durable::WriteError;
use crate::key_file::{self, KeyFileError, KeyKind, SecretSeed};

/// Why a key cannot be used, or was not made. The operator is at fault unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A plain key file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// An encrypted key file cannot be used.
    #[error(transparent)]
    EncryptedFile(#[from] EncryptedKeyError),
    /// A key file was not written: it exists, or the environment failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An encrypted key file was not written: it exists, or the environment failed.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
    /// The environment has no randomness.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// A passphrase or PIN cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What keeps keys elsewhere can keep Ed25519 keys only.
    #[error(
        "key {name} must be in a file: agents and tokens keep Ed25519 keys, not {}",
        kind.name()
    )]
    FileOnly {
        /// The key's name.
        name: &'static str,
        /// What it is for.
        kind: KeyKind,
    },
    /// There is no agent to ask.
    #[error("key {name} is in an ssh-agent: set its `socket`, or SSH_AUTH_SOCK")]
    NoAgent {
        /// The key's name.
        name: &'static str,
    },
    /// A module without an absolute path could be anybody's.
    #[error("key {name}: the module must have an absolute path")]
    RelativeModule {
        /// The key's name.
        name: &'static str,
    },
    /// The configuration does not say which key it must be.
    #[error("key {name} has no `public_key`; the token's is: public_key = \"{found}\"")]
    Unpinned {
        /// The key's name.
        name: &'static str,
        /// What the token says.
        found: Box<OpensshKey>,
    },
    /// An agent or a token failed.
    #[error("key {name} in {place}: {source}")]
    Remote {
        /// The key's name.
        name: &'static str,
        /// The agent's socket, or the token's label.
        place: String,
        /// How.
        source: RemoteError,
    },
}

/// Opens the keys of a program. Passphrases and PINs are forgotten with it.
#[derive(Debug)]
pub struct KeyLoader<'a> {
    keyring: &'a Keyring,
    secrets: Secrets,
}

impl<'a> KeyLoader<'a> {
    pub(super) fn new(keyring: &'a Keyring) -> Self {
        Self {
            keyring,
            secrets: Secrets::default(),
        }
    }

    /// Does what can fail before new keys are made: chooses passphrases, refuses places that
    /// cannot keep a key of its kind, and makes sure that keys elsewhere are there.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn prepare(&mut self, slots: &[KeySlot]) -> Result<(), KeyError> {
        for slot in slots {
            match self.keyring.reference(slot) {
                KeyReference::EncryptedFile { passphrase, .. } => {
                    self.secrets.choose(&passphrase)?;
                }
                KeyReference::SshAgent { .. } | KeyReference::Pkcs11 { .. }
                    if slot.kind != KeyKind::Ed25519 =>
                {
                    return Err(file_only(slot));
                }
                KeyReference::SshAgent { .. } | KeyReference::Pkcs11 { .. } => {
                    let name = KeyName::new("any").expect("a word is a name");
                    self.signer(slot, name, Algorithm::Ed25519)?;
                }
                KeyReference::File { .. } => {}
            }
        }
        Ok(())
    }

    /// Makes a new key where the configuration says that it is. A key in an agent or a token is
    /// there already.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; nothing is overwritten.
    pub fn create(&mut self, slot: &KeySlot) -> Result<(), KeyError> {
        match self.keyring.reference(slot) {
            KeyReference::File { path } => {
                key_file::create(&path, slot.kind, &SecretSeed::generate()?)?;
            }
            KeyReference::EncryptedFile { path, passphrase } => {
                let passphrase = self.secrets.choose(&passphrase)?;
                let seed = SecretSeed::generate()?;
                encrypted::create(&path, slot.kind, &seed, passphrase)?;
            }
            KeyReference::SshAgent { .. } | KeyReference::Pkcs11 { .. } => {}
        }
        Ok(())
    }

    /// Whether there is a key to open, or something in its place: its file, or a line of the
    /// configuration that says where else it is.
    pub fn is_there(&self, slot: &KeySlot) -> bool {
        match self.keyring.reference(slot) {
            KeyReference::File { path } | KeyReference::EncryptedFile { path, .. } => {
                path.try_exists().unwrap_or(true)
            }
            KeyReference::SshAgent { .. } | KeyReference::Pkcs11 { .. } => true,
        }
    }

    /// Reads a key that must be in a file.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn seed(&mut self, slot: &KeySlot) -> Result<SecretSeed, KeyError> {
        match self.keyring.reference(slot) {
            KeyReference::File { path } => Ok(key_file::read(&path, slot.kind)?),
            KeyReference::EncryptedFile { path, passphrase } => {
                let passphrase = self.secrets.read(&passphrase, PASSPHRASE)?;
                Ok(encrypted::read(&path, slot.kind, passphrase)?)
            }
            KeyReference::SshAgent { .. } | KeyReference::Pkcs11 { .. } => Err(file_only(slot)),
        }
    }

    /// Opens a key that signs as `name`, by `algorithm`, wherever it is.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; a key elsewhere has made a signature that verifies, or is not returned.
    pub fn signer(
        &mut self,
        slot: &KeySlot,
        name: KeyName,
        algorithm: Algorithm,
    ) -> Result<Box<dyn NoteSigner>, KeyError> {
        let remote = |source, place| KeyError::Remote {
            name: slot.name,
            place,
            source,
        };
        let vkey = match algorithm {
            Algorithm::Ed25519 => VerifierKey::ed25519,
            Algorithm::Ed25519Cosignature => VerifierKey::ed25519_cosignature,
            Algorithm::MlDsa44 => {
                let secret = MlDsa44SecretKey::from_seed(self.seed(slot)?.expose());
                return Ok(Box::new(SoftwareSigner::ml_dsa_44(name, secret)));
            }
        };
        match self.keyring.reference(slot) {
            KeyReference::File { .. } | KeyReference::EncryptedFile { .. } => {
                let secret = Ed25519SecretKey::from_seed(self.seed(slot)?.expose());
                Ok(Box::new(match algorithm {
                    Algorithm::Ed25519 => SoftwareSigner::ed25519(name, secret),
                    _ => SoftwareSigner::ed25519_cosignature(name, secret),
                }))
            }
            KeyReference::SshAgent { socket, public_key } => {
                let socket = socket
                    .or_else(|| std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from))
                    .ok_or(KeyError::NoAgent { name: slot.name })?;
                let agent = Agent::new(&socket, public_key);
                let signer = RemoteSigner::open(vkey(name, public_key.0), public_key.0, agent)
                    .map_err(|error| remote(error, socket.display().to_string()))?;
                Ok(Box::new(signer))
            }
            KeyReference::Pkcs11 {
                module,
                token,
                label,
                pin,
                public_key,
            } => {
                if !module.is_absolute() {
                    return Err(KeyError::RelativeModule { name: slot.name });
                }
                let pin = self
                    .secrets
                    .read(&pin, &format!("the PIN of token {token}"))?;
                let place = format!("token {token}");
                let mut keeper = Token::new(&module, &token, &label, pin);
                let Some(OpensshKey(public)) = public_key else {
                    let found = keeper.public_key().map_err(|error| remote(error, place))?;
                    return Err(KeyError::Unpinned {
                        name: slot.name,
                        found: Box::new(found),
                    });
                };
                let signer = RemoteSigner::open(vkey(name, public), public, keeper)
                    .map_err(|error| remote(error, place))?;
                Ok(Box::new(signer))
            }
        }
    }
}

pub(super) fn file_only(slot: &KeySlot) -> KeyError {
    KeyError::FileOnly {
        name: slot.name,
        kind: slot.kind,
    }
}

/// Writes the key of the plain file at `path` beside it, encrypted; the plain file stays. Returns
/// the path of the new file, from which the key was read back.
///
/// # Errors
///
/// [`KeyError`]; nothing is overwritten.
pub fn encrypt_file(path: &Path, passphrase: &SecretSource) -> Result<PathBuf, KeyError> {
    let (kind, seed) = key_file::read_any(path)?;
    let mut secrets = Secrets::default();
    let passphrase = secrets.choose(passphrase)?;
    let encrypted_path = encrypted::beside(path);
    encrypted::create(&encrypted_path, kind, &seed, passphrase)?;
    encrypted::read(&encrypted_path, kind, passphrase)?;
    Ok(encrypted_path)
}
