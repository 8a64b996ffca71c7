//! Following a log's map: every epoch's audit delta is checked, in order, from the first.
//!
//! [`MapProgress`] is the check itself, without I/O, in constant state; [`Follower`] receives the
//! epochs of one log, has them checked, and publishes the roots it arrives at as [`CheckedRoots`].
//! The feed is not authenticated and need not be: a root that it leads to counts only if the log
//! signed it. A check that fails is remembered until the operator removes it; a connection that
//! fails accuses nobody. Epochs are received while earlier ones are checked (`ahead.rs`), so one
//! that was away for days is bound by the processor, and says how far it is (`catch_up.rs`).

mod ahead;
mod catch_up;
mod feed;
mod follower;
mod progress;
mod roots;

pub use catch_up::Report;
pub(crate) use follower::jittered;
pub use follower::{Follower, Turns};
pub use progress::{MapFault, MapProgress};
pub use roots::CheckedRoots;
