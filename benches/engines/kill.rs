//! Killing a writer in the middle of commits, and looking at what it leaves.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::report::{self, Figure};
use crate::rows::{Epochs, head, mix};
use crate::{Arguments, Place, Role, this_program};

/// Commits epoch after epoch, and says of each that it is acknowledged.
pub fn write_until_killed(place: &Place, arguments: &Arguments) {
    let epochs = Epochs {
        accounts: arguments.accounts,
    };
    let store = place.open().unwrap();
    for epoch in head(&*store).map_or(0, |head| head + 1).. {
        let (batch, _) = epochs.batch(epoch);
        // The next line is written in mid-commit, most likely.
        println!("commits");
        store.commit(batch).unwrap();
        println!("{epoch}");
    }
}

/// Kills a writer over and over, and checks after each time that every acknowledged epoch is there
/// whole, and the next one whole or not at all.
pub fn rounds(place: &Place, directory: &Path, arguments: &Arguments) -> Vec<Figure> {
    if place.subject.engine().is_none() || arguments.kills == 0 {
        return Vec::new();
    }
    let epochs = Epochs {
        accounts: arguments.accounts,
    };
    let mut reopened = Vec::new();
    for round in 0..arguments.kills {
        let before = head(&*place.open().unwrap());
        let mut writer = this_program(Role::Write, place.subject, directory, arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        // Not before it has begun to write, and then at any time of up to several commits.
        lines.next().unwrap().unwrap();
        std::thread::sleep(Duration::from_millis(mix(round.into()) % 700));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let acknowledged = lines.map_while(Result::ok);
        let acknowledged = acknowledged
            .filter_map(|line| line.parse::<u64>().ok())
            .last();

        let start = Instant::now();
        let store = place.open().unwrap();
        reopened.push(start.elapsed().as_secs_f64());
        let found = head(&*store);
        let least = acknowledged.max(before);
        assert!(
            found == least || found == Some(least.map_or(0, |least| least + 1)),
            "round {round}: {least:?} acknowledged, {found:?} found"
        );
        let first = before.map_or(0, |before| before + 1);
        for epoch in first..found.map_or(0, |found| found + 1) {
            assert!(epochs.is_whole(&*store, epoch), "epoch {epoch} is torn");
        }
        let next = found.map_or(0, |found| found + 1);
        assert!(epochs.is_absent(&*store, next), "epoch {next} is torn");
    }
    let mut sorted = reopened;
    sorted.sort_by(f64::total_cmp);
    let figure = |figure: &str, unit: &str, median, low, high| Figure {
        engine: place.subject.name().to_owned(),
        figure: figure.to_owned(),
        unit: unit.to_owned(),
        median,
        low,
        high,
        runs: sorted.len(),
    };
    let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
    let rounds = f64::from(arguments.kills);
    vec![
        figure(
            "reopened after kill -9",
            "s",
            sorted[sorted.len() / 2],
            low,
            high,
        ),
        report::Figure {
            runs: 1,
            ..figure("kills survived whole", "rounds", rounds, rounds, rounds)
        },
    ]
}
