//! Rows of the comparison: medians and ranges, printed and as JSON.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// In what a figure is measured, and so which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Operations a second: more is better.
    #[serde(rename = "1/s")]
    Rate,
    #[serde(rename = "µs")]
    Micros,
    #[serde(rename = "B")]
    Bytes,
    /// A cost over another one.
    #[serde(rename = "times")]
    Times,
}

/// All measurements of one figure on one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            length if length % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
            _ => Some(sorted[middle]),
        }
    }

    pub fn range(&self) -> Option<[f64; 2]> {
        let least = self.0.iter().copied().min_by(f64::total_cmp)?;
        let greatest = self.0.iter().copied().max_by(f64::total_cmp)?;
        Some([least, greatest])
    }
}

/// One figure at one size.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub figure: String,
    pub accounts: u64,
    /// Median of our side.
    pub ours: Option<f64>,
    /// Median of the peer, or of what the figure's name compares with.
    pub peer: Option<f64>,
    pub unit: Unit,
    /// How many times better our side is; below 1 the other one is better.
    pub ratio: Option<f64>,
    /// Measurements on our side.
    pub runs: usize,
    pub ours_range: Option<[f64; 2]>,
    pub peer_range: Option<[f64; 2]>,
    /// What is to be reached: a ratio, or, where there is nothing to compare with, a number that
    /// must not be exceeded.
    pub target: Option<f64>,
}

impl Row {
    pub fn new(figure: &str, accounts: u64, unit: Unit, ours: &Samples, peer: &Samples) -> Self {
        let (ours_median, peer_median) = (ours.median(), peer.median());
        let ratio = ours_median.zip(peer_median).map(|(ours, peer)| match unit {
            Unit::Rate => ours / peer,
            _ => peer / ours,
        });
        Self {
            figure: figure.to_owned(),
            accounts,
            ours: ours_median,
            peer: peer_median,
            unit,
            ratio,
            runs: ours.0.len().max(peer.0.len()),
            ours_range: ours.range(),
            peer_range: peer.range(),
            target: None,
        }
    }

    fn print(&self) {
        let unit = match self.unit {
            Unit::Rate => "1/s",
            Unit::Micros => "µs",
            Unit::Bytes => "B",
            Unit::Times => "times",
        };
        let number = |number: Option<f64>| number.map_or("–".to_owned(), short);
        let range = |range: Option<[f64; 2]>| {
            range.map_or(String::new(), |[a, b]| {
                format!(" [{} {}]", short(a), short(b))
            })
        };
        let target = self
            .target
            .map_or(String::new(), |target| match self.ratio {
                Some(ratio) => format!("at least {target}: {}", met(ratio >= target)),
                None => format!("at most {target}: {}", met(self.ours <= Some(target))),
            });
        println!(
            "{:>9}  {:<52} {:>5}  {:<26} {:<26} {:>7}  {:>4}  {target}",
            self.accounts,
            self.figure,
            unit,
            number(self.ours) + &range(self.ours_range),
            number(self.peer) + &range(self.peer_range),
            number(self.ratio),
            self.runs,
        );
    }
}

const fn met(met: bool) -> &'static str {
    if met { "yes" } else { "no" }
}

/// Prints the rows under a head.
pub fn print(rows: &[Row]) {
    println!(
        "\n{:>9}  {:<52} {:>5}  {:<26} {:<26} {:>7}  {:>4}  target",
        "accounts", "figure", "unit", "ours [range]", "peer [range]", "ratio", "runs"
    );
    rows.iter().for_each(Row::print);
}

/// Writes the rows to `bench/peers.json` in the target directory, and returns its path.
pub fn write(rows: &[Row]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../bench");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.canonicalize().unwrap().join("peers.json");
    std::fs::write(&path, serde_json::to_vec_pretty(rows).unwrap()).unwrap();
    path
}

/// Three significant digits, and whole numbers above that.
fn short(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        n if n < 1.0 => format!("{number:.3}"),
        n if n < 10.0 => format!("{number:.2}"),
        n if n < 100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}
