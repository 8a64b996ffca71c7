//! What a witness that lies tells its peers about the log.

use candor_core::Hash;
use candor_core::codec::Writer as _;
use candor_core::note::{Checkpoint, Evidence, LogVerifier, NoteSigner as _, SignedNote};
use candor_witness::gossip::{Answer, Content, Digest, Item, LogId, Request, Wanted, What};
use fastrand::Rng;

use crate::keys::{ORIGIN, forger};

/// Digests beyond what one answer may hold.
const FLOOD: usize = 5_000;

/// A question, mostly one that is of no use.
pub fn question(rng: &mut Rng) -> Vec<u8> {
    let what = if rng.bool() {
        What::Head
    } else {
        What::Evidence
    };
    let log = if rng.bool() {
        LogId::of(ORIGIN)
    } else {
        LogId(noise(rng))
    };
    match rng.u32(0..3) {
        0 => noise(rng).as_bytes().to_vec(),
        1 => Request::Digests.encode(),
        _ => Request::Fetch(vec![Wanted { log, what }; rng.usize(0..300)]).encode(),
    }
}

/// An answer to a peer's question, or to none: heads of any history that were `seen`, forged ones,
/// evidence that is none, too much, or nonsense.
pub fn answer(question: &[u8], seen: &[SignedNote], rng: &mut Rng) -> Vec<u8> {
    match (Request::decode(question), rng.u32(0..20)) {
        (_, 0) => noise(rng).as_bytes().to_vec(),
        (_, 1) => {
            let log = LogId(noise(rng));
            let digest = Digest {
                log,
                size: 1,
                root: log.0,
                fork: None,
            };
            Answer::Digests(vec![digest; rng.usize(0..FLOOD)]).encode()
        }
        (Ok(Request::Fetch(wanted)), _) => {
            let mut items: Vec<Item> = wanted
                .into_iter()
                .map(|Wanted { log, what }| Item {
                    log,
                    content: content(what, seen, rng),
                })
                .collect();
            if rng.bool() {
                items.extend([What::Evidence, What::Head].map(|what| Item {
                    log: LogId::of(ORIGIN),
                    content: content(what, seen, rng),
                }));
            }
            Answer::Items(items).encode()
        }
        _ => Answer::Digests(vec![digest(seen, rng)]).encode(),
    }
}

fn digest(seen: &[SignedNote], rng: &mut Rng) -> Digest {
    let known = rng.choice(seen);
    let known = known.and_then(|note| Checkpoint::parse(note.text()).ok());
    let size = known.as_ref().map_or(1, Checkpoint::size);
    let root = known.filter(|_| rng.bool()).map(|known| *known.root());
    Digest {
        log: LogId::of(ORIGIN),
        size: if rng.bool() { size } else { size + 1 },
        root: root.unwrap_or_else(|| noise(rng)),
        fork: (rng.u32(0..4) == 0).then(|| noise(rng)),
    }
}

fn content(what: What, seen: &[SignedNote], rng: &mut Rng) -> Content {
    match what {
        What::Head => {
            let known = rng.choice(seen).filter(|_| rng.u32(0..3) > 0).cloned();
            let note = known.or_else(|| forged(seen, rng));
            Content::Head(note.map_or_else(Vec::new, |note| note.to_bytes()))
        }
        What::Evidence => Content::Evidence(no_evidence(seen, rng).unwrap_or_default()),
    }
}

/// A head of the size of one that was seen, by a key that is not the log's, or with the log's line
/// for another.
fn forged(seen: &[SignedNote], rng: &mut Rng) -> Option<SignedNote> {
    let known = rng.choice(seen)?;
    let size = Checkpoint::parse(known.text()).ok()?.size();
    let checkpoint = Checkpoint::new(ORIGIN, size, noise(rng)).ok()?;
    let by_log = known.signatures().first().cloned();
    let line = match by_log.filter(|_| rng.bool()) {
        Some(line) => line,
        None => forger().sign(&checkpoint, 0).ok()?,
    };
    SignedNote::new(checkpoint.to_text(), vec![line]).ok()
}

/// What looks like evidence: by another key, of one head, or with a proof that is none.
fn no_evidence(seen: &[SignedNote], rng: &mut Rng) -> Option<Vec<u8>> {
    let signed = |root| {
        let checkpoint = Checkpoint::new(ORIGIN, 3, root).ok()?;
        let line = forger().sign(&checkpoint, 0).ok()?;
        SignedNote::new(checkpoint.to_text(), vec![line]).ok()
    };
    if rng.u32(0..3) == 0 {
        let log = LogVerifier::new(ORIGIN, vec![forger().verifier_key().clone()]);
        let (one, other) = (signed(noise(rng))?, signed(noise(rng))?);
        return Some(Evidence::new(&log, &one, &other).ok()?.to_bytes());
    }
    let [one, other] = [rng.choice(seen)?, rng.choice(seen)?];
    let has_proof = rng.bool();
    let mut out = vec![if has_proof { 2 } else { 1 }];
    out.opaque32(&one.to_bytes());
    // Two heads of one size would be evidence, if the log signed two.
    out.opaque32(&if has_proof { other } else { one }.to_bytes());
    if has_proof {
        out.extend(noise(rng).as_bytes());
        out.push(1);
        out.extend(noise(rng).as_bytes());
    }
    Some(out)
}

fn noise(rng: &mut Rng) -> Hash {
    Hash(std::array::from_fn(|_| rng.u8(..)))
}
