//! Figures: printed as a table, handed from process to process, and written as JSON.

use std::path::Path;

use serde_json::{Value, json};

/// One figure of one engine: the median of what was counted, and its range.
pub struct Figure {
    /// Whose it is.
    pub engine: String,
    /// What it says.
    pub figure: String,
    /// Of what.
    pub unit: String,
    /// The median.
    pub median: f64,
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
    /// How many were counted.
    pub runs: usize,
}

/// A figure of what was counted, as a line for the process that asked.
pub fn line(figure: &str, unit: &str, counted: &[f64]) {
    let mut sorted = counted.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
    let median = sorted[sorted.len() / 2];
    println!(
        "{figure}\t{unit}\t{median}\t{low}\t{high}\t{}",
        sorted.len()
    );
}

/// The figures in another process's lines.
pub fn parse(text: &str, engine: &str) -> Vec<Figure> {
    let figure = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |index: usize| fields[index].parse::<f64>().unwrap();
        Figure {
            engine: engine.to_owned(),
            figure: fields[0].to_owned(),
            unit: fields[1].to_owned(),
            median: number(2),
            low: number(3),
            high: number(4),
            runs: number(5) as usize,
        }
    };
    text.lines().map(figure).collect()
}

/// Prints a row for each figure, with a column for each engine.
pub fn print(figures: &[Figure], accounts: u64) {
    let mut engines: Vec<&str> = Vec::new();
    let mut names: Vec<(&str, &str)> = Vec::new();
    for figure in figures {
        if !engines.contains(&&*figure.engine) {
            engines.push(&figure.engine);
        }
        if !names.contains(&(&*figure.figure, &*figure.unit)) {
            names.push((&figure.figure, &figure.unit));
        }
    }
    println!("{accounts} accounts; median [range]\n");
    println!("| | {} |", engines.join(" | "));
    println!("|---|{}", "---|".repeat(engines.len()));
    for (name, unit) in names {
        let cell = |engine: &&str| {
            let mut same = figures.iter();
            let found = same.find(|other| other.engine == *engine && other.figure == name);
            match found {
                None => "–".to_owned(),
                Some(figure) if figure.runs == 1 => number(figure.median),
                Some(figure) => format!(
                    "{} [{}–{}]",
                    number(figure.median),
                    number(figure.low),
                    number(figure.high)
                ),
            }
        };
        let cells: Vec<String> = engines.iter().map(cell).collect();
        println!("| {name}, {unit} | {} |", cells.join(" | "));
    }
}

/// Three significant digits are all that a shared machine gives.
fn number(value: f64) -> String {
    match value {
        value if value >= 1_000.0 => format!("{:.0}", value),
        value if value >= 10.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

/// Writes the figures to `target/bench/engines.json`.
pub fn write(figures: &[Figure], accounts: u64) {
    let objects = figures.iter().map(|figure| {
        json!({
            "engine": figure.engine,
            "figure": figure.figure,
            "unit": figure.unit,
            "accounts": accounts,
            "median": figure.median,
            "low": figure.low,
            "high": figure.high,
            "runs": figure.runs,
        })
    });
    let objects = Value::Array(objects.collect());
    let directory = Path::new("target/bench");
    std::fs::create_dir_all(directory).unwrap();
    let text = serde_json::to_string_pretty(&objects).unwrap();
    std::fs::write(directory.join("engines.json"), text + "\n").unwrap();
}
