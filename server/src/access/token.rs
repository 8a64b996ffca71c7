//! Bearer tokens: JSON Web Tokens (RFC 7519) with an Ed25519 signature (RFC 8037), so that any
//! service can make them, and this one only needs to know whose signature counts.
//!
//! One algorithm, named in the header or the token is refused; the signature is verified over the
//! bytes before anything in them is believed. A token says for which log it is (`aud`), what its
//! bearer may do (`roles`), by which name limits and metrics of the operator know him (`sub`) and
//! until when (`exp`). It may hold no role that its issuer may not give.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use candor_core::crypto::{Ed25519PublicKey, Ed25519SecretKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Role, Roles};

/// Longest token in bytes.
pub const TOKEN_BYTES_MAX: usize = 2048;

/// Longest name of a bearer in bytes.
pub const SUBJECT_BYTES_MAX: usize = 64;

/// How far the issuer's clock may be ahead of ours, in seconds.
const SKEW_S: u64 = 60;

/// Why a token is not accepted. Its bearer or its issuer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is no token, or not signed as it must be.
    #[error("the token is malformed")]
    Malformed,
    /// No issuer that the server knows signed it.
    #[error("no known issuer signed the token")]
    Signature,
    /// It is for another log.
    #[error("the token is for another log")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not begun.
    #[error("the token is not valid yet")]
    Early,
    /// Its issuer may not give the roles that it names.
    #[error("the token names a role that its issuer may not give")]
    Roles,
}

/// Who may make tokens, and with which roles.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Verifies its tokens.
    pub key: Ed25519PublicKey,
    /// What it may allow.
    pub roles: Roles,
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The name of its bearer.
    pub subject: Arc<str>,
    /// What he may do.
    pub roles: Roles,
    /// Until when, in POSIX seconds.
    pub expires_s: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    /// Extensions that a verifier must understand: there are none that we do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: String,
    roles: Vec<Role>,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
}

/// Makes a token for the log `origin`.
pub fn issue(
    key: &Ed25519SecretKey,
    origin: &str,
    subject: &str,
    roles: &[Role],
    expires_s: u64,
) -> String {
    let header = Header {
        alg: ALGORITHM.to_owned(),
        typ: Some("JWT".to_owned()),
        crit: None,
    };
    let claims = Claims {
        aud: origin.to_owned(),
        sub: subject.to_owned(),
        roles: roles.to_vec(),
        exp: expires_s,
        nbf: None,
    };
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Verifies a token for the log `origin` at the time `now_s`.
///
/// # Errors
///
/// [`TokenError`].
pub fn verify(
    token: &str,
    origin: &str,
    issuers: &[Issuer],
    now_s: u64,
) -> Result<Grant, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let header: Header = decode(header)?;
    let is_ours = header.alg == ALGORITHM
        && header.typ.is_none_or(|typ| typ == "JWT")
        && header.crit.is_none();
    if !is_ours {
        return Err(TokenError::Malformed);
    }
    let signature = bytes(signature)?;
    let signature = <[u8; 64]>::try_from(signature).map_err(|_| TokenError::Malformed)?;
    let signed_by = |issuer: &&Issuer| issuer.key.verify(signed.as_bytes(), &signature).is_ok();
    let issuer = issuers.iter().find(signed_by);
    let issuer = issuer.ok_or(TokenError::Signature)?;
    let claims: Claims = decode(claims)?;
    if claims.aud != origin {
        return Err(TokenError::Audience);
    }
    if claims.exp <= now_s {
        return Err(TokenError::Expired);
    }
    if claims
        .nbf
        .is_some_and(|begin_s| begin_s > now_s.saturating_add(SKEW_S))
    {
        return Err(TokenError::Early);
    }
    if !is_name(&claims.sub) {
        return Err(TokenError::Malformed);
    }
    let roles: Roles = claims.roles.into_iter().collect();
    if !roles.are_in(issuer.roles) {
        return Err(TokenError::Roles);
    }
    Ok(Grant {
        subject: claims.sub.into(),
        roles,
        expires_s: claims.exp,
    })
}

