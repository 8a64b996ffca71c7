//! Proofs from a log's tiles (c2sp.org/tlog-tiles). What they say is verified by whoever asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use candor_core::log::{
    ProveError, TILE_WIDTH, Tile, TileError, TileNodes, TilePath, TileReader, prove_consistency,
    root,
};
use candor_core::note::ProvedBeginning;
use candor_host::fetch::{self, BodyError, Timeouts};

use super::Question;

/// Most tiles of one proof: two nodes at each of 63 levels need fewer.
const TILES_MAX: usize = 128;

/// Bytes of a full tile.
const TILE_BYTES_MAX: usize = TILE_WIDTH as usize * 32;

/// How long a log may take for one tile, and for all of a proof.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(10),
};
const TOTAL: Duration = Duration::from_secs(40);

/// Why there is no proof. It accuses nobody.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("no client: {0}")]
    Client(String),
    #[error("cannot fetch a tile: {0}")]
    Fetch(String),
    #[error("the log answered {status} for {path}")]
    Status { status: u16, path: String },
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the tiles make no proof")]
    Tiles,
    #[error("no answer in time")]
    Timeout,
}

/// The tiles that were fetched.
#[derive(Default)]
struct Fetched(BTreeMap<Tile, Arc<[u8]>>);

/// A tile that is not there yet.
struct Missing(Tile);

impl TileReader for Fetched {
    type Error = Missing;
    type Bytes = Arc<[u8]>;

    fn tile(&self, tile: Tile) -> Result<Arc<[u8]>, Missing> {
        self.0.get(&tile).cloned().ok_or(Missing(tile))
    }
}

/// Makes the proof from the tiles below `prefix`.
pub async fn prove(prefix: &str, question: &Question) -> Result<ProvedBeginning, SourceError> {
    let proving = tokio::time::timeout(TOTAL, prove_unbounded(prefix, question));
    proving.await.unwrap_or(Err(SourceError::Timeout))
}

async fn prove_unbounded(
    prefix: &str,
    question: &Question,
) -> Result<ProvedBeginning, SourceError> {
    let client = fetch::client(TIMEOUTS).map_err(|error| SourceError::Client(error.to_string()))?;
    let mut fetched = Fetched::default();
    // Each attempt ends at a tile that is missing, or with the proof.
    for _ in 0..=TILES_MAX {
        let missing = match attempt(&fetched, question) {
            Ok(beginning) => return Ok(beginning),
            Err(ProveError::Source(TileError::Reader(Missing(tile)))) => tile,
            Err(_) => return Err(SourceError::Tiles),
        };
        let content = fetch_tile(&client, prefix, missing).await?;
        fetched.0.insert(missing, content.into());
    }
    Err(SourceError::Tiles)
}

fn attempt(
    fetched: &Fetched,
    question: &Question,
) -> Result<ProvedBeginning, ProveError<TileError<Missing>>> {
    let (old_size, size) = (question.smaller.size, question.larger.size);
    let nodes = TileNodes::new(fetched, size);
    Ok(ProvedBeginning {
        root: root(old_size, &nodes)?,
        proof: prove_consistency(old_size, size, &nodes)?,
    })
}

/// A tile; where the log has replaced a partial one by the full one, the front of that.
async fn fetch_tile(
    client: &reqwest::Client,
    prefix: &str,
    tile: Tile,
) -> Result<Vec<u8>, SourceError> {
    let first = fetch_path(client, prefix, tile).await;
    let full = Tile::new(tile.level(), tile.index(), TILE_WIDTH).filter(|full| *full != tile);
    match (first, full) {
        (Err(SourceError::Status { .. }), Some(full)) => {
            let mut content = fetch_path(client, prefix, full).await?;
            content.truncate(usize::from(tile.width()) * 32);
            Ok(content)
        }
        (first, _) => first,
    }
}

async fn fetch_path(
    client: &reqwest::Client,
    prefix: &str,
    tile: Tile,
) -> Result<Vec<u8>, SourceError> {
    let path = TilePath::Hashes(tile).to_string();
    let answer = client.get(format!("{prefix}/{path}")).send().await;
    let answer = answer.map_err(|error| SourceError::Fetch(error.to_string()))?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(SourceError::Status { status, path });
    }
    Ok(fetch::read_body_bounded(answer, TILE_BYTES_MAX).await?)
}
