//! A profile: a directory that says which server to ask and what to trust, and holds what was seen
//! and the account keys that were made here.
//!
//! The policy is copied when the profile is made, so that what it trusts changes only by its
//! owner's hand.

use std::path::{Path, PathBuf};

use candor_core::account::AccountKey;
use candor_core::answer::Trust;
use candor_core::crypto::Ed25519SecretKey;
use candor_core::limits::POLICY_BYTES_MAX;
use candor_core::note::{Policy, PolicyName};
use candor_host::durable;
use candor_host::key_file::{self, KeyKind, SecretSeed};
use candor_sdk::{Client, ClientConfig, FileStore};
use serde::Deserialize;
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::view::hex;

const CONFIG_FILE: &str = "client.toml";
const POLICY_FILE: &str = "policy.txt";
const SECOND_POLICY_FILE: &str = "second-policy.txt";
const STORE_FILE: &str = "device.store";
const KEYS_DIRECTORY: &str = "account-keys";

/// Longest configuration file in bytes.
const CONFIG_BYTES_MAX: usize = 64 << 10;

/// Longest file of a token, a certificate or its key in bytes.
const CREDENTIAL_BYTES_MAX: usize = 64 << 10;

/// What `client.toml` holds. Paths are relative to the profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: String,
    pub policy: PathBuf,
    pub map_witnesses: Vec<String>,
    pub registrar_token: Option<PathBuf>,
    pub root_certificate: Option<PathBuf>,
    pub client_certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    #[serde(default)]
    pub danger_without_map_witnesses: bool,
    pub second: Option<Second>,
}

/// A second policy, that an earlier head has to satisfy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Second {
    pub policy: PathBuf,
    pub max_age_s: u64,
}

/// An opened profile.
pub struct Profile {
    directory: PathBuf,
    config: Config,
    trust: Trust,
}

impl Profile {
    /// Makes a profile in `directory` from a configuration whose paths are the person's own.
    pub fn create(directory: &Path, mut config: Config) -> Result<Self, Failure> {
        let config_path = directory.join(CONFIG_FILE);
        if config_path.exists() {
            return Err(Failure::profile(
                format_args!("{} exists already", config_path.display()),
                "a profile is made once: use it with --profile, or choose another directory",
            ));
        }
        let policy = durable::read_bounded(&config.policy, POLICY_BYTES_MAX)?;
        let Config {
            registrar_token,
            root_certificate,
            client_certificate,
            client_key,
            ..
        } = &mut config;
        // These stay where they are: they are renewed there.
        let files = [
            registrar_token,
            root_certificate,
            client_certificate,
            client_key,
        ];
        for path in files.into_iter().flatten() {
            durable::read_bounded(path, CREDENTIAL_BYTES_MAX)?;
            *path = std::path::absolute(&*path).map_err(Failure::system)?;
        }
        config.policy = PathBuf::from(POLICY_FILE);
        let second_policy = match &mut config.second {
            None => None,
            Some(second) => {
                let policy = durable::read_bounded(&second.policy, POLICY_BYTES_MAX)?;
                second.policy = PathBuf::from(SECOND_POLICY_FILE);
                Some(policy)
            }
        };
        let trust = trust(&config, &policy, second_policy.as_deref())?;
        let profile = Self {
            directory: directory.to_owned(),
            config,
            trust,
        };
        // Refuses an endpoint that cannot be one before anything is written.
        Client::new(profile.client_config()?, candor_sdk::MemoryStore::default())?;
        if !directory.exists() {
            durable::create_directory(directory)?;
        }
        durable::create_directory(&directory.join(KEYS_DIRECTORY))?;
        durable::create_new(&directory.join(POLICY_FILE), &policy)?;
        if let Some(policy) = &second_policy {
            durable::create_new(&directory.join(SECOND_POLICY_FILE), policy)?;
        }
        FileStore::create(&directory.join(STORE_FILE))?;
        // Last, so that a configuration stands for a whole profile.
        durable::create_new(&config_path, template(&profile.config).as_bytes())?;
        Ok(profile)
    }

