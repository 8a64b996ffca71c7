//! Proofs and deltas over a map whose hashes are in memory.

use std::hint::black_box;
use std::rc::Rc;

use candor_benches::{Tree, leaves};
use candor_core::crypto::SearchKey;
use candor_core::map::ladder::search_ladder;
use candor_core::map::{AuditDelta, Expectation, Leaf, prove};

use super::Operation;

/// Leaves of the map.
const LEAVES: u64 = 100_000;

/// Insertions of the audited epoch.
const INSERTS: u64 = 1_000;

pub fn operations() -> Vec<Operation> {
    let all = leaves(0..LEAVES);
    let tree = Rc::new(Tree::over(&all));
    let absent = leaves(LEAVES..LEAVES + 2);
    // The ladders of versions 0 and 2: one and three versions that are there, one that is not.
    let present = |count: usize| all[all.len() / 3..].iter().step_by(1_000).take(count);
    let of_0: Vec<&Leaf> = present(1).collect();
    let of_2: Vec<&Leaf> = present(3).collect();
    let mut operations = vec![Operation::new("map", "ladder of version 1000000", || {
        search_ladder(black_box(Some(1_000_000)))
    })];
    let names = [
        (of_0, "prove version 0", "verify the proof of version 0"),
        (of_2, "prove version 2", "verify the proof of version 2"),
    ];
    for (present, prove_name, verify_name) in names {
        let mut keys: Vec<SearchKey> = present.iter().map(|leaf| leaf.key).collect();
        keys.push(absent[0].key);
        let included = |leaf: &&Leaf| Expectation::Included(leaf.key, leaf.commitment);
        let mut expected: Vec<Expectation> = present.iter().map(included).collect();
        expected.push(Expectation::Absent(absent[0].key));
        let Ok(proved) = prove(&&*tree, &keys);
        let proof = proved.proof;
        let (root, tree) = (tree.root(), Rc::clone(&tree));
        operations.push(Operation::new("map", prove_name, move || {
            let Ok(proof) = prove(&&*tree, black_box(&keys));
            proof
        }));
        operations.push(Operation::new("map", verify_name, move || {
            black_box(&proof).verify(&expected, &root).unwrap();
        }));
    }
    let inserts = leaves(LEAVES..LEAVES + INSERTS);
    let Ok(delta) = AuditDelta::build(&&*tree, &inserts);
    let (before, after) = (tree.root(), Tree::over(&leaves(0..LEAVES + INSERTS)).root());
    operations.push(Operation::new(
        "map",
        "build a delta of 1000 insertions",
        move || {
            let Ok(delta) = AuditDelta::build(&&*tree, black_box(&inserts));
            delta
        },
    ));
    operations.push(Operation::new(
        "map",
        "verify a delta of 1000 insertions",
        move || black_box(&delta).verify(&before, &after).unwrap(),
    ));
    operations
}
