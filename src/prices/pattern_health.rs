//! pattern-health: looks at how sites are doing, by a cron expression, once across all nodes.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tracing::info;

use super::config;
use crate::app::state::Shared;
use crate::db;
use crate::prices::flag;
use crate::store::schedule;

pub(crate) struct PatternHealth {
    shared: Arc<Shared>,
}

impl PatternHealth {
    #[must_use]
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn look(&self) -> Result<(), PortError> {
        let mut conn = self.shared.connection().await?;
        let config = self.shared.config.get();
        let cron = &config.section::<config::PatternHealth>().cron;
        if schedule::is_mine_by_cron(&mut conn, "pattern-health", cron, self.shared.node)
            .await
            .map_err(db::port_error)?
        {
            let judged = flag::judge(&mut conn).await.map_err(db::port_error)?;
            info!(
                opened = judged.opened,
                closed = judged.closed,
                repairs = judged.repairs,
                "looked at the sites"
            );
        }
        Ok(())
    }
}

impl Tick for PatternHealth {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.look())
    }
}
