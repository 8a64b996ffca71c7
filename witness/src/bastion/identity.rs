//! The key by which bastions know this witness, and the certificate that shows it.
//!
//! It signs TLS handshakes and nothing else. A plain file is enough: whoever has the key can answer
//! in the witness's place, but not with its cosignatures.

use std::path::Path;
use std::sync::Arc;

use candor_core::Hash;
use candor_core::crypto::{Ed25519PublicKey, Ed25519SecretKey};
use rcgen::{CertificateParams, DistinguishedName, DnType, PKCS_ED25519, SerialNumber};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use sha2::{Digest as _, Sha256};

use crate::node_key::{self, NodeKeyError};

/// The key's file in the directory of the witness's keys.
pub const KEY_FILE: &str = "bastion-ed25519.key";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The key cannot be had.
    #[error(transparent)]
    Key(#[from] NodeKeyError),
    /// The certificate could not be made: a bug of ours.
    #[error("the certificate of the bastion key could not be made")]
    Certificate(#[from] rcgen::Error),
}

/// A key and its self-signed certificate. Clones share the secret.
#[derive(Clone, Debug)]
pub struct Identity {
    key: Key,
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// The key in `directory`, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`IdentityError`].
    pub fn open(directory: &Path) -> Result<Self, IdentityError> {
        let secret = node_key::open(&directory.join(KEY_FILE))?;
        let key = Key {
            public: secret.public_key(),
            secret: Arc::new(secret),
        };
        // Bastions look at the key only. What else there is, is the same for all witnesses.
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "bastion backend");
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = name;
        parameters.serial_number = Some(SerialNumber::from(1));
        let certificate = parameters.self_signed(&key)?.der().clone();
        Ok(Self { key, certificate })
    }

    /// The SHA-256 of the public key: what a bastion has to let in, and where it offers the
    /// witness, in lower-case hexadecimal.
    pub fn hash(&self) -> Hash {
        Hash(Sha256::digest(self.key.public.as_bytes()).into())
    }

    pub(super) fn certified_key(&self) -> CertifiedKey {
        CertifiedKey::new(vec![self.certificate.clone()], Arc::new(self.key.clone()))
    }
}

/// Signs certificates and handshakes, without the secret leaving the type that erases it.
#[derive(Clone, Debug)]
struct Key {
    public: Ed25519PublicKey,
    secret: Arc<Ed25519SecretKey>,
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.secret.sign(message).to_vec())
    }
}

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = offered.contains(&SignatureScheme::ED25519);
        is_offered.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.secret.sign(message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
