//! What became of everything that was to be registered.

use std::collections::BTreeMap;
use std::fmt;

use candor_core::account::Label;
use candor_sdk::{AccountVersion, Client, Error, FileStore, LOOKUP_BATCH_MAX, Lookup};
use serde::Serialize;

use super::submit::{ATTEMPTS_MAX, Outcomes, PAUSE};
use crate::failure::Failure;
use crate::output::{Exit, GOOD, WARN, paint};
use crate::view::write_field;

/// What became of everything that was to be registered.
#[derive(Serialize)]
pub struct Registered {
    /// Versions that this run registered, visible to everybody.
    registered: u64,
    /// Versions that this run registered, in the log, but not cosigned yet.
    committed: u64,
    /// Labels that were registered before, as they are to be.
    already_registered: u64,
    /// Labels that were registered before with other content, which was left as it is.
    conflicts: Vec<String>,
    /// Labels that the server refused, by its code.
    refused: BTreeMap<String, Vec<String>>,
    seconds: f64,
    updates_per_second: f64,
}

impl Registered {
    /// Tells the labels that are registered as wanted from those that are registered otherwise.
    pub async fn new(
        client: &Client<FileStore>,
        outcomes: Outcomes,
        seconds: f64,
    ) -> Result<Self, Failure> {
        let labels: Vec<_> = outcomes.taken.keys().cloned().collect();
        let mut already_registered = 0;
        let mut conflicts = Vec::new();
        for labels in labels.chunks(LOOKUP_BATCH_MAX) {
            for lookup in look_up(client, labels).await? {
                let registered = lookup.newest().map(AccountVersion::value);
                match registered == outcomes.taken.get(lookup.label()) {
                    true => already_registered += 1,
                    false => conflicts.push(lookup.label().to_string()),
                }
            }
        }
        let answered = outcomes.visible + outcomes.committed + outcomes.taken.len() as u64;
        let text = |labels: Vec<Label>| labels.iter().map(Label::to_string).collect();
        let refused = outcomes.refused.into_iter();
        Ok(Self {
            registered: outcomes.visible,
            committed: outcomes.committed,
            already_registered,
            conflicts,
            refused: refused.map(|(code, labels)| (code, text(labels))).collect(),
            seconds,
            updates_per_second: answered as f64 / seconds.max(f64::EPSILON),
        })
    }

    /// Whether everything is registered as it is to be.
    pub fn exit(&self) -> Exit {
        if !self.refused.is_empty() || !self.conflicts.is_empty() {
            Exit::Refused
        } else if self.committed > 0 {
            Exit::Temporary
        } else {
            Exit::Done
        }
    }

    /// For people, who call what is counted so.
    pub fn text(&self, out: &mut String, versions: &str, labels: &str) -> fmt::Result {
        let registered = format!("{} {versions}, visible to everybody", self.registered);
        write_field(out, "registered", paint(GOOD, registered))?;
        let rate = self.updates_per_second;
        write_field(
            out,
            "took",
            format_args!("{:.2} s, {rate:.0} updates a second", self.seconds),
        )?;
        if self.committed > 0 {
            let committed = format!("{} {versions}, not cosigned yet", self.committed);
            write_field(out, "in the log", paint(WARN, committed))?;
        }
        if self.already_registered > 0 {
            let already = format!("{} {labels}, unchanged", self.already_registered);
            write_field(out, "before", already)?;
        }
        for (code, labels) in &self.refused {
            for label in labels {
                write_field(out, "refused", paint(WARN, format_args!("{label}: {code}")))?;
            }
        }
        for label in &self.conflicts {
            let conflict = format!("{label} is registered with other content");
            write_field(out, "conflict", paint(WARN, conflict))?;
        }
        Ok(())
    }
}

/// Looks labels up, within the limits that lookups have: after a pause that doubles.
pub(super) async fn look_up(
    client: &Client<FileStore>,
    labels: &[Label],
) -> Result<Vec<Lookup>, Failure> {
    let mut attempt = 0;
    loop {
        match client.lookup_batch(labels).await {
            Err(Error::Overloaded) if attempt < ATTEMPTS_MAX => {
                tokio::time::sleep(PAUSE * (1 << attempt)).await;
                attempt += 1;
            }
            found => return Ok(found?),
        }
    }
}
