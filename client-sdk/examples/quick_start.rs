//! A device of Alice's, from nothing to the first message:
//! `quick_start ENDPOINT POLICY TOKEN_FILE STORE MAP_WITNESS...`

use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use candor_core::account::{Device as DeviceRecord, DeviceKey, Label};
use candor_core::answer::Trust;
use candor_core::note::Policy;
use candor_sdk::device::{
    AccountFacts, Clearance, Device, DeviceFacts, Event, Identity, OfferedDevice, Requirements,
};
use candor_sdk::{Client, ClientConfig, FileStore};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, policy, token, store, map_witnesses @ ..] = &arguments[..] else {
        return Err("quick_start ENDPOINT POLICY TOKEN_FILE STORE MAP_WITNESS...".into());
    };
    let mut out = std::io::stdout().lock();

    // What is trusted, and where the server is. The token is the registrar's: in service the
    // application's own backend submits updates.
    let policy = Policy::parse(&std::fs::read(policy)?)?;
    let trust = Trust::new(policy, map_witnesses.iter().map(String::as_str))?;
    let origin = trust.origin().to_owned();
    let config = ClientConfig::new(endpoint, trust);
    let config = config.with_bearer_token(std::fs::read_to_string(token)?.trim())?;
    let client = Client::new(config, FileStore::create(Path::new(store))?)?;

    // Whose device this is. The account key's seed is made once, by the person's first device, and
    // reaches the others through the application's encrypted sync.
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let phone = DeviceRecord {
        id: b"alice-phone".to_vec(),
        name: "Alice's phone".to_owned(),
        platform: "ios".to_owned(),
        os_version: "17.4".to_owned(),
        capability: 1,
        added_ms: 0,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "encrypt".to_owned(),
            public_key: vec![7; 32],
        }],
    };
    let me = Identity {
        origin,
        label: Label::normalize("alice@example.org")?,
        identifiers: vec![],
        device: phone,
        account_key: Some(seed.into()),
        requirements: Requirements {
            minimum_os: [("ios".to_owned(), "17.2".to_owned())].into(),
        },
        gossip_one_in: 8,
    };
    let device = Device::open(client, me).await?;

    // Turn verification on. What it needs and the account has not is in the outcome.
    let facts = AccountFacts {
        has_two_factor: true,
        devices: [(b"alice-phone".to_vec(), DeviceFacts::all())].into(),
    };
    writeln!(out, "enrolled: {:?}", device.enrol(facts).await?)?;

    // Before each message: may it be encrypted to the devices that the messenger offers?
    let bob = Label::normalize("bob@example.org")?;
    device.save_contact(&bob).await?;
    let offered: Vec<OfferedDevice> = vec![];
    match device.before_send(&bob, offered).await? {
        Clearance::Yes { devices, level, .. } => {
            writeln!(out, "may send, {level:?}: {} devices", devices.len())?;
        }
        Clearance::No { alerts, .. } => writeln!(out, "ask the person first: {alerts:?}")?,
        Clearance::Unknown(trouble) => writeln!(out, "not now: {trouble:?}")?,
    }

    // Whenever the application wakes up.
    device.tick().await?;
    for event in device.take_events().await {
        match event {
            Event::Raised(alert) => writeln!(out, "{}", alert.kind.text("Bob").title)?,
            Event::Share => {
                // To where the person's other devices find it.
                let sealed = device.sync_export().await?;
                device.sync_uploaded().await?;
                writeln!(out, "shared: {} bytes", sealed.as_bytes().len())?;
            }
            _ => {}
        }
    }
    Ok(())
}
