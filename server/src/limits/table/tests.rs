//! What no key gets more of, whatever anybody does; and what strangers pay for that.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn table(units: u32, burst: u32, sets: usize) -> (Buckets, Instant) {
    let now = Instant::now();
    let rate = Rate::new(units, SECOND, burst);
    (Buckets::with_sets(rate, now, sets), now)
}

#[test]
fn keys_do_not_share_a_bucket() {
    let (table, now) = table(1, 2, SETS);
    let (alice, bob) = (table.key("alice"), table.key("bob"));
    table.take(alice, 2, now).unwrap();
    assert_eq!(table.take(alice, 1, now), Err(SECOND));
    table.take(bob, 2, now).unwrap();
    assert_eq!(table.tracked(now), 2);
    assert_eq!(table.tracked(now + 2 * SECOND), 0);
    table.take(alice, 2, now + 2 * SECOND).unwrap();
    assert_eq!(table.forgotten(), 0);
}

/// There is nothing that could grow: the sets are all there is.
#[test]
fn a_table_takes_as_much_memory_as_it_ever_will() {
    let (table, now) = table(1, 10, SETS);
    let bytes = |table: &Buckets| table.sets.len() * size_of::<Mutex<Set>>();
    let before = bytes(&table);
    assert!(before <= 1_300_000, "{before} bytes");
    for other in 0..600_000_u32 {
        let _refused = table.take(table.key(other), 10, now);
    }
    assert_eq!(table.tracked(now), SETS * WAYS);
    assert_eq!(bytes(&table), before);
}

/// Somebody who used up everything comes back after very many others.
#[test]
fn cycling_through_keys_does_not_refill_a_bucket() {
    let (table, now) = table(1, 1000, 16);
    let heavy = table.key("heavy");
    table.take(heavy, 1000, now).unwrap();
    for other in 0..10_000_u32 {
        let _refused = table.take(table.key(other), 1, now);
        assert!(table.take(heavy, 1, now).is_err(), "after {other} others");
    }
    // Nor if all of the others are as much in debt as he is.
    for other in 0..10_000_u32 {
        let _refused = table.take(table.key(other), 1000, now);
        assert!(table.take(heavy, 1, now).is_err(), "after {other} others");
    }
    assert!(table.forgotten() > 0);
    assert!(table.take(heavy, 1, now + SECOND).is_ok());
}

/// An attacker fills the whole table with small debts. A stranger pays no more than those.
#[test]
fn a_full_table_costs_a_stranger_only_the_least_debt_of_a_set() {
    let (table, now) = table(1, 100, 4);
    for other in 0..1_000_u32 {
        let _refused = table.take(table.key(other), 1, now);
    }
    assert_eq!(table.tracked(now), 4 * WAYS, "every place is taken");
    let mut served = 0;
    for stranger in 0..100_u32 {
        let key = table.key(("stranger", stranger));
        served += u32::from(table.take(key, 1, now).is_ok());
    }
    assert!(served > 0);
    let soon = now + 100 * SECOND;
    let key = table.key("stranger, later");
    table.take(key, 100, soon).unwrap();
}

#[test]
fn what_is_given_back_to_a_key_that_was_forgotten_is_lost() {
    let (table, now) = table(1, 10, 1);
    let gone = table.key("gone");
    table.take(gone, 5, now).unwrap();
    for other in 0..u32::try_from(WAYS).unwrap() {
        table.take(table.key(other), 10, now).unwrap();
    }
    table.give_back(gone, 5);
    assert!(table.take(gone, 6, now).is_err());
    table.take(gone, 5, now).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    /// Time passes, or an older instant is used, in milliseconds.
    Time(i64),
    Take {
        key: u8,
        cost: u32,
    },
    GiveBack {
        key: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (-500_i64..1500).prop_map(Step::Time),
        6 => (0_u8..24, 1_u32..6).prop_map(|(key, cost)| Step::Take { key, cost }),
        2 => (0_u8..24).prop_map(|key| Step::GiveBack { key }),
    ]
}

proptest! {
    /// In any time, no key uses more than the rate brings and what can be saved up; with as many
    /// keys as fill the table several times over, in any order, also when time goes back.
    #[test]
    fn no_key_gets_more_than_its_rate(steps in proptest::collection::vec(step(), 1..400)) {
        const BURST: u32 = 10;
        const PER_SECOND: u32 = 4;
        let (table, start) = table(PER_SECOND, BURST, 1);
        let mut now_ms = 10_000_i64;
        // For each key, when it took how much, and what is left to give back of the last time.
        let mut taken: BTreeMap<u8, Vec<(i64, u32)>> = BTreeMap::new();
        for step in steps {
            let now = start + Duration::from_millis(now_ms.unsigned_abs());
            match step {
                Step::Time(passed_ms) => now_ms = (now_ms + passed_ms).max(10_000),
                Step::Take { key, cost } => {
                    if table.take(table.key(key), cost, now).is_ok() {
                        taken.entry(key).or_default().push((now_ms, cost));
                    }
                }
                Step::GiveBack { key } => {
                    if let Some((_, cost)) = taken.entry(key).or_default().pop() {
                        table.give_back(table.key(key), cost);
                    }
                }
            }
        }
        for times in taken.values() {
            for (from_ms, _) in times {
                for (to_ms, _) in times {
                    let window = *from_ms..=*to_ms;
                    let inside = times.iter().filter(|(at_ms, _)| window.contains(at_ms));
                    let used: u32 = inside.map(|(_, cost)| cost).sum();
                    let passed_ms = u32::try_from((to_ms - from_ms).max(0)).unwrap();
                    let most = BURST * 1000 + PER_SECOND * passed_ms;
                    prop_assert!(used * 1000 <= most, "{used} in {passed_ms} ms");
                }
            }
        }
    }
}
