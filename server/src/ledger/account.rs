//! What the log knows of one label: its newest version, and the ladder that shows it to be the
//! newest.
//!
//! An account carries the search keys of its whole ladder, and that is all it ever needs of
//! earlier ones: the next ladder shows no version that this one did not, and an earlier ladder
//! denies only versions that this one denies as well, or that exist by now. Where a version is in
//! the map, its *search key*, is known before the version exists; the *proof* of it costs as much
//! again, is asked for by lookups only, and may come later.

use std::sync::OnceLock;

use candor_core::account::Label;
use candor_core::crypto::{Commitment, Opening, SearchKey, VrfProof, VrfSecretKey, vrf::vrf_input};
use candor_core::map::Leaf;
use candor_core::map::ladder::search_ladder;

/// The search key of a label-version and the proof that it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProvenKey {
    /// Where the version is in the map.
    pub key: SearchKey,
    /// The VRF's proof.
    pub proof: VrfProof,
}

/// What the map does not show of a version that exists.
#[derive(Clone)]
pub struct Version {
    /// The epoch that inserted it.
    pub epoch: u64,
    /// The commitment's opening.
    pub opening: Opening,
    /// The value.
    pub value: Vec<u8>,
}

impl Version {
    /// What the map holds of it.
    pub fn commitment(&self, label: &Label, number: u32) -> Commitment {
        Commitment::new(&self.opening, label.as_bytes(), number, &self.value)
    }
}

/// A version that is not the newest any more.
pub struct Earlier {
    /// The epoch that inserted it.
    pub epoch: u64,
    /// Where it is in the map, and its commitment there.
    pub rung: Rung,
    /// What opens the commitment, unless it was erased.
    pub kept: Option<Version>,
}

/// A version that a lookup shows or denies.
#[derive(Clone)]
pub struct Rung {
    version: u32,
    key: OnceLock<SearchKey>,
    proof: OnceLock<VrfProof>,
    /// For versions that exist.
    commitment: Option<Commitment>,
}

impl Rung {
    /// A rung of which nothing is computed yet. With a commitment the version exists.
    pub const fn new(version: u32, commitment: Option<Commitment>) -> Self {
        Self {
            version,
            key: OnceLock::new(),
            proof: OnceLock::new(),
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
    pub fn key(&self) -> Option<SearchKey> {
        self.key.get().copied()
    }

    /// The proof of the search key, if it was computed.
    pub fn proof(&self) -> Option<VrfProof> {
        self.proof.get().copied()
    }

    /// Takes a search key that was computed or stored. The first one stays.
    pub fn learn_key(&self, key: SearchKey) {
        let _known = self.key.set(key);
    }

    /// Takes a search key and its proof. The first ones stay.
    pub fn learn(&self, proven: ProvenKey) {
        self.learn_key(proven.key);
        let _known = self.proof.set(proven.proof);
    }

    /// The search key and its proof, computed now if they have to be: about a tenth of a
    /// millisecond of one core. Who finds them missing computes them and waits for nobody: the
    /// thread that is at it may be one that runs only when no other does.
    pub fn proven(&self, label: &Label, vrf: &VrfSecretKey) -> ProvenKey {
        if let (Some(key), Some(proof)) = (self.key(), self.proof()) {
            return ProvenKey { key, proof };
        }
        let (key, proof) = vrf.prove(&vrf_input(label.as_bytes(), self.version));
        let proven = ProvenKey { key, proof };
        self.learn(proven);
        proven
    }

    /// The same version as of an epoch in which it does not exist, or does.
    fn with_commitment(self, commitment: Option<Commitment>) -> Self {
        Self { commitment, ..self }
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

    /// A label without versions.
    pub(super) fn absent(label: Label) -> Self {
        let rungs = search_ladder(None).into_iter();
        let rungs = rungs.map(|version| Rung::new(version, None)).collect();
        Self::new(label, None, rungs)
    }

    /// The label.
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// The greatest version; none if the label has none.
    pub fn greatest(&self) -> Option<u32> {
        self.newest.as_ref().map(|(number, _)| *number)
    }

    /// The greatest version with its number.
    pub const fn newest(&self) -> Option<&(u32, Version)> {
        self.newest.as_ref()
    }

    /// The ladder of the greatest version, in order.
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// A version of the ladder.
    pub fn rung(&self, version: u32) -> Option<&Rung> {
        self.rungs.iter().find(|rung| rung.version == version)
    }

    /// Whether a lookup would not have to compute anything.
    pub fn is_complete(&self) -> bool {
        self.rungs.iter().all(|rung| rung.proof().is_some())
    }

    /// How many proofs a lookup would have to compute.
    pub fn missing(&self) -> u64 {
        let missing = self.rungs.iter().filter(|rung| rung.proof().is_none());
        missing.count() as u64
    }

    /// Computes what [`Self::is_complete`] asks for.
    pub fn complete(&self, vrf: &VrfSecretKey) {
        for rung in &self.rungs {
            rung.proven(&self.label, vrf);
        }
    }

    /// The account after its next version, `number`, which the map holds as `leaf`, with everything
    /// that is known carried over.
    pub fn followed_by(&self, number: u32, version: Version, leaf: &Leaf) -> Self {
        let rung = |on_ladder| {
            let known = self.rung(on_ladder).cloned();
            let rung = known.unwrap_or_else(|| Rung::new(on_ladder, None));
            if on_ladder != number {
                return rung;
            }
            rung.learn_key(leaf.key);
            rung.with_commitment(Some(leaf.commitment))
        };
        let rungs = search_ladder(Some(number)).into_iter().map(rung).collect();
        Self::new(self.label.clone(), Some((number, version)), rungs)
    }

    /// The account when `earlier` was its newest version, if it had one. `stored` finds versions
    /// that exist and are not on the ladder any more.
    pub(super) fn as_of<E>(
        &self,
        earlier: Option<(u32, Version)>,
        stored: impl Fn(u32) -> Result<Earlier, E>,
    ) -> Result<Self, E> {
        let greatest = earlier.as_ref().map(|(number, _)| *number);
        let mut rungs = Vec::new();
        for number in search_ladder(greatest) {
            let rung = match self.rung(number) {
                Some(rung) => rung.clone(),
                None => stored(number)?.rung,
            };
            let commitment = rung.commitment.filter(|_| Some(number) <= greatest);
            rungs.push(rung.with_commitment(commitment));
        }
        Ok(Self::new(self.label.clone(), earlier, rungs))
    }

    /// Memory that the account takes, in bytes.
    pub fn bytes(&self) -> usize {
        let value = self
            .newest()
            .map_or(0, |(_, version)| version.value.capacity());
        size_of::<Self>()
            + self.label.as_bytes().len()
            + value
            + self.rungs.capacity() * size_of::<Rung>()
    }
}
