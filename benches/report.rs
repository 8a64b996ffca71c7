//! Figures that belong to a size, on the screen and as JSON.

use std::path::Path;

use serde::Serialize;

/// What was measured.
#[derive(Debug, Default)]
pub struct Report(Vec<Figure>);

/// Measurements of one quantity.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<f64>);

#[derive(Debug, Serialize)]
struct Figure {
    figure: String,
    /// Accounts, leaves or logs, as the benchmark has it.
    size: u64,
    unit: String,
    median: f64,
    least: f64,
    greatest: f64,
    runs: usize,
}

impl Report {
    /// Keeps a figure, of which there is at least one sample, and prints it.
    #[allow(clippy::print_stdout)]
    pub fn note(&mut self, figure: &str, size: u64, unit: &str, samples: &Samples) {
        let mut sorted = samples.0.clone();
        sorted.sort_by(f64::total_cmp);
        let figure = Figure {
            figure: figure.to_owned(),
            size,
            unit: unit.to_owned(),
            median: sorted[sorted.len() / 2],
            least: sorted[0],
            greatest: sorted[sorted.len() - 1],
            runs: sorted.len(),
        };
        println!(
            "{:>10}  {:<45} {:>10.1} [{:.1} {:.1}] {}",
            figure.size, figure.figure, figure.median, figure.least, figure.greatest, figure.unit
        );
        self.0.push(figure);
    }

    /// Writes all figures to `<name>.json` in the folder `bench` beside `temporary`, which cargo
    /// gives a benchmark, and says where.
    #[allow(clippy::unwrap_used, clippy::print_stdout)]
    pub fn write(&self, temporary: &str, name: &str) {
        let folder = Path::new(temporary).with_file_name("bench");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name).with_extension("json");
        std::fs::write(&path, serde_json::to_vec_pretty(&self.0).unwrap()).unwrap();
        println!("written to {}", path.display());
    }
}
