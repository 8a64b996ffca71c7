//! `candor-witness check-config` and `show-config`.

use std::io::{self, Write as _};
use std::path::Path;

use candor_host::settings::{Environment, Shown};
use candor_witness::config::{Config, PROGRAM};
use candor_witness::preflight::preflight;

use crate::Failure;

/// Says whether `run` could start with the configuration at `path`.
pub fn check(path: &Path) -> Result<(), Failure> {
    let findings = preflight(&Config::read(path)?);
    write!(io::stdout(), "{}", findings.told()?)?;
    Ok(())
}

/// Prints the effective configuration of the file at `path`.
pub fn show(path: &Path, json: bool) -> Result<(), Failure> {
    let settings = Config::settings(path, &Environment::of_process())?;
    let shown = settings.shown(&PROGRAM);
    let text = match json {
        true => Shown::to_json(&shown),
        false => Shown::to_toml(&shown),
    };
    write!(io::stdout(), "{text}")?;
    Ok(())
}
