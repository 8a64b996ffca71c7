//! Stories of a log that shows a victim something else than everybody.

use std::time::Duration;

use candor_sdk::Evidence;
use candor_sdk::device::{AlertKind, Clearance, Severity, Trouble};
use candor_system::Result;
use candor_system::process::{PATIENCE, free_address};

use super::person::{Person, done, identity, record};
use super::stage::Stage;

/// How old a head Alice's device believes: short, so that the story need not wait.
const MAX_AGE_S: u64 = 6;

/// Half of the time after which a device says that it has no answer.
const DAY_S: u64 = 86_400;

/// A victim who sees nothing newer.
pub async fn stale_view(stage: &mut Stage) -> Result<()> {
    let trust = stage.system.trust()?.with_max_age_s(MAX_AGE_S);
    let me = identity(&stage.system, "Alice", stage.label("alice")?)?;
    let mut alice = Person::open_with(&stage.system, trust, "Alice", me).await?;
    done(alice.enrol(&[alice.record()]).await?)?;
    let bob = stage.enrolled("Bob").await?;
    let lost = record("Bob's old phone", "ios", "17.2")?;
    done(bob.phone.add_device(lost.clone()).await?)?;
    alice.saves("Bob", bob.label()).await?;
    stage.does(
        "Both",
        "Alice and Bob have verification on, and Bob two phones",
    )?;
    let both = [bob.record(), &lost];
    wait_fresh(&alice).await?;
    stage.may_send(&alice, "Bob", &both).await?;

    stage.does("Server", "shows Alice a copy of the log that stands still")?;
    let mut frozen = stage.fork().await?;
    frozen.server.start().await?;
    alice.reconnect(&frozen.endpoint()).await?;
    done(bob.phone.remove_device(&lost.id).await?)?;
    stage.does("Bob", "removes his old phone, which the copy does not show")?;
    tokio::time::sleep(Duration::from_secs(MAX_AGE_S + 1)).await;
    let unknown = stage.may_send(&alice, "Bob", &both).await?;
    let told = stage.sees(&alice).await?;
    let expected = Clearance::Unknown(Trouble::Stale);
    stage.check("the copy is too old to encrypt by", &unknown, &expected)?;
    stage.check(
        "Alice is told that it is old",
        &told,
        &vec![AlertKind::LogStale],
    )?;
    stage.check(
        "no attack is told of",
        &gravest(&alice).await?,
        &Some(Severity::Notice),
    )?;

    stage.does("Server", "does not answer Alice at all, for a day")?;
    alice
        .reconnect(&format!("http://{}", free_address()?))
        .await?;
    alice.set_clock_ahead(DAY_S);
    let unknown = stage.may_send(&alice, "Bob", &both).await?;
    let told = stage.sees(&alice).await?;
    let expected = Clearance::Unknown(Trouble::Offline);
    stage.check("her device knows that it is offline", &unknown, &expected)?;
    stage.check("and says nothing new", &told, &vec![])?;
    alice.set_clock_ahead(2 * DAY_S);
    stage.does("Server", "does not answer for a second day")?;
    stage.may_send(&alice, "Bob", &both).await?;
    let told = stage.sees(&alice).await?;
    stage.check(
        "now she is told",
        &told,
        &vec![AlertKind::ContactUnavailable],
    )?;
    stage.check(
        "no attack is told of",
        &gravest(&alice).await?,
        &Some(Severity::Notice),
    )?;

    stage.does("Server", "shows Alice what everybody sees")?;
    alice.set_clock_ahead(0);
    alice.reconnect(&stage.system.endpoint()).await?;
    wait_fresh(&alice).await?;
    stage.sees(&alice).await?;
    stage.check("the alerts go", &gravest(&alice).await?, &None)?;
    let refused = stage.may_send(&alice, "Bob", &both).await?;
    let is_refused = matches!(refused, Clearance::No { .. });
    stage.check(
        "and nothing is encrypted to Bob's old phone",
        &is_refused,
        &true,
    )
}

async fn gravest(person: &Person) -> Result<Option<Severity>> {
    let alerts = person.phone.alerts().await?;
    Ok(alerts.iter().map(|alert| alert.kind.severity()).max())
}

/// Waits for a head that is new enough for the person.
async fn wait_fresh(person: &Person) -> Result<()> {
    let bob = person.contact("Bob")?;
    let fresh = async {
        while let Err(trouble) = person.phone.check(&bob).await? {
            if trouble != Trouble::Stale {
                return Err(format!("{trouble:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, fresh).await?
}

/// A victim who sees another log than everybody, and gets a message of somebody who does not.
pub async fn split_view(stage: &mut Stage) -> Result<()> {
    let (mut alice, bob) = stage.alice_and_bob().await?;
    stage.does(
        "Operator",
        "copies the log and all witnesses, and leads Alice to the copy",
    )?;
    let mut copied = stage.fork().await?;
    copied.start().await?;
    alice.reconnect(&copied.endpoint()).await?;
    let carol = stage.enrolled("Carol").await?;
    let me = identity(&copied, "Carol", carol.label().clone())?;
    let impostor = Person::open(&copied, "Operator", me).await?;
    done(impostor.enrol(&[impostor.record()]).await?)?;
    stage.does("Operator", "registers Carol with another key at the copy")?;
    alice.saves("Carol", carol.label()).await?;
    stage
        .may_send(&alice, "Carol", &[impostor.record()])
        .await?;
    let told = stage.sees(&alice).await?;
    stage.check("Alice cannot tell by what the copy shows", &told, &vec![])?;

    done(bob.phone.self_check().await?)?;
    let message = bob.phone.gossip_out().await?.ok_or("no head is carried")?;
    let bytes = message.len();
    stage.does(
        "Bob",
        &format!("writes to Alice; {bytes} bytes of it are what the log showed him"),
    )?;
    stage.check("that is less than 200 bytes", &(bytes < 200), &true)?;
    let is_fork = wait_compared(&alice, &message).await?;
    let told = stage.sees(&alice).await?;
    stage.check("her device finds two histories", &is_fork, &true)?;
    stage.check("Alice is told", &told, &vec![AlertKind::LogFork])?;

    let alerts = alice.phone.alerts().await?;
    let evidence = alerts.into_iter().find_map(|alert| alert.evidence);
    let evidence = evidence.ok_or("the alert has no evidence")?;
    let proved = Evidence::verify(&evidence, &stage.system.log_verifier()?)?;
    let (earlier, later) = proved.checkpoints();
    let sizes = format!(
        "signatures over {} and {} records",
        earlier.size(),
        later.size()
    );
    stage.shows(
        "Anybody",
        format_args!("{} bytes of evidence: {sizes}", evidence.len()),
    )?;
    let origin = earlier.origin() == stage.system.trust()?.origin();
    stage.check(
        "the evidence convicts the log by its key alone",
        &origin,
        &true,
    )?;
    let refused = stage
        .may_send(&alice, "Carol", &[impostor.record()])
        .await?;
    let is_refused =
        matches!(refused, Clearance::No { alerts, .. } if alerts == [AlertKind::LogFork]);
    stage.check(
        "nothing more is sent before Alice has acted",
        &is_refused,
        &true,
    )
}

/// Hands a message in until the log that the person sees is as far. Returns whether it is another
/// log's.
async fn wait_compared(person: &Person, message: &[u8]) -> Result<bool> {
    let compared = async {
        loop {
            match person.phone.gossip_in(message).await? {
                Ok(true) => return Ok(false),
                Ok(false) => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(Trouble::Fork { .. }) => return Ok(true),
                Err(trouble) => return Err(format!("{trouble:?}").into()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, compared).await?
}
