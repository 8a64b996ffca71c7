//! The tiles of a small log over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use candor_core::log::{NodeSource as _, TilePath};
use tokio::net::TcpListener;

use crate::common::History;

pub struct Tiles {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    history: History,
    requests: AtomicUsize,
    is_paused: AtomicBool,
}

impl Tiles {
    pub async fn serve(history: History) -> Self {
        let shared = Arc::new(Shared {
            history,
            requests: AtomicUsize::new(0),
            is_paused: AtomicBool::new(false),
        });
        let router = Router::new().fallback(tile).with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    /// With a slash at the end, as people write it.
    pub fn url(&self) -> String {
        format!("http://{}/log/", self.address)
    }

    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Has it answer that it cannot.
    pub fn pause(&self, is_paused: bool) {
        self.shared.is_paused.store(is_paused, Ordering::SeqCst);
    }
}

async fn tile(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Vec<u8>, StatusCode> {
    if shared.is_paused.load(Ordering::SeqCst) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let path = uri.path().strip_prefix("/log/").unwrap();
    let Ok(TilePath::Hashes(tile)) = path.parse() else {
        return Err(StatusCode::NOT_FOUND);
    };
    assert_eq!((tile.level(), tile.index()), (0, 0), "the log is small");
    // As if the partial ones of odd sizes were gone already.
    let width = u64::from(tile.width());
    if width % 2 == 1 {
        return Err(StatusCode::NOT_FOUND);
    }
    let leaf = |index| shared.history.node(0, index).unwrap().0;
    Ok((0..width).flat_map(leaf).collect())
}
