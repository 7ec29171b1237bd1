//! Partitions ahead of time, and the end of what is old. Once across all nodes.

use std::sync::Arc;
use std::time::Duration;

use crate::db;
use crate::db::statement::{seconds, sql_query};
use diesel::sql_types::{Double, Integer};
use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tracing::debug;

use crate::app::state::Shared;
use crate::store::{aside, lease, node, schedule};

/// How often, across all nodes.
const EVERY: Duration = Duration::from_secs(3600);
/// Partitions of `attempt` made ahead, in days.
const DAYS_AHEAD: i32 = 3;

pub(super) struct Housekeeping {
    shared: Arc<Shared>,
}

impl Housekeeping {
    #[must_use]
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn keep_house(&self) -> Result<(), PortError> {
        let mut conn = self.shared.connection().await?;
        let is_mine = schedule::is_mine(&mut conn, "housekeeping", EVERY, self.shared.node)
            .await
            .map_err(db::port_error)?;
        if !is_mine {
            return Ok(());
        }
        let keep = self.shared.config.get().engine.keep_attempts;
        let extended = sql_query("SELECT gleaner_extend_attempt($1)")
            .bind::<Integer, _>(DAYS_AHEAD)
            .execute(&mut conn)
            .await;
        let pruned = sql_query("SELECT gleaner_prune_attempt(make_interval(secs => $1))")
            .bind::<Double, _>(seconds(keep))
            .execute(&mut conn)
            .await;
        let leases = lease::prune(&mut conn).await;
        let nodes = node::prune(&mut conn).await;
        let set_aside = aside::prune(&mut conn).await;
        debug!(?leases, ?nodes, ?set_aside, "kept house");
        // None waits for another.
        for done in [extended, pruned, leases, nodes, set_aside] {
            done.map_err(db::port_error)?;
        }
        Ok(())
    }
}

impl Tick for Housekeeping {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.keep_house())
    }
}
