//! What is called, and how often.

use std::str::FromStr;

use fastrand::Rng;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// One label's greatest version.
    Lookup,
    /// Several labels at once.
    Batch,
    /// An owner's look at the history of an account.
    Monitor,
    /// A new version of an account; it ends when the version is visible.
    Update,
}

impl Operation {
    /// Every operation, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Lookup, Self::Batch, Self::Monitor, Self::Update];

    /// The name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Batch => "batch",
            Self::Monitor => "monitor",
            Self::Update => "update",
        }
    }
}

/// Shares of the operations, as weights; their sum is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix([u32; 4]);

impl Mix {
    /// Lookups alone.
    pub const LOOKUPS: Self = Self([1, 0, 0, 0]);

    /// Draws an operation.
    pub fn draw(&self, rng: &mut Rng) -> Operation {
        let sum: u64 = self.0.iter().map(|weight| u64::from(*weight)).sum();
        let mut at = rng.u64(0..sum);
        for (operation, weight) in Operation::ALL.into_iter().zip(self.0) {
            let weight = u64::from(weight);
            if at < weight {
                return operation;
            }
            at -= weight;
        }
        Operation::Lookup
    }
}

impl FromStr for Mix {
    type Err = &'static str;

    /// Reads `lookup=90,update=10`; what is not named is not called.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected lookup, batch, monitor and update with weights, as lookup=90";
        let mut weights = [0; 4];
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or(expected)?;
            let at = Operation::ALL.iter().position(|it| it.name() == name);
            weights[at.ok_or(expected)?] = weight.parse().map_err(|_| expected)?;
        }
        match weights.iter().any(|weight| *weight > 0) {
            true => Ok(Self(weights)),
            false => Err("at least one operation needs a weight above 0"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_drawn_by_their_weights() {
        let mix: Mix = "lookup=7,update=3".parse().unwrap();
        let mut rng = Rng::with_seed(1);
        let mut counts = [0; 4];
        for _ in 0..10_000 {
            counts[mix.draw(&mut rng) as usize] += 1;
        }
        assert_eq!((counts[1], counts[2]), (0, 0));
        assert!((6_700..7_300).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn only_a_mix_that_calls_something_is_read() {
        for wrong in ["", "lookup", "lookup=0", "look=1", "lookup=-1", "lookup=1,"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
        assert_eq!("lookup=1".parse(), Ok(Mix::LOOKUPS));
    }
}
