//! Stories of devices that come and go.

use candor_core::account::VerifiedValue;
use candor_sdk::device::{
    AlertKind, Clearance, EditError, EditFailure, Level, Unmet, UnmetByDevice,
};
use candor_system::Result;

use super::comparing::compare;
use super::person::{Person, done, identity, listed, record};
use super::stage::Stage;

/// Seconds that a person's other devices have to say that a change was theirs.
const EXPLAINED_S: u64 = 600;

/// A contact's second phone.
pub async fn new_phone(stage: &mut Stage) -> Result<()> {
    let (alice, bob) = stage.alice_and_bob().await?;
    compare(stage, &alice, &bob).await?;
    let tablet = record("Bob's tablet", "ios", "18.0")?;
    stage.does(
        "Bob",
        "adds a tablet, which gets his account key from his phone",
    )?;
    done(bob.phone.add_device(tablet.clone()).await?)?;
    let second = bob.another(&stage.system, "Bob", tablet).await?;

    let devices = [bob.record(), second.record()];
    let clearance = stage.may_send(&alice, "Bob", &devices).await?;
    let told = stage.sees(&alice).await?;
    stage.check("Alice is told nothing", &told, &vec![])?;
    let expected = Clearance::Yes {
        level: Level::Verified,
        devices: listed(&devices),
        unlisted: Vec::new(),
    };
    stage.check(
        "both devices count as verified, with no new comparison",
        &clearance,
        &expected,
    )?;

    let in_order = done(second.phone.self_check().await?)?;
    stage.check("the tablet finds the account in order", &in_order, &true)?;
    done(second.phone.check(&second.contact("Alice")?).await?)?;
    let knows = second.has_verified("Alice").await?;
    stage.check("the tablet knows that Alice was verified", &knows, &true)
}

/// A phone that is lost.
pub async fn lost_phone(stage: &mut Stage) -> Result<()> {
    let (alice, bob) = stage.alice_and_bob().await?;
    let lost = record("Bob's old phone", "ios", "17.2")?;
    done(bob.phone.add_device(lost.clone()).await?)?;
    let both = [bob.record(), &lost];
    let before = stage.may_send(&alice, "Bob", &both).await?;
    let expected = Clearance::Yes {
        level: Level::Automatic,
        devices: listed(&both),
        unlisted: Vec::new(),
    };
    stage.check("Alice encrypts to both of Bob's phones", &before, &expected)?;

    stage.does(
        "Bob",
        "loses his old phone, and removes it from the other one",
    )?;
    done(bob.phone.remove_device(&lost.id).await?)?;
    let after = stage.may_send(&alice, "Bob", &[bob.record()]).await?;
    let expected = Clearance::Yes {
        level: Level::Automatic,
        devices: listed(&[bob.record()]),
        unlisted: Vec::new(),
    };
    stage.check("Alice no longer encrypts to it", &after, &expected)?;
    let told = stage.sees(&alice).await?;
    stage.check("she need not be told", &told, &vec![])?;

    stage.does("Server", "still offers the lost phone to Alice")?;
    let offered = stage.may_send(&alice, "Bob", &both).await?;
    let told = stage.sees(&alice).await?;
    let kind = AlertKind::ContactUnrecognisedDevice;
    stage.check(
        "Alice is told of a device that is not Bob's",
        &told,
        &vec![kind],
    )?;
    let expected = Clearance::No {
        alerts: vec![kind],
        devices: listed(&[bob.record()]),
    };
    stage.check("and nothing is encrypted to it", &offered, &expected)
}

