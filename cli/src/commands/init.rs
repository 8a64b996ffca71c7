//! `candor init`: makes a profile.

use std::fmt;
use std::path::PathBuf;

use candor_core::answer::MAX_AGE_S;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Report, WARN, paint};
use crate::profile::{Config, Profile, Second};
use crate::view::{write_field, write_title};

/// Makes a profile: which server to ask and whom to trust. Overwrites nothing.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  candor init ~/.candor --server https://keys.example --policy policy.txt --map-witness w1-map

The policy file (c2sp.org/tlog-policy) comes from the operator of the log and is copied: what you
trust changes only by your hand.")]
pub struct Arguments {
    /// Directory of the profile; made if it does not exist.
    directory: PathBuf,
    /// Where the server is: https://HOST[:PORT]. With http:// anyone on the way sees what you ask.
    #[arg(long, value_name = "URL")]
    server: String,
    /// The log's keys, the witnesses, and how many of them must agree.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Names of the policy's witnesses that check every change of the map.
    #[arg(long = "map-witness", value_name = "NAME", num_args = 1..)]
    map_witnesses: Vec<String>,
    /// A second policy, of slower witnesses: an earlier head has to satisfy it too.
    #[arg(long, value_name = "FILE")]
    second_policy: Option<PathBuf>,
    /// How old that head may be, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = MAX_AGE_S, requires = "second_policy")]
    second_max_age: u64,
    /// File of the token that the server wants to see, with updates or with all that is asked.
    #[arg(long, value_name = "FILE")]
    registrar_token: Option<PathBuf>,
    /// PEM file of the authority of the server's certificate, if the web does not know it.
    #[arg(long, value_name = "FILE")]
    root_certificate: Option<PathBuf>,
    /// PEM file of a certificate to show the server.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// PEM file of that certificate's secret key.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// Accept a policy whose quorum can be met without a map witness.
    #[arg(long)]
    danger_without_map_witnesses: bool,
}

/// What was made.
#[derive(Serialize)]
pub struct InitReport {
    profile: String,
    server: String,
    origin: String,
    witnesses: usize,
    map_witnesses: usize,
    danger_without_map_witnesses: bool,
}

pub fn run(arguments: Arguments) -> Result<InitReport, Failure> {
    let danger = arguments.danger_without_map_witnesses;
    let map_witnesses = arguments.map_witnesses.len();
    let config = Config {
        server: arguments.server,
        policy: arguments.policy,
        map_witnesses: arguments.map_witnesses,
        registrar_token: arguments.registrar_token,
        root_certificate: arguments.root_certificate,
        client_certificate: arguments.client_certificate,
        client_key: arguments.client_key,
        danger_without_map_witnesses: danger,
        second: arguments.second_policy.map(|policy| Second {
            policy,
            max_age_s: arguments.second_max_age,
        }),
    };
    let profile = Profile::create(&arguments.directory, config)?;
    Ok(InitReport {
        profile: profile.directory().display().to_string(),
        server: profile.server().to_owned(),
        origin: profile.trust().origin().to_owned(),
        witnesses: profile.trust().policy().witnesses().len(),
        map_witnesses,
        danger_without_map_witnesses: danger,
    })
}

impl Report for InitReport {
    fn text(&self, out: &mut String) -> fmt::Result {
        write_title(out, format_args!("made the profile {}", self.profile))?;
        write_field(out, "log", &self.origin)?;
        write_field(out, "server", &self.server)?;
        let (all, map) = (self.witnesses, self.map_witnesses);
        write_field(
            out,
            "witnesses",
            format_args!("{all}, of which {map} check the map"),
        )?;
        if self.danger_without_map_witnesses {
            let danger = "no quorum needs a witness that checks the map: do not rely on this";
            write_field(out, "danger", paint(WARN, danger))?;
        }
        let next = format!("export CANDOR_PROFILE={}; candor head", self.profile);
        write_field(out, "next", next)
    }
}
