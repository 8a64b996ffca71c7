//! How reports reach the terminal: one place that writes to stdout, colours, tables.

use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::Failure;

/// What is in order.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What a person should know before relying on the rest.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// What must not be.
pub const ALARM: Style = AnsiColor::Red.on_default();
/// What is only needed now and then.
pub const FAINT: Style = Style::new().dimmed();
/// What a report is about.
pub const STRONG: Style = Style::new().bold();

/// How a command ends. The numbers are part of its interface, and listed in its help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Wrong usage.
    Usage = 1,
    /// No answer, or not yet.
    Temporary = 2,
    /// An answer was refused, or shows what must not be.
    Alarm = 3,
    /// It is proved that there is no such account.
    Absent = 4,
    /// The server refused an update.
    Refused = 5,
    /// The profile or this machine is at fault.
    Local = 6,
    /// Something has to be settled first, and nothing was done.
    Withheld = 7,
    /// Ctrl-C, as shells have it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What a command found: the same for people and, by its `Serialize`, for programs.
pub trait Report: Serialize {
    /// Writes it for people.
    fn text(&self, out: &mut String) -> fmt::Result;

    /// How the command ends.
    fn exit(&self) -> Exit {
        Exit::Done
    }
}

/// Prints a report to stdout.
pub fn show(report: &impl Report, json: bool) -> Result<Exit, Failure> {
    let mut text = String::new();
    if json {
        text = serde_json::to_string_pretty(report).expect("reports are plain structures");
        text.push('\n');
    } else {
        report
            .text(&mut text)
            .expect("writing to a string does not fail");
    }
    write(text.as_bytes())?;
    Ok(report.exit())
}

/// Writes to stdout; a reader that had enough is no failure.
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = anstream::stdout();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::system(error)),
        _ => Ok(()),
    }
}

/// Text in a style. The stream that it is written to drops the style where there are no colours.
pub fn paint(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Text of others as it may be shown: what a reader cannot see, or what turns the direction of the
/// text around it, is written out.
pub fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match hidden(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown
}

/// A table without lines, two spaces in.
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// Writes a table, its header faint.
pub fn write_table(out: &mut String, table: &Table) -> fmt::Result {
    use fmt::Write as _;
    for (at, line) in table.lines().enumerate() {
        let line = format!(" {}", line.trim_end());
        match at {
            0 => writeln!(out, "{}", paint(FAINT, line))?,
            _ => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

/// A progress bar on stderr, which stays silent where nobody watches.
pub fn progress(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar:.green/dim} {human_pos}/{human_len}  {elapsed}",
    );
    let style = style
        .expect("the template is well formed")
        .progress_chars("━━─");
    ProgressBar::new(0).with_style(style).with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(visible("Zoë's phone 📱"), "Zoë's phone 📱");
        assert_eq!(
            visible("a\u{202e}b\u{200b}\n"),
            "a\\u{202e}b\\u{200b}\\u{a}"
        );
    }
}
