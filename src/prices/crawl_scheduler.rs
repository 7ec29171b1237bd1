//! The crawl-scheduler: admits new product URLs, decides how often their jobs run, queues what has come due, and raises what has
//! waited too long.
//!
//! It runs on every node; each statement takes the rows that it can lock, at most a batch of them, so nodes share the work. An
//! idle round is a few looks at indexes, however many URLs there are. A row that a statement is refused for is set aside.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::result::Error as DieselError;
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tokio::time::Instant;
use tracing::info;

use crate::app::state::Shared;
use crate::db;
use crate::prices::config::Crawl;
use crate::prices::crawl::plan;
use crate::prices::crawl::plan::Admission;
use crate::prices::flag;
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
    /// As [`db::port_error`].
    pub async fn round(&self) -> Result<Round, PortError> {
        let config = self.shared.config.get();
        let mut conn = self.shared.connection().await?;
        let pace = config.fetch.per_host_delay;
        run(&mut conn, config.section::<Crawl>(), pace)
            .await
            .map_err(db::port_error)
    }
}

/// As [`CrawlScheduler::round`]. `pace` lies between two jobs of a site that says nothing itself.
async fn run(conn: &mut AsyncPgConnection, config: &Crawl, pace: Duration) -> QueryResult<Round> {
    let until = Instant::now() + config.interval;
    let (mut round, mut refusal) = (Round::default(), None);
    apart(&mut refusal, admit(conn, config, until, &mut round).await)?;
    apart(&mut refusal, replan(conn, config, until, &mut round).await)?;
    let queued = queue(conn, config, pace, until, &mut round).await;
    apart(&mut refusal, queued)?;
    apart(&mut refusal, raise(conn, config, until, &mut round).await)?;
    apart(&mut refusal, flag::tell_set_aside(conn).await)?;
    if round != Round::default() {
        info!(
            admitted = round.admitted,
            planned = round.planned,
            queued = round.queued,
            raised = round.raised,
            "crawl-scheduler went round"
        );
    }
    refusal.map_or(Ok(round), Err)
}

/// What a part of the round was refused for is told when the others are done: none waits for another. An outage ends the round.
fn apart(refusal: &mut Option<DieselError>, done: QueryResult<()>) -> QueryResult<()> {
    match done {
        Err(error) if !db::is_trouble(&error) => {
            if refusal.is_none() {
                *refusal = Some(error);
            }
            Ok(())
        }
        done => done,
    }
}

async fn admit(
    conn: &mut AsyncPgConnection,
    config: &Crawl,
    until: Instant,
    round: &mut Round,
) -> QueryResult<()> {
    while Instant::now() < until {
        let some = plan::admit(conn, i64::from(config.batch_size), judge).await?;
        round.admitted += some.done;
        if is_last(some.seen, config) {
            break;
        }
    }
    Ok(())
}

async fn replan(
    conn: &mut AsyncPgConnection,
    config: &Crawl,
    until: Instant,
    round: &mut Round,
) -> QueryResult<()> {
    let generation = plan::generation(conn, &config.frequency).await?;
    let limit = i64::from(config.batch_size);
    while Instant::now() < until {
        let some = plan::replan(conn, limit, generation, &config.frequency).await?;
        round.planned += some.done;
        if is_last(some.seen, config) {
            break;
        }
    }
    Ok(())
}

async fn queue(
    conn: &mut AsyncPgConnection,
    config: &Crawl,
    pace: Duration,
    until: Instant,
    round: &mut Round,
) -> QueryResult<()> {
    let limit = i64::from(config.batch_size);
    while Instant::now() < until {
        let some = plan::queue_due(conn, limit, pace, AT_ONCE).await?;
        round.queued += usize::try_from(some.queued).unwrap_or_default();
        if some.seen < limit {
            break;
        }
    }
    Ok(())
}

async fn raise(
    conn: &mut AsyncPgConnection,
    config: &Crawl,
    until: Instant,
    round: &mut Round,
) -> QueryResult<()> {
    while Instant::now() < until {
        let some = plan::age(conn, i64::from(config.batch_size), config.aging).await?;
        round.raised += some.done;
        if is_last(some.seen, config) {
            break;
        }
    }
    Ok(())
}

/// Whether a batch of so many rows found all that there were.
fn is_last(seen: usize, config: &Crawl) -> bool {
    u32::try_from(seen).is_ok_and(|seen| seen < config.batch_size)
}

/// Whether a text is a page that can be crawled.
fn judge(raw: &str) -> Admission {
    match address(raw) {
        Ok(address) => Admission::Admit {
            url: address.url,
            key: address.key,
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
