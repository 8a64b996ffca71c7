//! The parts of the `candor` command that other programs of this project use too.

pub mod load;
pub mod openpgp;
