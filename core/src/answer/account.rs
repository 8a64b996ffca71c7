//! The proof of an account's versions at one root of the map.

use thiserror::Error;

use super::proved_keys::ProvedKeys;
use crate::Hash;
use crate::codec::{DecodeError, Reader, Writer as _};
use crate::crypto::vrf::vrf_input;
use crate::crypto::{Commitment, Opening, SearchKey, VrfError, VrfProof, VrfPublicKey};
use crate::limits::{
    HISTORY_VERSIONS_MAX, LADDER_VERSIONS_MAX, OPENING_BYTES, VALUE_BYTES_MAX, VRF_PROOF_BYTES,
};
use crate::map::ladder::search_ladder;
use crate::map::{Expectation, PrefixProof, PrefixProofError};

/// What is asked of one label: its greatest version, and perhaps a run of earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// First version to open besides the greatest.
    pub from_version: Option<u32>,
    /// Most versions to open from there on; 0 stands for [`HISTORY_VERSIONS_MAX`].
    pub max_versions: u32,
}

impl Query {
    /// Asks for the greatest version only.
    pub const GREATEST: Self = Self {
        from_version: None,
        max_versions: 0,
    };

    /// Asks also for the versions from `version` on, as many as fit one answer.
    pub const fn since(version: u32) -> Self {
        Self {
            from_version: Some(version),
            max_versions: 0,
        }
    }

    /// The versions whose values an answer opens, ascending, if `greatest` is the greatest version.
    pub fn opened(&self, greatest: Option<u32>) -> Vec<u32> {
        let Some(greatest) = greatest else {
            return Vec::new();
        };
        let mut opened = Vec::new();
        if let Some(from) = self.from_version.filter(|from| *from <= greatest) {
            let most = match self.max_versions {
                0 => HISTORY_VERSIONS_MAX,
                most => most.min(HISTORY_VERSIONS_MAX),
            };
            opened.extend(from..=greatest.min(from.saturating_add(most - 1)));
        }
        if opened.last() != Some(&greatest) {
            opened.push(greatest);
        }
        opened
    }

    /// The versions that an answer looks up, in the order of its proof: the ladder of the greatest
    /// version, then the other opened ones, ascending.
    pub fn lookups(&self, greatest: Option<u32>) -> Vec<u32> {
        let mut versions = search_ladder(greatest);
        let ladder = versions.len();
        for version in self.opened(greatest) {
            if !versions[..ladder].contains(&version) {
                versions.push(version);
            }
        }
        versions
    }
}

/// What an answer discloses of one looked-up version.
#[derive(Clone, PartialEq, Eq)]
pub enum Disclosure {
    /// The version does not exist.
    Absent,
    /// It exists, with this commitment; its value is not shown.
    Committed(Commitment),
    /// It exists and its commitment opens to this value.
    Opened {
        /// Randomness of the commitment.
        opening: Opening,
        /// The value, at most [`VALUE_BYTES_MAX`] bytes.
        value: Vec<u8>,
    },
    /// It exists, with this commitment, and was to be opened; but the log erased what opens it.
    Erased(Commitment),
}

impl core::fmt::Debug for Disclosure {
    /// Names the case only: values are personal data.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Committed(_) => "Committed(..)",
            Self::Opened { .. } => "Opened { .. }",
            Self::Erased(_) => "Erased(..)",
        })
    }
}

/// One lookup of an account proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionProof {
    /// Proof of the version's search key.
    pub vrf_proof: VrfProof,
    /// What the map holds at that key.
    pub disclosure: Disclosure,
}

/// The proof of an account's versions, as received or made.
///
/// ```text
/// struct {
///   optional<uint32> greatest;
///   uint8 count;                     // of lookups, in the order of Query::lookups
///   struct {
///     opaque vrf_proof[80];
///     uint8 disclosure;              // 0 absent | 1 committed | 2 opened | 3 erased
///     select (disclosure) {
///       case 1: opaque commitment[32];
///       case 2: opaque opening[16]; opaque value<0..2^32-1>;
///       case 3: opaque commitment[32];
///     };
///   } lookups[count];
///   PrefixProof prefix;              // KEYTRANS, "Prefix Tree", one result for each lookup
/// } AccountProof;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The claimed greatest version; `None` if the label has none.
    pub greatest: Option<u32>,
    /// One for each version of [`Query::lookups`], in order.
    pub lookups: Vec<VersionProof>,
    /// How the searches for them end in the map.
    pub prefix: PrefixProof,
}

