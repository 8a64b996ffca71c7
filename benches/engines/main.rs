//! The storage engines side by side, through the server's storage trait, with the rows of the
//! server's epochs. Each engine runs in a process of its own, so that memory and written bytes are
//! its own. Prints a table and writes `target/bench/engines.json`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod kill;
mod measure;
mod report;
mod rows;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use candor_server::storage::{Engine, MemoryStorage, Storage, StoreOptions};
use clap::{Parser, ValueEnum};

/// Measures the storage engines through the server's storage trait.
#[derive(Parser)]
struct Arguments {
    /// Accounts that each store holds before anything is measured; a multiple of 10,000.
    #[arg(long, default_value_t = 1_000_000)]
    accounts: u64,
    /// Epochs of 10,000 updates that are measured.
    #[arg(long, default_value_t = 60)]
    epochs: u64,
    /// Seconds that each kind of read is measured.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How often a writer is killed in the middle of a commit.
    #[arg(long, default_value_t = 10)]
    kills: u32,
    /// Engines to measure, all unless told.
    #[arg(long, value_enum)]
    engine: Vec<Subject>,
    /// Directory for the stores, on the disk to be measured; a temporary one unless told.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// What this process does for the one that was started first.
    #[arg(long, hide = true, value_enum)]
    role: Option<Role>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// The default engine.
    Fjall,
    /// The other durable engine.
    Sled,
    /// Maps in memory: what the trait itself allows.
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    Measure,
    Write,
}

impl Subject {
    const fn engine(self) -> Option<Engine> {
        match self {
            Self::Fjall => Some(Engine::Fjall),
            Self::Sled => Some(Engine::Sled),
            Self::Memory => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Fjall => "fjall",
            Self::Sled => "sled",
        }
    }
}

/// Where a subject's store is, and how it is opened.
struct Place {
    subject: Subject,
    options: StoreOptions,
}

impl Place {
    fn create(&self) -> Arc<dyn Storage> {
        match self.subject.engine() {
            Some(engine) => engine.create(&self.options).unwrap(),
            None => Arc::new(MemoryStorage::new()),
        }
    }

    /// None for a store that ends with its process.
    fn open(&self) -> Option<Arc<dyn Storage>> {
        Some(self.subject.engine()?.open(&self.options).unwrap())
    }
}

fn main() {
    let arguments = Arguments::parse();
    assert!(
        arguments.accounts > 0 && arguments.accounts.is_multiple_of(rows::UPDATES),
        "--accounts must be a multiple of {}",
        rows::UPDATES
    );
    if let Some(role) = arguments.role {
        let place = Place {
            subject: arguments.engine[0],
            options: StoreOptions::new(arguments.directory.as_ref().unwrap().join("store")),
        };
        match role {
            Role::Measure => measure::measure(&place, &arguments),
            Role::Write => kill::write_until_killed(&place, &arguments),
        }
        return;
    }
    let mut subjects = arguments.engine.clone();
    if subjects.is_empty() {
        subjects = Subject::value_variants().to_vec();
    }
    let figures: Vec<_> = subjects
        .into_iter()
        .flat_map(|subject| run(subject, &arguments))
        .collect();
    report::print(&figures, arguments.accounts);
    report::write(&figures, arguments.accounts);
}

/// Measures one subject, and removes its store.
fn run(subject: Subject, arguments: &Arguments) -> Vec<report::Figure> {
    let directory = match &arguments.directory {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let directory = directory.unwrap();
    eprintln!("{}", subject.name());
    let output = this_program(Role::Measure, subject, directory.path(), arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut figures = report::parse(&text, subject.name());
    let place = Place {
        subject,
        options: StoreOptions::new(directory.path().join("store")),
    };
    figures.extend(kill::rounds(&place, directory.path(), arguments));
    figures
}

/// The command that runs this program in another role.
fn this_program(
    role: Role,
    subject: Subject,
    directory: &std::path::Path,
    arguments: &Arguments,
) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let numbers = [
        ("--accounts", arguments.accounts),
        ("--epochs", arguments.epochs),
        ("--seconds", arguments.seconds),
    ];
    for (name, number) in numbers {
        command.arg(name).arg(number.to_string());
    }
    let role = role.to_possible_value().unwrap();
    command.args(["--engine", subject.name(), "--role", role.get_name()]);
    command.arg("--directory").arg(directory);
    command
}
