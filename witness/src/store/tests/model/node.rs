//! One honest witness as steps, between any two of which it can die: what is on its disks, what is
//! in its memory, and what has left it.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::agreement::{agree, is_stricter, larger_of_each};
use crate::store::anchor::Anchor;
use crate::store::quarantine::{self, AnchorKept, Doubt, Quarantine};
use crate::store::records::largest;
use crate::store::{Entry, Recorded};
use crate::trees::{Head, ORIGIN, SIZE_MAX};

/// What the witness knows of the log: the database's rows, and their copy in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Known {
    pub head: Head,
    pub quarantine: Option<Quarantine>,
    pub is_forked: bool,
}

impl Known {
    fn entry(&self) -> Entry {
        Entry {
            state: self.head.state(),
            fork: self.is_forked.then(String::new),
            map_alarm: None,
            quarantine: self.quarantine,
        }
    }

    fn accepts(&self, old: u8, head: Head) -> bool {
        !self.is_forked && self.entry().decide(head.submission(old)).is_ok()
    }

    fn put_stricter(&mut self, found: &BTreeMap<String, Quarantine>) {
        let found = found
            .get(ORIGIN)
            .filter(|found| is_stricter(found, self.quarantine.as_ref()));
        self.quarantine = found.copied().or(self.quarantine);
    }
}

/// What is in one of the files: a row, or a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    pub head: Head,
    generation: u64,
}

impl Line {
    fn of(anchor: &Anchor) -> Self {
        Self {
            head: Head::of(&anchor.recorded(ORIGIN)),
            generation: anchor.generation,
        }
    }