/// Why an account proof was refused. The server is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AccountProofError {
    /// The bytes are no account proof.
    #[error("malformed account proof: {0}")]
    Malformed(#[from] DecodeError),
    /// The proof answers other lookups than those that the claimed greatest version needs.
    #[error("proof holds {actual} lookups where {expected} are needed")]
    WrongLadder {
        /// Lookups that the claim needs.
        expected: usize,
        /// Lookups in the proof.
        actual: usize,
    },
    /// A search key is not the VRF's output.
    #[error("search key of version {version} is not proved: {source}")]
    SearchKey {
        /// The version.
        version: u32,
        /// What is wrong with the VRF proof.
        source: VrfError,
    },
    /// A version that the claim needs is said to be absent, or the other way round.
    #[error("disclosure of version {version} contradicts the claimed greatest version")]
    Contradiction {
        /// The version.
        version: u32,
    },
    /// A version that was to be opened is not, or one is opened that was not to be. Of the versions
    /// that were to be opened, all but the greatest may be said to be erased.
    #[error("version {version} is not disclosed as asked")]
    WrongDisclosure {
        /// The version.
        version: u32,
    },
    /// The map does not hold what the proof says.
    #[error("map proof refused: {0}")]
    Map(#[from] PrefixProofError),
}

/// A version of an account that is in the map, with its value unless that was erased.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedVersion {
    version: u32,
    commitment: Commitment,
    value: Option<Vec<u8>>,
}

impl VerifiedVersion {
    /// The version's number.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The commitment under which the value is in the map: stands for label, version and value.
    pub const fn commitment(&self) -> &Commitment {
        &self.commitment
    }

    /// The value. Without one the log said that it erased it: that there is such a version, and
    /// what was committed to, is proved; that its value is gone is the log's word.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }
}

impl core::fmt::Debug for VerifiedVersion {
    /// Leaves out the value: it is personal data.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VerifiedVersion")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What is proved of an account at one root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAccount {
    greatest: Option<u32>,
    opened: Vec<VerifiedVersion>,
}

impl VerifiedAccount {
    /// The greatest version; `None` if the label has none.
    pub const fn greatest(&self) -> Option<u32> {
        self.greatest
    }

    /// The versions that were to be opened, ascending. The last one is the greatest, which has a
    /// value; earlier ones have none if they were erased.
    pub fn opened(&self) -> &[VerifiedVersion] {
        &self.opened
    }

    /// The greatest version with its value.
    pub fn newest(&self) -> Option<&VerifiedVersion> {
        self.opened.last()
    }
}

impl AccountProof {
    /// Checks everything that the proof says of `label` at the map root `root`: every search key
    /// (check 4 of the protocol), that the ladder is the one of the claimed greatest version (5),
    /// the map proof (6) and the commitments (7).
    ///
    /// # Errors
    ///
    /// [`AccountProofError`]; the server is at fault.
    pub fn verify(
        self,
        label: &[u8],
        query: &Query,
        vrf: &VrfPublicKey,
        root: &Hash,
    ) -> Result<VerifiedAccount, AccountProofError> {
        self.verify_with(label, query, |alpha, proof| vrf.verify(alpha, proof), root)
    }

    /// As [`Self::verify`], without verifying again what `keys` proved before.
    ///
    /// # Errors
    ///
    /// [`AccountProofError`]; the server is at fault.
    pub fn verify_again(
        self,
        label: &[u8],
        query: &Query,
        keys: &mut ProvedKeys,
        root: &Hash,
    ) -> Result<VerifiedAccount, AccountProofError> {
        self.verify_with(label, query, |alpha, proof| keys.verify(alpha, proof), root)
    }

