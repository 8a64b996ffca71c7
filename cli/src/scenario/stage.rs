//! Where stories are played: a system of real programs, and what is said on the way.

use std::fmt::{self, Debug, Write as _};

use anstyle::Style;
use candor_core::account::{Device as Record, Label};
use candor_sdk::device::{Alert, AlertKind, Clearance, Event, Level, Severity, Subject};
use candor_system::Result;
use candor_system::system::{System, edit};
use serde::Serialize;
use tempfile::TempDir;

use super::person::{Person, done, identity, offered};
use crate::output::{ALARM, Exit, FAINT, GOOD, Report, STRONG, WARN, paint, write};

/// How many witnesses the log has; a majority is a quorum.
const WITNESSES: usize = 3;

/// A log with witnesses, and the stories that were told on it.
pub struct Stage {
    pub system: System,
    folder: TempDir,
    forks: u32,
    is_silent: bool,
    report: StoriesReport,
}

/// What was told.
#[derive(Default, Serialize)]
pub struct StoriesReport {
    stories: Vec<Told>,
}

#[derive(Serialize)]
struct Told {
    name: String,
    title: String,
    holds: bool,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<&'static str>,
    text: String,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Does,
    Sees,
    Alarmed,
    Holds,
    Fails,
}

impl Stage {
    /// Starts a log and its witnesses. A silent stage only reports in the end.
    pub async fn build(is_silent: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("candor-story-").tempdir()?;
        let mut system = System::create(&folder.path().join("log"), WITNESSES)?;
        // So that a head of an honest server is never old by the measure of a story.
        let config = system.server.folder().join("server.toml");
        edit(&config, &[("heartbeat_ms = 60000", "heartbeat_ms = 1000")])?;
        system.start().await?;
        Ok(Self {
            system,
            folder,
            forks: 0,
            is_silent,
            report: StoriesReport::default(),
        })
    }

    /// A story begins.
    pub fn begin(&mut self, name: &str, title: &str) -> Result<()> {
        self.report.stories.push(Told {
            name: name.to_owned(),
            title: title.to_owned(),
            holds: true,
            lines: Vec::new(),
        });
        self.print(&format!("{}: {title}\n\n", paint(STRONG, name)))
    }

    /// The story ended, well or with what did not hold.
    pub fn end(&mut self, outcome: Result<()>) -> Result<()> {
        if let Err(error) = outcome {
            if let Some(story) = self.report.stories.last_mut() {
                story.holds = false;
            }
            self.line(Kind::Fails, None, error.to_string())?;
        }
        self.print("\n")
    }

    /// All stories are over.
    pub fn finish(self) -> StoriesReport {
        self.report
    }

    /// A second log on copies of all files of this moment; nothing of it runs yet.
    pub async fn fork(&mut self) -> Result<System> {
        self.forks += 1;
        let folder = self.folder.path().join(format!("fork-{}", self.forks));
        self.system.fork(&folder).await
    }

    /// An address that only this story uses.
    pub fn label(&self, name: &str) -> Result<Label> {
        let story = self.report.stories.last().map(|story| story.name.as_str());
        let story = story.unwrap_or("story");
        Ok(Label::normalize(&format!("{name}@{story}.example"))?)
    }

    /// A person with a phone and no account yet.
    pub async fn person(&self, name: &'static str) -> Result<Person> {
        let me = identity(&self.system, name, self.label(name)?)?;
        Person::open(&self.system, name, me).await
    }

    /// A person whose account has verification on.
    pub async fn enrolled(&self, name: &'static str) -> Result<Person> {
        let person = self.person(name).await?;
        done(person.enrol(&[person.record()]).await?)?;
        Ok(person)
    }

    /// Two people with verification on who have saved each other.
    pub async fn alice_and_bob(&mut self) -> Result<(Person, Person)> {
        let mut alice = self.enrolled("Alice").await?;
        let mut bob = self.enrolled("Bob").await?;
        alice.saves("Bob", bob.label()).await?;
        bob.saves("Alice", alice.label()).await?;
        self.does("Both", "Alice and Bob have verification on")?;
        Ok((alice, bob))
    }

    /// Somebody does something.
    pub fn does(&mut self, who: &'static str, what: &str) -> Result<()> {
        self.line(Kind::Does, Some(who), what.to_owned())
    }

    /// Somebody sees something that is no alert.
    pub fn shows(&mut self, who: &'static str, what: impl fmt::Display) -> Result<()> {
        self.line(Kind::Sees, Some(who), what.to_string())
    }

    /// What a device tells its person now. Returns the kinds of alerts that are new.
    pub async fn sees(&mut self, person: &Person) -> Result<Vec<AlertKind>> {
        let mut told = Vec::new();
        let mut is_quiet = true;
        for event in person.phone.take_events().await {
            let (kind, text) = match event {
                Event::Raised(alert) => {
                    told.push(alert.kind);
                    let kind = match alert.kind.severity() {
                        Severity::Notice => Kind::Sees,
                        Severity::Warning | Severity::Danger => Kind::Alarmed,
                    };
                    (kind, words(person, &alert))
                }
                Event::Resolved(subject, kind) => {
                    let title = kind.text(who(person, &subject)).title;
                    (Kind::Sees, format!("that this is over: {title}"))
                }
                _ => continue,
            };
            is_quiet = false;
            self.line(kind, Some(person.name), text)?;
        }
        if is_quiet {
            self.shows(person.name, "no alert")?;
        }
        Ok(told)
    }

