//! Making a new witness: its directory, keys, empty state and configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use candor_core::note::VerifierKey;
use candor_host::durable::{self, WriteError};
use candor_host::keys::{KeyError, KeyTable, KeyTableError, Keyring};

use crate::cosigner::{Cosigner, KEY_SLOTS, KeysError};
use crate::store::{self, Paths, StoreError};

/// Why no witness was made. Nothing that was there before was overwritten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// A file or directory exists, or cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The name is impossible, or the keys cannot be made.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// There is no passphrase for new keys, or no place that can keep one of them.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key was given a place that there is not.
    #[error(transparent)]
    Table(#[from] KeyTableError),
    /// The state cannot be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The directory of the keys in the witness's.
pub const KEY_DIRECTORY: &str = "keys";

/// Makes a witness in the new directory `directory`, with `logs` and the places of `keys` in its
/// configuration, and returns the path of the configuration and the keys.
///
/// # Errors
///
/// [`InitError`].
pub fn init(
    directory: &Path,
    name: &str,
    logs: &[VerifierKey],
    keys: &KeyTable,
) -> Result<(PathBuf, Cosigner), InitError> {
    Cosigner::check_name(name)?;
    let (key_directory, state) = (directory.join(KEY_DIRECTORY), directory.join("state"));
    let keyring = Keyring::new(&key_directory, keys.clone().resolve(directory, &KEY_SLOTS)?);
    let mut loader = keyring.loader();
    loader.prepare(&KEY_SLOTS)?;
    durable::create_directory(directory)?;
    durable::create_directory(&key_directory)?;
    durable::create_directory(&state)?;
    let cosigner = Cosigner::create(loader, name)?;
    store::create(&Paths::new(&state, None))?;
    // Last, so that a directory with a configuration is complete.
    let path = directory.join("witness.toml");
    durable::create_new(&path, config(name, logs, keys).as_bytes())?;
    Ok((path, cosigner))
}

/// Lines for the policies of those who rely on this witness (c2sp.org/tlog-policy). Two keys of one
/// cosigner are a group, so that they never count as two witnesses.
pub fn policy_lines(cosigner: &Cosigner, url: &str) -> String {
    let mut lines = String::new();
    let keys: Vec<&VerifierKey> = cosigner.keys().collect();
    for pair in keys.chunks_exact(2) {
        let name = pair[0].name();
        let _ = writeln!(lines, "witness {name}/ed25519 {} {url}", pair[0]);
        let _ = writeln!(lines, "witness {name}/ml-dsa-44 {} {url}", pair[1]);
        let _ = writeln!(lines, "group {name} any {name}/ed25519 {name}/ml-dsa-44");
    }
    lines
}

fn config(name: &str, logs: &[VerifierKey], keys: &KeyTable) -> String {
    let mut text = TEMPLATE.replace("NAME", &quoted(name));
    text.push_str(&keys.to_toml());
    let mut by_origin: BTreeMap<&str, Vec<&VerifierKey>> = BTreeMap::new();
    for key in logs {
        by_origin.entry(key.name().as_str()).or_default().push(key);
    }
    for keys in by_origin.values() {
        text.push_str("\n[[log]]\nvkeys = [\n");
        for key in keys {
            let _ = writeln!(text, "  {},", quoted(&key.to_string()));
        }
        text.push_str("]\n# grpc = \"http://127.0.0.1:8430\"\n");
    }
    text
}

/// A TOML string of a name or vkey, which hold no control characters below a space.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

pub(crate) const TEMPLATE: &str = r#"# Configuration of candor-witness.
# Paths are relative to this file.
# An environment variable goes before a key: CANDOR_WITNESS_MAP_WAIT_MS=500. All keys are in
# docs/config/witness.md.

# The name of the log witness; that of the map witness has /map behind it. Both are in the keys'
# vkeys, so a new name is a new witness.
name = NAME

# Where requests are answered.
# http = "127.0.0.1:7380"
# grpc = "127.0.0.1:7381"

# Without a table [tls] both are plain text, and on loopback addresses only. Where something in
# front encrypts, or everybody may read along, say so: "anywhere".
# plain_text = "loopback"

# The directory of the keys' plain files.
# keys = "keys"

# The directory of the database, of what was added, and of evidence.
# state = "state"

# How far each log had come, apart from the database: where both differ, one of them came from a
# backup, and the log is in quarantine. Best on another disk. Default: anchor in the state.
# anchor = "/mnt/other-disk/candor-witness-anchor"

# Lists of logs in the format logs/v0 (witness-network.org/log-list-format), files or https. They
# only add logs, and change no keys.
# lists = ["https://witness-network.org/..."]

# How long a request waits for the check of the log's map before it is answered without the map's
# cosignatures.
# map_wait_ms = 2000

# human or json
# log_format = "human"

# How often peers are asked, in seconds; see [[peer]].
# gossip_interval_s = 15

# Certificates of http and grpc, in PEM. Changed files are taken up within seconds.
#
# [tls]
# certificate = "tls/chain.pem"
# key = "tls/key.pem"
# client_authorities = "tls/clients.pem"    not needed: nothing here depends on who asks
# client_revocations = "tls/crls.pem"       nor this

# Other places for a key, see docs/keys.md:
#
# [key]
# log-ed25519 = { kind = "encrypted-file", path = "...", passphrase = "credential:NAME" }
# log-ed25519 = { kind = "ssh-agent", public_key = "ssh-ed25519 ..." }
# log-ed25519 = { kind = "pkcs11", module = "/...", token = "...", label = "...", pin = "file:..." }

# Behind NAT: bastions (c2sp.org/https-bastion) that pass requests on, one section for each. Their
# operators need the hash that `bastion-key` prints. ca is for roots that the system does not have.
#
# [[bastion]]
# address = "bastion.example:443"
# ca = "ca.pem"

# Witnesses with which this one compares what logs showed them, one section for each. Both sides
# need the other's section; key is what `gossip-key` prints there.
#
# [[peer]]
# url = "http://witness.example:7381"    address of its gRPC
# key = "..."

# One section for each log:
#
# [[log]]
# vkeys = ["..."]     the keys it signs checkpoints with
# origin = "..."      only if its keys have another name
# qpd = 86400         how often it may grow a day; without it, as often as it likes
# grpc = "https://..." address of a Candor log's gRPC, to check its map; without it only the log is
#                     witnessed
# grpc_token = "..."  file of the token that the log wants to see, if it does
# url = "https://..." where its tiles are (c2sp.org/tlog-tiles), to have it prove that peers were
#                     shown the same history
"#;
