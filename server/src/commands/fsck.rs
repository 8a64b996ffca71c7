//! `candor-server fsck`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use candor_server::config::Config;
use candor_server::fsck;
use candor_server::ledger::Ledger;
use candor_server::storage::{Engine, StoreOptions};
use clap::Args;
use serde_json::json;

use super::findings::{self, Meter};
use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The configuration of a stopped server: its store is checked, and compared with its anchor.
    #[arg(long, required_unless_present = "store", conflicts_with = "store")]
    config: Option<PathBuf>,
    /// A store alone, such as the one in a backup.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Verify the VRF proofs of one row in so many: they take most of the time.
    #[arg(long, value_name = "N", default_value = "1")]
    vrf_sample: NonZeroU64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let config = arguments.config.as_deref().map(Config::read);
    let config = config.transpose().map_err(told)?;
    let configured = config.as_ref().map(|config| &config.store);
    let path = arguments.store.as_ref().or(configured);
    let path = path.ok_or("--config or --store is needed")?;
    let engine = Engine::of(path).map_err(told)?;
    // The engine's lock keeps a server from starting meanwhile.
    let store = engine.open(&StoreOptions::new(path)).map_err(told)?;
    let ledger = Ledger::new(store, 0);
    let mut meter = Meter::new();
    let report = fsck::check(&ledger, arguments.vrf_sample, &mut |progress| {
        meter.tell(progress);
    });
    drop(meter);
    let report = report.map_err(told)?;
    // What was found is told also if the anchor cannot be read.
    let anchored = config.map(|config| {
        let anchored = findings::anchor_of(&config, &ledger);
        anchored.unwrap_or_else(findings::Anchored::Unknown)
    });
    let can_go_on = |anchored: &findings::Anchored| anchored.can_go_on();
    let is_clean = report.is_clean() && anchored.as_ref().is_none_or(can_go_on);
    if arguments.json {
        let anchor = anchored.as_ref().map(ToString::to_string);
        let checked = findings::to_json(&report);
        println!(
            "{}",
            json!({ "clean": is_clean, "store": checked, "anchor": anchor })
        );
    } else {
        findings::print(&report);
        if let Some(anchored) = &anchored {
            println!("{anchored}");
        }
    }
    match (is_clean, report.count) {
        (true, _) => Ok(()),
        (false, 0) => Err("the store is whole, but not what was signed last".into()),
        (false, count) => Err(format!("{count} findings")),
    }
}
