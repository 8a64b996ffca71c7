//! The disk of a witness: database and anchor, each durable for itself, and what was kept as
//! evidence. A write may fail, or its process crash, before or after it is there.

use std::sync::Arc;

use candor_witness::state::LogState;
use candor_witness::store::durability::{Committed, Disk};
use candor_witness::store::{Agreement, Anchor, Change, Records};

use crate::context::{Context, Fault};

/// What is on the disk.
#[derive(Clone, Debug, Default)]
pub struct Platter {
    /// The database.
    pub records: Records,
    /// The anchor.
    pub anchor: Anchor,
    /// The evidence, as files outside of the database.
    pub evidence: Vec<Vec<u8>>,
    /// A copy of the database.
    pub backup: Option<Records>,
}

impl Platter {
    /// The database as a start reads it: through the encoding of what is kept of a log.
    pub fn load(&self) -> Option<Records> {
        let mut records = self.records.clone();
        for entry in records.entries.values_mut() {
            if let Some(state) = &entry.state {
                let read = LogState::decode(&state.encode()).ok()?;
                entry.state = Some(Arc::new(read));
            }
        }
        Some(records)
    }
}

/// A write failed, or the process crashed at it.
#[derive(Clone, Copy, Debug)]
pub struct Crashed;

/// The disk during one event, with its faults.
pub struct Writing<'a, 'b> {
    /// What is written to.
    pub platter: &'a mut Platter,
    /// Decides on faults.
    pub cx: &'a mut Context<'b>,
}

impl Writing<'_, '_> {
    /// Writes, or not, or writes and fails.
    fn write<T>(&mut self, write: impl FnOnce(&mut Platter) -> T) -> Result<T, Crashed> {
        let fault = self.cx.fault();
        if fault == Fault::NotWritten {
            return Err(Crashed);
        }
        let written = write(self.platter);
        match fault {
            Fault::None => Ok(written),
            _ => Err(Crashed),
        }
    }

    /// Keeps evidence; the same is kept once.
    pub fn keep(&mut self, evidence: &[u8]) -> Result<(), Crashed> {
        self.write(|platter| {
            if !platter.evidence.iter().any(|kept| kept == evidence) {
                platter.evidence.push(evidence.to_vec());
            }
        })
    }
}

impl Disk for Writing<'_, '_> {
    type Error = Crashed;

    fn commit(
        &mut self,
        changes: &[(&str, &Change)],
        anchor: &Anchor,
    ) -> Result<Committed, Crashed> {
        self.write(|platter| platter.records.commit(changes, anchor))
    }

    fn agree(&mut self, agreement: &Agreement) -> Result<(), Crashed> {
        self.write(|platter| agreement.apply_to(&mut platter.records))
    }

    fn write_anchor(&mut self, anchor: &Anchor) -> Result<(), Crashed> {
        self.write(|platter| platter.anchor = anchor.clone())
    }
}
