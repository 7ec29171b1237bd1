//! pattern-health: looks at how shops are doing, by a cron expression, once across all nodes.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tracing::info;

use crate::app::state::Shared;
use crate::prices::flag;
use crate::store::schedule;
use crate::upkeep::unavailable;

/// The ticker.
pub(crate) struct PatternHealth {
    shared: Arc<Shared>,
}

impl PatternHealth {
    /// With what it shares.
    #[must_use]
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn look(&self) -> Result<(), PortError> {
        let mut conn = self.shared.connection().await?;
        let cron = &self.shared.config.get().pattern_health.cron;
        if schedule::is_mine_by_cron(&mut conn, "pattern-health", cron, self.shared.node)
            .await
            .map_err(unavailable)?
        {
            let judged = flag::judge(&mut conn).await.map_err(unavailable)?;
            info!(
                opened = judged.opened,
                closed = judged.closed,
                repairs = judged.repairs,
                "looked at the shops"
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
