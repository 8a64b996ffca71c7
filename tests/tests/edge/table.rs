//! What hostile requests get, as a table of docs/operating.md.

use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- hostile: made by tests/tests/edge -->\n";
const END: &str = "<!-- hostile: end -->";

/// One row: who is asked, what it is sent, what came back.
pub struct Row {
    pub port: &'static str,
    pub sent: &'static str,
    pub got: String,
}

/// Holds the table of the page against what came back, or writes it.
pub fn compare(rows: &[Row]) {
    let mut table = String::from("| port | what it is sent | what that gets |\n|---|---|---|\n");
    for Row { port, sent, got } in rows {
        writeln!(table, "| {port} | {sent} | {got} |").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page
        .split_once(BEGIN)
        .expect("the page has a place for the table");
    let (written, after) = rest.split_once(END).expect("the table has an end");
    if std::env::var_os("CANDOR_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(written, table, "set CANDOR_WRITE_DOCS=1 to write it again");
    }
}
