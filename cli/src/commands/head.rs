//! `candor head`: the newest head of the log.

use std::fmt;

use serde::Serialize;

use crate::failure::Failure;
use crate::output::Report;
use crate::profile::Profile;
use crate::view::{HeadView, successor, write_checks, write_field, write_title};

/// The newest head.
#[derive(Serialize)]
#[serde(transparent)]
pub struct HeadReport(HeadView);

pub async fn run(profile: &Profile) -> Result<HeadReport, Failure> {
    let client = profile.client()?;
    let (checkpoint, head) = client.checkpoint().await?;
    let view = HeadView::new(profile, &head, &checkpoint);
    Ok(HeadReport(view.with_successor(successor(&client).await?)))
}

impl Report for HeadReport {
    fn text(&self, out: &mut String) -> fmt::Result {
        let head = &self.0;
        write_title(out, &head.origin)?;
        write_field(out, "head", head.line())?;
        let (size, leaves) = (head.size, head.map_leaves);
        write_field(
            out,
            "holds",
            format_args!("{size} records, {leaves} account versions"),
        )?;
        write_field(out, "root", &head.root)?;
        write_field(out, "map root", &head.map_root)?;
        write_checks(out, &head.checks())
    }
}
