//! Which accounts are asked for: a few often, most seldom.

use fastrand::Rng;

/// Larger than any number of accounts and prime, so it has no factor in common with one.
const SCATTER: u64 = 4_294_967_311;

/// Accounts by popularity: the account of rank r is asked for about as often as r to the power of
/// minus the exponent says (Zipf's law, drawn from the continuous distribution of the same form).
#[derive(Clone, Copy, Debug)]
pub struct Popularity {
    accounts: u32,
    skew: f64,
}

impl Popularity {
    /// The popularity of so many accounts, at least one. With exponent 0 all are alike.
    pub const fn new(accounts: u32, skew: f64) -> Self {
        Self { accounts, skew }
    }

    /// Draws an account. Ranks are scattered over the accounts: neighbours differ in popularity.
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        let rank = self.rank(rng.f64());
        let count = u64::from(self.accounts);
        let at = u128::from(rank) * u128::from(SCATTER) % u128::from(count);
        u32::try_from(at).expect("less than the number of accounts")
    }

    /// The rank, from 0, below which a share `at` of all calls are.
    fn rank(&self, at: f64) -> u32 {
        let end = f64::from(self.accounts) + 1.0;
        let rest = 1.0 - self.skew;
        let rank = if rest.abs() < 1e-9 {
            end.powf(at)
        } else {
            ((end.powf(rest) - 1.0) * at + 1.0).powf(rest.recip())
        };
        // Truncation is meant: ranks are whole, and the last is not left by rounding.
        ((rank - 1.0) as u32).min(self.accounts - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of calls that the first 1, 10, 100 and 1,000 ranks get.
    fn shares(skew: f64) -> [f64; 4] {
        let popularity = Popularity::new(10_000, skew);
        let mut rng = Rng::with_seed(2);
        let draws = 200_000;
        let mut counts = [0.0; 4];
        for _ in 0..draws {
            let rank = popularity.rank(rng.f64());
            for (count, below) in counts.iter_mut().zip([1, 10, 100, 1_000]) {
                *count += f64::from(u8::from(rank < below));
            }
        }
        counts.map(|count| count / f64::from(draws))
    }

    #[test]
    fn ranks_follow_the_power_law() {
        for skew in [0.0, 0.5, 0.99, 1.0, 1.3] {
            // The distribution function at the upper ends of the ranks.
            let weight = |to: f64| match (1.0_f64 - skew).abs() < 1e-9 {
                true => to.ln(),
                false => (to.powf(1.0 - skew) - 1.0) / (1.0 - skew),
            };
            let expected = [2.0, 11.0, 101.0, 1_001.0].map(|to| weight(to) / weight(10_001.0));
            for (share, expected) in shares(skew).iter().zip(expected) {
                assert!(
                    (share - expected).abs() < 0.01,
                    "{skew}: {share} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_skew_asks_for_a_few_often() {
        let [_, _, _, uniform] = shares(0.0);
        let [_, _, hundred, _] = shares(0.99);
        assert!(uniform < 0.11, "{uniform}");
        assert!(hundred > 0.45, "{hundred}");
    }

    #[test]
    fn every_account_has_one_rank() {
        let count = 997_u32;
        let mut seen = vec![false; count as usize];
        for rank in 0..u64::from(count) {
            let at = (rank * SCATTER % u64::from(count)) as usize;
            assert!(!std::mem::replace(&mut seen[at], true));
        }
        let mut rng = Rng::with_seed(3);
        let one = Popularity::new(1, 0.99);
        assert_eq!(one.draw(&mut rng), 0);
    }
}
