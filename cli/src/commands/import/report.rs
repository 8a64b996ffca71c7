//! What the import of a keyring came to.

use std::fmt::{self, Write as _};

use candor::openpgp::{self, Tally};
use serde::Serialize;

use super::People;
use super::registered::Registered;
use crate::output::{Exit, FAINT, Report, paint};
use crate::view::{write_field, write_title};

/// What an import came to.
#[derive(Serialize)]
pub struct ImportReport {
    certificates: u64,
    people: u64,
    devices: u64,
    addresses: u64,
    #[serde(flatten)]
    registered: Registered,
    /// Left out of the keyring, by reason.
    skipped: Vec<Skipped>,
}

/// Parts of the keyring that were left out for one reason.
#[derive(Serialize)]
struct Skipped {
    what: &'static str,
    reason: &'static str,
    count: u64,
}

impl ImportReport {
    pub(super) fn new(people: People, read: &openpgp::Report, registered: Registered) -> Self {
        let all = &read.certificates;
        let parts = [
            ("certificates", all),
            ("keys", &read.keys),
            ("user ids", &read.user_ids),
        ];
        let skipped = parts.iter().flat_map(|(what, tally)| skipped(what, tally));
        Self {
            certificates: all.accepted + all.skipped.values().sum::<u64>(),
            people: people.people,
            devices: people.devices,
            addresses: people.addresses,
            registered,
            skipped: skipped.collect(),
        }
    }
}

fn skipped(what: &'static str, tally: &Tally) -> impl Iterator<Item = Skipped> {
    tally.skipped.iter().map(move |(reason, count)| Skipped {
        what,
        reason: reason.describe(),
        count: *count,
    })
}

impl Report for ImportReport {
    fn exit(&self) -> Exit {
        self.registered.exit()
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        let Self {
            certificates,
            people,
            devices,
            addresses,
            ..
        } = self;
        write_title(
            out,
            format_args!("{people} people of {certificates} certificates"),
        )?;
        write_field(
            out,
            "hold",
            format_args!("{devices} devices, {addresses} addresses"),
        )?;
        self.registered.text(out, "addresses", "addresses")?;
        if !self.skipped.is_empty() {
            writeln!(out, "{}", paint(FAINT, "skipped"))?;
        }
        for Skipped {
            what,
            reason,
            count,
        } in &self.skipped
        {
            writeln!(out, "  {count:>6} {what}: {reason}")?;
        }
        Ok(())
    }
}
