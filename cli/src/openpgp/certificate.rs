//! What a certificate's own primary key vouches for.
//!
//! Of each user id and subkey, the newest valid signature by the primary key decides; so does, for
//! the primary key itself, the newest of its direct signature and those on its live user ids.
//! Nobody else's signature counts. A revocation is final for keys; for a user id it counts if it is
//! the newest signature, because people take addresses up again. A subkey that signs must have
//! agreed to its binding, or it could be somebody else's.

use pgp::crypto::hash::HashAlgorithm;
use pgp::errors::Result as PgpResult;
use pgp::packet::{PublicKey, PublicSubkey, Signature, SignatureType, UserId};
use pgp::types::{Fingerprint, KeyDetails, KeyId, KeyVersion, Tag};

use super::packets::{RawCertificate, RawPacket};
use super::report::{Reason, Report};

/// The parts of a certificate that are valid at a time.
pub struct Certificate<'a> {
    /// The primary key.
    pub primary: PublicKey,
    /// The primary key's packet.
    pub primary_packet: &'a RawPacket,
    /// The newest signature on the primary key alone, if there is one.
    pub direct: Option<SelfSignature<'a>>,
    /// The live user ids in the order of the file.
    pub user_ids: Vec<Part<'a, UserId>>,
    /// The live subkeys in the order of the file.
    pub subkeys: Vec<Part<'a, PublicSubkey>>,
}

/// A user id or subkey and the signature that decides about it.
pub struct Part<'a, T> {
    /// What it is.
    pub value: T,
    /// Its packet.
    pub packet: &'a RawPacket,
    /// The newest valid signature by the primary key.
    pub signature: SelfSignature<'a>,
}

/// A verified signature by the primary key.
pub struct SelfSignature<'a> {
    /// What it says.
    pub signature: Signature,
    /// Its packet.
    pub packet: &'a RawPacket,
}

impl<'a> Certificate<'a> {
    /// Verifies a certificate and keeps what is valid at `now_s`, in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// Why nothing of the certificate can be used.
    pub fn read(raw: &'a RawCertificate, now_s: u32, report: &mut Report) -> Result<Self, Reason> {
        if raw.oversize {
            return Err(Reason::TooLarge);
        }
        let mut sections = Sections {
            packets: &raw.packets,
        };
        let (primary_packet, signatures) = sections.next().ok_or(Reason::Malformed)?;
        let primary = PublicKey::try_from_reader(primary_packet.header, &primary_packet.body[..])
            .map_err(|_| Reason::Unsupported)?;
        if !matches!(primary.version(), KeyVersion::V4 | KeyVersion::V6) {
            return Err(Reason::Unsupported);
        }
        let judge = Judge::new(&primary, now_s);
        let on_primary = judge.own(signatures);
        let revoked = |sig: &Signature| sig.verify_key(&primary);
        if judge
            .newest(&on_primary, &[SignatureType::KeyRevocation], revoked)
            .is_some()
        {
            return Err(Reason::Revoked);
        }
        let direct = judge.newest(&on_primary, &[SignatureType::Key], revoked);
        let (mut user_ids, mut subkeys) = (Vec::new(), Vec::new());
        for (packet, signatures) in sections {
            match packet.tag() {
                Tag::UserId => match judge.user_id(packet, signatures) {
                    Ok(part) => user_ids.push(part),
                    Err(reason) => report.user_ids.skip(reason),
                },
                Tag::PublicSubkey => match judge.subkey(packet, signatures) {
                    Ok(part) => subkeys.push(part),
                    Err(reason) => report.keys.skip(reason),
                },
                _ => {}
            }
        }
        let certificate = Self {
            primary,
            primary_packet,
            direct,
            user_ids,
            subkeys,
        };
        let decisive = certificate.self_signature().ok_or(Reason::Unverifiable)?;
        if is_out_of_time(&certificate.primary, &decisive.signature, now_s) {
            return Err(Reason::Expired);
        }
        Ok(certificate)
    }

    /// The newest signature that speaks of the primary key: its expiry, what it is for.
    pub fn self_signature(&self) -> Option<&SelfSignature<'a>> {
        let on_user_ids = self.user_ids.iter().map(|part| &part.signature);
        self.direct
            .iter()
            .chain(on_user_ids)
            .max_by_key(|sig| created_s(&sig.signature))
    }
}

/// When a key expires, in seconds since the Unix epoch, by the signature that decides about it.
pub fn expires_s(key: &impl KeyDetails, decisive: &Signature) -> Option<u64> {
    let lifetime_s = decisive
        .key_expiration_time()
        .map_or(0, |duration| duration.as_secs());
    (lifetime_s > 0).then(|| u64::from(key.created_at().as_secs()) + u64::from(lifetime_s))
}

/// Splits a certificate into a key, user id or attribute and the signatures that follow it.
struct Sections<'a> {
    packets: &'a [RawPacket],
}

impl<'a> Iterator for Sections<'a> {
    type Item = (&'a RawPacket, &'a [RawPacket]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.packets.split_first()?;
        let next_head = rest
            .iter()
            .position(|packet| packet.tag() != Tag::Signature);
        let (signatures, packets) = rest.split_at(next_head.unwrap_or(rest.len()));
        self.packets = packets;
        Some((head, signatures))
    }
}

/// Verifies what claims to be the primary key's.
struct Judge<'k> {
    primary: &'k PublicKey,
    fingerprint: Fingerprint,
    key_id: KeyId,
    now_s: u32,
}

