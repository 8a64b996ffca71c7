//! Comparisons of codes in stories: with nobody in between, and with somebody.

use candor_core::account::AccountKey;
use candor_core::verification::{Comparison, ComparisonCode};
use candor_sdk::device::Compared;
use candor_system::Result;

use super::person::{Person, done, now_s, random};
use super::stage::Stage;

/// Two people compare codes, and nobody interferes. Both then have verified each other.
pub async fn compare(stage: &mut Stage, one: &Person, other: &Person) -> Result<()> {
    let (of_other, of_one) = (one.contact(other.name)?, other.contact(one.name)?);
    let from_one = done(one.phone.compare(&of_other).await?)?;
    let from_other = done(other.phone.compare(&of_one).await?)?;
    let to_other = done(one.phone.compare_receive(&of_other, &from_other).await?)?;
    let to_one = done(other.phone.compare_receive(&of_one, &from_one).await?)?;
    let (to_one, to_other) = (to_one.ok_or("no answer")?, to_other.ok_or("no answer")?);
    done(one.phone.compare_receive(&of_other, &to_one).await?)?;
    done(other.phone.compare_receive(&of_one, &to_other).await?)?;
    let codes = (
        one.phone.compare_code(&of_other).await?,
        other.phone.compare_code(&of_one).await?,
    );
    let (Some(code), true) = (codes.0, codes.0 == codes.1) else {
        return Err("two people with nobody in between see different codes".into());
    };
    let names = format!(
        "{} and {} read aloud: {code}, the same",
        one.name, other.name
    );
    stage.does("Both", &names)?;
    let marked = (
        one.phone.compare_finish(&of_other, true).await?,
        other.phone.compare_finish(&of_one, true).await?,
    );
    let expected = (Compared::Verified, Compared::Verified);
    match marked == expected {
        true => Ok(()),
        false => Err(format!("equal codes ended in {marked:?}").into()),
    }
}

/// Somebody who carries the messages plays a contact to a person, with this account key and a nonce
/// of its own. Returns the code that the person then sees.
pub async fn deceive(
    stage: &Stage,
    victim: &Person,
    contact: &str,
    key: AccountKey,
) -> Result<ComparisonCode> {
    let label = victim.contact(contact)?;
    let origin = stage.system.trust()?.origin().to_owned();
    let begun = Comparison::begin(&origin, key, victim.account_key()?, random()?, now_s());
    let (mut played, commitment) = begun?;
    let committed = done(victim.phone.compare(&label).await?)?;
    done(victim.phone.compare_receive(&label, &commitment).await?)?;
    let reveal = played.receive(&committed, now_s())?.send;
    let reveal = reveal.ok_or("no nonce to reveal")?;
    done(victim.phone.compare_receive(&label, &reveal).await?)?;
    let code = victim.phone.compare_code(&label).await?;
    Ok(code.ok_or("the victim sees no code")?)
}

/// Two people tell each other their codes, which differ, and say so to their devices.
pub async fn tell_apart(
    stage: &mut Stage,
    codes: [(&Person, &str, ComparisonCode); 2],
) -> Result<()> {
    let mut ends = Vec::new();
    for (person, contact, code) in codes {
        stage.shows(person.name, format_args!("the code {code}"))?;
        let label = person.contact(contact)?;
        ends.push(person.phone.compare_finish(&label, false).await?);
    }
    let [first, second] = codes.map(|(_, _, code)| code);
    stage.check("the codes differ", &(first == second), &false)?;
    let verified = [
        codes[0].0.has_verified(codes[0].1).await?,
        codes[1].0.has_verified(codes[1].1).await?,
    ];
    let what = "nothing is stored: neither counts as verified";
    let expected = (vec![Compared::Different; 2], [false; 2]);
    stage.check(what, &(ends, verified), &expected)
}
