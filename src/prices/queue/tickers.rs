//! Keeps the auto-record queue in Redis true, and notices what others put there.
//!
//! Two tickers, only where a Redis is configured. The watch looks every half second whether Redis answers and whether
//! anything waits in the list, and wakes the workflow if so: a producer that does no more than `RPUSH` is heard. The
//! reconciler, once across all nodes, puts into the list what is due in PostgreSQL and is missing there, after a flush, an
//! eviction or a restart; forgets entries of workers that died; and queues again what failed, on its schedule.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Double, Nullable, SmallInt, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tracing::{debug, info};

use super::Queue;
use crate::app::state::Shared;
use crate::db;
use crate::db::halves::Halves;
use crate::db::statement::{seconds, sql_query, statement};
use crate::prices::auto_record::{AutoRecord, RESULTS};
use crate::prices::metrics;
use crate::store::aside::{self, Key, Work};
use crate::store::schedule;
use crate::store::stage::Request;
use crate::workflow::Workflow;

/// How often the list is looked at: a foreign entry waits no longer.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// Rows due for less than this are on their way, into the list or into a worker's hands, in seconds.
const SETTLED_AFTER: f64 = 2.0;
/// The list is filled up to so many entries; what is beyond that is found when these are done.
const LIST_BOUND: usize = 100_000;

/// Queues failed results again; see its file.
static REVIVE: LazyLock<String> = LazyLock::new(|| {
    let template = include_str!("revive.sql").replace("{takes}", &REVIVING.takes("id"));
    RESULTS.ask(&template, &[Request::Queue])
});

const REVIVING: Work<'_> = Work {
    name: "queue-reconciler",
    table: "crawl_result",
};

pub(crate) struct Watch {
    shared: Arc<Shared>,
    queue: Queue,
}

impl Watch {
    /// Over this queue.
    #[must_use]
    pub(crate) fn new(shared: Arc<Shared>, queue: Queue) -> Self {
        Self { shared, queue }
    }

    async fn look(&self) {
        let lengths = self.queue.probe().await;
        crate::metrics::redis_up(lengths.is_some());
        let Some(lengths) = lengths else { return };
        metrics::record_queue("queue", lengths.queue_size);
        metrics::record_queue("processing", lengths.processing_size);
        metrics::record_queue("failed", lengths.failed_size);
        if lengths.queue_size > 0
            && let Some(tree) = self.shared.tree()
        {
            tree.wake(AutoRecord::NAME);
        }
    }
}

impl Tick for Watch {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async {
            self.look().await;
            Ok(())
        })
    }
}

pub(crate) struct Reconciler {
    shared: Arc<Shared>,
    queue: Queue,
}

impl Reconciler {
    /// Over this queue.
    #[must_use]
    pub(crate) fn new(shared: Arc<Shared>, queue: Queue) -> Self {
        Self { shared, queue }
    }

    async fn reconcile(&self) -> Result<(), PortError> {
        let config = self.shared.config.get();
        let (queue, options) = (&self.queue, config.workflows.options::<AutoRecord>());
        if !queue.is_on() && options.revive_after.is_zero() {
            return Ok(());
        }
        let mut conn = self.shared.connection().await?;
        // A little less than the interval, or a tick that comes a moment early would be lost.
        let every = config.redis.reconcile_interval.mul_f64(0.9);
        let is_mine = schedule::is_mine(&mut conn, "queue-reconciler", every, self.shared.node)
            .await
            .map_err(db::port_error)?;
        if !is_mine {
            return Ok(());
        }
        let mut refusal = None;
        if !options.revive_after.is_zero() {
            let revived = revive(&mut conn, options.revive_after, options.revive_times).await;
            let revived = match revived {
                Err(error) if !db::is_trouble(&error) => {
                    // The list is filled all the same.
                    refusal = Some(db::port_error(error));
                    0
                }
                revived => revived.map_err(db::port_error)?,
            };
            if revived > 0 {
                info!(items = revived, "queued failed results again, as scheduled");
            }
        }
        if !queue.is_on() {
            return refusal.map_or(Ok(()), Err);
        }
        let due = due(&mut conn).await.map_err(db::port_error)?;
        drop(conn);
        let expired = queue.expire().await;
        if expired > 0 {
            debug!(entries = expired, "forgot entries whose worker died");
        }
        // A list beyond the bound has enough to go on with.
        if let Some(waiting) = queue.waiting(LIST_BOUND).await {
            let missing: Vec<i64> = due.into_iter().filter(|id| !waiting.contains(id)).collect();
            queue.enqueue(&missing).await;
        }
        let age = match queue.head().await {
            Some(head) => {
                let mut conn = self.shared.connection().await?;
                age(&mut conn, head).await.map_err(db::port_error)?
            }
            None => None,
        };
        metrics::record_head(age.unwrap_or(0.0));
        refusal.map_or(Ok(()), Err)
    }
}

