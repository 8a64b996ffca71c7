//! `candor-server token`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candor_core::crypto::Ed25519SecretKey;
use candor_host::key_file::{self, KeyKind};
use candor_server::access::Role;
use candor_server::access::token::{is_name, issue};
use candor_server::clock::Clock;
use clap::Args;

use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The issuer's secret key: `token-issuer` of a new log. The server does not need it, so
    /// keep it elsewhere.
    #[arg(long)]
    key: PathBuf,
    /// The log's name.
    #[arg(long)]
    origin: String,
    /// A name for the bearer, by which limits know him: 1 to 64 visible ASCII characters.
    #[arg(long)]
    name: String,
    /// What the bearer may do: lookup, monitor, audit, update, metrics. Several with several
    /// options.
    #[arg(long, required = true, value_parser = role)]
    role: Vec<Role>,
    /// For how many days, at most 400.
    #[arg(long, default_value = "90", value_parser = clap::value_parser!(u64).range(1..=400))]
    days: u64,
}

fn role(word: &str) -> Result<Role, String> {
    let roles = Role::ALL;
    let found = roles.into_iter().find(|role| role.name() == word);
    found.ok_or_else(|| format!("roles are {}", roles.map(Role::name).join(", ")))
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    if !is_name(&arguments.name) {
        return Err("a name has 1 to 64 visible ASCII characters".to_owned());
    }
    let seed = key_file::read(&arguments.key, KeyKind::Ed25519).map_err(told)?;
    let key = Ed25519SecretKey::from_seed(seed.expose());
    let expires_s = Clock::system().now_s() + arguments.days * 86_400;
    // What the configuration needs goes where the token does not, so that this can be redirected.
    eprintln!(
        "public_key = \"{}\"",
        STANDARD.encode(key.public_key().as_bytes())
    );
    let (origin, name) = (&arguments.origin, &arguments.name);
    println!("{}", issue(&key, origin, name, &arguments.role, expires_s));
    Ok(())
}