/// Whether this can name a bearer: 1 to [`SUBJECT_BYTES_MAX`] visible ASCII characters.
pub fn is_name(name: &str) -> bool {
    (1..=SUBJECT_BYTES_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

/// The one algorithm (RFC 8037, section 3.1).
const ALGORITHM: &str = "EdDSA";

fn encode(part: &impl Serialize) -> String {
    let json = serde_json::to_vec(part).expect("strings, numbers and lists have a JSON form");
    URL_SAFE_NO_PAD.encode(json)
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    serde_json::from_slice(&bytes(part)?).map_err(|_| TokenError::Malformed)
}

fn bytes(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ORIGIN: &str = "log.example";

    fn key(seed: u8) -> Ed25519SecretKey {
        Ed25519SecretKey::from_seed(&[seed; 32])
    }

    fn verified(token: &str) -> Result<Grant, TokenError> {
        let issuers = [1, 2].map(|seed| Issuer {
            key: key(seed).public_key(),
            roles: [Role::Update, Role::Monitor].into_iter().collect(),
        });
        verify(token, ORIGIN, &issuers, 1_000)
    }

    /// A token of these parts, well signed.
    fn signed(header: &str, claims: &str) -> String {
        let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = parts.join(".");
        let signature = URL_SAFE_NO_PAD.encode(key(1).sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    const HEADER: &str = r#"{"alg":"EdDSA"}"#;

    fn claims(more: &str) -> String {
        format!(r#"{{"aud":"log.example","sub":"r","roles":["update"],"exp":1001{more}}}"#)
    }

    #[test]
    fn what_is_issued_is_accepted_until_it_expires() {
        let token = |expires_s| issue(&key(2), ORIGIN, "messenger", &[Role::Update], expires_s);
        let grant = verified(&token(1_001)).unwrap();
        assert_eq!((&*grant.subject, grant.expires_s), ("messenger", 1_001));
        assert!(grant.roles.has(Role::Update) && !grant.roles.has(Role::Monitor));
        assert_eq!(verified(&token(1_000)), Err(TokenError::Expired));
    }

    #[test]
    fn other_issuers_logs_and_roles_are_refused() {
        let of = |seed, origin, role| verified(&issue(&key(seed), origin, "r", &[role], 2_000));
        assert_eq!(of(3, ORIGIN, Role::Update), Err(TokenError::Signature));
        assert_eq!(
            of(1, "other.example", Role::Update),
            Err(TokenError::Audience)
        );
        assert_eq!(of(1, ORIGIN, Role::Audit), Err(TokenError::Roles));
    }

    #[test]
    fn only_the_one_form_is_accepted() {
        assert!(verified(&signed(HEADER, &claims(""))).is_ok());
        assert!(verified(&signed(HEADER, &claims(r#","iat":5,"nbf":1060"#))).is_ok());
        let early = signed(HEADER, &claims(r#","nbf":1061"#));
        assert_eq!(verified(&early), Err(TokenError::Early));
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"EdDSA","alg":"none"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
            r#"{"alg":"EdDSA","crit":["exp"]}"#,
            "{}",
            "",
        ] {
            assert_eq!(
                verified(&signed(header, &claims(""))),
                Err(TokenError::Malformed),
                "{header}"
            );
        }
        for broken in [
            claims(r#","sub":"x""#),
            claims("").replace("\"r\"", "\"\""),
            claims("").replace("\"r\"", "\"r\\n\""),
            claims("").replace("update", "root"),
            claims("").replace(r#","exp":1001"#, ""),
            claims("").replace("1001", "-1"),
            "[]".to_owned(),
        ] {
            assert_eq!(
                verified(&signed(HEADER, &broken)),
                Err(TokenError::Malformed),
                "{broken}"
            );
        }
    }

    #[test]
    fn a_changed_token_is_refused() {
        let token = issue(&key(1), ORIGIN, "r", &[Role::Update], 2_000);
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(verified(&changed).is_err(), "byte {place}");
        }
        for cut in ["", ".", "..", "...", "a.b.c"] {
            assert_eq!(verified(cut), Err(TokenError::Malformed), "{cut}");
        }
        let long = format!("{token}{}", "A".repeat(TOKEN_BYTES_MAX));
        assert_eq!(verified(&long), Err(TokenError::Malformed));
        assert_eq!(verified(&format!("{token}=")), Err(TokenError::Malformed));
    }
}
