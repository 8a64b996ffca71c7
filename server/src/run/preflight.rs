//! What keeps a server from running, as far as its configuration shows it: without keys, locks, or
//! the network.

use candor_host::logging;
use candor_host::settings::Findings;
use candor_host::tls::TlsFiles;

use super::policies::{Policies, named};
use crate::config::Config;
use crate::identity::Identity;
use crate::init::KEY_SLOTS;

/// Checks what `run` checks before it opens keys and store.
pub fn preflight(config: &Config) -> Findings {
    let mut found = Findings::default();
    found.keys(&config.keyring(), &KEY_SLOTS);
    if let Err(error) = config.engine.expect_at(&config.store) {
        found.error(logging::with_sources(&error));
    }
    found.anchor(&config.anchor, &config.store);
    let listeners = [
        ("grpc_listen", config.grpc_listen),
        ("http_listen", config.http_listen),
    ];
    found.listeners(listeners, config.tls.is_some());
    if let Some(Err(error)) = config.tls.as_ref().map(TlsFiles::check) {
        found.error(logging::with_sources(&error));
    }
    check_policies(config, &mut found);
    found
}

/// Without the secret keys, those that the policy has under the log's name count as the log's.
fn check_policies(config: &Config, found: &mut Findings) {
    let policy = match config.read_policy() {
        Ok(policy) => policy,
        Err(error) => return found.error(logging::with_sources(&error)),
    };
    let identity = Identity {
        signing: named(&policy, &config.origin).collect(),
        retired: Vec::new(),
    };
    match Policies::read(config, &identity) {
        Ok(policies) if policies.witnesses.is_empty() => {
            found.warn(format_args!(
                "{} has no witnesses: nobody but this log vouches for its heads",
                config.policy.display()
            ));
        }
        Ok(_) if policy.is_satisfied_by(|_| false) => {
            found.warn(format_args!(
                "the quorum of {} asks for no witness",
                config.policy.display()
            ));
        }
        Ok(_) => {}
        Err(error) => found.error(logging::with_sources(&error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use candor_core::crypto::Ed25519SecretKey;
    use candor_core::note::{KeyName, VerifierKey};
    use candor_host::keys::KeyTable;

    use super::*;
    use crate::init;
    use crate::storage::Engine;

    /// What is found after `change` was made to a new log, in its directory and configuration.
    fn found(change: impl FnOnce(&std::path::Path, &mut Config)) -> Findings {
        let directory = tempfile::tempdir().unwrap();
        let (grpc, http) = ("127.0.0.1:8430", "127.0.0.1:8431");
        let (path, _) = init::init(
            directory.path(),
            "log.example",
            grpc.parse().unwrap(),
            http.parse().unwrap(),
            Engine::Fjall,
            &KeyTable::default(),
        )
        .unwrap();
        let mut config = Config::read(&path).unwrap();
        change(directory.path(), &mut config);
        preflight(&config)
    }

    fn refused(word: &str, change: impl FnOnce(&std::path::Path, &mut Config)) {
        let found = found(change);
        let is_told = found.errors.iter().any(|error| error.contains(word));
        assert!(is_told, "{word}: {found:?}");
        assert!(found.told().is_err());
    }

    #[test]
    fn a_new_log_is_ready_with_warnings_and_no_key_is_read() {
        let found = found(|directory, _| {
            for slot in &KEY_SLOTS {
                fs::write(directory.join("keys").join(slot.file), "").unwrap();
            }
        });
        assert_eq!(found.errors, Vec::<String>::new());
        assert!(found.warnings[0].contains("file system"), "{found:?}");
        assert!(found.warnings[1].contains("no witnesses"), "{found:?}");
        assert_eq!(found.warnings.len(), 2);
        assert!(found.told().unwrap().ends_with("\nok\n"));
    }

    #[test]
    fn what_keeps_a_server_from_running_is_told() {
        refused("vrf", |directory, _| {
            fs::remove_file(directory.join("keys/vrf")).unwrap();
        });
        for file in ["keys/log-ed25519", "keys/vrf"] {
            refused("chmod 600", |directory, _| {
                let open = fs::Permissions::from_mode(0o644);
                fs::set_permissions(directory.join(file), open).unwrap();
            });
        }
        refused("no complete store", |_, config| config.store.push("x"));
        refused("engine fjall, not sled", |_, config| {
            config.engine = Engine::Sled;
        });
        refused("No such file", |directory, config| {
            config.anchor = directory.join("absent/anchor");
        });
        refused("the same address", |_, config| {
            config.http_listen = config.grpc_listen;
        });
        refused("policy.txt", |directory, _| {
            fs::write(directory.join("policy.txt"), "quorum all\n").unwrap();
        });
        refused("must list the keys of this log", |_, config| {
            config.origin = "other.example".to_owned();
        });
        refused("no policy has a witness", |_, config| {
            config.witness_interval_s.insert("w".to_owned(), 60);
        });
        refused("no address", |directory, _| {
            let secret = Ed25519SecretKey::from_seed(&[1; 32]);
            let name = KeyName::new("w.example").unwrap();
            let key = VerifierKey::ed25519_cosignature(name, secret.public_key());
            let policy = fs::read_to_string(directory.join("policy.txt")).unwrap();
            let policy = policy.replace("\nquorum none", &format!("\nwitness w {key}\nquorum w"));
            fs::write(directory.join("policy.txt"), policy).unwrap();
        });
    }

    #[test]
    fn listening_for_others_is_worth_a_warning() {
        let found = found(|_, config| config.grpc_listen = "0.0.0.0:8430".parse().unwrap());
        let is_told = |word| found.warnings.iter().any(|warning| warning.contains(word));
        assert!(is_told("grpc_listen = 0.0.0.0:8430"), "{found:?}");
    }
}
