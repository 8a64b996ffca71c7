//! `candor-server encrypt-key`.

use std::path::PathBuf;

use candor_host::keys::{self, SecretSource};
use clap::Args;

use super::told;

#[derive(Args)]
pub struct Arguments {
    /// The plain key file. It stays; remove it when the encrypted one is in use.
    file: PathBuf,
    /// Where the new passphrase is read from: prompt, file:PATH, credential:NAME or fd:N.
    #[arg(long, value_name = "SOURCE", default_value = "prompt")]
    passphrase: SecretSource,
}

#[allow(clippy::print_stdout)]
pub fn perform(arguments: &Arguments) -> Result<(), String> {
    let path = keys::encrypt_file(&arguments.file, &arguments.passphrase).map_err(told)?;
    println!("{}", path.display());
    Ok(())
}
