//! What a caller is told who asks for more than there is.

use std::time::Duration;

use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};

/// Where a caller finds how many milliseconds to wait before it tries again: gRPC's own name for
/// it (gRFC A6), which libraries with a policy of retries heed by themselves.
pub const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// What there was too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Calls of one client, by what they cost.
    Lookups,
    /// Answers to one client that a label does not exist.
    Absent,
    /// Lookups of one label by one client.
    Repeats,
    /// Updates of one registrar.
    Updates,
    /// Updates of one label.
    AccountUpdates,
    /// Streams of one client, or of all.
    Streams,
    /// Reads of the store, whoever asks.
    Reads,
}

impl Limit {
    /// The value of the label `limit` in metrics, and the word for it in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lookups => "lookups",
            Self::Absent => "absent",
            Self::Repeats => "repeats",
            Self::Updates => "updates",
            Self::AccountUpdates => "account-updates",
            Self::Streams => "streams",
            Self::Reads => "reads",
        }
    }
}

/// A refusal. It says nothing about what was asked for: nobody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// What there was too much of.
    pub limit: Limit,
    /// When there is enough again, if nobody else takes it.
    pub wait: Duration,
}

impl Limited {
    /// How long to wait, in whole milliseconds, at least 1.
    pub fn wait_ms(&self) -> u64 {
        let ms = self.wait.as_nanos().div_ceil(1_000_000).max(1);
        // What libraries read is a signed number of 32 bits.
        u64::try_from(ms).unwrap_or(u64::MAX).min(i32::MAX as u64)
    }
}

impl From<Limited> for Status {
    fn from(limited: Limited) -> Self {
        let (limit, wait_ms) = (limited.limit.name(), limited.wait_ms());
        let mut status = Self::resource_exhausted(format!(
            "more than the limit of {limit}; try again in {wait_ms} ms"
        ));
        let wait = MetadataValue::<Ascii>::from(wait_ms);
        status.metadata_mut().insert(RETRY_PUSHBACK, wait);
        status
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_how_long_to_wait_rounded_up() {
        for (wait, ms) in [
            (Duration::ZERO, "1"),
            (Duration::from_nanos(1), "1"),
            (Duration::from_micros(1_001), "2"),
            (Duration::from_secs(60), "60000"),
            (Duration::MAX, "2147483647"),
        ] {
            let limit = Limit::Absent;
            let status = Status::from(Limited { limit, wait });
            assert_eq!(status.code(), tonic::Code::ResourceExhausted);
            assert_eq!(status.metadata().get(RETRY_PUSHBACK).unwrap(), ms);
        }
    }
}
