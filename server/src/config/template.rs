//! The configuration file that `init` writes.

use std::net::SocketAddr;

use crate::storage::Engine;

/// The text of a new configuration file.
pub fn template(
    origin: &str,
    grpc_listen: SocketAddr,
    http_listen: SocketAddr,
    engine: Engine,
    issuer: &str,
) -> String {
    let engine = engine.name();
    format!(
        r#"# Configuration of a Candor log.
# Paths are relative to this file. Unknown keys are refused. An environment variable goes before a
# key: CANDOR_SERVER_CACHE_MIB=64. All keys are in docs/config/server.md.

# The log's name, in every checkpoint, for ever. Devices and witnesses know the log by it.
origin = "{origin}"

# Directory of the store. Losing it is losing the log; restoring an old copy is refused, see anchor.
store = "store"

# What keeps the store: "fjall" or "sled". A store is opened by the engine that made it only.
engine = "{engine}"

# The newest signed checkpoint. It keeps a store that was restored from a backup from signing a
# second history. Put it on another disk than the store, and never restore it from a backup.
anchor = "anchor"

# Directory of the secret keys: log-ed25519, log-ml-dsa-44, vrf. Keys that are not plain files there
# have a line in the table [key] at the end of this file, see docs/keys.md.
keys = "keys"

# The witnesses that are asked, and the quorum that publication needs (c2sp.org/tlog-policy).
policy = "policy.txt"

# A second policy, of witnesses that accept heads only so often. Devices may ask for the newest
# head that satisfies it, beside the published one. See [witness_interval_s] below.
# second_policy = "second-policy.txt"

# The socket on which the operator's commands reach the running server, for its own user only. The
# server makes it: its directory must be one that the server may write to.
control_socket = "control.sock"

# Where devices, registrars, auditors and witnesses connect (gRPC).
grpc_listen = "{grpc_listen}"

# Where tiles, /checkpoint, /livez, /readyz, /metrics and the status page are served (HTTP).
http_listen = "{http_listen}"

# Without the table [tls] at the end, both are plain text, and on loopback addresses only. Where
# something in front encrypts, or everybody may read along, say so: "anywhere".
plain_text = "loopback"

# Least time between two epochs. An update on an idle log does not wait for it.
epoch_interval_ms = 1000

# An epoch without updates is appended after this time, so that heads stay fresh.
heartbeat_ms = 60000

# Most updates of an epoch, at most 65536.
epoch_updates_max = 16384

# Least time between two resets of an account's key, in seconds, at most 30 days; 0 is none.
# An account's devices check it every day: a reset that stays for a day is seen by all of them.
reset_cooldown_s = 86400

# Least capability of every device of an account that has verification on; 0 asks for nothing.
# What the numbers mean is the application's affair.
enrolled_capability = 0

# Memory for what is read often: accounts, parts of the tree, rows. The upper part of the tree and
# write buffers come on top, see docs/operating.md.
cache_mib = 256

# Free disk space below which updates are refused. The engine needs it to tidy up.
disk_reserve_mib = 1024

# Least time between two submissions to a witness, in seconds, for witnesses that accept only so
# many a day: by the name that the policy gives the witness. Others are asked for every head.
# [witness_interval_s]
# "witness.example" = 60

# Certificates of both listeners, in PEM. Changed files are taken up within seconds. With
# client_authorities, clients may show certificates of these; see [[access.client]]. Those in the
# lists of client_revocations are refused.
# [tls]
# certificate = "tls/chain.pem"
# key = "tls/key.pem"
# client_authorities = "tls/clients.pem"
# client_revocations = "tls/crls.pem"

# Who may do what. The roles: lookup (newest versions), monitor (older ones too), audit (the audit
# feed), update, metrics (/metrics). Everybody may do what is listed here: take out what is not
# everybody's business.
[access]
anonymous = ["lookup", "monitor", "audit", "metrics"]

# Tokens by this key may say that their bearer submits updates. Its secret key is
# token-issuer: the server does not need it, so move it to where tokens are made.
[[access.issuer]]
public_key = "{issuer}"
roles = ["update"]

# A client whose certificate names it.
# [[access.client]]
# name = "registrar.example"
# roles = ["update"]
# Keys that are not plain files in the directory of keys.
# [key]
# vrf = {{ kind = "encrypted-file", path = "keys/vrf.enc", passphrase = "credential:vrf" }}
# How much callers get. See docs/operating.md for what the numbers are reckoned from.
# [limits]
# Of one address (IPv6: /64); networks around it get 16 and 256 times as much, a credential
# named_factor times.
# lookups_per_second = 50
# lookups_burst = 2000
# Answers that there is no such label. When they are used up, all lookups of the client wait.
# absent_per_minute = 60
# absent_burst = 600
# Of one label, by one client.
# repeats_per_minute = 600
# named_factor = 16
# Addresses without these limits: this machine, and proxies, which must have limits of their own.
# unlimited = ["127.0.0.0/8", "::/64"]
# Of one registrar, and of one label.
# updates_per_second = 50000
# account_updates_per_hour = 1000
# Connections for gRPC, calls of one of them, and open streams of heads and epochs.
# connections = 16384
# connections_per_address = 1024
# streams_per_connection = 256
# streams = 16384
# streams_per_client = 1024
# Reads of the store at a time, and how long others wait for their turn.
# reads = 64
# read_patience_ms = 250
# Least time until a lookup is answered, for each eight labels, so that time tells less; 0 is none.
# answer_floor_ms = 1
"#
    )
}