    fn verify_with(
        self,
        label: &[u8],
        query: &Query,
        mut prove: impl FnMut(&[u8], &VrfProof) -> Result<SearchKey, VrfError>,
        root: &Hash,
    ) -> Result<VerifiedAccount, AccountProofError> {
        let versions = query.lookups(self.greatest);
        if self.lookups.len() != versions.len() {
            return Err(AccountProofError::WrongLadder {
                expected: versions.len(),
                actual: self.lookups.len(),
            });
        }
        let to_open = query.opened(self.greatest);
        let mut expectations = Vec::with_capacity(versions.len());
        let mut opened = Vec::with_capacity(to_open.len());
        for (version, lookup) in versions.into_iter().zip(self.lookups) {
            let key = prove(&vrf_input(label, version), &lookup.vrf_proof)
                .map_err(|source| AccountProofError::SearchKey { version, source })?;
            let exists = Some(version) <= self.greatest;
            let expectation = match lookup.disclosure {
                Disclosure::Absent if !exists => Expectation::Absent(key),
                Disclosure::Committed(commitment) if exists => {
                    if to_open.contains(&version) {
                        return Err(AccountProofError::WrongDisclosure { version });
                    }
                    Expectation::Included(key, commitment)
                }
                Disclosure::Opened { opening, value } if exists => {
                    if !to_open.contains(&version) {
                        return Err(AccountProofError::WrongDisclosure { version });
                    }
                    let commitment = Commitment::new(&opening, label, version, &value);
                    opened.push(VerifiedVersion {
                        version,
                        commitment,
                        value: Some(value),
                    });
                    Expectation::Included(key, commitment)
                }
                Disclosure::Erased(commitment) if exists => {
                    // Without the greatest version's value an answer would say nothing.
                    if Some(version) == self.greatest || !to_open.contains(&version) {
                        return Err(AccountProofError::WrongDisclosure { version });
                    }
                    opened.push(VerifiedVersion {
                        version,
                        commitment,
                        value: None,
                    });
                    Expectation::Included(key, commitment)
                }
                _ => return Err(AccountProofError::Contradiction { version }),
            };
            expectations.push(expectation);
        }
        self.prefix.verify(&expectations, root)?;
        opened.sort_unstable_by_key(|version| version.version);
        Ok(VerifiedAccount {
            greatest: self.greatest,
            opened,
        })
    }

    /// The proof's encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.present(self.greatest.is_some());
        if let Some(greatest) = self.greatest {
            out.extend(greatest.to_be_bytes());
        }
        out.push(u8::try_from(self.lookups.len()).expect("a query looks up at most 192 versions"));
        for lookup in &self.lookups {
            out.extend(lookup.vrf_proof.0);
            match &lookup.disclosure {
                Disclosure::Absent => out.push(0),
                Disclosure::Committed(commitment) => {
                    out.push(1);
                    out.extend(commitment.0);
                }
                Disclosure::Opened { opening, value } => {
                    out.push(2);
                    out.extend(opening.0);
                    out.opaque32(value);
                }
                Disclosure::Erased(commitment) => {
                    out.push(3);
                    out.extend(commitment.0);
                }
            }
        }
        self.prefix.encode_to(&mut out);
        out
    }

    /// Reads a proof.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the bytes are no account proof; the sender is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let greatest = match reader.present("greatest version")? {
            true => Some(reader.u32("greatest version")?),
            false => None,
        };
        let count = usize::from(reader.u8("lookups")?);
        let limit = LADDER_VERSIONS_MAX + HISTORY_VERSIONS_MAX as usize;
        if count > limit {
            return Err(DecodeError::TooLarge {
                field: "lookups",
                limit,
            });
        }
        let mut lookups = Vec::with_capacity(count);
        for _ in 0..count {
            let vrf_proof = VrfProof(reader.array::<VRF_PROOF_BYTES>("vrf proof")?);
            let disclosure = match reader.u8("disclosure")? {
                0 => Disclosure::Absent,
                1 => Disclosure::Committed(Commitment(reader.array("commitment")?)),
                2 => Disclosure::Opened {
                    opening: Opening(reader.array::<OPENING_BYTES>("opening")?),
                    value: reader.opaque32(VALUE_BYTES_MAX, "value")?.to_vec(),
                },
                3 => Disclosure::Erased(Commitment(reader.array("commitment")?)),
                _ => {
                    return Err(DecodeError::Invalid {
                        field: "disclosure",
                    });
                }
            };
            lookups.push(VersionProof {
                vrf_proof,
                disclosure,
            });
        }
        let prefix = PrefixProof::decode_from(&mut reader)?;
        reader.finish()?;
        Ok(Self {
            greatest,
            lookups,
            prefix,
        })
    }
}
