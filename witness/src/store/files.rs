//! The database and the anchor as files.

use std::sync::Arc;

use redb::Database;

use super::agreement::Agreement;
use super::anchor::{Anchor, AnchorFile};
use super::durability::{Committed, Disk, made};
use super::{Change, StoreError, tables};

pub struct Files {
    pub database: Arc<Database>,
    pub anchor: AnchorFile,
}

impl Disk for Files {
    type Error = StoreError;

    fn commit(
        &mut self,
        changes: &[(&str, &Change)],
        anchor: &Anchor,
    ) -> Result<Committed, StoreError> {
        let transaction = tables::begin(&self.database)?;
        let results = changes
            .iter()
            .map(|(origin, change)| tables::write(&transaction, origin, change))
            .collect::<Result<Vec<_>, _>>()?;
        let next = anchor.after(made(changes, &results));
        if let Some(next) = &next {
            tables::set_generation(&transaction, next.generation)?;
        }
        transaction.commit()?;
        Ok(Committed {
            results,
            anchor: next,
        })
    }

    fn agree(&mut self, agreement: &Agreement) -> Result<(), StoreError> {
        let transaction = tables::begin(&self.database)?;
        for (origin, row) in &agreement.rows {
            tables::put_row(&transaction, origin, *row)?;
        }
        if agreement.is_blind {
            tables::set_blind(&transaction)?;
        }
        tables::set_generation(&transaction, agreement.anchor.generation)?;
        Ok(transaction.commit()?)
    }

    fn write_anchor(&mut self, anchor: &Anchor) -> Result<(), StoreError> {
        Ok(self.anchor.write(anchor)?)
    }
}
