//! `candor-server rotate`.

use std::path::PathBuf;

use candor_core::note::VerifierKey;
use candor_server::config::Config;
use candor_server::rotation::{self, Ending};
use clap::{Args, Subcommand};

use super::told;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    /// Makes the next keys and has the log sign with them too, from its next start on. The server
    /// must be stopped.
    Begin(Place),
    /// Says what the rotation waits for. The server may run.
    Status(Place),
    /// Has the log sign with the next keys alone, from its next start on. Refused as long as a
    /// witness would refuse. The keys before need not be there. The server must be stopped.
    Finish {
        #[command(flatten)]
        place: Place,
        /// The keys before were stolen: what they sign is not the log's any more. Waits for no
        /// witness.
        #[arg(long)]
        revoke: bool,
        #[command(flatten)]
        witnesses: Witnesses,
    },
    /// Gives the rotation up: has the log sign with the keys before alone, from its next start on.
    /// Refused as long as a witness would refuse, or policy.txt lists the next keys, which need not
    /// be there. The server must be stopped.
    Cancel {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        witnesses: Witnesses,
    },
}

#[derive(Args)]
struct Witnesses {
    /// A witness, by its address in the policy, that is not waited for; may be repeated.
    #[arg(long, value_name = "URL")]
    without_witness: Vec<String>,
}

#[derive(Args)]
struct Place {
    /// The configuration file that `init` wrote.
    #[arg(long, env = "CANDOR_SERVER_CONFIG")]
    config: PathBuf,
}

impl Place {
    fn read(&self) -> Result<Config, String> {
        Config::read(&self.config).map_err(told)
    }
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: Arguments) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(told)?;
    match arguments.step {
        Step::Begin(place) => {
            let next = rotation::begin(&place.read()?).map_err(told)?;
            println!("From its next start on the log also signs with:");
            print_keys(&next);
            println!("\nNext:");
            println!("  1. Start the server.");
            println!("  2. Add these keys to policy.txt, and give it to devices and auditors.");
            println!("  3. Have witnesses add them to the log's vkeys, and restart.");
            println!("  4. candor-server rotate status, until nothing is missing.");
        }
        Step::Status(place) => {
            let progress = runtime.block_on(rotation::progress(&place.read()?));
            let progress = progress.map_err(told)?;
            println!("Next keys:");
            print_keys(&progress.next);
            for what in &progress.missing {
                println!("missing: {what}");
            }
            if progress.missing.is_empty() {
                println!("Nothing is missing. Devices cannot be asked: only you know when theirs");
                println!("have the new policy. Then: candor-server rotate finish");
            }
        }
        Step::Finish {
            place,
            revoke,
            witnesses,
        } => {
            let without = witnesses.without_witness;
            let ending = Ending { revoke, without };
            let old = runtime.block_on(rotation::finish(&place.read()?, &ending));
            print_dropped(&old.map_err(told)?);
            println!("\nNext:");
            println!(
                "  1. Put the next keys in the place of these: rename the files, or the lines"
            );
            println!("     in the table [key]. The server starts before, after and in between.");
            println!("  2. Start the server.");
            println!("  3. Take the old keys off policies and the configurations of witnesses.");
        }
        Step::Cancel { place, witnesses } => {
            let config = place.read()?;
            let next = runtime.block_on(rotation::cancel(&config, &witnesses.without_witness));
            print_dropped(&next.map_err(told)?);
            println!("\nNext:");
            println!("  1. Move the next keys away, or take their lines off the table [key].");
            println!("  2. Start the server.");
            println!("  3. Take them off the policies of devices and auditors, and off witnesses.");
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout)]
fn print_dropped(keys: &[VerifierKey]) {
    println!("From its next start on the log does not sign any more with:");
    print_keys(keys);
}

#[allow(clippy::print_stdout)]
fn print_keys(keys: &[VerifierKey]) {
    for key in keys {
        println!("  {key}");
    }
}
