//! A map witness that was away for long: it checks every epoch, goes on where it was, and says how
//! far it is.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::ORIGIN;
use crate::common::feed::{Epochs, FakeLog};
use crate::common::running::{Home, Running, client, cosigned};
use candor_core::note::monitoring_path;
use reqwest::StatusCode;

/// More than is saved at once, twice.
const EPOCHS: u64 = 5_000;

fn home(log: &FakeLog) -> Home {
    Home::new(
        "map_wait_ms = 8000\n",
        &format!("grpc = \"{}\"\n", log.address()),
    )
}

async fn metric(witness: &Running, name: &str) -> u64 {
    metric_at(&witness.url, name).await
}

async fn metric_at(url: &str, name: &str) -> u64 {
    let answer = client().get(format!("{url}/metrics")).send().await;
    let metrics = answer.unwrap().text().await.unwrap();
    let name = format!("candor_witness_{name}{{origin=\"{ORIGIN}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Waits until the map is checked up to `size`.
async fn reached(url: &str, size: u64) {
    while metric_at(url, "map_size_entries").await < size {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts the program, which can be killed as no task can; the process, its URL, and its standard
/// error, which must stay open.
fn start_program(home: &Home) -> (Child, String, impl Sized) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_candor-witness"))
        .args(["run", "--config", "witness.toml"])
        .current_dir(home.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = lines.by_ref().map(Result::unwrap).find_map(|line| {
        let (_, rest) = line.split_once("witnessing http=")?;
        Some(format!("http://{}", rest.split_whitespace().next()?))
    });
    (child, url.unwrap(), lines)
}

/// Whether the log's checkpoint at `new` is cosigned, and by the map's keys too.
async fn lines(home: &Home, witness: &Running, epochs: &Epochs, old: u64, new: u64) -> usize {
    let request = epochs.request(old, new);
    let (status, body) = witness.add(&request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let note = cosigned(&request, &body);
    home.policy(&[0, 1]).verify_checkpoint(&note).unwrap();
    body.lines().count()
}

async fn page(witness: &Running) -> String {
    let path = monitoring_path(ORIGIN);
    witness.get(path.split('/').next().unwrap()).await.1
}

#[tokio::test]
async fn thousands_of_epochs_are_checked_in_one_go_and_the_map_is_cosigned_again() {
    let epochs = Epochs::many(EPOCHS);
    let log = FakeLog::start(epochs.clone()).await;
    log.sign_up_to(EPOCHS);
    let home = home(&log);
    let witness = home.start().await;
    reached(&witness.url, epochs.size()).await;
    assert_eq!(lines(&home, &witness, &epochs, 0, epochs.size()).await, 4);
    assert_eq!(metric(&witness, "map_epochs_checked_total").await, EPOCHS);
    let versions = metric(&witness, "map_versions_checked_total").await;
    assert_eq!(versions, 3 * (EPOCHS / 100));
    assert_eq!(metric(&witness, "map_behind_epochs").await, 0);
    assert_eq!(log.first_epochs_asked(), [1]);
    // It asks the log once more before it says that it has caught up.
    while page(&witness).await.contains("catching up") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    witness.stop().await;
    log.stop().await;
}

#[tokio::test]
async fn while_it_catches_up_the_log_is_cosigned_without_waiting_and_the_page_says_so() {
    let epochs = Epochs::many(EPOCHS);
    let log = FakeLog::start(epochs.clone()).await;
    log.sign_up_to(EPOCHS);
    // The feed stops short of the head.
    log.hold_back_after(100);
    let home = home(&log);
    let witness = home.start().await;
    reached(&witness.url, 101).await;
    assert_eq!(lines(&home, &witness, &epochs, 0, epochs.size()).await, 2);
    let behind = EPOCHS - 100;
    assert_eq!(metric(&witness, "map_behind_epochs").await, behind);
    let page = page(&witness).await;
    assert!(page.contains("Map catching up<td>"), "{page}");
    assert!(page.contains("epochs behind"), "{page}");
    witness.stop().await;
    log.stop().await;
}

#[tokio::test]
async fn killed_in_the_middle_it_goes_on_from_what_was_saved() {
    let epochs = Epochs::many(EPOCHS);
    let log = FakeLog::start(epochs.clone()).await;
    let home = home(&log);
    log.sign_up_to(EPOCHS / 2);
    let (mut witness, url, _lines) = start_program(&home);
    reached(&url, EPOCHS / 2 + 1).await;
    witness.kill().unwrap();
    witness.wait().unwrap();

    log.sign_up_to(EPOCHS);
    let witness = home.start().await;
    reached(&witness.url, epochs.size()).await;
    assert_eq!(lines(&home, &witness, &epochs, 0, epochs.size()).await, 4);
    let [first, again] = log.first_epochs_asked()[..] else {
        panic!("asked twice")
    };
    assert_eq!(first, 1);
    assert!(again > 2_000 && again <= EPOCHS / 2 + 1, "{again}");
    let checked = metric(&witness, "map_epochs_checked_total").await;
    assert_eq!(checked, EPOCHS + 1 - again);
    witness.stop().await;
    log.stop().await;
}

#[tokio::test]
async fn a_wrong_epoch_in_the_middle_is_named_and_those_before_it_count() {
    let wrong = EPOCHS / 100 * 70;
    let mut epochs = Epochs::many(EPOCHS);
    epochs.tamper_with(wrong as usize);
    let log = FakeLog::start(epochs.clone()).await;
    log.sign_up_to(EPOCHS);
    let home = home(&log);
    let witness = home.start().await;
    while metric(&witness, "map_alarm").await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(metric(&witness, "map_size_entries").await, wrong);
    let page = page(&witness).await;
    let named = format!("map no longer cosigned: the delta of epoch {wrong} is not");
    assert!(page.contains(&named), "{page}");
    assert_eq!(lines(&home, &witness, &epochs, 0, wrong).await, 2);
    witness.stop().await;
    assert_eq!(log.first_epochs_asked(), [1], "an alarm is not tried again");
    log.stop().await;
}

#[tokio::test]
async fn a_message_beyond_the_limit_breaks_the_feed_and_accuses_nobody() {
    let mut epochs = Epochs::many(300);
    epochs.make_oversize(200);
    let log = FakeLog::start(epochs.clone()).await;
    log.sign_up_to(300);
    let home = home(&log);
    let witness = home.start().await;
    while metric(&witness, "map_reconnects_total").await < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(metric(&witness, "map_size_entries").await, 200);
    assert_eq!(metric(&witness, "map_alarm").await, 0);
    assert_eq!(lines(&home, &witness, &epochs, 0, 200).await, 4);
    witness.stop().await;
    log.stop().await;
}

#[tokio::test]
async fn a_token_that_was_renewed_is_taken_up_by_the_next_connection() {
    let log = FakeLog::start(Epochs::many(20)).await;
    log.sign_up_to(20);
    log.want_token("renewed");
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("log.token");
    std::fs::write(&token, "old\n").unwrap();
    let section = format!("grpc = \"{}\"\ngrpc_token = {token:?}\n", log.address());
    let home = Home::new("", &section);
    let witness = home.start().await;
    while metric(&witness, "map_reconnects_total").await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(metric(&witness, "map_size_entries").await, 0);
    std::fs::write(&token, "renewed\n").unwrap();
    reached(&witness.url, 21).await;
    witness.stop().await;
    log.stop().await;
}
