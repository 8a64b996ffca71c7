//! A log with three witnesses on loopback that keeps running, for use and for looking around.

use std::path::Path;
use std::process::ExitCode;

use candor_system::Result;
use candor_system::process::run;
use candor_system::system::System;

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("local: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("candor-local-").tempdir()?;
    let mut system = System::create(folder.path(), 3)?;
    system.start().await?;
    let profile = folder.path().join("profile");
    create_profile(&system, &profile)?;
    anstream::println!("A log and three witnesses are running:");
    anstream::println!("  status page   http://{}/", system.server.http);
    anstream::println!("  gRPC          {}", system.endpoint());
    anstream::println!("  files         {}", folder.path().display());
    anstream::println!("\nIn another terminal:");
    anstream::println!("  export CANDOR_PROFILE={}", profile.display());
    anstream::println!("  target/debug/candor head");
    anstream::println!(
        "  target/debug/candor import openpgp tests/data/debian-keyring-sample.pgp --at 1671840000"
    );
    anstream::println!("  target/debug/candor audit");
    anstream::println!("\nCtrl-C stops it and removes its files.");
    tokio::signal::ctrl_c().await?;
    Ok(())
}

fn create_profile(system: &System, profile: &Path) -> Result<()> {
    let (policy, token) = (system.policy_path(), system.token_path());
    let (profile, endpoint) = (profile.to_string_lossy(), system.endpoint());
    let (policy, token) = (policy.to_string_lossy(), token.to_string_lossy());
    let mut arguments = vec!["init", &profile, "--server", &endpoint, "--policy", &policy];
    arguments.extend(["--registrar-token", &token]);
    let names = system.map_witnesses();
    for name in &names {
        arguments.extend(["--map-witness", name]);
    }
    run("candor", &arguments)?;
    Ok(())
}
