//! Named points between the steps of a request, where tests stall it or have everything end. In the
//! program nothing happens there.

#[cfg(test)]
use std::sync::Arc;

/// Between which steps a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The log signed it; it waits for nothing yet.
    Admitted,
    /// It follows the record, and has the log's turn.
    Decided,
    /// It is cosigned, and nobody has seen that.
    Signed,
    /// It is in the database, and not in the anchor.
    Committed,
    /// It is in both, and nobody was told.
    Anchored,
}

/// What happens at the points.
#[derive(Clone, Default)]
pub struct Hook {
    #[cfg(test)]
    at: Option<Arc<At>>,
}

#[cfg(test)]
type At = dyn Fn(Point, &str) -> bool + Send + Sync;

impl Hook {
    /// Calls `at` at each point, with the log's origin.
    #[cfg(test)]
    pub fn new(at: impl Fn(Point, &str) -> bool + Send + Sync + 'static) -> Self {
        Self {
            at: Some(Arc::new(at)),
        }
    }

    /// A request of log `origin` is at `point`; `false` ends it there, as a crash would.
    #[cfg(test)]
    pub fn reached(&self, point: Point, origin: &str) -> bool {
        self.at.as_ref().is_none_or(|at| at(point, origin))
    }

    /// As [`Self::reached`], for requests that go together.
    pub fn reached_by_all<T>(&self, point: Point, requests: &[(&str, T)]) -> bool {
        let mut origins = requests.iter().map(|(origin, _)| origin);
        origins.all(|origin| self.reached(point, origin))
    }

    /// A request is at a point; it goes on.
    #[cfg(not(test))]
    pub const fn reached(&self, _: Point, _: &str) -> bool {
        true
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}
