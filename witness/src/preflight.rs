//! What keeps a witness from running, as far as its configuration shows it: without keys, locks, or
//! the network.

use candor_host::logging;
use candor_host::settings::Findings;
use candor_host::tls::TlsFiles;

use crate::added;
use crate::config::Config;
use crate::cosigner::{Cosigner, KEY_SLOTS};

/// Checks what `run` checks before it opens keys and state.
pub fn preflight(config: &Config) -> Findings {
    let mut found = Findings::default();
    if let Err(error) = Cosigner::check_name(&config.name) {
        found.error(logging::with_sources(&error));
    }
    found.keys(&config.keys, &KEY_SLOTS);
    found.file(&config.paths.database);
    found.anchor(&config.paths.anchor, &config.paths.database);
    let listeners = [("http", config.http), ("grpc", config.grpc)];
    found.listeners(listeners, config.tls.is_some());
    if let Some(Err(error)) = config.tls.as_ref().map(TlsFiles::check) {
        found.error(logging::with_sources(&error));
    }
    for place in &config.bastions {
        if let Err(error) = place.check_roots() {
            found.error(logging::with_sources(&error));
        }
    }
    match added::read(&config.paths.logs) {
        Ok(added) if config.logs.is_empty() && config.lists.is_empty() && added.is_empty() => {
            found.warn("there is no log to witness, and no list to take one from");
        }
        Ok(_) => {}
        Err(error) => found.error(logging::with_sources(&error)),
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::init;

    /// What is found in a new witness after `change`, with `more` in its configuration.
    fn found(more: &str, change: impl FnOnce(&Path)) -> Findings {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("w");
        let (path, _) = init::init(&home, "w.example/1", &[], &Default::default()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text + more).unwrap();
        change(&home);
        preflight(&Config::read(&path).unwrap())
    }

    #[test]
    fn a_new_witness_is_ready_with_warnings_and_no_key_is_read() {
        let found = found("", |home| {
            for slot in &KEY_SLOTS {
                fs::write(home.join("keys").join(slot.file), "").unwrap();
            }
        });
        assert_eq!(found.errors, Vec::<String>::new());
        assert!(found.warnings[0].contains("file system"), "{found:?}");
        assert!(found.warnings[1].contains("no log to witness"), "{found:?}");
    }

    #[test]
    fn what_keeps_a_witness_from_running_is_told() {
        let refused = |word: &str, more: &str, change: &dyn Fn(&Path)| {
            let found = found(more, change);
            let is_told = found.errors.iter().any(|error| error.contains(word));
            assert!(is_told, "{word}: {found:?}");
        };
        let file = KEY_SLOTS[0].file;
        refused(file, "", &|home| {
            fs::remove_file(home.join("keys").join(file)).unwrap();
        });
        refused("witness.redb", "", &|home| {
            fs::remove_file(home.join("state/witness.redb")).unwrap();
        });
        let bastion = "[[bastion]]\naddress = \"b.example:443\"\nca = \"ca.pem\"\n";
        refused("ca.pem", bastion, &|_| {});
        refused("ca.pem", bastion, &|home| {
            fs::write(home.join("ca.pem"), "none").unwrap();
        });
        let key = format!(
            "[key.{}]\nkind = \"encrypted-file\"\npath = \"x\"\npassphrase = \"hunter2\"\n",
            KEY_SLOTS[0].name
        );
        refused("a secret comes from", &key, &|home| {
            candor_host::durable::create_new(&home.join("x"), b"").unwrap();
        });
    }
}
