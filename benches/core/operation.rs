//! One thing that is measured.

use std::hint::black_box;

/// An operation with everything that it needs.
pub struct Operation {
    pub group: &'static str,
    pub name: &'static str,
    run: Box<dyn Fn()>,
}

impl Operation {
    /// The work of `run`; what it returns is used, so that no compiler leaves it out.
    pub fn new<R>(group: &'static str, name: &'static str, run: impl Fn() -> R + 'static) -> Self {
        let run = Box::new(move || {
            black_box(run());
        });
        Self { group, name, run }
    }

    /// Does it once.
    pub fn run(&self) {
        (self.run)();
    }
}
