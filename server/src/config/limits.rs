//! The table `[limits]`: how much callers get.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::limits::Prefix;

/// How much callers get. The defaults are for a log of some million accounts that phones ask
/// directly.
///
/// What they are reckoned from: a phone looks at its own account and at about twenty others a day.
/// An IPv4 address may stand for 4,000 phones of a mobile carrier (some sixteen ports each), which
/// is one lookup a second on average and five in the evening. An IPv6 client is a /64.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Lookups of one address, on average, a second. A label costs one, and one more for each
    /// eight versions of its history that are opened; a call for a head or a proof costs one. Ten
    /// times what 4,000 phones need in the evening. Networks around an address get more: 16 times
    /// (/24, /48) and 256 times (/16, /32).
    pub lookups_per_second: u32,
    /// Lookups that an address can save up. Every second one of 4,000 phones may wake at once.
    pub lookups_burst: u32,
    /// Lookups of one address, on average, a minute, whose answer is that there is no such label.
    /// Devices ask for people who exist; one in a hundred lookups of 4,000 phones would be three a
    /// minute. Who goes through ten billion telephone numbers needs 300 years with one address.
    /// When it is used up, all lookups of the client wait, or waiting itself would tell.
    pub absent_per_minute: u32,
    /// Answers of that kind that can be saved up: ten minutes of them.
    pub absent_burst: u32,
    /// Lookups of one label by one client, a minute, and at most so many at once. Phones behind
    /// one address may know the same person. There is no limit over all clients: it would let
    /// anybody make an account unreachable.
    pub repeats_per_minute: u32,
    /// How many times as much as an address a client with a credential gets.
    pub named_factor: u32,
    /// Addresses without limits by client, of IPv6 at most 64 bits: programs on this machine, and
    /// proxies, which must limit their clients themselves. The limits on what all callers together
    /// do hold for them too.
    #[schemars(with = "Vec<String>")]
    pub unlimited: Vec<Prefix>,
    /// Updates of one registrar, a second, and at most so many at once. The default is more than a
    /// server sequences, so that a lone registrar meets the queue first; of several, each should
    /// have what it needs.
    pub updates_per_second: u32,
    /// Updates of one label by one registrar, an hour, and at most so many at once. People change
    /// devices some times a year; a thousand is a program that loops.
    pub account_updates_per_hour: u32,
    /// Connections for gRPC at a time. One takes some 50 KiB.
    pub connections: usize,
    /// Connections of one address at a time: a quarter of 4,000 phones.
    pub connections_per_address: usize,
    /// Calls of one connection at a time.
    pub streams_per_connection: u32,
    /// Streams of heads and of epochs that are open at a time, over all clients.
    pub streams: usize,
    /// The same of one client.
    pub streams_per_client: usize,
    /// Reads of the store at a time. An eighth as many, besides, for histories, labels that are
    /// computed, and audit feeds, each.
    pub reads: usize,
    /// How long a read may wait for its turn, in milliseconds, before the call is refused.
    pub read_patience_ms: u64,
    /// Least time in milliseconds until a lookup is answered, for each eight labels, so that time
    /// does not tell whether something had to be computed; 0 is none.
    pub answer_floor_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::/64"];
        Self {
            lookups_per_second: 50,
            lookups_burst: 2_000,
            absent_per_minute: 60,
            absent_burst: 600,
            repeats_per_minute: 600,
            named_factor: 16,
            unlimited: loopback.iter().flat_map(|text| text.parse()).collect(),
            updates_per_second: 50_000,
            account_updates_per_hour: 1_000,
            connections: 16_384,
            connections_per_address: 1_024,
            streams_per_connection: 256,
            streams: 16_384,
            streams_per_client: 1_024,
            reads: 64,
            read_patience_ms: 250,
            answer_floor_ms: 1,
        }
    }
}

impl Limits {
    /// Whether every value makes sense; else the key that does not, and what it must be.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let within = |key, value: u64, least: u64, most: u64, expected| match (least..=most)
            .contains(&value)
        {
            true => Ok(()),
            false => Err(ConfigError::Value { key, expected }),
        };
        let rate = |key, value: u32| within(key, value.into(), 1, 1_000_000, "1 to 1000000");
        rate("limits.lookups_per_second", self.lookups_per_second)?;
        rate("limits.absent_per_minute", self.absent_per_minute)?;
        rate("limits.repeats_per_minute", self.repeats_per_minute)?;
        rate("limits.updates_per_second", self.updates_per_second)?;
        rate(
            "limits.account_updates_per_hour",
            self.account_updates_per_hour,
        )?;
        // A batch of 64 labels must be possible.
        let burst = |key, value: u32| within(key, value.into(), 64, 1_000_000, "64 to 1000000");
        burst("limits.lookups_burst", self.lookups_burst)?;
        burst("limits.absent_burst", self.absent_burst)?;
        let factor = self.named_factor.into();
        within("limits.named_factor", factor, 1, 1_000, "1 to 1000")?;
        let count = |key, value: usize| within(key, value as u64, 1, 1_000_000, "1 to 1000000");
        count("limits.connections", self.connections)?;
        count(
            "limits.connections_per_address",
            self.connections_per_address,
        )?;
        count("limits.streams", self.streams)?;
        count("limits.streams_per_client", self.streams_per_client)?;
        let calls = self.streams_per_connection.into();
        within(
            "limits.streams_per_connection",
            calls,
            1,
            10_000,
            "1 to 10000",
        )?;
        // Each holds a thread, of which there are 512.
        within("limits.reads", self.reads as u64, 1, 256, "1 to 256")?;
        let patience = self.read_patience_ms;
        within("limits.read_patience_ms", patience, 1, 10_000, "1 to 10000")?;
        within(
            "limits.answer_floor_ms",
            self.answer_floor_ms,
            0,
            100,
            "0 to 100",
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_an_empty_table_has_them() {
        let limits: Limits = toml::from_str("").unwrap();
        assert_eq!(limits, Limits::default());
        limits.check().unwrap();
        assert_eq!(limits.unlimited.len(), 2);
    }

    #[test]
    fn unknown_keys_wrong_prefixes_and_values_out_of_range_are_refused() {
        for text in [
            "lookup = 1",
            "unlimited = [\"127.0.0.1\"]",
            "lookups_per_second = -1",
        ] {
            assert!(toml::from_str::<Limits>(text).is_err(), "{text}");
        }
        for key in [
            "lookups_per_second",
            "absent_per_minute",
            "repeats_per_minute",
            "updates_per_second",
            "account_updates_per_hour",
            "connections",
            "connections_per_address",
            "streams",
            "streams_per_client",
            "streams_per_connection",
            "reads",
            "read_patience_ms",
            "named_factor",
            "lookups_burst",
            "absent_burst",
        ] {
            for value in [0, 1_000_001] {
                let limits: Limits = toml::from_str(&format!("{key} = {value}")).unwrap();
                let error = limits.check().unwrap_err().to_string();
                assert!(
                    error.starts_with(&format!("limits.{key} must be ")),
                    "{error}"
                );
            }
        }
        let floor: Limits = toml::from_str("answer_floor_ms = 101").unwrap();
        floor.check().unwrap_err();
        let batch: Limits = toml::from_str("lookups_burst = 63").unwrap();
        batch.check().unwrap_err();
    }
}
