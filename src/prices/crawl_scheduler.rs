//! The crawl-scheduler: admits new product URLs, decides how often their jobs run, queues what has come due, and raises what has
//! waited too long.
//!
//! It runs on every node; each statement takes the rows that it can lock, at most a batch of them, so nodes share the work. An
//! idle round is a few looks at indexes, however many URLs there are.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tokio::time::Instant;
use tracing::info;

use crate::app::state::Shared;
use crate::prices::config::Crawl;
use crate::prices::crawl::plan;
use crate::prices::crawl::plan::Admission;
use crate::telemetry;
use gleaner_extract::address::address;

/// This much of a site's line is due at once: a bot that pulls a few jobs at a time need not come back for each.
const AT_ONCE: Duration = Duration::from_secs(10);

/// What one round did, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// New URLs, admitted or rejected.
    pub admitted: usize,
    /// Jobs decided anew.
    pub planned: usize,
    /// Jobs queued.
    pub queued: usize,
    /// Jobs raised.
    pub raised: usize,
}

pub struct CrawlScheduler {
    shared: Arc<Shared>,
}

impl CrawlScheduler {
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// One round: everything that is due, in batches, for no longer than an interval.
    ///
    /// # Errors
    /// [`PortError::Unavailable`].
    pub async fn round(&self) -> Result<Round, PortError> {
        let config = self.shared.config.get();
        let mut conn = self.shared.connection().await?;
        let pace = config.fetch.per_host_delay;
        run(&mut conn, config.section::<Crawl>(), pace)
            .await
            .map_err(PortError::unavailable)
    }
}

/// As [`CrawlScheduler::round`]. `pace` lies between two jobs of a site that says nothing itself.
async fn run(conn: &mut AsyncPgConnection, config: &Crawl, pace: Duration) -> QueryResult<Round> {
    let start = Instant::now();
    let batch = usize::try_from(config.batch_size).unwrap_or(usize::MAX);
    let limit = i64::from(config.batch_size);
    let mut round = Round::default();
    let is_time_left = || start.elapsed() < config.interval;

    while is_time_left() {
        let count = plan::admit(conn, limit, judge).await?;
        round.admitted += count;
        if count < batch {
            break;
        }
    }
    let generation = plan::generation(conn, &config.frequency).await?;
    while is_time_left() {
        let count = plan::replan(conn, limit, generation, &config.frequency).await?;
        round.planned += count;
        if count < batch {
            break;
        }
    }
    while is_time_left() {
        let count = plan::queue_due(conn, limit, pace, AT_ONCE).await?;
        round.queued += usize::try_from(count.queued).unwrap_or_default();
        if count.seen < limit {
            break;
        }
    }
    while is_time_left() {
        let count = plan::age(conn, limit, config.aging).await?;
        round.raised += count;
        if count < batch {
            break;
        }
    }
    if round != Round::default() {
        info!(
            admitted = round.admitted,
            planned = round.planned,
            queued = round.queued,
            raised = round.raised,
            "crawl-scheduler went round"
        );
    }
    Ok(round)
}

/// Whether a text is a page that can be crawled.
fn judge(raw: &str) -> Admission {
    match address(raw) {
        Ok(address) => Admission::Admit {
            url: address.url,
            site: address.shop,
        },
        Err(error) => Admission::Reject(telemetry::chain(&error)),
    }
}

impl Tick for CrawlScheduler {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async {
            self.round().await?;
            Ok(())
        })
    }
}
