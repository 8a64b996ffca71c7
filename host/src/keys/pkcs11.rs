//! Keys in PKCS#11 tokens: Ed25519 by `CKM_EDDSA`.
//!
//! The module is a library that runs in this process: its path is as trusted as the program
//! itself. What it returns is not: every signature is verified by who asked for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use candor_core::crypto::Ed25519PublicKey;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::RawAuthPin;

use super::openssh::OpensshKey;
use super::remote::{Keeper, RemoteError, Signature};
use super::secret::Secret;

/// Modules are loaded and initialised once, and never unloaded: they do not survive that well, and
/// several keys may use one.
static MODULES: LazyLock<Mutex<HashMap<PathBuf, Pkcs11>>> = LazyLock::new(Mutex::default);

/// A token, and one of the keys that it keeps.
pub(super) struct Token {
    module: PathBuf,
    token: String,
    label: String,
    /// `None` when it was not accepted: tokens lock after a few wrong ones.
    pin: Option<RawAuthPin>,
    open: Option<(Session, ObjectHandle)>,
}

impl Token {
    pub(super) fn new(module: &Path, token: &str, label: &str, pin: &Secret) -> Self {
        Self {
            module: module.to_owned(),
            token: token.to_owned(),
            label: label.to_owned(),
            pin: Some(RawAuthPin::new(Box::new(pin.expose().to_vec()))),
            open: None,
        }
    }

    /// The public key that the token keeps under the label of the secret key, as it says itself.
    pub(super) fn public_key(&mut self) -> Result<OpensshKey, RemoteError> {
        let session = self.session()?;
        let object = find(&session, ObjectClass::PUBLIC_KEY, &self.label)?;
        let attributes = session.get_attributes(object, &[AttributeType::EcPoint])?;
        attributes
            .iter()
            .find_map(|attribute| match attribute {
                Attribute::EcPoint(point) => decode_point(point),
                _ => None,
            })
            .ok_or_else(|| failed("the token's public key is no Ed25519 key"))
    }

    fn session(&mut self) -> Result<Session, RemoteError> {
        let pin = self.pin.as_ref().ok_or(RemoteError::Pin)?;
        let context = context(&self.module)?;
        let mut found = Vec::new();
        for slot in context.get_slots_with_initialized_token()? {
            if context.get_token_info(slot)?.label() == self.token {
                found.push(slot);
            }
        }
        let [slot] = found[..] else {
            return Err(failed(&format!("{} tokens have the label", found.len())));
        };
        let session = context.open_ro_session(slot)?;
        match session.login_with_raw(UserType::User, pin) {
            // Another key of this process is in use on the same token.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(error, _)) if is_about_pin(error) => {
                self.pin = None;
                Err(RemoteError::Pin)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Keeper for Token {
    fn sign(&mut self, message: &[u8], _deadline: Instant) -> Result<Signature, RemoteError> {
        // After a failure, a token that was pulled out for example, everything begins anew.
        let (session, key) = match self.open.take() {
            Some(open) => open,
            None => {
                let session = self.session()?;
                let key = find(&session, ObjectClass::PRIVATE_KEY, &self.label)?;
                (session, key)
            }
        };
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
        let signature = session.sign(&mechanism, key, message)?;
        self.open = Some((session, key));
        signature.try_into().map_err(|_| RemoteError::Malformed)
    }
}

fn context(module: &Path) -> Result<Pkcs11, RemoteError> {
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(context) = modules.get(module) {
        return Ok(context.clone());
    }
    let context = Pkcs11::new(module)?;
    let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    match context.initialize(arguments) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(error.into()),
    }
    modules.insert(module.to_owned(), context.clone());
    Ok(context)
}

/// The one Ed25519 key of `class` with the label: with two, nobody knows which is meant.
fn find(session: &Session, class: ObjectClass, label: &str) -> Result<ObjectHandle, RemoteError> {
    let found = session.find_objects(&[
        Attribute::Class(class),
        Attribute::KeyType(KeyType::EC_EDWARDS),
        Attribute::Label(label.as_bytes().to_vec()),
    ])?;
    match found[..] {
        [object] => Ok(object),
        _ => Err(failed(&format!("{} {class} have the label", found.len()))),
    }
}

/// A point as an octet string (PKCS#11 3.0), as a bit string (3.1), or bare: vendors differ. What
/// is none of its key shows when a signature is verified.
fn decode_point(point: &[u8]) -> Option<OpensshKey> {
    let key = match point {
        [0x04, 32, key @ ..] | [0x03, 33, 0, key @ ..] if key.len() == 32 => key,
        key => key,
    };
    let key = Ed25519PublicKey::from_bytes(key.try_into().ok()?).ok()?;
    Some(OpensshKey(key))
}

fn is_about_pin(error: RvError) -> bool {
    matches!(
        error,
        RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinExpired
            | RvError::PinLocked
            | RvError::UserPinNotInitialized
    )
}

fn failed(what: &str) -> RemoteError {
    RemoteError::Token(what.to_owned())
}

impl From<Error> for RemoteError {
    fn from(error: Error) -> Self {
        Self::Token(error.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use candor_core::crypto::Ed25519SecretKey;

    #[test]
    fn points_are_read_in_every_spelling_and_nothing_else_is() {
        let key = Ed25519SecretKey::from_seed(&[1; 32]).public_key();
        let bytes = key.as_bytes();
        for head in [&[][..], &[0x04, 32], &[0x03, 33, 0]] {
            let point = [head, bytes].concat();
            assert_eq!(decode_point(&point), Some(OpensshKey(key)));
        }
        for point in [
            &[][..],
            &[0; 32],
            &[0x04, 32],
            &[&[0x04, 31], &bytes[..]].concat(),
            &[&bytes[..], &[0]].concat(),
        ] {
            assert_eq!(decode_point(point), None, "{point:?}");
        }
    }
}
