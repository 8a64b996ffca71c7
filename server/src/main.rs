//! `candor-server`: a key transparency log.

mod commands;

use std::process::ExitCode;

use clap::Parser;

use self::commands::Command;

/// Epochs and lookups are made of many small allocations, on all cores.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A key transparency log: maps accounts to their device keys in a verifiable map, and publishes
/// signed heads that witnesses cosign.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 stopped or refused, the message says why; \
                          2 wrong arguments.";

fn main() -> ExitCode {
    match Arguments::parse().command.perform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("candor-server: {message}");
            ExitCode::FAILURE
        }
    }
}
