//! Compiles the protocol's messages with protox, so that no `protoc` is needed.

use std::path::Path;

/// Served on the network, and what reflection tells.
const PUBLIC: [&str; 6] = [
    "candor/v1/log.proto",
    "candor/v1/directory.proto",
    "candor/v1/registrar.proto",
    "candor/v1/audit.proto",
    "candor/v1/witness.proto",
    "candor/v1/gossip.proto",
];

/// Served to the operator only.
const ADMIN: &str = "candor/v1/admin.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(PUBLIC, ["."])?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(
        Path::new(&out).join("descriptors.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    let all = protox::compile(PUBLIC.into_iter().chain([ADMIN]), ["."])?;
    tonic_prost_build::configure().bytes(".").compile_fds(all)?;
    println!("cargo:rerun-if-changed=candor");
    Ok(())
}
