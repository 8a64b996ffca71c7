//! `candor load`: load on a server of one's own, measured.

mod report;

use std::time::Duration;

use candor::load::{ConnectError, Load, Mix, Plan, Target};
use clap::builder::RangedU64ValueParser;

use self::report::LoadReport;
use crate::failure::Failure;
use crate::output::{Exit, progress};
use crate::profile::Profile;

/// Puts load on a server, and measures how it answers.
///
/// Accounts are acct:load0000000000 and on. At a rate, latencies count from when a call was due;
/// without one, calls follow one another as fast as they are answered, and a server that stalls is
/// asked less. Part of the answers are verified as a device does.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor load http://127.0.0.1:8430 --accounts 100000 --prepare --rate 2000
  candor load http://127.0.0.1:8430 --accounts 100000 --mix lookup=1 --duration 30 --json

Ctrl-C ends it, and shows what was measured. Exits with 3 if an answer did not verify, and with 2
if none came. Load a server only if it is yours.")]
pub struct Arguments {
    /// Address of the server; that of the profile is not asked.
    server: String,
    /// Number of accounts.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    #[arg(value_parser = RangedU64ValueParser::<u32>::new().range(1..=1 << 30))]
    accounts: u32,
    /// Register accounts that do not exist first; needs a registrar's token.
    #[arg(long)]
    prepare: bool,
    /// Weights of lookup, batch (of 16), monitor and update; updates need a registrar's token.
    #[arg(long, default_value = "lookup=90,batch=2,monitor=5,update=3")]
    mix: Mix,
    /// How unequally popular accounts are: the exponent of Zipf's law; 0 for all alike.
    #[arg(long, value_name = "EXPONENT", default_value_t = 0.99, value_parser = exponent)]
    skew: f64,
    /// Calls a second.
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    rate: Option<f64>,
    /// How long to measure, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    duration: u32,
    /// How long to load before it is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    warm_up: u32,
    /// Connections.
    #[arg(long, value_name = "NUMBER", default_value_t = 4)]
    #[arg(value_parser = RangedU64ValueParser::<u16>::new().range(1..=4096))]
    channels: u16,
    /// Most calls of one connection that wait for an answer.
    #[arg(long, value_name = "NUMBER", default_value_t = 16)]
    #[arg(value_parser = RangedU64ValueParser::<u16>::new().range(1..=1024))]
    concurrency: u16,
    /// Share of answers that are verified, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    verify: f64,
    /// Number that decides what is asked; without it another one each time.
    #[arg(long)]
    seed: Option<u64>,
}

pub async fn run(arguments: Arguments, profile: &Profile) -> Result<LoadReport, Failure> {
    let config = profile.client_config_at(&arguments.server)?;
    let target = Target {
        endpoint: config.connection()?,
        authorization: profile.authorization()?,
        trust: profile.trust().clone(),
        post_quantum: config.needs_post_quantum(),
    };
    let plan = Plan {
        accounts: arguments.accounts,
        mix: arguments.mix,
        skew: arguments.skew,
        rate: arguments.rate,
        duration: Duration::from_secs(arguments.duration.into()),
        warm_up: Duration::from_secs(arguments.warm_up.into()),
        channels: arguments.channels,
        concurrency: arguments.concurrency,
        verified: arguments.verify,
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..)),
    };
    let load = Load::new(plan.clone(), target);
    if arguments.prepare {
        prepare(&load, plan.accounts).await?;
    }
    let running = load.start().await.map_err(failure)?;
    let stop = running.stopper();
    // What was measured until then is what the person waits for.
    let listening = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.stop();
        }
    });
    let bar = progress("loading");
    bar.enable_steady_tick(Duration::from_millis(200));
    let measured = running.finish().await;
    bar.finish_and_clear();
    listening.abort();
    Ok(LoadReport::new(&plan, &measured))
}

async fn prepare(load: &Load, accounts: u32) -> Result<(), Failure> {
    let bar = progress("registering");
    bar.set_length(accounts.into());
    let preparing = load.prepare(|registered| bar.set_position(registered));
    let prepared = tokio::select! {
        prepared = preparing => prepared,
        _ = tokio::signal::ctrl_c() => {
            let message = "interrupted while accounts were registered";
            let help = "run it again: what is registered stays";
            return Err(Failure::new(Exit::Interrupted, "interrupted", message, help));
        }
    };
    bar.finish_and_clear();
    prepared.map_err(|status| {
        let help = "updates need the server's registrar token: `candor init --registrar-token`";
        Failure::new(Exit::Refused, "not-registered", status.message(), help)
    })
}

fn failure(error: ConnectError) -> Failure {
    let (exit, code, help) = match &error {
        ConnectError::Unverified(_) => (
            Exit::Alarm,
            "answer-unverified",
            "the profile has to trust the log that is loaded",
        ),
        _ => (
            Exit::Temporary,
            "unreachable",
            "check the address, and that the server runs",
        ),
    };
    Failure::new(exit, code, error, help)
}

fn number(text: &str, is_good: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| is_good(*number));
    number.ok_or_else(|| expected.to_owned())
}

fn exponent(text: &str) -> Result<f64, String> {
    number(text, |it| (0.0..=4.0).contains(&it), "expected 0 to 4")
}

fn rate(text: &str) -> Result<f64, String> {
    number(
        text,
        |it| (0.001..=1e6).contains(&it),
        "expected up to 1000000",
    )
}

fn share(text: &str) -> Result<f64, String> {
    number(text, |it| (0.0..=1.0).contains(&it), "expected 0 to 1")
}
