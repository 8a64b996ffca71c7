//! The people of a story: each has a device of the SDK in this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use candor_core::account::{AccountKey, Device as Record, DeviceKey, Label};
use candor_core::answer::Trust;
use candor_core::crypto::Ed25519SecretKey;
use candor_sdk::device::{
    AccountFacts, Device, DeviceFacts, EditFailure, Edited, Identity, OfferedDevice, Requirements,
};
use candor_sdk::{Client, ClientConfig, MemoryStore, Store as _};
use candor_system::Result;
use candor_system::system::System;

/// What the application of these stories asks of devices.
const MINIMUM_OS: [(&str, &str); 3] = [("ios", "17.2"), ("macos", "14.2"), ("watchos", "9.2")];

/// A person with a device in hand.
pub struct Person {
    pub name: &'static str,
    pub phone: Device<MemoryStore>,
    me: Identity,
    trust: Trust,
    token: String,
    /// How far the device's clock is ahead, in seconds.
    ahead_s: Arc<AtomicU64>,
    /// What the person calls those whom the device has saved.
    contacts: BTreeMap<&'static str, Label>,
}

/// A phone, and an account key of its own.
pub fn identity(system: &System, name: &str, label: Label) -> Result<Identity> {
    let minimum_os = MINIMUM_OS.map(|(platform, least)| (platform.to_owned(), least.to_owned()));
    Ok(Identity {
        origin: system.trust()?.origin().to_owned(),
        label,
        identifiers: Vec::new(),
        device: record(&format!("{name}'s phone"), "ios", "17.4")?,
        account_key: Some(random::<32>()?.into()),
        requirements: Requirements {
            minimum_os: minimum_os.into(),
        },
        gossip_one_in: 1,
    })
}

/// A device with fresh keys, as an account's state lists it.
pub fn record(name: &str, platform: &str, os_version: &str) -> Result<Record> {
    Ok(Record {
        id: random::<16>()?.to_vec(),
        name: name.to_owned(),
        platform: platform.to_owned(),
        os_version: os_version.to_owned(),
        capability: 1,
        added_ms: 0,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "encrypt".to_owned(),
            public_key: random::<32>()?.to_vec(),
        }],
    })
}

pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

pub fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl Person {
    /// Takes up a device that knows nothing yet.
    pub async fn open(system: &System, name: &'static str, me: Identity) -> Result<Self> {
        Self::open_with(system, system.trust()?, name, me).await
    }

    /// As [`Self::open`], with a trust of its own.
    pub async fn open_with(
        system: &System,
        trust: Trust,
        name: &'static str,
        me: Identity,
    ) -> Result<Self> {
        let token = std::fs::read_to_string(system.token_path())?;
        let ahead_s = Arc::new(AtomicU64::new(0));
        let (endpoint, store) = (system.endpoint(), MemoryStore::new());
        let client = client(&endpoint, &trust, &token, &ahead_s, store)?;
        Ok(Self {
            name,
            phone: Device::open(client, me.clone()).await?,
            me,
            trust,
            token,
            ahead_s,
            contacts: BTreeMap::new(),
        })
    }

    /// Starts the device's application again; its server is now at `endpoint`.
    pub async fn reconnect(&mut self, endpoint: &str) -> Result<()> {
        let store = MemoryStore::new();
        let entries = self.phone.client().store().entries().into_iter();
        let entries: Vec<_> = entries.map(|(key, value)| (key, Some(value))).collect();
        store.write(&entries)?;
        let client = client(endpoint, &self.trust, &self.token, &self.ahead_s, store)?;
        self.phone = Device::open(client, self.me.clone()).await?;
        Ok(())
    }

    /// Another device of the same person, which has the account key and merged what the devices
    /// share.
    pub async fn another(
        &self,
        system: &System,
        name: &'static str,
        device: Record,
    ) -> Result<Self> {
        let me = Identity {
            device,
            ..self.me.clone()
        };
        let mut other = Self::open(system, name, me).await?;
        for (name, label) in &self.contacts {
            other.saves(name, label).await?;
        }
        let shared = self.phone.sync_export().await?;
        other.phone.sync_merge(shared.as_bytes()).await?;
        Ok(other)
    }

    /// Sets the device's clock ahead of the real one.
    pub fn set_clock_ahead(&self, seconds: u64) {
        self.ahead_s.store(seconds, Ordering::Relaxed);
    }

    pub const fn label(&self) -> &Label {
        &self.me.label
    }

    pub const fn record(&self) -> &Record {
        &self.me.device
    }

    /// The account's public key.
    pub fn account_key(&self) -> Result<AccountKey> {
        let seed = self.me.account_key.as_ref().ok_or("no account key")?;
        let key = Ed25519SecretKey::from_seed(seed);
        Ok(AccountKey(*key.public_key().as_bytes()))
    }

    /// Saves a contact under a name.
    pub async fn saves(&mut self, name: &'static str, label: &Label) -> Result<()> {
        self.phone.save_contact(label).await?;
        self.contacts.insert(name, label.clone());
        Ok(())
    }

    /// The label under which a contact is saved.
    pub fn contact(&self, name: &str) -> Result<Label> {
        let label = self.contacts.get(name).cloned();
        Ok(label.ok_or_else(|| format!("{} has not saved {name}", self.name))?)
    }

    /// What the person calls a contact.
    pub fn name_of<'a>(&'a self, label: &'a Label) -> &'a str {
        let mut contacts = self.contacts.iter();
        let found = contacts.find(|(_, saved)| *saved == label);
        found.map_or(label.as_str(), |(name, _)| name)
    }

    /// Whether the person verified a contact's key.
    pub async fn has_verified(&self, name: &str) -> Result<bool> {
        let label = self.contact(name)?;
        let contacts = self.phone.contacts().await?;
        Ok(contacts.contains(&(label, true)))
    }

    /// Turns verification on for an account of these devices, all of them in good order.
    pub async fn enrol(
        &self,
        devices: &[&Record],
    ) -> Result<std::result::Result<Edited, EditFailure>> {
        let devices = devices.iter().map(|device| device.id.clone());
        let facts = AccountFacts {
            has_two_factor: true,
            devices: devices.map(|id| (id, DeviceFacts::all())).collect(),
        };
        Ok(self.phone.enrol(facts).await?)
    }
}

fn client(
    endpoint: &str,
    trust: &Trust,
    token: &str,
    ahead_s: &Arc<AtomicU64>,
    store: MemoryStore,
) -> Result<Client<MemoryStore>> {
    let ahead_s = Arc::clone(ahead_s);
    let config = ClientConfig::new(endpoint, trust.clone())
        .with_bearer_token(token.trim())?
        .with_clock(move || now_s() + ahead_s.load(Ordering::Relaxed));
    Ok(Client::new(config, store)?)
}

/// The devices of an account, in its order.
pub fn listed(devices: &[&Record]) -> Vec<Record> {
    let mut listed: Vec<Record> = devices.iter().copied().cloned().collect();
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    listed
}

/// What the messenger's own servers say of devices.
pub fn offered(devices: &[&Record]) -> Vec<OfferedDevice> {
    let devices = devices.iter().map(|device| OfferedDevice {
        id: device.id.clone(),
        keys: device.keys.clone(),
    });
    devices.collect()
}

/// What a call is expected to have done; the reason why it did not is an error.
pub fn done<T, E: std::fmt::Debug>(outcome: std::result::Result<T, E>) -> Result<T> {
    outcome.map_err(|failure| format!("{failure:?}").into())
}
