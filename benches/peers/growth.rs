//! How much more an update and a lookup cost in a large map than in a smaller one.

use crate::comparison::{LOOKUP_FIGURE, UPDATE_FIGURE};
use crate::table::{Row, Samples, Unit};

/// Smaller maps say little: much of them is in the processor's cache.
const ACCOUNTS_MIN: u64 = 100_000;

/// Most times by which a cost may grow from 100 thousand to 10 million accounts.
const TARGET: f64 = 1.6;

/// The growth from the smallest to the greatest size; none if there are not two.
pub fn rows(rows: &[Row]) -> Vec<Row> {
    let sizes = rows.iter().map(|row| row.accounts);
    let large = sizes.filter(|accounts| *accounts >= ACCOUNTS_MIN);
    match (large.clone().min(), large.max()) {
        (Some(least), Some(greatest)) if least < greatest => [
            ("an update's cost", UPDATE_FIGURE),
            ("a lookup's cost", LOOKUP_FIGURE),
        ]
        .map(|(what, figure)| grown(rows, what, figure, least, greatest))
        .into(),
        _ => Vec::new(),
    }
}

fn grown(rows: &[Row], what: &str, figure: &str, least: u64, greatest: u64) -> Row {
    let growth = |side: fn(&Row) -> Option<f64>| {
        let cost = |accounts| cost(rows, figure, accounts, side);
        let growth = cost(greatest).zip(cost(least)).map(|(a, b)| a / b);
        Samples(growth.into_iter().collect())
    };
    let name = format!("growth of {what} from {least} accounts");
    let (ours, peer) = (growth(|row| row.ours), growth(|row| row.peer));
    Row {
        ratio: None,
        target: Some(TARGET),
        ..Row::new(&name, greatest, Unit::Times, &ours, &peer)
    }
}

/// What one operation costs, in whatever unit.
fn cost(rows: &[Row], figure: &str, accounts: u64, side: fn(&Row) -> Option<f64>) -> Option<f64> {
    let mut of_size = rows.iter().filter(|row| row.accounts == accounts);
    let row = of_size.find(|row| row.figure == figure)?;
    let number = side(row)?;
    Some(if row.unit == Unit::Rate {
        1.0 / number
    } else {
        number
    })
}
