//! `checkpoint` and `tile/…` (c2sp.org/tlog-tiles).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use candor_core::log::{Bundle, Tile, TilePath, TileReader as _, encode_bundle};

use super::Pages;
use crate::ledger::{Ledger, LedgerError};

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// The published checkpoint with all its signatures.
pub(super) async fn checkpoint(State(pages): State<Pages>) -> Response {
    let Some(published) = pages.published.current() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing is published yet\n",
        )
            .into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=1"),
    ];
    (headers, published.note.to_bytes()).into_response()
}

/// A tile of hashes or a bundle of records.
pub(super) async fn tile(State(pages): State<Pages>, Path(path): Path<String>) -> Response {
    let Ok(path) = format!("tile/{path}").parse::<TilePath>() else {
        return (StatusCode::BAD_REQUEST, "not the path of a tile\n").into_response();
    };
    let size = match path {
        TilePath::Hashes(_) => pages.signed.borrow().as_ref().map_or(0, |head| head.size),
        TilePath::Entries(_) => pages.published.current().map_or(0, |head| head.signed.size),
    };
    if !is_in_log(&path, size) {
        return (StatusCode::NOT_FOUND, "the log has no such tile\n").into_response();
    }
    let ledger = pages.ledger.clone();
    let turn = Arc::clone(&pages.tiles).acquire_owned().await;
    let reading = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        read(&ledger, &path)
    });
    match reading.await {
        Ok(Ok(bytes)) => (headers(), bytes).into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "a tile could not be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn headers() -> [(HeaderName, &'static str); 2] {
    [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, IMMUTABLE),
    ]
}

/// Whether a log of `size` has the tile at least this wide.
fn is_in_log(path: &TilePath, size: u64) -> bool {
    match path {
        TilePath::Hashes(tile) => Tile::in_log(tile.level(), tile.index(), size)
            .is_some_and(|have| tile.width() <= have.width()),
        TilePath::Entries(bundle) => {
            Bundle::in_log(bundle.index(), size).is_some_and(|have| bundle.width() <= have.width())
        }
    }
}

fn read(ledger: &Ledger, path: &TilePath) -> Result<Vec<u8>, LedgerError> {
    match path {
        TilePath::Hashes(tile) => ledger.tile(*tile),
        TilePath::Entries(bundle) => {
            let records = ledger.records(bundle.index() * 256, usize::from(bundle.width()))?;
            encode_bundle(&records).map_err(|_| LedgerError::Damaged { table: "records" })
        }
    }
}
