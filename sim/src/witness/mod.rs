//! An honest witness: what it decides, how it writes and how it starts is the witness's own code.

mod disk;
mod gossip;
pub mod liar;
mod slander;

use std::time::Duration;

use candor_core::note::{AddCheckpoint, Checkpoint, Evidence, LogVerifier, SignatureLine};
use candor_witness::cosigner::Cosigner;
use candor_witness::decision::{Recorded, Refusal, Submission, admit, read_checkpoint};
use candor_witness::evidence::Contradiction;
use candor_witness::state::next_timestamp_s;
use candor_witness::store::durability;
use candor_witness::store::{Agreement, Anchor, AnchorKept, Change, Records};
use candor_witness::witness::AddError;

use disk::{Crashed, Platter, Writing};
use gossip::Peers;

use crate::context::Context;
use crate::keys::{ORIGIN, log_verifier, witness_signer};
use crate::message::{Answer, Message, Node, Tag};
use crate::mutation::Mutation;
use crate::world::{Actor, OPERATORS_AT_MS};

/// An honest witness.
pub struct Witness {
    number: usize,
    cosigner: Cosigner,
    verifier: LogVerifier,
    platter: Platter,
    process: Option<Process>,
    /// Whether the operator gave this witness up: something newer than it remembers exists.
    is_retired: bool,
}

/// What a running witness has in memory.
struct Process {
    records: Records,
    anchor: Anchor,
    peers: Peers,
}

/// Why there is no answer, or a bad one.
enum Failure {
    Refused(AddError),
    Crashed,
}

impl From<Crashed> for Failure {
    fn from(_: Crashed) -> Self {
        Self::Crashed
    }
}

