//! Instructions of each operation, counted by valgrind's callgrind.

use std::hint::black_box;
use std::process::Command;

use super::Operation;

/// The argument that makes this program run every operation for the count.
pub const ARGUMENT: &str = "--for-instructions";

/// The function, by its name in the symbol table, in which instructions are counted.
const COUNTED: &str = "*counted_operation*";

/// The function before which they are written.
const DUMPED: &str = "*dump_counts*";

/// Runs every operation where callgrind counts it. The first time is not counted: it finds out
/// what the processor can do.
pub fn run(operations: &[Operation]) {
    for operation in operations {
        operation.run();
        counted_operation(operation);
        dump_counts(operation);
    }
}

/// Not inlined, and not left by a jump: callgrind has to see where it begins and ends.
#[inline(never)]
fn counted_operation(operation: &Operation) {
    operation.run();
    black_box(operation);
}

/// Callgrind writes what it counted since the last time before this runs.
#[inline(never)]
fn dump_counts(operation: &Operation) {
    black_box(operation.name);
}

/// The instructions of each operation, in order; none, and a message, if there is no valgrind.
pub fn count() -> Option<Vec<u64>> {
    let directory = tempfile::tempdir().unwrap();
    let started = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg("--collect-atstart=no")
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--dump-before={DUMPED}"))
        .arg("--callgrind-out-file=counts")
        .current_dir(directory.path())
        .arg(std::env::current_exe().unwrap())
        .arg(ARGUMENT)
        .output();
    let Ok(output) = started else {
        println!("valgrind is not installed: instructions are not counted");
        return None;
    };
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "valgrind failed: {message}");
    // One dump for each call, numbered from 1; a last one without a number.
    let dumps = (1..).map(|number| directory.path().join(format!("counts.{number}")));
    let counts = dumps.map_while(|path| std::fs::read_to_string(path).ok());
    Some(counts.map(|dump| total(&dump)).collect())
}

/// The total of a dump in callgrind's format.
fn total(dump: &str) -> u64 {
    let total = dump.lines().find_map(|line| line.strip_prefix("totals: "));
    total.unwrap().trim().parse().unwrap()
}
