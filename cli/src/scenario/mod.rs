//! `candor device scenario`: stories that run against a log and witnesses of their own, as real
//! processes. Each says what each person does and sees, and holds it against what has to be.
//!
//! What is printed here comes before the end of the command, other than elsewhere: a story is told
//! as it happens.

mod accounts;
mod attacks;
mod comparing;
mod devices;
mod person;
mod stage;
mod views;

use std::error::Error;
use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Exit, Report, show, table, write_table};
use stage::Stage;

/// Plays a story: people with real devices, against a log and witnesses that it starts.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  candor device scenario ghost-device
  candor device scenario --all

candor-server and candor-witness have to lie beside this program. Everything happens in a temporary
directory and on loopback. Exits with 3 if something that a story says does not hold.")]
pub struct Arguments {
    /// The story.
    #[arg(required_unless_present_any = ["all", "list"], conflicts_with_all = ["all", "list"])]
    name: Option<Story>,
    /// Play all of them.
    #[arg(long, conflicts_with = "list")]
    all: bool,
    /// List them.
    #[arg(long)]
    list: bool,
}

/// The stories.
#[derive(Clone, Copy, ValueEnum)]
enum Story {
    /// A contact's second phone is accepted without a new comparison.
    NewPhone,
    /// A contact's lost phone is removed, and nothing is encrypted to it any more.
    LostPhone,
    /// The service inserts a device that nobody owns.
    GhostDevice,
    /// The log shows one victim another key, with the help of all witnesses.
    KeySwap,
    /// The service shows one victim nothing new.
    StaleView,
    /// A contact loses every device and starts over.
    Reset,
    /// A telephone number goes to another account.
    MovedNumber,
    /// A device of the account is too old for verification.
    OldDevice,
    /// A contact turns verification off.
    TurnedOff,
    /// Somebody changes the messages of a comparison.
    ManInTheMiddle,
    /// The log shows one victim another history, and a message of somebody else gives it away.
    SplitView,
}

impl Story {
    fn words(self) -> StoryWords {
        let value = self.to_possible_value();
        let name = value.as_ref().map(|value| value.get_name().to_owned());
        let title = value.and_then(|value| value.get_help().map(ToString::to_string));
        StoryWords {
            name: name.unwrap_or_default(),
            title: title.unwrap_or_default(),
        }
    }

    async fn play(self, stage: &mut Stage) -> candor_system::Result<()> {
        match self {
            Self::NewPhone => devices::new_phone(stage).await,
            Self::LostPhone => devices::lost_phone(stage).await,
            Self::GhostDevice => devices::ghost_device(stage).await,
            Self::KeySwap => attacks::key_swap(stage).await,
            Self::StaleView => views::stale_view(stage).await,
            Self::Reset => accounts::reset(stage).await,
            Self::MovedNumber => accounts::moved_number(stage).await,
            Self::OldDevice => devices::old_device(stage).await,
            Self::TurnedOff => accounts::turned_off(stage).await,
            Self::ManInTheMiddle => attacks::man_in_the_middle(stage).await,
            Self::SplitView => views::split_view(stage).await,
        }
    }
}

/// Plays what was asked for.
pub async fn run(arguments: Arguments, json: bool) -> Result<Exit, Failure> {
    let stories = match arguments.name {
        Some(story) => vec![story],
        None => Story::value_variants().to_vec(),
    };
    if arguments.list {
        let stories = stories.into_iter().map(Story::words).collect();
        return show(&ListReport { stories }, json);
    }
    let mut stage = Stage::build(json).await.map_err(not_playable)?;
    for story in stories {
        let words = story.words();
        stage
            .begin(&words.name, &words.title)
            .map_err(not_playable)?;
        let outcome = story.play(&mut stage).await;
        stage.end(outcome).map_err(not_playable)?;
    }
    show(&stage.finish(), json)
}

fn not_playable(error: Box<dyn Error + Send + Sync>) -> Failure {
    let help = "put candor-server and candor-witness beside this program, and check this machine";
    Failure::new(Exit::Local, "stage", error, help)
}

/// What there is to play.
#[derive(Serialize)]
struct ListReport {
    stories: Vec<StoryWords>,
}

#[derive(Serialize)]
struct StoryWords {
    name: String,
    title: String,
}

impl Report for ListReport {
    fn text(&self, out: &mut String) -> fmt::Result {
        let mut stories = table(["name", "story"]);
        for story in &self.stories {
            stories.add_row([&story.name, &story.title]);
        }
        write_table(out, &stories)
    }
}