impl Failure {
    /// A refusal that nobody waits for changes nothing.
    fn unless_crashed(self) -> Result<(), Crashed> {
        match self {
            Self::Refused(_) => Ok(()),
            Self::Crashed => Err(Crashed),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl Witness {
    /// A new witness, which does not run yet.
    pub fn new(number: usize) -> Self {
        let keys = vec![Box::new(witness_signer(number)) as Box<_>];
        Self {
            number,
            cosigner: Cosigner::new(keys, Vec::new()).expect("there are no keys to be shared"),
            verifier: log_verifier(),
            platter: Platter::default(),
            process: None,
            is_retired: false,
        }
    }

    /// What it cosigned last, as its database has it.
    pub fn recorded(&self) -> Recorded {
        self.platter.records.entry(ORIGIN).recorded()
    }

    /// Whether it holds that the log forked.
    pub fn has_alarm(&self) -> bool {
        self.platter.records.entry(ORIGIN).fork.is_some()
    }

    /// The evidence that it keeps.
    pub fn evidence(&self) -> impl Iterator<Item = &[u8]> {
        self.platter.evidence.iter().map(Vec::as_slice)
    }

    /// Whether it was given up.
    pub const fn is_retired(&self) -> bool {
        self.is_retired
    }
}

impl Actor for Witness {
    /// A witness that does not run starts.
    fn tick(&mut self, cx: &mut Context<'_>) {
        if self.process.is_none() && self.start(cx).is_err() {
            cx.log(format_args!("witness {} crashes at its start", self.number));
            cx.coverage.crashes += 1;
        }
        if self.process.is_some() && cx.rng.u32(0..10) == 0 {
            self.platter.backup = Some(self.platter.records.clone());
        }
        self.operate(cx);
        if self.gossip(cx).is_err() {
            self.fail(cx);
        }
    }

    fn receive(&mut self, from: Node, message: Message, cx: &mut Context<'_>) {
        if self.process.is_none() {
            return;
        }
        let done = match message {
            Message::AddCheckpoint(tag, body) => self.respond(from, tag, &body, cx),
            Message::Ask(number, body) => {
                self.answer(from, number, &body, cx);
                Ok(())
            }
            Message::Told(number, body) => self.told(from, number, &body, cx),
            Message::Proof(question, beginning) => self.proved(&question, beginning, cx),
            _ => Ok(()),
        };
        if done.is_err() {
            self.fail(cx);
        }
    }

    fn crash(&mut self) {
        self.process = None;
    }

    /// The database is replaced by an older copy: the anchor stays, or the operator says that it is
    /// as old, or that it is not.
    fn roll_back(&mut self, cx: &mut Context<'_>) {
        self.process = None;
        let Some(backup) = self.platter.backup.clone() else {
            return;
        };
        cx.coverage.rollbacks += 1;
        let what = cx.rng.u32(0..4);
        cx.log(format_args!(
            "witness {} is rolled back, case {what}",
            self.number
        ));
        let old_anchor = backup.anchor();
        self.platter.records = backup;
        let kept = match what {
            // Nobody says anything: database and anchor tell.
            0 | 1 => return,
            2 => AnchorKept::Yes,
            _ => {
                self.platter.anchor = old_anchor;
                AnchorKept::Unknown
            }
        };
        let (records, anchor) = (&self.platter.records, &self.platter.anchor);
        let (agreement, _) = Agreement::at_restore(records, Some(anchor), kept);
        // The command says so if it fails, and is run again until it does not.
        agreement.apply_to(&mut self.platter.records);
        self.platter.anchor = agreement.anchor;
    }
}

impl Witness {
    /// The process ends at a write.
    fn fail(&mut self, cx: &mut Context<'_>) {
        cx.log(format_args!("witness {} crashes at a write", self.number));
        cx.coverage.crashes += 1;
        self.process = None;
    }

    fn respond(
        &mut self,
        from: Node,
        tag: Tag,
        body: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), Crashed> {
        let answer = match self.add_checkpoint(body, cx) {
            Ok(lines) => Answer::Cosigned(lines),
            Err(Failure::Refused(AddError::Refused(Refusal::Conflict { size }))) => {
                cx.coverage.conflicts += 1;
                Answer::Conflict(size)
            }
            Err(Failure::Refused(error)) => {
                cx.coverage.conflicts += 1;
                Answer::Refused(error.to_string())
            }
            Err(Failure::Crashed) => return Err(Crashed),
        };
        cx.send(from, Message::Answer(tag, answer));
        Ok(())
    }

    fn start(&mut self, cx: &mut Context<'_>) -> Result<(), Crashed> {
        let known = self.platter.load().ok_or(Crashed)?;
        let mut anchor = self.platter.anchor.clone();
        let agreement = Agreement::at_start(&known, &anchor);
        if cx.is_broken(Mutation::ForgetsAnchor) {
            anchor = known.anchor();
        } else if let Some(agreement) = agreement {
            let platter = &mut self.platter;
            durability::agree(&mut Writing { platter, cx }, &agreement)?;
            anchor = agreement.anchor;
        }
        let records = self.platter.load().ok_or(Crashed)?;
        let entry = records.entry(ORIGIN);
        if entry.quarantine.is_some() {
            cx.coverage.quarantines += 1;
        }
        let has_source = cx.scenario.has_tiles;
        let peers = Peers::remind(&self.platter, entry, &self.verifier, has_source);
        let size = entry.recorded().size;
        cx.log(format_args!("witness {} starts at {size}", self.number));
        self.process = Some(Process {
            records,
            anchor,
            peers,
        });
        Ok(())
    }

    /// The operator looks after a quarantine that only the operator can end, or that lasts: the
    /// newest cosignature of this witness that the world holds decides.
    fn operate(&mut self, cx: &mut Context<'_>) {
        let entry = self.platter.records.entry(ORIGIN);
        let Some(quarantine) = entry.quarantine else {
            return;
        };
        let may_end_itself = quarantine.floor.is_some() && cx.now_ms < OPERATORS_AT_MS;
        if may_end_itself || self.is_retired || self.process.is_none() {
            return;
        }
        let recorded = entry.recorded();
        let newest = cx.observer.newest(self.number);
        if newest.is_some_and(|newest| newest != (recorded.size, recorded.root)) {
            self.is_retired = true;
            cx.log(format_args!("witness {} is given up", self.number));
            return;
        }
        self.process = None;
        let records = &self.platter.records;
        let agreement = Agreement::at_release(records, &self.platter.anchor, ORIGIN);
        let platter = &mut self.platter;
        let _crashed = durability::agree(&mut Writing { platter, cx }, &agreement);
        cx.log(format_args!("witness {} is released", self.number));
    }

    /// As `candor_witness::witness` has it, without maps and allowances.
    fn add_checkpoint(
        &mut self,
        body: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Vec<SignatureLine>, Failure> {
        let request = AddCheckpoint::parse(body).map_err(Refusal::from)?;
        let submission = match admit(request.clone(), &self.verifier) {
            Err(refusal) if cx.is_broken(Mutation::SkipsSignatures) => {
                self.believe(&read_checkpoint(&request.note)?, cx)?;
                return Err(refusal.into());
            }
            admitted => admitted?,
        };
        let process = self.process.as_ref().ok_or(Crashed)?;
        let entry = process.records.entry(ORIGIN).clone();
        let judged = entry.judge(&submission);
        if let Some(found) = judged.found {
            self.suspect(&submission, &found, cx)?;
        }
        let process = self.process.as_mut().ok_or(Crashed)?;
        let actions = process.peers.machine.submitted(submission.checkpoint());
        self.stop_convicted(actions, cx)?;
        if !cx.is_broken(Mutation::SkipsConsistency) {
            judged.answer.map_err(Failure::Refused)?;
        }
        let checkpoint = submission.checkpoint().checkpoint();
        let is_growth = checkpoint.size() > entry.recorded().size;
        let next = Recorded::of(checkpoint);
        let may_grow = self.may_grow(Duration::from_millis(cx.now_ms), &next);
        if is_growth && !may_grow && !cx.is_broken(Mutation::GrowsUnreconciled) {
            cx.coverage.held_back += 1;
            return Err(Failure::Refused(AddError::Unreconciled));
        }
        let timestamp_s = next_timestamp_s(cx.clock_s(), entry.state.as_deref());
        if let Some(state) = entry.repeated_by(&submission)
            && state.timestamp_s() == timestamp_s
        {
            return Ok(self.release(checkpoint, state.cosignatures(), cx));
        }
        let lines = self.cosigner.cosign(checkpoint, false, timestamp_s);
        let lines = lines.map_err(|_| Crashed)?;
        let change = entry.advance(&submission, timestamp_s, lines.clone());
        if cx.is_broken(Mutation::AnswersBeforeWriting) {
            self.release(checkpoint, &lines, cx);
        }
        self.apply(&change, cx)?;
        let process = self.process.as_mut().ok_or(Crashed)?;
        let actions = process.peers.machine.cosigned(submission.checkpoint());
        self.stop_convicted(actions, cx)?;
        Ok(self.release(checkpoint, &lines, cx))
    }

    /// Writes, then changes the memory: what the witness's writer does with a group of one.
    fn apply(&mut self, change: &Change, cx: &mut Context<'_>) -> Result<(), Failure> {
        let process = self.process.as_mut().ok_or(Crashed)?;
        let platter = &mut self.platter;
        let mut disk = Writing { platter, cx };
        let group = [(ORIGIN, change)];
        let committed = durability::commit(&mut disk, &mut process.anchor, &group, || true)?;
        for result in committed.ok_or(Crashed)? {
            let made = result.and_then(|()| process.records.apply(ORIGIN, change));
            made.map_err(|error| Failure::Refused(error.into()))?;
        }
        Ok(())
    }

    /// Lets cosignatures out, under the eyes of the observer.
    fn release(
        &self,
        checkpoint: &Checkpoint,
        lines: &[SignatureLine],
        cx: &mut Context<'_>,
    ) -> Vec<SignatureLine> {
        let head = (checkpoint.size(), *checkpoint.root());
        let of = |recorded: Recorded| Some((recorded.size, recorded.root));
        let written = [
            of(self.recorded()),
            of(self.platter.anchor.recorded(ORIGIN)),
        ];
        cx.observer.cosigned(self.number, head, written);
        cx.coverage.cosigned += 1;
        lines.to_vec()
    }

    /// Keeps what contradicts the record, and raises the alarm.
    fn suspect(
        &mut self,
        submission: &Submission,
        found: &Contradiction,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        if let Contradiction::Fork(recorded) = found {
            let received = submission.checkpoint().to_note();
            if let Ok(evidence) = Evidence::new(&self.verifier, recorded, &received) {
                let process = self.process.as_mut().ok_or(Crashed)?;
                process.peers.machine.forked(ORIGIN, evidence.clone());
                return self.convict(&evidence, cx);
            }
        }
        if let Some(alarm) = found.alarm(submission) {
            self.apply(&alarm, cx)?;
            cx.observer.met(self.number);
        }
        Ok(())
    }
}
