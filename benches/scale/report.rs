//! The figures, on the screen and as JSON.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// What was measured.
#[derive(Default)]
pub struct Report(Vec<Figure>);

/// Measurements of one quantity.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<f64>);

#[derive(Serialize)]
struct Figure {
    figure: String,
    accounts: u64,
    unit: String,
    median: f64,
    least: f64,
    greatest: f64,
    runs: usize,
}

impl Report {
    /// Keeps a figure and prints it.
    pub fn note(&mut self, figure: &str, accounts: u64, unit: &str, samples: &Samples) {
        let mut sorted = samples.0.clone();
        sorted.sort_by(f64::total_cmp);
        let figure = Figure {
            figure: figure.to_owned(),
            accounts,
            unit: unit.to_owned(),
            median: sorted[sorted.len() / 2],
            least: sorted[0],
            greatest: sorted[sorted.len() - 1],
            runs: sorted.len(),
        };
        println!(
            "{:>10}  {:<45} {:>10.1} [{:.1} {:.1}] {}",
            figure.accounts,
            figure.figure,
            figure.median,
            figure.least,
            figure.greatest,
            figure.unit
        );
        self.0.push(figure);
    }

    /// Writes all figures.
    pub fn write(&self) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("scale.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&self.0).unwrap()).unwrap();
        path
    }
}
