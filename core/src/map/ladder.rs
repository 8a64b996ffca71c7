//! Binary ladders: which versions to look up in one tree, so that the greatest one cannot be
//! misstated (KEYTRANS, "Binary Ladder" and its appendix).
//!
//! The ladder of a claimed greatest version `t` must show every version `<= t` in it included and
//! every version `> t` absent. For any two different claims there is a version that both ladders
//! hold and on which they disagree, so at insert-only roots at most one claim can be shown: a
//! server that hides a version from one person must show its absence to another who saw it.

/// The versions to look up, in the order of the lookups, to show that `greatest` is the greatest
/// version of a label; `None` means that the label has no version at all.
///
/// At most [`crate::limits::LADDER_VERSIONS_MAX`] versions, each at most once.
pub fn search_ladder(greatest: Option<u32>) -> Vec<u32> {
    const BOUND: u64 = 1 << 32;
    let Some(greatest) = greatest.map(u64::from) else {
        return vec![0];
    };
    // Powers of two minus one, up to the first above the greatest version.
    let mut ladder = Vec::with_capacity(8);
    let mut upper = 0u64;
    let mut lower = 0u64;
    loop {
        ladder.push(upper);
        if upper > greatest {
            break;
        }
        lower = upper;
        upper = 2 * upper + 1;
    }
    // Binary search between the last one included and the first one absent.
    while lower + 1 < upper {
        let middle = lower.midpoint(upper);
        ladder.push(middle);
        if middle <= greatest {
            lower = middle
        } else {
            upper = middle
        }
    }
    // A version that cannot exist needs no proof of its absence.
    ladder
        .into_iter()
        .filter(|version| *version < BOUND)
        .filter_map(|v| v.try_into().ok())
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::limits::LADDER_VERSIONS_MAX;

    #[test]
    fn examples_of_the_specification() {
        assert_eq!(search_ladder(None), [0]);
        assert_eq!(search_ladder(Some(0)), [0, 1]);
        assert_eq!(search_ladder(Some(1)), [0, 1, 3, 2]);
        assert_eq!(search_ladder(Some(2)), [0, 1, 3, 2]);
        assert_eq!(search_ladder(Some(5)), [0, 1, 3, 7, 5, 6]);
        assert_eq!(search_ladder(Some(6)), [0, 1, 3, 7, 5, 6]);
    }

    #[test]
    fn the_last_versions_need_no_proof_of_versions_that_cannot_exist() {
        let ladder = search_ladder(Some(u32::MAX));
        assert_eq!(ladder.len(), 33);
        assert_eq!(ladder.last(), Some(&u32::MAX));
        let ladder = search_ladder(Some(u32::MAX - 1));
        assert!(ladder.contains(&u32::MAX) && ladder.contains(&(u32::MAX - 1)));
    }

    #[test]
    fn a_ladder_is_short_and_repeats_nothing() {
        for t in (0..2000)
            .chain(u32::MAX - 2000..=u32::MAX)
            .chain([1 << 31, (1 << 31) - 1])
        {
            let ladder = search_ladder(Some(t));
            assert!(ladder.len() <= LADDER_VERSIONS_MAX, "{t}: {}", ladder.len());
            let mut sorted = ladder.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), ladder.len(), "{t}");
            assert!(ladder.contains(&t));
            assert!(t == u32::MAX || ladder.contains(&(t + 1)));
        }
    }

    /// What lets a prover keep only the newest ladder's absent versions: an earlier ladder's are
    /// among them, or exist by now; and the next ladder shows no version that this one did not.
    #[test]
    fn a_ladder_needs_nothing_that_later_ladders_have_not() {
        for later in (0..300).chain(u32::MAX - 40..=u32::MAX) {
            let of_later = search_ladder(Some(later));
            for earlier in later.saturating_sub(80)..later {
                let of_earlier = search_ladder(Some(earlier));
                let is_kept = |v: &u32| *v <= later || of_later.contains(v);
                assert!(of_earlier.iter().all(is_kept), "{earlier} and {later}");
            }
            if let Some(before) = later.checked_sub(1) {
                let of_before = search_ladder(Some(before));
                let mut shown = of_later.iter().filter(|v| **v < later);
                assert!(shown.all(|v| of_before.contains(v)), "{before} and {later}");
            }
        }
    }

    /// The property that the whole protocol rests on: whichever two different greatest versions are
    /// claimed, some version is in both ladders and is included by one claim and absent by the
    /// other.
    #[test]
    fn two_different_claims_always_contradict_each_other() {
        let near_the_end = u32::MAX - 40..=u32::MAX;
        let claims: Vec<Option<u32>> = [None]
            .into_iter()
            .chain((0..400).map(Some))
            .chain(near_the_end.map(Some))
            .collect();
        for (index, smaller) in claims.iter().enumerate() {
            let of_smaller = search_ladder(*smaller);
            for greater in &claims[index + 1..] {
                let contradiction = search_ladder(*greater)
                    .into_iter()
                    .any(|v| Some(v) > *smaller && Some(v) <= *greater && of_smaller.contains(&v));
                assert!(
                    contradiction,
                    "{smaller:?} and {greater:?} can both be shown"
                );
            }
        }
    }
}
