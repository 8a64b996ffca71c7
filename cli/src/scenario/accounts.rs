//! Stories of accounts that change in ways that a contact has to know of.

use candor_core::account::{Binding, Label, VerifiedValue};
use candor_sdk::device::{AlertKind, Clearance, Identity, Level, Subject};
use candor_system::Result;

use super::comparing::compare;
use super::person::{Person, done, identity, listed};
use super::stage::Stage;

/// A contact who lost everything, and starts over.
pub async fn reset(stage: &mut Stage) -> Result<()> {
    let (alice, bob) = stage.alice_and_bob().await?;
    compare(stage, &alice, &bob).await?;
    stage.does(
        "Bob",
        "loses all devices, and starts over on a new phone with a new key",
    )?;
    let me = identity(&stage.system, "Bob", bob.label().clone())?;
    let mut new = Person::open(&stage.system, "Bob", me).await?;
    done(new.phone.reset().await?)?;
    new.saves("Alice", alice.label()).await?;

    let devices = [new.record()];
    let refused = stage.may_send(&alice, "Bob", &devices).await?;
    let told = stage.sees(&alice).await?;
    let kind = AlertKind::ContactReset;
    stage.check("Alice is told", &told, &vec![kind])?;
    let expected = Clearance::No {
        alerts: vec![kind],
        devices: listed(&devices),
    };
    stage.check("nothing is sent before she has acted", &refused, &expected)?;
    let verified = alice.has_verified("Bob").await?;
    stage.check("Bob no longer counts as verified", &verified, &false)?;
    let contact = alice.contact("Bob")?;
    done(alice.phone.check(&contact).await?)?;
    let open: Vec<_> = alice
        .phone
        .alerts()
        .await?
        .iter()
        .map(|it| it.kind)
        .collect();
    let again = alice.phone.take_events().await.len();
    stage.check(
        "the alert stays, and is told once",
        &(open, again),
        &(vec![kind], 0),
    )?;

    stage.does("Alice", "says that she has read it")?;
    alice
        .phone
        .acknowledge(&Subject::Contact(contact), kind)
        .await?;
    let cleared = stage.may_send(&alice, "Bob", &devices).await?;
    let expected = Clearance::Yes {
        level: Level::Automatic,
        devices: listed(&devices),
        unlisted: Vec::new(),
    };
    stage.check(
        "she may write to the new phone, not verified",
        &cleared,
        &expected,
    )?;
    compare(stage, &alice, &new).await?;
    let verified = alice.has_verified("Bob").await?;
    stage.check("a new comparison verifies the new key", &verified, &true)
}

/// A telephone number that goes to somebody else.
pub async fn moved_number(stage: &mut Stage) -> Result<()> {
    let number = Label::normalize("+1 555 010 0199")?;
    let mut alice = stage.enrolled("Alice").await?;
    let me = Identity {
        identifiers: vec![number.clone()],
        ..identity(&stage.system, "Bob", stage.label("bob")?)?
    };
    let mut bob = Person::open(&stage.system, "Bob", me).await?;
    done(bob.enrol(&[bob.record()]).await?)?;
    let carol = stage.enrolled("Carol").await?;
    lead(stage, 0, &number, &bob).await?;
    done(bob.phone.self_check().await?)?;
    alice.saves("Bob", &number).await?;
    bob.saves("Alice", alice.label()).await?;
    stage.does("Alice", "knows Bob by his telephone number")?;
    compare(stage, &alice, &bob).await?;

    stage.does("Operator", "gives the number to Carol's account")?;
    lead(stage, 1, &number, &carol).await?;
    let refused = stage.may_send(&alice, "Bob", &[carol.record()]).await?;
    let told = stage.sees(&alice).await?;
    let kind = AlertKind::ContactMoved;
    stage.check("Alice is told", &told, &vec![kind])?;
    let expected = Clearance::No {
        alerts: vec![kind],
        devices: listed(&[carol.record()]),
    };
    stage.check(
        "nothing is sent to Carol in the belief that she is Bob",
        &refused,
        &expected,
    )?;
    let verified = alice.has_verified("Bob").await?;
    stage.check("the number no longer counts as verified", &verified, &false)?;

    let in_order = done(bob.phone.self_check().await?)?;
    let told = stage.sees(&bob).await?;
    stage.check("Bob's self check finds it too", &in_order, &false)?;
    let expected = vec![AlertKind::OwnIdentifierMoved];
    stage.check("and he is told", &told, &expected)
}

/// The operator says whose a number is.
async fn lead(stage: &Stage, version: u32, number: &Label, to: &Person) -> Result<()> {
    let binding = Binding::new(number.clone(), to.label().clone())?;
    let operator = stage.system.device()?;
    operator
        .publish(version, &VerifiedValue::Binding(binding))
        .await?;
    Ok(())
}

/// A contact who turns verification off.
pub async fn turned_off(stage: &mut Stage) -> Result<()> {
    let (alice, bob) = stage.alice_and_bob().await?;
    compare(stage, &alice, &bob).await?;
    done(alice.phone.check(&alice.contact("Bob")?).await?)?;
    stage.does("Bob", "turns verification off")?;
    done(bob.phone.turn_off().await?)?;
    let devices = [bob.record()];
    let cleared = stage.may_send(&alice, "Bob", &devices).await?;
    let told = stage.sees(&alice).await?;
    let kind = AlertKind::ContactTurnedOff;
    stage.check("Alice is told", &told, &vec![kind])?;
    let expected = Clearance::Yes {
        level: Level::LoggedOnly {
            is_own_on: true,
            is_contact_on: false,
            is_signed: true,
        },
        devices: listed(&devices),
        unlisted: Vec::new(),
    };
    stage.check(
        "she may write, and it does not count as verified",
        &cleared,
        &expected,
    )?;

    stage.does("Bob", "turns it on again")?;
    done(bob.enrol(&[bob.record()]).await?)?;
    let cleared = stage.may_send(&alice, "Bob", &devices).await?;
    stage.sees(&alice).await?;
    let open = alice.phone.alerts().await?.len();
    stage.check("the alert goes", &open, &0)?;
    let expected = Clearance::Yes {
        level: Level::Verified,
        devices: listed(&devices),
        unlisted: Vec::new(),
    };
    stage.check("with the key that Alice verified", &cleared, &expected)
}
