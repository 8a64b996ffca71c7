//! Heads of many logs, cosigned with Ed25519 and ML-DSA-44 and durable.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use candor_benches::process::{timed, written_bytes};
use candor_benches::report::{Report, Samples};
use candor_core::note::AddCheckpoint;
use candor_host::keys::{KeyTable, Keyring};
use candor_witness::cosigner::Cosigner;
use candor_witness::evidence::Evidence;
use candor_witness::logs::Log;
use candor_witness::metrics::{COMMIT, Metrics};
use candor_witness::store::{self, Paths, Store, WriterThread};
use candor_witness::witness::Witness;
use futures::stream::{self, StreamExt as _};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::logs::Logs;

const NAME: &str = "witness.example";

/// Requests under way at a time.
const AT_ONCE: usize = 512;

/// Heads of a run with many requests at once: each log grows at least once.
const HEADS: u64 = 4_000;

/// Heads of a run with one request at a time.
const HEADS_ALONE: usize = 500;

/// Measures a witness of so many logs.
pub fn measure(logs: u64, runs: usize, report: &mut Report) {
    let passes = usize::try_from(HEADS.div_ceil(logs)).unwrap();
    let growths_alone = (runs * HEADS_ALONE).div_ceil(usize::try_from(logs).unwrap());
    let all = Logs::new(logs, 1 + runs * passes + growths_alone);
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let keyring = Keyring::new(directory.path(), KeyTable::default());
    Cosigner::create(keyring.loader(), NAME).unwrap();
    store::create(&Paths::new(directory.path(), None)).unwrap();
    let (witness, thread) = open(directory.path(), &keyring);
    for verifier in &all.verifiers {
        assert!(witness.add_log(Log::new(verifier.clone(), None)));
    }

    let runtime = Runtime::new().unwrap();
    let mut growths = all.growths.into_iter();
    runtime.block_on(cosign(&witness, growths.next().unwrap(), AT_ONCE));
    let mut many = Figures::default();
    for _ in 0..runs {
        let run: Vec<_> = growths.by_ref().take(passes).collect();
        many.note(&witness, passes * all.verifiers.len(), || {
            for growth in run {
                runtime.block_on(cosign(&witness, growth, AT_ONCE));
            }
        });
    }
    many.report("many requests at once", logs, report);

    let mut rest = growths.flatten();
    let mut alone = Figures::default();
    let mut newest = None;
    for _ in 0..runs {
        let run: Vec<_> = rest.by_ref().take(HEADS_ALONE).collect();
        newest = run.last().map(|request| request.note.text().to_owned());
        alone.note(&witness, HEADS_ALONE, || {
            runtime.block_on(cosign(&witness, run, 1));
        });
    }
    alone.report("one request at a time", logs, report);

    drop(runtime);
    drop(witness);
    thread.join().unwrap().unwrap();
    let (reopened, _thread) = open(directory.path(), &keyring);
    let newest = newest.unwrap();
    let entry = reopened.entry(newest.lines().next().unwrap());
    assert_eq!(entry.state.unwrap().log_note().text(), newest);
}

fn open(directory: &Path, keyring: &Keyring) -> (Arc<Witness>, WriterThread) {
    let metrics = Metrics::default();
    let paths = Paths::new(directory, None);
    let (store, thread) = Store::open(&paths, &metrics, CancellationToken::new()).unwrap();
    let cosigner = Cosigner::load(keyring, NAME).unwrap();
    let evidence = Evidence::open(&directory.join("evidence")).unwrap();
    let witness = Witness::new(cosigner, store, evidence, metrics, Duration::ZERO);
    (Arc::new(witness), thread)
}

/// Has the requests answered, so many of them at a time.
async fn cosign(witness: &Arc<Witness>, requests: Vec<AddCheckpoint>, at_once: usize) {
    let answers = requests
        .into_iter()
        .map(|request| witness.add_checkpoint(request));
    let mut answers = stream::iter(answers).buffer_unordered(at_once);
    while let Some(answer) = answers.next().await {
        assert_eq!(answer.unwrap().len(), LINES);
    }
}

/// Lines of an answer: Ed25519 and ML-DSA-44.
const LINES: usize = 2;

/// What runs of one kind had as figures.
#[derive(Default)]
struct Figures {
    rate: Samples,
    processor: Samples,
    group: Samples,
    written: Samples,
}

impl Figures {
    fn note(&mut self, witness: &Witness, heads: usize, run: impl FnOnce()) {
        let before = (commits(witness), written_bytes());
        let ((), [seconds, processor]) = timed(run);
        let after = (commits(witness), written_bytes());
        let heads = heads as f64;
        self.rate.0.push(heads / seconds);
        self.processor.0.push(processor * 1e6 / heads);
        self.group.0.push(heads / (after.0 - before.0));
        self.written.0.push((after.1 - before.1) as f64 / heads);
    }

    fn report(&self, kind: &str, logs: u64, report: &mut Report) {
        for (figure, unit, samples) in [
            ("heads", "1/s", &self.rate),
            ("processor time of a head", "µs", &self.processor),
            ("heads of a commit", "", &self.group),
            ("written to disk for a head", "B", &self.written),
        ] {
            report.note(&format!("{kind}: {figure}"), logs, unit, samples);
        }
    }
}

/// How many groups of changes the witness has made durable.
fn commits(witness: &Witness) -> f64 {
    let text = witness.metrics().text();
    let name = format!("{COMMIT}_count ");
    let count = text.lines().find_map(|line| line.strip_prefix(&name));
    count.unwrap().parse().unwrap()
}