    fn anchor(self) -> Anchor {
        let recorded = Some(self.head.recorded()).filter(|known| *known != Recorded::NOTHING);
        Anchor {
            generation: self.generation,
            logs: recorded
                .map(|known| (ORIGIN.to_owned(), known))
                .into_iter()
                .collect(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Files {
    pub known: Known,
    generation: u64,
    pub anchor: Line,
}

impl Files {
    const NEW: Self = Self {
        known: Known {
            head: Head::NOTHING,
            quarantine: None,
            is_forked: false,
        },
        generation: 0,
        anchor: Line {
            head: Head::NOTHING,
            generation: 0,
        },
    };

    /// What the database would have the anchor say.
    fn database(&self, flaw: Option<Flaw>) -> Anchor {
        let mut entry = self.known.entry();
        if flaw == Some(Flaw::FloorForgotten) {
            entry.quarantine = None;
        }
        let line = Line {
            head: Head::of(&largest(&entry).unwrap_or(Recorded::NOTHING)),
            generation: self.generation,
        };
        line.anchor()
    }

    /// The command `restore`, which may die before it writes the anchor.
    fn restore(&mut self, kept: AnchorKept, is_whole: bool, flaw: Option<Flaw>) {
        let (database, anchor) = (self.database(flaw), self.anchor.anchor());
        let (found, is_blind) = quarantine::restored(&database, Some(&anchor), kept);
        self.known.put_stricter(&found);
        if is_blind && database.logs.is_empty() && self.known.quarantine.is_none() {
            self.known.quarantine = Some(Quarantine {
                doubt: Doubt::Restored,
                floor: None,
            });
        }
        let mut agreed = larger_of_each(&database, &anchor);
        agreed.generation += 1;
        self.generation = agreed.generation;
        if is_whole {
            self.anchor = Line::of(&agreed);
        }
    }
}

/// A decision, until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Advance {
    next: Head,
    /// What was known when the decision was made.
    expected: Known,
}

/// How far the request has come that has the log's turn. The store writes one change at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    Free,
    Decided(Advance),
    Committed(Advance),
    Anchored(Advance),
    Published(Advance),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alarm {
    None,
    Raised,
    Committed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Process {
    Down,
    /// The database knows what follows from both files; the anchor will be this.
    Starting(Line),
    Up {
        memory: Known,
        turn: Turn,
        alarm: Alarm,
    },
}

/// Which files the operator replaces by the copies, and what is said of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Swap {
    Database,
    Anchor,
    /// And `restore` is told that the anchor was kept.
    DatabaseMarked,
    /// And `restore` is told that it was not.
    BothMarked,
    /// And nothing is said, against what the manual asks for.
    Both,
}

/// A mistake that the check has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    AnswersBeforeRecording,
    AnchorIgnored,
    AlarmIgnored,
    FloorForgotten,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Decide { old: u8, next: Head },
    Commit,
    Anchor,
    Publish,
    Answer,
    Repeat,
    Contradict(Head),
    CommitAlarm,
    PublishAlarm,
    Crash,
    Start,
    FinishStart,
    Backup,
    Swap { files: Swap, is_whole: bool },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Witness {
    pub files: Files,
    pub process: Process,
    copies: Option<Files>,
    /// What this witness cosigned, as far as anybody can know.
    pub released: BTreeSet<Head>,
    /// A smaller tree was cosigned after a larger one.
    pub went_back: bool,
    /// Something was recorded although the log had contradicted itself.
    pub ignored_alarm: bool,
    /// A file was replaced, and no start since has come to its end. Who then replaces the other one
    /// replaces both.
    pub is_replaced: bool,
    /// Only the database knows that the operator alone ends the quarantine; a copy that does not
    /// know it, put back without the same command, is beyond the witness.
    pub is_marked: bool,
}

impl Witness {
    pub const NEW: Self = Self {
        files: Files::NEW,
        process: Process::Down,
        copies: None,
        released: BTreeSet::new(),
        went_back: false,
        ignored_alarm: false,
        is_replaced: false,
        is_marked: false,
    };

    /// Whether it can cosign something next without the help of its operator.
    pub fn can_go_on(&self, size_max: u8) -> bool {
        let Process::Up {
            memory,
            turn: Turn::Free,
            alarm: Alarm::None,
        } = self.process
        else {
            return true;
        };
        let is_operators = memory.quarantine.is_some_and(|found| found.floor.is_none());
        is_operators || submissions(size_max).any(|(old, next)| memory.accepts(old, next))
    }

    pub fn is_ending_quarantine(&self) -> bool {
        let Process::Up {
            turn: Turn::Committed(advance),
            ..
        } = self.process
        else {
            return false;
        };
        advance.expected.quarantine.is_some()
    }

    /// The steps that change something; `heads` are those that the log signs.
    pub fn steps(&self, heads: &[Head], flaw: Option<Flaw>, steps: &mut Vec<Step>) {
        if self.copies.is_none() {
            steps.push(Step::Backup);
        }
        let (memory, turn, alarm) = match self.process {
            Process::Down => return steps.push(Step::Start),
            Process::Starting(_) => return steps.push(Step::FinishStart),
            Process::Up {
                memory,
                turn,
                alarm,
            } => (memory, turn, alarm),
        };
        let is_writing = matches!(turn, Turn::Committed(_) | Turn::Anchored(_));
        match turn {
            Turn::Free => {
                let signed = submissions(SIZE_MAX).filter(|(_, next)| heads.contains(next));
                let accepted = signed.filter(|(old, next)| memory.accepts(*old, *next));
                steps.extend(accepted.map(|(old, next)| Step::Decide { old, next }));
                let is_known = memory.head != Head::NOTHING && memory.quarantine.is_none();
                if is_known && !memory.is_forked && !self.released.contains(&memory.head) {
                    steps.push(Step::Repeat);
                }
            }
            Turn::Decided(_) if flaw == Some(Flaw::AnswersBeforeRecording) => {
                steps.extend([Step::Answer, Step::Commit]);
            }
            Turn::Decided(_) if alarm != Alarm::Committed => steps.push(Step::Commit),
            Turn::Decided(_) => {}
            Turn::Committed(_) => steps.push(Step::Anchor),
            Turn::Anchored(_) => steps.push(Step::Publish),
            Turn::Published(_) => steps.push(Step::Answer),
        }
        match alarm {
            Alarm::None if !memory.is_forked => {
                let contradicts = |head: &&Head| {
                    let submission = head.submission(0);
                    memory.head.state().is_some() && submission.contradicts(&memory.head.recorded())
                };
                steps.extend(
                    heads
                        .iter()
                        .filter(contradicts)
                        .copied()
                        .map(Step::Contradict),
                );
            }
            Alarm::Raised if !is_writing => steps.push(Step::CommitAlarm),
            Alarm::Committed => steps.push(Step::PublishAlarm),
            Alarm::None | Alarm::Raised => {}
        }
    }

    /// Whether the manual lets the operator do that now.
    pub fn allows(&self, swap: Swap) -> bool {
        let is_stopped = self.process == Process::Down && !self.is_replaced;
        is_stopped && (!self.is_marked || matches!(swap, Swap::Anchor | Swap::BothMarked))
    }

    pub fn step(&mut self, step: Step, flaw: Option<Flaw>) {
        match step {
            Step::Backup => self.copies = Some(self.files),
            Step::Crash => self.process = Process::Down,
            Step::Start => self.start(flaw),
            Step::FinishStart => {
                if let Process::Starting(anchor) = self.process {
                    self.files.anchor = anchor;
                    self.serve();
                }
            }
            Step::Swap { files, is_whole } => self.swap(files, is_whole, flaw),
            _ => self.serve_step(step, flaw),
        }
    }

    fn start(&mut self, flaw: Option<Flaw>) {
        let database = self.files.database(flaw);
        if flaw == Some(Flaw::AnchorIgnored) {
            self.files.anchor = Line::of(&database);
        }
        match agree(&database, &self.files.anchor.anchor()) {
            None => self.serve(),
            Some((quarantines, anchor)) => {
                self.files.known.put_stricter(&quarantines);
                self.files.generation = anchor.generation;
                self.process = Process::Starting(Line::of(&anchor));
            }
        }
    }

    fn serve(&mut self) {
        self.is_replaced = false;
        self.process = Process::Up {
            memory: self.files.known,
            turn: Turn::Free,
            alarm: Alarm::None,
        };
    }

    fn swap(&mut self, swap: Swap, is_whole: bool, flaw: Option<Flaw>) {
        let Some(copies) = self.copies else { return };
        self.is_replaced = true;
        self.is_marked |= swap == Swap::BothMarked;
        if swap != Swap::Anchor {
            self.files.known = copies.known;
            self.files.generation = copies.generation;
        }
        if matches!(swap, Swap::Anchor | Swap::Both | Swap::BothMarked) {
            self.files.anchor = copies.anchor;
        }
        match swap {
            Swap::DatabaseMarked => self.files.restore(AnchorKept::Yes, is_whole, flaw),
            Swap::BothMarked => self.files.restore(AnchorKept::Unknown, is_whole, flaw),
            Swap::Database | Swap::Anchor | Swap::Both => {}
        }
    }

    fn serve_step(&mut self, step: Step, flaw: Option<Flaw>) {
        let Process::Up {
            mut memory,
            mut turn,
            mut alarm,
        } = self.process
        else {
            return;
        };
        match (step, turn) {
            (Step::Decide { next, .. }, _) => {
                let expected = memory;
                turn = Turn::Decided(Advance { next, expected });
            }
            (Step::Commit, Turn::Decided(advance)) => turn = self.commit(advance, flaw),
            (Step::Anchor, Turn::Committed(advance)) => {
                self.files.anchor.head = advance.next;
                self.files.anchor.generation = self.files.generation;
                turn = Turn::Anchored(advance);
            }
            (Step::Publish, Turn::Anchored(advance)) => {
                memory.head = advance.next;
                memory.quarantine = None;
                turn = Turn::Published(advance);
            }
            (Step::Answer, Turn::Decided(advance)) => self.release(advance.next),
            (Step::Answer, Turn::Published(advance)) => {
                self.release(advance.next);
                turn = Turn::Free;
            }
            (Step::Repeat, _) => self.release(memory.head),
            (Step::Contradict(_), _) => alarm = Alarm::Raised,
            (Step::CommitAlarm, _) => {
                self.files.known.is_forked = true;
                alarm = Alarm::Committed;
            }
            (Step::PublishAlarm, _) => {
                memory.is_forked = true;
                alarm = Alarm::None;
            }
            _ => {}
        }
        self.process = Process::Up {
            memory,
            turn,
            alarm,
        };
    }

    /// As `tables::write` and `Writer::commit` do.
    fn commit(&mut self, advance: Advance, flaw: Option<Flaw>) -> Turn {
        let known = &mut self.files.known;
        let looks = flaw != Some(Flaw::AlarmIgnored);
        let expected = advance.expected;
        let is_stale = known.head != expected.head || known.quarantine != expected.quarantine;
        if is_stale || (looks && known.is_forked) {
            return Turn::Free;
        }
        self.ignored_alarm |= known.is_forked;
        known.head = advance.next;
        known.quarantine = None;
        if self.files.anchor.head != advance.next {
            self.files.generation = self.files.anchor.generation + 1;
        }
        Turn::Committed(advance)
    }

    fn release(&mut self, head: Head) {
        self.went_back |= self
            .released
            .iter()
            .any(|earlier| earlier.size() > head.size());
        self.released.insert(head);
    }
}

fn submissions(size_max: u8) -> impl Iterator<Item = (u8, Head)> {
    Head::all(size_max).flat_map(|next| (0..=next.size()).map(move |old| (old, next)))
}
