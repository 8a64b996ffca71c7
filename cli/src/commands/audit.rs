//! `candor audit`: the whole log, verified.

use std::fmt;
use std::time::Instant;

use serde::Serialize;

use crate::failure::Failure;
use crate::output::{GOOD, Report, paint, progress};
use crate::profile::Profile;
use crate::view::{HeadView, successor, write_checks, write_field, write_title};

/// Verifies every epoch of the log from its first record to the published head: that each only
/// inserted what it says, and that the head is of just these epochs.
///
/// Needs no secret, and learns nothing of any account.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  candor audit")]
pub struct Arguments {}

/// What was audited.
#[derive(Serialize)]
pub struct AuditReport {
    head: HeadView,
    epochs: u64,
    insertions: u64,
    seconds: f64,
    insertions_per_second: f64,
}

pub async fn run(_: Arguments, profile: &Profile) -> Result<AuditReport, Failure> {
    let client = profile.client()?;
    let bar = progress("auditing");
    let began = Instant::now();
    let audited = client.audit(None, |epoch, last| {
        bar.set_length(last);
        bar.set_position(epoch);
    });
    let audited = audited.await;
    bar.finish_and_clear();
    let (head, state) = audited?;
    let seconds = began.elapsed().as_secs_f64();
    let (checkpoint, _) = client.checkpoint().await?;
    let insertions = state.map().leaves;
    let view = HeadView::new(profile, &head, &checkpoint);
    Ok(AuditReport {
        head: view.with_successor(successor(&client).await?),
        epochs: head.size - 1,
        insertions,
        seconds,
        insertions_per_second: insertions as f64 / seconds.max(f64::EPSILON),
    })
}

impl Report for AuditReport {
    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, &self.head.origin)?;
        write_field(out, "head", self.head.line())?;
        let Self {
            epochs,
            insertions,
            seconds,
            insertions_per_second: rate,
            ..
        } = self;
        let what = format!("{epochs} epochs, {insertions} insertions, nothing removed or changed");
        write_field(out, "audited", paint(GOOD, what))?;
        write_field(
            out,
            "took",
            format_args!("{seconds:.2} s, {rate:.0} insertions a second"),
        )?;
        write_checks(out, &self.head.checks())
    }
}
