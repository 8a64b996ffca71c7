//! `candor-server export`.

use std::path::PathBuf;

use candor_server::backup;
use clap::Args;

use super::findings::Meter;
use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The directory of the backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The file to make. It names every account: only its owner can read it.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let Arguments { from, to } = arguments;
    let mut meter = Meter::new();
    let written = backup::export(from, to, &mut |progress| meter.tell(progress));
    drop(meter);
    let written = written.map_err(told)?;
    let (labels, versions) = (written.labels, written.versions);
    println!("{}: {labels} labels, {versions} versions.", to.display());
    if written.erased > 0 {
        println!(
            "{} of them have erased versions; no other log takes these, and who they are of has to \
             register again.",
            written.erased
        );
    }
    Ok(())
}
