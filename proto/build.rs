//! Compiles the protocol's messages with protox, so that no `protoc` is needed.

const MESSAGES: [&str; 7] = [
    "candor/v1/log.proto",
    "candor/v1/directory.proto",
    "candor/v1/registrar.proto",
    "candor/v1/audit.proto",
    "candor/v1/witness.proto",
    "candor/v1/gossip.proto",
    "candor/v1/admin.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(MESSAGES, ["."])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=candor");
    Ok(())
}
