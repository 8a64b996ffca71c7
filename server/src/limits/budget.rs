//! What a client may have of one thing: buckets for its credential, or for its address and the
//! networks around it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::bucket::Rate;
use super::client::{Client, Prefix, V4_BITS, V6_BITS};
use super::table::{Buckets, Key};

/// How much of an address is looked at, and how many times as much the network may have.
///
/// Somebody has a /64 of IPv6 addresses, a /48 for the asking and a /32 for money: each network
/// gets less than its addresses together. With IPv4 the wider networks are those of carriers, whose
/// addresses stand for thousands of phones each.
const LEVELS: [Level; 3] = [
    Level::new(V4_BITS, V6_BITS, 1),
    Level::new(24, 48, 16),
    Level::new(16, 32, 256),
];

struct Level {
    v4_bits: u8,
    v6_bits: u8,
    times: u32,
}

impl Level {
    const fn new(v4_bits: u8, v6_bits: u8, times: u32) -> Self {
        Self {
            v4_bits,
            v6_bits,
            times,
        }
    }

    fn prefix(&self, address: IpAddr) -> Prefix {
        match address {
            IpAddr::V4(_) => Prefix::of(address, self.v4_bits),
            IpAddr::V6(_) => Prefix::of(address, self.v6_bits),
        }
    }
}

/// A budget of every client.
pub struct Budget {
    /// By [`LEVELS`].
    addresses: [Buckets; LEVELS.len()],
    names: Buckets,
}

impl Budget {
    /// `rate` for each address, and `named_factor` times as much for each credential.
    pub fn new(rate: Rate, named_factor: u32, now: Instant) -> Self {
        Self {
            addresses: LEVELS.map(|level| Buckets::new(rate.times(level.times), now)),
            names: Buckets::new(rate.times(named_factor), now),
        }
    }

    /// Takes `cost` units of a client, or as much as can be saved up: nothing costs more.
    ///
    /// # Errors
    ///
    /// How long it takes until there are as many; nothing was taken.
    pub fn take(&self, client: &Client, cost: u32, now: Instant) -> Result<(), Duration> {
        for (level, (buckets, key)) in self.buckets(client).enumerate() {
            if let Err(wait) = buckets.take(key, capped(cost, buckets), now) {
                for (buckets, key) in self.buckets(client).take(level) {
                    buckets.give_back(key, capped(cost, buckets));
                }
                return Err(wait);
            }
        }
        Ok(())
    }

    /// Gives back what of `taken` units was not `used`.
    pub fn settle(&self, client: &Client, taken: u32, used: u32) {
        for (buckets, key) in self.buckets(client) {
            buckets.give_back(key, capped(taken, buckets).saturating_sub(used));
        }
    }

    /// Addresses and credentials that are in debt.
    pub fn tracked(&self, now: Instant) -> usize {
        self.addresses[0].tracked(now) + self.names.tracked(now)
    }

    /// Keys that were forgotten in debt.
    pub fn forgotten(&self) -> u64 {
        let addresses = self.addresses.iter().map(Buckets::forgotten);
        addresses.sum::<u64>() + self.names.forgotten()
    }

    /// The buckets of a client, the narrowest first: none if it has no limits.
    fn buckets<'a>(&'a self, client: &'a Client) -> impl Iterator<Item = (&'a Buckets, Key)> {
        let named = match client {
            Client::Named(name) => Some((&self.names, self.names.key(name))),
            _ => None,
        };
        let address = match client {
            Client::Network(address) => Some(*address),
            _ => None,
        };
        let levels = self.addresses.iter().zip(&LEVELS);
        let around = address.into_iter().flat_map(move |address| {
            let levels = levels.clone();
            levels.map(move |(buckets, level)| (buckets, buckets.key(level.prefix(address))))
        });
        named.into_iter().chain(around)
    }
}

/// What a call may cost there at most.
fn capped(cost: u32, buckets: &Buckets) -> u32 {
    cost.min(buckets.rate().burst())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(text: &str) -> Client {
        Client::Network(text.parse().unwrap())
    }

    fn budget(burst: u32) -> (Budget, Instant) {
        let now = Instant::now();
        (
            Budget::new(Rate::new(1, Duration::from_secs(1), burst), 10, now),
            now,
        )
    }

    #[test]
    fn an_ipv6_client_is_its_64() {
        let (budget, now) = budget(2);
        budget.take(&address("2001:db8::1"), 2, now).unwrap();
        let other = address("2001:db8::ffff:0:0:1");
        assert_eq!(budget.take(&other, 1, now), Err(Duration::from_secs(1)));
        budget.take(&address("2001:db8:0:1::1"), 2, now).unwrap();
        budget.take(&address("192.0.2.1"), 2, now).unwrap();
        budget.take(&address("192.0.2.2"), 2, now).unwrap();
        assert_eq!(budget.tracked(now), 4);
    }

    /// Whoever has a /48 has 65,536 clients, and gets no more than 16 of them; a /32 as much as 16
    /// of those.
    #[test]
    fn cycling_through_addresses_of_a_network_meets_the_networks_limit() {
        let (budget, now) = budget(4);
        let mut served = 0;
        for subnet in 0..2_000_u32 {
            let client = address(&format!("2001:db8:1:{subnet:x}::1"));
            served += u32::from(budget.take(&client, 1, now).is_ok());
        }
        assert_eq!(served, 4 * 16);
        for site in 2..400_u32 {
            for subnet in 0..10 {
                let client = address(&format!("2001:db8:{site:x}:{subnet:x}::1"));
                served += u32::from(budget.take(&client, 1, now).is_ok());
            }
        }
        assert_eq!(served, 4 * 256);
        // Others are not touched, also those that come after a refusal for the network's sake.
        budget.take(&address("2001:db9::1"), 4, now).unwrap();
        let refused = address("2001:db8:1:ffff::1");
        budget.take(&refused, 1, now).unwrap_err();
        let later = now + Duration::from_secs(60);
        budget.take(&refused, 4, later).unwrap();
    }

    #[test]
    fn a_name_has_its_own_and_more() {
        let (budget, now) = budget(3);
        let (one, other) = (Client::Named("one".into()), Client::Named("other".into()));
        budget.take(&one, 30, now).unwrap();
        budget.take(&one, 1, now).unwrap_err();
        budget.take(&other, 30, now).unwrap();
        budget.take(&address("192.0.2.1"), 3, now).unwrap();
    }

    #[test]
    fn nothing_costs_more_than_can_be_saved_up_and_what_is_not_used_comes_back() {
        let (budget, now) = budget(10);
        let client = address("192.0.2.1");
        budget.take(&client, 64, now).unwrap();
        budget.take(&client, 1, now).unwrap_err();
        budget.settle(&client, 64, 7);
        budget.take(&client, 4, now).unwrap_err();
        budget.take(&client, 3, now).unwrap();
    }
}
