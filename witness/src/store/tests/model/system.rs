//! The log, its witnesses, and what must hold in every state.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use stateright::{Model, Property};

use super::node::{Flaw, Process, Step, Swap, Witness};
use crate::trees::Head;

/// What is checked, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Witnesses that do what they should.
    pub honest: usize,
    /// Witnesses that cosign whatever they are asked to.
    pub liars: usize,
    /// How many cosignatures make a head count.
    pub quorum: usize,
    pub is_forking: bool,
    pub size_max: u8,
    /// How many witnesses die, all together.
    pub crashes: u8,
    /// How many times files are replaced, all together, and in which ways.
    pub swaps: u8,
    pub ways: &'static [Swap],
    pub flaw: Option<Flaw>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct System {
    /// In an order that depends on nothing but what they are: they are all alike.
    witnesses: Vec<Witness>,
    crashes: u8,
    swaps: u8,
}

type Law = Property<Protocol>;

impl Protocol {
    fn heads(&self) -> Vec<Head> {
        let all = Head::all(self.size_max);
        all.filter(|head| self.is_forking || !head.is_fork())
            .collect()
    }

    fn has_quorum(&self, system: &System, head: Head) -> bool {
        let honest = system
            .witnesses
            .iter()
            .filter(|one| one.released.contains(&head));
        honest.count() + self.liars >= self.quorum
    }
}

impl Model for Protocol {
    type State = System;
    type Action = (usize, Step);

    fn init_states(&self) -> Vec<System> {
        vec![System {
            witnesses: vec![Witness::NEW; self.honest],
            crashes: 0,
            swaps: 0,
        }]
    }

    fn actions(&self, system: &System, actions: &mut Vec<(usize, Step)>) {
        let heads = self.heads();
        for (at, witness) in system.witnesses.iter().enumerate() {
            let mut steps = Vec::new();
            witness.steps(&heads, self.flaw, &mut steps);
            // Copies that are never put back change nothing.
            steps.retain(|step| *step != Step::Backup || self.swaps > 0);
            if witness.process != Process::Down && system.crashes < self.crashes {
                steps.push(Step::Crash);
            }
            if system.swaps < self.swaps {
                let ways = self.ways.iter().filter(|way| witness.allows(**way));
                for (files, is_whole) in ways.flat_map(|way| [(*way, true), (*way, false)]) {
                    steps.push(Step::Swap { files, is_whole });
                }
            }
            actions.extend(steps.into_iter().map(|step| (at, step)));
        }
    }

    fn next_state(&self, system: &System, (at, step): (usize, Step)) -> Option<System> {
        let mut next = system.clone();
        next.witnesses[at].step(step, self.flaw);
        next.crashes += u8::from(step == Step::Crash);
        next.swaps += u8::from(matches!(step, Step::Swap { .. }));
        next.witnesses.sort_by_cached_key(|witness| {
            let mut hasher = DefaultHasher::new();
            witness.hash(&mut hasher);
            hasher.finish()
        });
        Some(next)
    }

    fn properties(&self) -> Vec<Law> {
        let mut properties = vec![
            Law::always(CONSISTENT, |_, system: &System| {
                each(system, |one| {
                    let pairs = one
                        .released
                        .iter()
                        .flat_map(|a| one.released.iter().map(move |b| (a, b)));
                    pairs.into_iter().all(|(a, b)| a.is_consistent_with(*b))
                })
            }),
            Law::always(
                "no smaller tree is cosigned after a larger one",
                |_, system| each(system, |one| !one.went_back),
            ),
            Law::always(SILENT, |_, system| each(system, |one| !one.ignored_alarm)),
            Law::always(
                "no witness waits for its operator without need",
                |this: &Self, system| {
                    each(system, |one| {
                        one.can_go_on(this.size_max) || is_accused(one)
                    })
                },
            ),
        ];
        if self.swaps == 0 {
            properties.push(Law::always(RECORDED, |_, system| {
                each(system, |one| {
                    let known = one.files.known.head;
                    let mut released = one.released.iter();
                    released
                        .all(|head| head.size() <= known.size() && head.is_consistent_with(known))
                })
            }));
        }
        if !self.is_forking {
            properties.push(Law::always("an honest log is not accused", |_, system| {
                each(system, |one| !is_accused(one))
            }));
        }
        properties.push(Law::always(QUORUM, |this: &Self, system| {
            let heads: Vec<Head> = this.heads();
            let counts: Vec<_> = heads
                .iter()
                .filter(|head| this.has_quorum(system, **head))
                .collect();
            counts
                .iter()
                .all(|a| counts.iter().all(|b| a.is_consistent_with(**b)))
        }));
        properties.push(Law::sometimes(WHOLE, |this: &Self, system| {
            let mut largest = this
                .heads()
                .into_iter()
                .filter(|head| head.size() == this.size_max);
            largest.any(|head| this.has_quorum(system, head))
                && system.crashes == this.crashes
                && system.swaps == this.swaps
        }));
        if self.swaps > 0 {
            properties.push(Law::sometimes("a proof ends a quarantine", |_, system| {
                system.witnesses.iter().any(Witness::is_ending_quarantine)
            }));
        }
        if self.is_forking {
            properties.push(Law::sometimes("a fork is noticed", |_, system| {
                system.witnesses.iter().any(is_accused)
            }));
        }
        properties
    }
}

pub const CONSISTENT: &str = "a witness cosigns consistent heads only";
pub const RECORDED: &str = "what was cosigned is recorded";
pub const SILENT: &str = "after an alarm nothing is recorded";
pub const QUORUM: &str = "no two quorums are on inconsistent heads";

/// After every death and every old copy.
const WHOLE: &str = "a quorum cosigns the largest tree all the same";

fn each(system: &System, holds: impl Fn(&Witness) -> bool) -> bool {
    system.witnesses.iter().all(holds)
}

fn is_accused(witness: &Witness) -> bool {
    witness.files.known.is_forked
}
