//! How long one claim takes, by how much is queued.

use serde::Serialize;
use tokio::time::Instant;

use super::engine::stage;
use super::scratch::Scratch;
use super::{BenchError, percentile, rounded};
use crate::store::{lease, node};

/// Claims per size; the first ones, which prepare and read from disk, count as well.
const CLAIMS: usize = 50;

/// One size of queue.
#[derive(Clone, Debug, Serialize)]
pub struct ClaimTimes {
    /// Rows queued before the first claim.
    pub queued: u64,
    /// Rows per claim.
    pub batch: usize,
    /// Median time of a claim, in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// Measures claims of `batch` rows for each size of queue.
///
/// # Errors
/// Whatever the database answers.
pub async fn claim(
    scratch: &mut Scratch,
    sizes: &[u64],
    batch: usize,
) -> Result<Vec<ClaimTimes>, BenchError> {
    let stage = stage();
    let mut times = Vec::new();
    for &queued in sizes {
        scratch.fill(queued).await?;
        let mut conn = scratch.connector().connect().await?;
        let node = node::register(&mut conn).await?;
        let hour = std::time::Duration::from_secs(3_600);
        let lease = lease::open(&mut conn, node, "bench", hour).await?;
        let mut millis = Vec::new();
        for _ in 0..CLAIMS {
            let start = Instant::now();
            let claimed = stage.claim(&mut conn, lease, batch).await?;
            millis.push(start.elapsed().as_secs_f64() * 1_000.0);
            if claimed.len() < batch {
                break;
            }
        }
        millis.sort_by(f64::total_cmp);
        let own = ClaimTimes {
            queued,
            batch,
            p50_ms: rounded(percentile(&millis, 50)),
            p95_ms: rounded(percentile(&millis, 95)),
            max_ms: rounded(percentile(&millis, 100)),
        };
        tracing::info!(
            queued,
            p50_ms = own.p50_ms,
            p95_ms = own.p95_ms,
            max_ms = own.max_ms,
            "claims"
        );
        times.push(own);
    }
    Ok(times)
}
