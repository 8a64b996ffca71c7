//! The store of a server that was killed.

use std::num::NonZeroU64;

use candor_server::config::Config;
use candor_server::fsck;
use candor_server::ledger::Ledger;
use candor_server::storage::StoreOptions;
use candor_system::system::System;

use super::heads::Heads;

/// Recomputes everything from the rows. The number of epochs.
pub fn check(system: &System, heads: &Heads) -> u64 {
    let config = Config::read(&system.server.folder().join("server.toml")).unwrap();
    let store = config
        .engine
        .open(&StoreOptions::new(config.store))
        .unwrap();
    let ledger = Ledger::new(store, 0);
    let report = fsck::check(&ledger, NonZeroU64::MIN, &mut |_| {}).unwrap();
    for finding in report.findings() {
        println!("{finding}");
    }
    assert!(report.is_clean(), "{} findings", report.count);
    heads.check(&ledger);
    ledger.head().unwrap().size - 1
}
