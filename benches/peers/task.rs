//! What is asked of a side, and the process in which it does it. Each side has a process of its
//! own, so that memory and threads of one do not show in the other's figures; the tasks are given
//! to one side after the other, so that what disturbs the machine disturbs both.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};

/// Threads that a side may keep busy.
pub const THREADS: usize = 2;

/// What a side measures in one task: quantity to number. Times are in seconds, sizes in bytes.
pub type Figures = BTreeMap<String, f64>;

/// One step of the comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Task {
    /// Insert version 0 of accounts `0..accounts`, in epochs of `batch`. Answers `seconds`, and
    /// what the side then has of `memory`, where all of the map is in memory, and of `disk`,
    /// without values.
    Load { accounts: u64, batch: u64 },
    /// Epochs, one after the other, each adding a version to each of its accounts, which may be
    /// new. Answers `seconds`, and `processor` for the time of all threads.
    Publish {
        batches: Vec<Vec<u64>>,
        epoch: u64,
        keys: Keys,
    },
    /// Prove the latest version of each of these accounts and verify the proofs. Answers the means
    /// `made` and `verified`, of time on the processor, and `bytes`, without the value.
    Lookup { accounts: Vec<u64>, version: u32 },
    /// Prove and verify the last epoch for an auditor. Answers `bytes` and `verified`.
    Audit,
}

/// When search keys of an epoch are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keys {
    /// In the time that is measured, with the proofs that a side makes when it is idle.
    Proved,
    /// In the time that is measured.
    Inside,
    /// Before it, where a side can do so.
    Ready,
}

/// One side of the comparison.
pub trait Side {
    /// Does a task.
    fn run(&mut self, task: &Task) -> Figures;
}

/// Does the tasks that come on standard input, until it ends.
pub fn serve(side: &mut dyn Side) {
    for line in std::io::stdin().lock().lines() {
        let task: Task = serde_json::from_str(&line.unwrap()).unwrap();
        println!("{}", serde_json::to_string(&side.run(&task)).unwrap());
    }
}

/// A side in another process.
pub struct Remote {
    child: Child,
    tasks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Remote {
    /// Starts this program again as the side of this name.
    pub fn start(name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--side", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let tasks = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            tasks,
            answers,
        }
    }
}

impl Side for Remote {
    fn run(&mut self, task: &Task) -> Figures {
        let tasks = self.tasks.as_mut().unwrap();
        writeln!(tasks, "{}", serde_json::to_string(task).unwrap()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).expect("the side failed; its message is above")
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        drop(self.tasks.take());
        let _ended = self.child.wait();
    }
}

/// Names the numbers of a task.
pub fn figures<const N: usize>(named: [(&str, f64); N]) -> Figures {
    named.map(|(name, number)| (name.to_owned(), number)).into()
}
