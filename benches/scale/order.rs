//! A fixed order without a pattern in which each account comes once.

/// A prime above every size.
const STRIDE: u64 = 2_654_435_761;

pub struct Order {
    total: u64,
    next: u64,
}

impl Order {
    pub const fn new(total: u64) -> Self {
        Self { total, next: 0 }
    }

    /// The next accounts.
    pub fn take(&mut self, count: u64) -> Vec<u64> {
        let first = self.next;
        self.next += count;
        let step = u128::from(STRIDE % self.total);
        (first..self.next)
            .map(|place| (u128::from(place) * step % u128::from(self.total)) as u64)
            .collect()
    }
}
