//! What the demo prints.

use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Cell, CellAlignment, Table};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();

/// The steps so far.
pub struct Stage {
    started: Instant,
    current: Option<(String, Instant)>,
    rows: Vec<(String, String, Duration)>,
}

impl Stage {
    /// An empty stage.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            current: None,
            rows: Vec::new(),
        }
    }

    /// A step begins.
    pub fn begin(&mut self, title: &str) {
        let number = self.rows.len() + 1;
        anstream::println!("\n{BOLD}{number}. {title}{BOLD:#}");
        self.current = Some((title.to_owned(), Instant::now()));
    }

    /// Something to see within a step.
    pub fn show(&self, text: &str) {
        for line in text.lines() {
            anstream::println!("   {DIM}{line}{DIM:#}");
        }
    }

    /// The step showed what it was to show.
    pub fn done(&mut self, result: &str) {
        let Some((title, began)) = self.current.take() else {
            return;
        };
        let took = began.elapsed();
        let seconds = took.as_secs_f64();
        anstream::println!("   {GREEN}✓{GREEN:#} {result} {DIM}({seconds:.1} s){DIM:#}");
        self.rows.push((title, result.to_owned(), took));
    }

    /// The table of all steps, and of the one that failed.
    pub fn summary(&mut self) {
        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY);
        table.set_header(["", "step", "shown", "seconds"]);
        for (title, result, took) in &self.rows {
            table.add_row([
                Cell::new("✓"),
                Cell::new(title),
                Cell::new(result),
                Cell::new(format!("{:.1}", took.as_secs_f64())).set_alignment(CellAlignment::Right),
            ]);
        }
        if let Some((title, _)) = self.current.take() {
            anstream::println!("   {RED}✗{RED:#} {title}");
            table.add_row(["✗", &title, "failed", ""]);
        }
        let seconds = self.started.elapsed().as_secs_f64();
        anstream::println!("\n{table}\n{seconds:.1} s in all");
    }
}