    /// Makes another profile that asks the same server and trusts the same; it remembers nothing.
    pub fn copy_to(&self, directory: &Path) -> Result<Self, Failure> {
        let here = |path: &PathBuf| self.directory.join(path);
        let second = self.config.second.as_ref().map(|second| Second {
            policy: here(&second.policy),
            ..second.clone()
        });
        let config = Config {
            policy: here(&self.config.policy),
            registrar_token: self.config.registrar_token.as_ref().map(here),
            root_certificate: self.config.root_certificate.as_ref().map(here),
            client_certificate: self.config.client_certificate.as_ref().map(here),
            client_key: self.config.client_key.as_ref().map(here),
            second,
            ..self.config.clone()
        };
        Self::create(directory, config)
    }

    /// Opens the profile that the person named.
    pub fn open(directory: Option<PathBuf>) -> Result<Self, Failure> {
        let directory = directory.ok_or_else(|| {
            Failure::usage(
                "no profile is named",
                "use --profile DIR or set CANDOR_PROFILE; `candor init DIR` makes a profile",
            )
        })?;
        let path = directory.join(CONFIG_FILE);
        let bytes = durable::read_bounded(&path, CONFIG_BYTES_MAX)?;
        let config: Config = toml::from_slice(&bytes).map_err(|error| {
            let message = error.to_string().trim_end().replace('\n', "; ");
            Failure::profile(
                format_args!("{}: {message}", path.display()),
                "correct the file, or make another profile with `candor init`",
            )
        })?;
        let read = |path| durable::read_bounded(&directory.join(path), POLICY_BYTES_MAX);
        let policy = read(&config.policy)?;
        let second = config.second.as_ref().map(|second| read(&second.policy));
        let trust = trust(&config, &policy, second.transpose()?.as_deref())?;
        Ok(Self {
            directory,
            config,
            trust,
        })
    }

    /// The device's library, with this profile's memory.
    pub fn client(&self) -> Result<Client<FileStore>, Failure> {
        let store = FileStore::open(&self.directory.join(STORE_FILE))?;
        Ok(Client::new(self.client_config()?, store)?)
    }

    /// How the server is reached, and what it is shown.
    pub fn client_config(&self) -> Result<ClientConfig, Failure> {
        self.client_config_at(&self.config.server)
    }