impl<'k> Judge<'k> {
    fn new(primary: &'k PublicKey, now_s: u32) -> Self {
        let (fingerprint, key_id) = (primary.fingerprint(), primary.legacy_key_id());
        Self {
            primary,
            fingerprint,
            key_id,
            now_s,
        }
    }

    fn user_id<'a>(
        &self,
        packet: &'a RawPacket,
        signatures: &'a [RawPacket],
    ) -> Result<Part<'a, UserId>, Reason> {
        let value = UserId::try_from_reader(packet.header, &packet.body[..])
            .map_err(|_| Reason::Malformed)?;
        let types = [
            SignatureType::CertGeneric,
            SignatureType::CertPersona,
            SignatureType::CertCasual,
            SignatureType::CertPositive,
            SignatureType::CertRevocation,
        ];
        let verify = |sig: &Signature| sig.verify_certification(self.primary, Tag::UserId, &value);
        let signature = self
            .newest(&self.own(signatures), &types, verify)
            .ok_or(Reason::Unverifiable)?;
        if signature.signature.typ() == Some(SignatureType::CertRevocation) {
            return Err(Reason::Revoked);
        }
        Ok(Part {
            value,
            packet,
            signature,
        })
    }

    fn subkey<'a>(
        &self,
        packet: &'a RawPacket,
        signatures: &'a [RawPacket],
    ) -> Result<Part<'a, PublicSubkey>, Reason> {
        let value = PublicSubkey::try_from_reader(packet.header, &packet.body[..])
            .map_err(|_| Reason::Unsupported)?;
        let own = self.own(signatures);
        let verify = |sig: &Signature| sig.verify_subkey_binding(self.primary, &value);
        if self
            .newest(&own, &[SignatureType::SubkeyRevocation], verify)
            .is_some()
        {
            return Err(Reason::Revoked);
        }
        let signature = self
            .newest(&own, &[SignatureType::SubkeyBinding], verify)
            .ok_or(Reason::Unverifiable)?;
        if signature.signature.key_flags().sign() {
            signature
                .signature
                .embedded_signature()
                .filter(|back| self.is_in_force(back))
                .and_then(|back| back.verify_primary_key_binding(&value, self.primary).ok())
                .ok_or(Reason::Unverifiable)?;
        }
        if is_out_of_time(&value, &signature.signature, self.now_s) {
            return Err(Reason::Expired);
        }
        Ok(Part {
            value,
            packet,
            signature,
        })
    }

    /// The signatures that name the primary key as their issuer and are in force.
    ///
    /// One that cannot be parsed cannot be verified either, and so says nothing. Nearly all are by
    /// others: those are told by the bytes of the key id, which a fingerprint holds too, and are
    /// not parsed.
    fn own<'a>(&self, packets: &'a [RawPacket]) -> Vec<SelfSignature<'a>> {
        let key_id: &[u8] = self.key_id.as_ref();
        packets
            .iter()
            .filter(|packet| {
                packet
                    .body
                    .windows(key_id.len())
                    .any(|bytes| bytes == key_id)
            })
            .filter_map(|packet| {
                let signature = Signature::try_from_reader(packet.header, &packet.body[..]).ok()?;
                Some(SelfSignature { signature, packet })
            })
            .filter(|own| self.is_issuer(&own.signature) && self.is_in_force(&own.signature))
            .collect()
    }

    fn is_issuer(&self, signature: &Signature) -> bool {
        signature.issuer_key_id().contains(&&self.key_id)
            || signature.issuer_fingerprint().contains(&&self.fingerprint)
    }

    /// Made in the past, not expired, and not over MD5, for which anybody can find collisions.
    fn is_in_force(&self, signature: &Signature) -> bool {
        let Some(created) = signature.created() else {
            return false;
        };
        let lifetime_s = signature
            .signature_expiration_time()
            .map_or(0, |duration| duration.as_secs());
        let end_s = u64::from(created.as_secs()) + u64::from(lifetime_s);
        created.as_secs() <= self.now_s
            && (lifetime_s == 0 || end_s > u64::from(self.now_s))
            && signature.hash_alg() != Some(HashAlgorithm::Md5)
    }

    /// The newest of `own` that has one of `types` and verifies; of two made in the same second, a
    /// revocation.
    fn newest<'a>(
        &self,
        own: &[SelfSignature<'a>],
        types: &[SignatureType],
        verify: impl Fn(&Signature) -> PgpResult<()>,
    ) -> Option<SelfSignature<'a>> {
        let has_type = |sig: &Signature| sig.typ().is_some_and(|typ| types.contains(&typ));
        let mut candidates: Vec<_> = own.iter().filter(|own| has_type(&own.signature)).collect();
        candidates.sort_by_key(|own| {
            let revokes = own.signature.typ() == Some(SignatureType::CertRevocation);
            core::cmp::Reverse((created_s(&own.signature), revokes))
        });
        let newest = candidates
            .into_iter()
            .take(SELF_SIGNATURES_MAX)
            .find(|own| verify(&own.signature).is_ok())?;
        Some(SelfSignature {
            signature: newest.signature.clone(),
            packet: newest.packet,
        })
    }
}

fn created_s(signature: &Signature) -> u32 {
    signature.created().map_or(0, |created| created.as_secs())
}

fn is_out_of_time(key: &impl KeyDetails, decisive: &Signature, now_s: u32) -> bool {
    key.created_at().as_secs() > now_s
        || expires_s(key, decisive).is_some_and(|expires_s| expires_s <= u64::from(now_s))
}

/// Most signatures on one part that are tried: people renew for decades and stay below it, while a
/// forger's failing ones are not verified without end.
const SELF_SIGNATURES_MAX: usize = 128;
