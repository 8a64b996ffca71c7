//! Times and counts of all operations as JSON.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::Operation;

#[derive(Serialize)]
struct Measured<'a> {
    group: &'a str,
    operation: &'a str,
    /// Median with the bounds of its confidence interval, in nanoseconds.
    median_ns: Option<f64>,
    bounds_ns: Option<[f64; 2]>,
    instructions: Option<u64>,
}

/// Writes `bench/core.json` in the target directory from what criterion left there, and returns
/// its path. `counts` are instructions in the order of the operations.
pub fn write(operations: &[Operation], counts: Option<&[u64]>) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("..")
        .canonicalize()
        .unwrap();
    if let Some(counts) = counts {
        assert_eq!(
            counts.len(),
            operations.len(),
            "each operation is counted once"
        );
    }
    let measured: Vec<Measured> = operations
        .iter()
        .enumerate()
        .map(|(index, operation)| {
            let median = median(&target, operation);
            Measured {
                group: operation.group,
                operation: operation.name,
                median_ns: median.as_ref().and_then(|it| it["point_estimate"].as_f64()),
                bounds_ns: median.as_ref().and_then(|it| {
                    let interval = &it["confidence_interval"];
                    let bound = |name| interval[name].as_f64();
                    Some([bound("lower_bound")?, bound("upper_bound")?])
                }),
                instructions: counts.map(|counts| counts[index]),
            }
        })
        .collect();
    std::fs::create_dir_all(target.join("bench")).unwrap();
    let path = target.join("bench/core.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&measured).unwrap()).unwrap();
    path
}

/// Criterion's estimate of an operation; none if it was not measured, in this run or before.
fn median(target: &Path, operation: &Operation) -> Option<Value> {
    let directory = target
        .join("criterion")
        .join(operation.group)
        .join(operation.name);
    let estimates = std::fs::read(directory.join("new/estimates.json")).ok()?;
    let estimates: Value = serde_json::from_slice(&estimates).unwrap();
    Some(estimates["median"].clone())
}
