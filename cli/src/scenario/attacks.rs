//! Stories of somebody in between, whom only the two people can find.

use candor_core::verification::{ComparisonError, ComparisonMessage};
use candor_sdk::device::{Compared, Level};
use candor_system::Result;

use super::comparing::{compare, deceive, tell_apart};
use super::person::{Person, done, identity, random};
use super::stage::Stage;

/// Somebody carries the messages of a comparison, and changes them.
pub async fn man_in_the_middle(stage: &mut Stage) -> Result<()> {
    let (alice, bob) = stage.alice_and_bob().await?;
    let (of_bob, of_alice) = (alice.contact("Bob")?, bob.contact("Alice")?);
    stage.does(
        "Meddler",
        "replaces what Bob's device reveals when the two compare codes",
    )?;
    done(alice.phone.compare(&of_bob).await?)?;
    let committed = done(bob.phone.compare(&of_alice).await?)?;
    done(alice.phone.compare_receive(&of_bob, &committed).await?)?;
    let replaced = ComparisonMessage::Reveal(random()?);
    let ended = alice.phone.compare_receive(&of_bob, &replaced).await?;
    let code = alice.phone.compare_code(&of_bob).await?.is_some();
    stage.shows("Alice", "that the comparison ended without a code")?;
    let found = (ended, code);
    let expected = (Err(ComparisonError::NotOpened), false);
    stage.check(
        "what was revealed does not open what was committed to",
        &found,
        &expected,
    )?;
    let finished = alice.phone.compare_finish(&of_bob, true).await?;
    let found = (finished, alice.has_verified("Bob").await?);
    let expected = (Compared::NothingShown, false);
    stage.check("nothing is stored, whatever she taps", &found, &expected)?;

    stage.does(
        "Meddler",
        "plays Bob to Alice and Alice to Bob, with their keys",
    )?;
    let to_alice = deceive(stage, &alice, "Bob", bob.account_key()?).await?;
    let to_bob = deceive(stage, &bob, "Alice", alice.account_key()?).await?;
    tell_apart(stage, [(&alice, "Bob", to_alice), (&bob, "Alice", to_bob)]).await?;

    stage.does("Meddler", "gives up")?;
    compare(stage, &alice, &bob).await?;
    let verified = (
        alice.has_verified("Bob").await?,
        bob.has_verified("Alice").await?,
    );
    stage.check("now each counts as verified", &verified, &(true, true))
}

/// A log that shows one victim another key, with witnesses that help.
pub async fn key_swap(stage: &mut Stage) -> Result<()> {
    let mut alice = stage.enrolled("Alice").await?;
    stage.does("Alice", "has verification on; Bob is not registered yet")?;
    stage.does(
        "Operator",
        "copies the log and all witnesses, keys included",
    )?;
    let mut copied = stage.fork().await?;
    copied.start().await?;

    let mut bob = stage.enrolled("Bob").await?;
    stage.does("Bob", "registers at the log that everybody sees")?;
    let me = identity(&copied, "Bob", bob.label().clone())?;
    let impostor = Person::open(&copied, "Operator", me).await?;
    done(impostor.enrol(&[impostor.record()]).await?)?;
    stage.does(
        "Operator",
        "registers Bob with another key at the copy, and leads Alice there",
    )?;
    alice.reconnect(&copied.endpoint()).await?;
    alice.saves("Bob", bob.label()).await?;
    bob.saves("Alice", alice.label()).await?;

    let view = done(alice.phone.check(&alice.contact("Bob")?).await?)?;
    let told = stage.sees(&alice).await?;
    let found = (view.level, view.devices, told.len());
    let expected = (Level::Automatic, vec![impostor.record().clone()], 0);
    let what = "with every witness in on it, Alice's first look cannot tell";
    stage.check(what, &found, &expected)?;

    stage.does(
        "Both",
        "Alice and Bob compare codes; the operator carries the messages",
    )?;
    let to_alice = deceive(stage, &alice, "Bob", impostor.account_key()?).await?;
    let to_bob = deceive(stage, &bob, "Alice", alice.account_key()?).await?;
    tell_apart(stage, [(&alice, "Bob", to_alice), (&bob, "Alice", to_bob)]).await
}
