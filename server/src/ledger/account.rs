//! What the log knows of one label: its newest version, and the ladder that shows it to be the
//! newest.
//!
//! The search keys of a ladder are kept where they change least: that of a version with the
//! version, for good; those of versions that do not exist yet with the account. That is enough for
//! every earlier version of the label too: two ladders part at the first version that one of them
//! must show and the other must deny, so what the earlier ladder denies, the later one denies as
//! well, or it exists.

use std::sync::OnceLock;

use candor_core::account::Label;
use candor_core::crypto::{Commitment, Opening, SearchKey, VrfProof, VrfSecretKey, vrf::vrf_input};
use candor_core::map::ladder::search_ladder;

/// The search key of a label-version and the proof that it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProvenKey {
    /// Where the version is in the map.
    pub key: SearchKey,
    /// The VRF's proof.
    pub proof: VrfProof,
}

impl ProvenKey {
    /// Computes the search key and its proof: about a tenth of a millisecond of one core.
    pub fn compute(vrf: &VrfSecretKey, label: &Label, version: u32) -> Self {
        let (key, proof) = vrf.prove(&vrf_input(label.as_bytes(), version));
        Self { key, proof }
    }
}

/// One version of a label.
#[derive(Clone)]
pub struct Version {
    /// The epoch that inserted it.
    pub epoch: u64,
    /// The commitment's opening.
    pub opening: Opening,
    /// Its search key.
    pub proven: ProvenKey,
    /// The value.
    pub value: Vec<u8>,
}

impl Version {
    /// What the map holds of it.
    pub fn commitment(&self, label: &Label, number: u32) -> Commitment {
        Commitment::new(&self.opening, label.as_bytes(), number, &self.value)
    }
}

/// A version on the ladder of an account.
pub struct Rung {
    version: u32,
    /// Computed by whoever needs it first; nobody computes it twice at the same time.
    proven: OnceLock<ProvenKey>,
    /// For versions that exist.
    commitment: Option<Commitment>,
}

impl Rung {
    /// A rung whose search key may be known already.
    pub(super) fn new(
        version: u32,
        proven: Option<ProvenKey>,
        commitment: Option<Commitment>,
    ) -> Self {
        Self {
            version,
            proven: proven.map_or_else(OnceLock::new, OnceLock::from),
            commitment,
        }
    }

    /// The version.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The commitment in the map, if the version exists.
    pub const fn commitment(&self) -> Option<Commitment> {
        self.commitment
    }

    /// The search key, if it was computed.
    pub fn known(&self) -> Option<&ProvenKey> {
        self.proven.get()
    }
}

/// A label as of one epoch.
pub struct Account {
    label: Label,
    newest: Option<(u32, Version)>,
    rungs: Vec<Rung>,
}

impl Account {
    /// A label with this newest version. `rungs` must be those of its ladder, in order.
    pub(super) fn new(label: Label, newest: Option<(u32, Version)>, rungs: Vec<Rung>) -> Self {
        debug_assert!(
            rungs
                .iter()
                .map(Rung::version)
                .eq(search_ladder(newest.as_ref().map(|(number, _)| *number)))
        );
        Self {
            label,
            newest,
            rungs,
        }
    }

    /// The label.
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// The greatest version; none if the label has none.
    pub fn greatest(&self) -> Option<u32> {
        self.newest.as_ref().map(|(number, _)| *number)
    }

    /// The greatest version's row.
    pub fn newest(&self) -> Option<&Version> {
        self.newest.as_ref().map(|(_, version)| version)
    }

    /// The ladder of the greatest version, in order.
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// The search key of a version, if it is on the ladder and known.
    pub fn known(&self, version: u32) -> Option<&ProvenKey> {
        let mut rungs = self.rungs.iter();
        rungs.find(|rung| rung.version == version)?.known()
    }

    /// The search key of a rung, computed now if it has to be.
    pub fn proven(&self, rung: &Rung, vrf: &VrfSecretKey) -> ProvenKey {
        let compute = || ProvenKey::compute(vrf, &self.label, rung.version);
        *rung.proven.get_or_init(compute)
    }

    /// Whether a lookup would not have to compute anything.
    pub fn is_complete(&self) -> bool {
        self.rungs.iter().all(|rung| rung.known().is_some())
    }

    /// Computes what [`Self::is_complete`] asks for.
    pub fn complete(&self, vrf: &VrfSecretKey) {
        for rung in &self.rungs {
            self.proven(rung, vrf);
        }
    }

    /// The account after its next version, `number`, with everything that is known carried over.
    /// `ahead` is the search key of the version after that one, if it was computed.
    pub fn followed_by(
        &self,
        number: u32,
        version: Version,
        commitment: Commitment,
        ahead: Option<ProvenKey>,
    ) -> Self {
        let rung = |rung_version| {
            if rung_version == number {
                return Rung::new(number, Some(version.proven), Some(commitment));
            }
            let ahead = ahead.filter(|_| number.checked_add(1) == Some(rung_version));
            let mut before = self.rungs.iter();
            match before.find(|rung| rung.version == rung_version) {
                Some(rung) => {
                    let known = rung.known().copied();
                    Rung::new(rung_version, known.or(ahead), rung.commitment)
                }
                None => Rung::new(rung_version, ahead, None),
            }
        };
        let rungs = search_ladder(Some(number)).into_iter().map(rung).collect();
        Self::new(self.label.clone(), Some((number, version)), rungs)
    }

    /// Memory that the account takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let value = self.newest().map_or(0, |version| version.value.capacity());
        size_of::<Self>()
            + self.label.as_bytes().len()
            + value
            + self.rungs.capacity() * size_of::<Rung>()
    }
}