    /// The same for a server elsewhere.
    pub fn client_config_at(&self, server: &str) -> Result<ClientConfig, Failure> {
        let Config {
            root_certificate,
            client_certificate,
            client_key,
            ..
        } = &self.config;
        let mut config = ClientConfig::new(server, self.trust.clone());
        if let Some(path) = root_certificate {
            config = config.with_root_certificate(&self.read(path)?);
        }
        if let (Some(certificate), Some(key)) = (client_certificate, client_key) {
            let key = Zeroizing::new(self.read(key)?);
            config = config.with_identity(&self.read(certificate)?, &key);
        }
        match self.token()? {
            Some(token) => Ok(config.with_bearer_token(&token)?),
            None => Ok(config),
        }
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        let path = self.directory.join(path);
        Ok(durable::read_bounded(&path, CREDENTIAL_BYTES_MAX)?)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the server is.
    pub fn server(&self) -> &str {
        &self.config.server
    }

    /// What is trusted.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Whether a witness of the policy is said to check the map.
    pub fn checks_map(&self, witness: &PolicyName) -> bool {
        let names = &self.config.map_witnesses;
        names
            .iter()
            .any(|name| name.as_bytes() == witness.as_bytes())
    }

    /// The registrar's token, if the profile has one.
    pub fn token(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.config.registrar_token else {
            return Ok(None);
        };
        let bytes = self.read(path)?;
        Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// The token as calls carry it.
    pub fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, Failure> {
        let Some(token) = self.token()? else {
            return Ok(None);
        };
        let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
        let mut value = value.map_err(|_| candor_sdk::Error::Token)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Makes an account key and keeps it, readable by its owner only.
    pub fn create_account_key(&self) -> Result<Ed25519SecretKey, Failure> {
        let seed = SecretSeed::generate()
            .map_err(|error| Failure::system(std::io::Error::other(error.to_string())))?;
        let key = Ed25519SecretKey::from_seed(seed.expose());
        let path = self.key_path(&AccountKey(*key.public_key().as_bytes()));
        key_file::create(&path, KeyKind::Ed25519, &seed)?;
        Ok(key)
    }

    /// The secret part of an account key.
    pub fn account_key(&self, public: &AccountKey) -> Result<Ed25519SecretKey, Failure> {
        let seed = key_file::read(&self.key_path(public), KeyKind::Ed25519)?;
        Ok(Ed25519SecretKey::from_seed(seed.expose()))
    }

    /// Named by the public key's digest, so that file names tell nothing of the person.
    fn key_path(&self, public: &AccountKey) -> PathBuf {
        let name = format!("{}.key", hex(&public.hash().0[..16]));
        self.directory.join(KEYS_DIRECTORY).join(name)
    }
}

fn trust(config: &Config, policy: &[u8], second: Option<&[u8]>) -> Result<Trust, Failure> {
    let policy = parse(policy)?;
    let names = config.map_witnesses.iter().map(String::as_str);
    let trust = match config.danger_without_map_witnesses {
        true => Trust::danger_without_map_witnesses(policy)?,
        false => Trust::new(policy, names)?,
    };
    match (&config.second, second) {
        (Some(Second { max_age_s, .. }), Some(policy)) => {
            Ok(trust.and_second(parse(policy)?, *max_age_s)?)
        }
        _ => Ok(trust),
    }
}

fn parse(policy: &[u8]) -> Result<Policy, Failure> {
    Policy::parse(policy).map_err(|error| {
        Failure::profile(
            format_args!("the policy cannot be used: {error}"),
            "get the policy file from the operator of the log (c2sp.org/tlog-policy)",
        )
    })
}

fn template(config: &Config) -> String {
    let quote = |text: &str| toml::Value::from(text).to_string();
    let names: Vec<_> = config
        .map_witnesses
        .iter()
        .map(|name| quote(name))
        .collect();
    let file = |key: &str, path: &Option<PathBuf>| match path {
        None => format!("# {key} = \"...\""),
        Some(path) => format!("{key} = {}", quote(&path.to_string_lossy())),
    };
    let token = file("registrar_token", &config.registrar_token);
    let root = file("root_certificate", &config.root_certificate);
    let certificate = file("client_certificate", &config.client_certificate);
    let key = file("client_key", &config.client_key);
    let danger = match config.danger_without_map_witnesses {
        true => {
            "\n# Accepts a quorum that can be met without anyone who checks the map: the server\n\
             # could show a version for a moment and remove it again.\n\
             danger_without_map_witnesses = true\n"
        }
        false => "",
    };
    // A table ends what stands at the top, so it comes last.
    let second = config.second.as_ref().map_or_else(String::new, |second| {
        let policy = quote(&second.policy.to_string_lossy());
        let max_age_s = second.max_age_s;
        format!(
            "\n# A second policy, and how old the head may be that satisfies it, in seconds.\n\
             [second]\npolicy = {policy}\nmax_age_s = {max_age_s}\n"
        )
    });
    format!(
        "# A profile of the `candor` command. Paths are relative to this file.\n\n\
         # Where the server is. http:// sends in the clear what is looked up.\n\
         server = {}\n\n\
         # Whom to trust: the log's keys, the witnesses, their quorum (c2sp.org/tlog-policy).\n\
         policy = {}\n\n\
         # The witnesses of the policy that check every change of the map.\n\
         map_witnesses = [{}]\n{danger}\n\
         # File of the token that the server wants to see.\n\
         {token}\n\n\
         # PEM file of the authority of the server's certificate, if the web does not know it.\n\
         {root}\n\n\
         # PEM files of a certificate for this client and its key, if the server asks for one.\n\
         {certificate}\n{key}\n{second}",
        quote(&config.server),
        quote(&config.policy.to_string_lossy()),
        names.join(", "),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_template_reads_back() {
        let config = Config {
            server: "https://keys.example:443".to_owned(),
            policy: POLICY_FILE.into(),
            map_witnesses: vec!["w\"1".to_owned(), "w2".to_owned()],
            registrar_token: Some("/a b/token".into()),
            root_certificate: Some("/ca.pem".into()),
            client_certificate: Some("/cert.pem".into()),
            client_key: Some("/key.pem".into()),
            danger_without_map_witnesses: true,
            second: Some(Second {
                policy: SECOND_POLICY_FILE.into(),
                max_age_s: 86_400,
            }),
        };
        let read: Config = toml::from_str(&template(&config)).unwrap();
        assert_eq!(format!("{read:?}"), format!("{config:?}"));
        let without = Config {
            registrar_token: None,
            root_certificate: None,
            client_certificate: None,
            client_key: None,
            danger_without_map_witnesses: false,
            second: None,
            ..config
        };
        let read: Config = toml::from_str(&template(&without)).unwrap();
        assert_eq!(format!("{read:?}"), format!("{without:?}"));
    }
}
