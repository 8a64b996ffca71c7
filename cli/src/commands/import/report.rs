//! What an import came to.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use candor::openpgp::{self, Tally};
use candor_core::account::Label;
use serde::Serialize;

use super::People;
use super::submit::Outcomes;
use crate::output::{Exit, FAINT, GOOD, Report, WARN, paint};
use crate::view::{write_field, write_title};

/// What an import came to.
#[derive(Serialize)]
pub struct ImportReport {
    certificates: u64,
    people: u64,
    devices: u64,
    addresses: u64,
    /// Registered by this run, and visible to everybody.
    registered: u64,
    /// Registered by this run, in the log, but not cosigned yet.
    committed: u64,
    /// Registered before, as the keyring has it.
    already_registered: u64,
    /// Registered before with other content, which was left as it is.
    conflicts: Vec<String>,
    /// Refused by the server, by its code.
    refused: BTreeMap<String, u64>,
    /// Left out of the keyring, by reason.
    skipped: Vec<Skipped>,
    seconds: f64,
    updates_per_second: f64,
}

/// Parts of the keyring that were left out for one reason.
#[derive(Serialize)]
struct Skipped {
    what: &'static str,
    reason: &'static str,
    count: u64,
}

impl ImportReport {
    pub(super) fn new(
        people: People,
        read: &openpgp::Report,
        outcomes: Outcomes,
        already_registered: u64,
        conflicts: Vec<Label>,
        seconds: f64,
    ) -> Self {
        let all = &read.certificates;
        let parts = [
            ("certificates", all),
            ("keys", &read.keys),
            ("user ids", &read.user_ids),
        ];
        let skipped = parts.iter().flat_map(|(what, tally)| skipped(what, tally));
        let answered = outcomes.visible + outcomes.committed + outcomes.taken.len() as u64;
        Self {
            certificates: all.accepted + all.skipped.values().sum::<u64>(),
            people: people.people,
            devices: people.devices,
            addresses: people.addresses,
            registered: outcomes.visible,
            committed: outcomes.committed,
            already_registered,
            conflicts: conflicts.iter().map(Label::to_string).collect(),
            refused: outcomes.refused,
            skipped: skipped.collect(),
            seconds,
            updates_per_second: answered as f64 / seconds.max(f64::EPSILON),
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
        if !self.refused.is_empty() || !self.conflicts.is_empty() {
            Exit::Refused
        } else if self.committed > 0 {
            Exit::Temporary
        } else {
            Exit::Done
        }
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
        let registered = format!("{} addresses, visible to everybody", self.registered);
        write_field(out, "registered", paint(GOOD, registered))?;
        let rate = self.updates_per_second;
        write_field(
            out,
            "took",
            format_args!("{:.2} s, {rate:.0} updates a second", self.seconds),
        )?;
        if self.committed > 0 {
            let committed = format!("{} addresses, not cosigned yet", self.committed);
            write_field(out, "in the log", paint(WARN, committed))?;
        }
        if self.already_registered > 0 {
            let already = format!("{} addresses, unchanged", self.already_registered);
            write_field(out, "before", already)?;
        }
        for (code, count) in &self.refused {
            write_field(
                out,
                "refused",
                paint(WARN, format_args!("{count} addresses: {code}")),
            )?;
        }
        for label in &self.conflicts {
            let conflict = format!("{label} is registered with other content");
            write_field(out, "conflict", paint(WARN, conflict))?;
        }
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
