//! The operations that a lookup, a verification and an audit consist of, over one map in memory.

#![allow(missing_docs)]

use std::hint::black_box;

use candor_benches::leaves;
use candor_core::crypto::VrfSecretKey;
use candor_core::crypto::vrf::vrf_input;
use candor_core::map::{AuditDelta, Expectation, Leaves, prove};
use criterion::{Criterion, criterion_group, criterion_main};

/// Leaves of the map.
const LEAVES: u64 = 100_000;

/// Insertions of the audited epoch.
const INSERTS: u64 = 1_000;

fn vrf(criterion: &mut Criterion) {
    let secret = VrfSecretKey::from_seed(&[7; 32]);
    let input = vrf_input(b"mailto:alice@example.org", 3);
    let (_, proof) = secret.prove(&input);
    let mut group = criterion.benchmark_group("vrf");
    group.bench_function("evaluate", |bench| {
        bench.iter(|| secret.evaluate(black_box(&input)))
    });
    group.bench_function("prove", |bench| {
        bench.iter(|| secret.prove(black_box(&input)))
    });
    group.bench_function("verify", |bench| {
        bench.iter(|| secret.public_key().verify(black_box(&input), &proof));
    });
    group.finish();
}

fn map(criterion: &mut Criterion) {
    let all = leaves(0..LEAVES);
    let root = Leaves::root(&all).subtree_hash();
    // The ladder of version 0: one version that is there, one that is not.
    let present = all[all.len() / 3];
    let absent = leaves(LEAVES..LEAVES + 1)[0].key;
    let keys = [present.key, absent];
    let Ok(proof) = prove(&Leaves::root(&all), &keys);
    let expected = [
        Expectation::Included(present.key, present.commitment),
        Expectation::Absent(absent),
    ];
    let mut group = criterion.benchmark_group("map");
    group.bench_function("verify the proof of version 0", |bench| {
        bench.iter(|| black_box(&proof).verify(&expected, &root));
    });
    let inserts = leaves(LEAVES..LEAVES + INSERTS);
    let Ok(delta) = AuditDelta::build(&Leaves::root(&all), &inserts);
    let after = Leaves::root(&leaves(0..LEAVES + INSERTS)).subtree_hash();
    group.bench_function("verify a delta of 1000 insertions", |bench| {
        bench.iter(|| black_box(&delta).verify(&root, &after));
    });
    group.finish();
}

criterion_group!(benches, vrf, map);
criterion_main!(benches);
