//! The operations that a lookup, a verification and an audit consist of: `make bench`.
//!
//! Criterion measures their time, valgrind counts their instructions where it is installed, and
//! both go to `target/bench/core.json`. Counts do not depend on what else the machine does, so
//! they show a change of one per cent that times cannot; but valgrind's processor has neither SHA
//! nor AVX-512 instructions, so compare counts with counts only.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod account;
mod instructions;
mod log;
mod map;
mod operation;
mod primitives;
mod report;

use criterion::Criterion;

use operation::Operation;

fn operations() -> Vec<Operation> {
    [
        primitives::operations(),
        map::operations(),
        log::operations(),
        account::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn main() {
    if std::env::args().any(|argument| argument == instructions::ARGUMENT) {
        instructions::run(&operations());
        return;
    }
    let operations = operations();
    let mut criterion = Criterion::default().configure_from_args();
    for operation in &operations {
        let mut group = criterion.benchmark_group(operation.group);
        group.bench_function(operation.name, |bench| bench.iter(|| operation.run()));
        group.finish();
    }
    criterion.final_summary();
    let counts = instructions::count();
    println!(
        "written to {}",
        report::write(&operations, counts.as_deref()).display()
    );
}