/// A device that the service inserts.
pub async fn ghost_device(stage: &mut Stage) -> Result<()> {
    let (alice, bob) = stage.alice_and_bob().await?;
    stage.does(
        "Server",
        "offers Alice one more device for Bob, which it made itself",
    )?;
    let ghost = record("Bob's laptop", "macos", "14.5")?;
    let refused = stage
        .may_send(&alice, "Bob", &[bob.record(), &ghost])
        .await?;
    let told = stage.sees(&alice).await?;
    let kind = AlertKind::ContactUnrecognisedDevice;
    stage.check("Alice is told, before anything is sent", &told, &vec![kind])?;
    let expected = Clearance::No {
        alerts: vec![kind],
        devices: listed(&[bob.record()]),
    };
    stage.check("nothing is encrypted to the ghost", &refused, &expected)?;
    stage.may_send(&alice, "Bob", &[bob.record()]).await?;
    stage.sees(&alice).await?;
    let open = alice.phone.alerts().await?.len();
    stage.check("the alert goes when the ghost does", &open, &0)?;

    let me = identity(&stage.system, "Carol", stage.label("carol")?)?;
    let carol = Person::open(
        &stage.system,
        "Carol",
        candor_sdk::device::Identity {
            account_key: None,
            ..me
        },
    )
    .await?;
    done(carol.phone.publish().await?)?;
    stage.does(
        "Carol",
        "has an account, and verification off: the service's word is all there is",
    )?;
    stage.does("Operator", "adds a device to Carol's account in the log")?;
    insert(stage, &carol).await?;
    let in_order = done(carol.phone.self_check().await?)?;
    stage.check(
        "Carol's self check does not find it in order",
        &in_order,
        &false,
    )?;
    stage.does(
        "Carol",
        "waits ten minutes: another device of hers might still explain it",
    )?;
    carol.set_clock_ahead(EXPLAINED_S);
    done(carol.phone.self_check().await?)?;
    let told = stage.sees(&carol).await?;
    let expected = [
        AlertKind::OwnUnexpectedVersion,
        AlertKind::OwnUnrecognisedDevice,
    ];
    stage.check(
        "she is told of the change and of the device",
        &told,
        &expected.to_vec(),
    )
}

/// Adds a device to an account without its owner, by the registrar's token.
async fn insert(stage: &Stage, victim: &Person) -> Result<()> {
    let operator = stage.system.device()?;
    let found = operator.lookup(victim.label()).await?;
    let newest = found.newest().ok_or("the account is not there")?;
    let VerifiedValue::State(state) = newest.value() else {
        return Err("the account is bound to another".into());
    };
    let mut next = state.successor()?;
    next.devices
        .push(record("Carol's laptop", "macos", "14.5")?);
    next.devices.sort_by(|a, b| a.id.cmp(&b.id));
    let next = next.without_signature(victim.label())?;
    let version = newest.version() + 1;
    operator
        .publish(version, &VerifiedValue::State(next))
        .await?;
    Ok(())
}

/// A device of the account that is too old.
pub async fn old_device(stage: &mut Stage) -> Result<()> {
    let bob = stage.person("Bob").await?;
    let watch = record("Bob's watch", "watchos", "8.7")?;
    done(bob.phone.publish().await?)?;
    done(bob.phone.add_device(watch.clone()).await?)?;
    stage.does(
        "Bob",
        "has a phone and an old watch, and turns verification on",
    )?;
    let refused = bob.enrol(&[bob.record(), &watch]).await?;
    let reason = Unmet::Device {
        name: watch.name.clone(),
        what: UnmetByDevice::System {
            needs: Some("9.2".to_owned()),
        },
    };
    let expected = Err(EditFailure::Edit(EditError::Unmet(vec![reason])));
    if refused == expected {
        let why = "that it is not possible yet: Bob's watch needs watchOS 9.2, or to be removed";
        stage.shows("Bob", why)?;
    }
    stage.check(
        "it is refused, and the watch is the only reason",
        &refused,
        &expected,
    )?;
    let is_on = bob.phone.is_on().await?;
    stage.check("nothing weaker was turned on instead", &is_on, &false)?;

    stage.does("Bob", "removes the watch, and tries again")?;
    done(bob.phone.remove_device(&watch.id).await?)?;
    done(bob.enrol(&[bob.record()]).await?)?;
    let is_on = bob.phone.is_on().await?;
    stage.check("verification is on", &is_on, &true)
}