    /// Asks a device whether it may encrypt to the devices that the messenger offers for a contact,
    /// and shows what it says.
    pub async fn may_send(
        &mut self,
        person: &Person,
        contact: &str,
        devices: &[&Record],
    ) -> Result<Clearance> {
        let label = person.contact(contact)?;
        let clearance = person.phone.before_send(&label, offered(devices)).await?;
        let says = match &clearance {
            Clearance::Yes { level, devices, .. } => {
                let mut names: Vec<_> = devices.iter().map(|it| it.name.as_str()).collect();
                names.sort_unstable();
                format!("may write to {} ({})", names.join(", "), degree(*level))
            }
            Clearance::No { .. } => format!("may not write to {contact}"),
            Clearance::Unknown(_) => format!("cannot tell now whose devices are {contact}'s"),
        };
        self.line(Kind::Does, Some(person.name), says)?;
        Ok(clearance)
    }

    /// Holds what was found against what has to be.
    pub fn check<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        found: &T,
        expected: &T,
    ) -> Result<()> {
        match found == expected {
            true => self.line(Kind::Holds, None, what.to_owned()),
            false => Err(format!("{what}: expected {expected:?}, found {found:?}").into()),
        }
    }

    fn line(&mut self, kind: Kind, who: Option<&'static str>, text: String) -> Result<()> {
        let line = Line { kind, who, text };
        let mut printed = String::new();
        line.text(&mut printed)?;
        if let Some(story) = self.report.stories.last_mut() {
            story.lines.push(line);
        }
        self.print(&printed)
    }

    fn print(&self, text: &str) -> Result<()> {
        match self.is_silent {
            true => Ok(()),
            false => write(text.as_bytes()).map_err(|_| "what happens cannot be printed".into()),
        }
    }
}

impl Line {
    fn text(&self, out: &mut String) -> fmt::Result {
        let (style, mark) = match self.kind {
            Kind::Holds => return writeln!(out, "  {} {}", paint(GOOD, "✓"), self.text),
            Kind::Fails => return writeln!(out, "  {} {}", paint(ALARM, "✗"), self.text),
            Kind::Alarmed => (WARN, "sees "),
            Kind::Sees => (Style::new(), "sees "),
            Kind::Does => (Style::new(), ""),
        };
        let who = self.who.unwrap_or_default();
        let mut lines = self.text.lines();
        let first = paint(style, lines.next().unwrap_or_default());
        writeln!(
            out,
            "  {} {mark}{first}",
            paint(STRONG, format_args!("{who:<8}"))
        )?;
        lines.try_for_each(|line| writeln!(out, "           {}", paint(FAINT, line)))
    }
}

/// An alert: how grave it is, what happened, what to do.
fn words(person: &Person, alert: &Alert) -> String {
    let text = alert.kind.text(who(person, &alert.subject));
    let severity = alert.kind.severity().word();
    format!("{severity}: {}\nto do: {}", text.title, text.advice)
}

fn who<'a>(person: &'a Person, subject: &'a Subject) -> &'a str {
    match subject {
        Subject::Contact(label) => person.name_of(label),
        Subject::Own | Subject::Log => person.name,
    }
}

const fn degree(level: Level) -> &'static str {
    match level {
        Level::NoAccount => "no account",
        Level::LoggedOnly { .. } => "recorded, not verified",
        Level::Automatic => "checked by itself",
        Level::Verified => "verified",
    }
}

impl Report for StoriesReport {
    fn exit(&self) -> Exit {
        match self.stories.iter().all(|story| story.holds) {
            true => Exit::Done,
            false => Exit::Alarm,
        }
    }

    /// What happened was printed as it happened.
    fn text(&self, out: &mut String) -> fmt::Result {
        let holds = self.stories.iter().filter(|story| story.holds).count();
        let of = format!("{holds} of {} stories hold", self.stories.len());
        let style = if holds == self.stories.len() {
            GOOD
        } else {
            ALARM
        };
        writeln!(out, "{}", paint(style, of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_that_does_not_hold_is_an_alarm() {
        let told = |holds| Told {
            name: "name".to_owned(),
            title: "title".to_owned(),
            holds,
            lines: Vec::new(),
        };
        for (stories, exit, says) in [
            (vec![told(true), told(true)], Exit::Done, "2 of 2"),
            (vec![told(false), told(true)], Exit::Alarm, "1 of 2"),
        ] {
            let report = StoriesReport { stories };
            assert_eq!(report.exit(), exit);
            let mut text = String::new();
            assert!(report.text(&mut text).is_ok());
            assert!(text.contains(says), "{text}");
        }
    }
}
