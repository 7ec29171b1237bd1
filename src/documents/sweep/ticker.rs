//! document-sweep: looks how things stand, and takes away what is nobody's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tracing::{info, warn};

use super::{GRACE, SweepError, accounts, orphans, sweep};
use crate::app::state::Shared;
use crate::db;
use crate::documents::blob::Blobs;
use crate::documents::{disk, metrics, status, storage, tenant};
use crate::store::schedule;
use crate::telemetry::chain;

/// How often, over all nodes: rows and released files; the whole storage; the accounts.
const SWEEP_EVERY: Duration = Duration::from_secs(5 * 60);
const ORPHANS_EVERY: Duration = Duration::from_secs(6 * 3_600);
const RECONCILE_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// Longest look through the storage, well below what a tick is given.
const LOOK_BUDGET: Duration = Duration::from_secs(120);

pub struct Ticker {
    shared: Arc<Shared>,
    blobs: Arc<dyn Blobs>,
}

impl Ticker {
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        let blobs = storage::of(&shared.config.get());
        Self { shared, blobs }
    }

    async fn round(&self) -> Result<(), PortError> {
        let mut conn = self.shared.connection().await?;
        let standing = status::standing(&mut conn).await;
        metrics::stands(standing.map_err(db::port_error)?);
        // Where nobody has documents the storage is not so much as looked at.
        if !tenant::are_any(&mut conn).await.map_err(db::port_error)? {
            return Ok(());
        }
        let works = self.blobs.check().await;
        let free = disk::free(&*self.blobs).await;
        metrics::storage(works.is_ok(), free.map(|free| free.part()));
        if let Err(error) = works {
            warn!(error = %chain(&error), "the storage takes no files");
            return Ok(());
        }
        let node = self.shared.node;
        if is_mine(&mut conn, "document-sweep", SWEEP_EVERY, node).await? {
            let swept = sweep(&mut conn, &*self.blobs, false)
                .await
                .map_err(port_error)?;
            if swept != super::Swept::default() {
                info!(?swept, "document-sweep took away what was nobody's");
            }
        }
        if is_mine(&mut conn, "document-orphans", ORPHANS_EVERY, node).await? {
            let until = Instant::now() + LOOK_BUDGET;
            let found = orphans(&mut conn, &*self.blobs, GRACE, until, false).await;
            let found = found.map_err(port_error)?;
            if found > 0 {
                warn!(
                    files = found,
                    "files without a row, which go with the next sweep"
                );
            }
        }
        if is_mine(&mut conn, "document-reconcile", RECONCILE_EVERY, node).await? {
            let off = accounts::reconcile(&mut conn, false).await;
            for account in off.map_err(db::port_error)? {
                warn!(?account, "an account was off, and is put right");
            }
        }
        Ok(())
    }
}

async fn is_mine(
    conn: &mut diesel_async::AsyncPgConnection,
    name: &str,
    every: Duration,
    node: i64,
) -> Result<bool, PortError> {
    schedule::is_mine(conn, name, every, node)
        .await
        .map_err(db::port_error)
}

fn port_error(error: SweepError) -> PortError {
    match error {
        SweepError::Database(error) => db::port_error(error),
        SweepError::Storage(error) => PortError::unavailable(error),
    }
}

impl Tick for Ticker {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.round())
    }
}
