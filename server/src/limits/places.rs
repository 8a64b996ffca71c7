//! What a client may have of things that last: streams.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::client::Client;

/// So many places, of which one client gets only some. Clones share them.
#[derive(Clone)]
pub struct Places(Arc<Shared>);

struct Shared {
    total: usize,
    taken: Mutex<Taken>,
}

/// Never more entries than places that are taken.
#[derive(Default)]
struct Taken {
    total: usize,
    by: HashMap<Client, usize>,
}

/// A place, until it is dropped.
pub struct Place {
    places: Places,
    client: Client,
}

impl Places {
    /// At most `total` at a time.
    pub fn new(total: usize) -> Self {
        Self(Arc::new(Shared {
            total,
            taken: Mutex::default(),
        }))
    }

    /// A place, if there is one and the client has fewer than `each`.
    pub fn enter(&self, client: &Client, each: usize) -> Option<Place> {
        let mut taken = self.taken();
        let own = taken.by.get(client).copied().unwrap_or(0);
        if taken.total >= self.0.total || own >= each {
            return None;
        }
        taken.total += 1;
        taken.by.insert(client.clone(), own + 1);
        Some(Place {
            places: self.clone(),
            client: client.clone(),
        })
    }

    /// Places that are taken.
    pub fn len(&self) -> usize {
        self.taken().total
    }

    /// Whether none is taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The counts are consistent at every instant.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.total -= 1;
        if let Some(own) = taken.by.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_client_and_in_all_and_come_back() {
        let address = |text: &str| Client::Network(text.parse().unwrap());
        let places = Places::new(5);
        let held: Vec<_> = ["192.0.2.1", "192.0.2.1", "2001:db8::", "2001:db8:0:1::"]
            .iter()
            .map(|text| places.enter(&address(text), 2).unwrap())
            .collect();
        assert!(places.enter(&address("192.0.2.1"), 2).is_none());
        let last = places.enter(&Client::Named("monitor".into()), 2).unwrap();
        assert!(
            places.enter(&address("192.0.2.2"), 2).is_none(),
            "all are taken"
        );
        drop(last);
        assert!(places.enter(&address("192.0.2.2"), 2).is_some());
        drop(held);
        assert!(places.is_empty());
        assert!(places.taken().by.is_empty());
    }
}