impl Tick for Reconciler {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.reconcile())
    }
}

/// Results that are due for a while, in the order of the claim.
async fn due(conn: &mut AsyncPgConnection) -> QueryResult<Vec<i64>> {
    let rows: Vec<Key> = statement(
        "SELECT id FROM crawl_result WHERE auto_record_status = 'Queued' AND auto_record_due_at < now() - make_interval(secs => $1) \
         ORDER BY auto_record_priority DESC, auto_record_due_at, id LIMIT $2",
    )
    .bind::<Double, _>(SETTLED_AFTER)
    .bind::<BigInt, _>(i64::try_from(LIST_BOUND).unwrap_or(i64::MAX))
    .load(conn)
    .await?;
    Ok(Key::numbers(&rows))
}

/// Queues failed results again, each `after` its first failure, twice that after its second, and so on, at most `times` times. One
/// that cannot be queued is set aside.
async fn revive(conn: &mut AsyncPgConnection, after: Duration, times: u8) -> QueryResult<usize> {
    match revive_of(conn, after, times, None).await {
        Err(error) if db::is_of_a_row(&error) => {}
        done => return done,
    }
    let failed: Vec<Key> = sql_query(format!(
        "SELECT id FROM crawl_result WHERE auto_record_status = 'Error' AND {} ORDER BY id LIMIT 10000",
        REVIVING.takes("id")
    ))
    .load(conn)
    .await?;
    let (failed, mut revived) = (Key::numbers(&failed), 0);
    let mut halves = Halves::of(&failed);
    while let Some(part) = halves.next_part() {
        match revive_of(conn, after, times, Some(part)).await {
            Ok(some) => revived += some,
            Err(error) => aside::refused(conn, REVIVING, &mut halves, part, error).await?,
        }
    }
    Ok(revived)
}

async fn revive_of(
    conn: &mut AsyncPgConnection,
    after: Duration,
    times: u8,
    only: Option<&[i64]>,
) -> QueryResult<usize> {
    statement(&REVIVE)
        .bind::<Double, _>(seconds(after))
        .bind::<SmallInt, _>(i16::from(times))
        .bind::<Text, _>(AutoRecord::stage().name())
        .bind::<Nullable<Array<BigInt>>, _>(only)
        .execute(conn)
        .await
}

/// How long ago a result was stored, in seconds.
async fn age(conn: &mut AsyncPgConnection, id: i64) -> QueryResult<Option<f64>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Double>)]
        seconds: Option<f64>,
    }
    let rows: Vec<Row> = statement(
        "SELECT extract(epoch FROM now() - CASE WHEN isfinite(created_at) THEN created_at END)::float8 AS seconds FROM crawl_result WHERE id = $1",
    )
    .bind::<BigInt, _>(id)
    .load(conn)
    .await?;
    Ok(rows.into_iter().next().and_then(|row| row.seconds))
}
