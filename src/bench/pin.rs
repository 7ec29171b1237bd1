//! What an open transaction of somebody else's costs: a steady load without and with one.
//!
//! As long as it is open, no row version is cleared away, and the index of the queue keeps an entry of every row that was claimed.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use serde::Serialize;
use tokio::time::Instant;

use super::engine::{Engine, Load, Starts, stage};
use super::scratch::{Scratch, ServerSettings};
use super::wake::{Inserted, Inserter, number_of, sorted_millis, waits};
use super::{BenchError, median, number, percentile, rounded};
use crate::db::statement::sql_query;
use crate::store::stage::Frontier;
use crate::store::{lease, node};

/// Rows in a claim that is measured by itself.
const CLAIMED: i64 = 100;
/// Claims so measured; the median counts.
const CLAIMS: usize = 11;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Rows inserted in a second.
    pub rate: f64,
    /// For how long, without the transaction and again with it.
    pub duration: Duration,
    /// How the engine is set.
    pub load: Load,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Pinned {
    /// Rows per second that were asked for.
    pub offered_per_second: f64,
    pub rows_per_insert: u64,
    pub without: Steady,
    pub with: Steady,
    #[serde(flatten)]
    pub server: ServerSettings,
}

/// A steady load; times from insert to start.
#[derive(Clone, Debug, Serialize)]
pub struct Steady {
    pub inserted_per_second: f64,
    /// From the first insert until all was settled.
    pub completed_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Of the rows that came in the last tenth of the time.
    pub last_p50_ms: f64,
    pub last_p99_ms: f64,
    pub max_ms: f64,
    /// A claim of a hundred rows before the first of these, with the transaction open.
    pub first_claim: ClaimCost,
    /// And after the last.
    pub last_claim: ClaimCost,
    /// The same, reading the queue from its front.
    pub last_claim_of_all: ClaimCost,
}

/// What a claim costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ClaimCost {
    /// Median, without the commit.
    pub ms: f64,
    /// Median of the pages of the table and its indexes that it read.
    pub buffers: f64,
}

/// Measures.
///
/// # Errors
/// Whatever the database answers; [`BenchError::Stuck`].
pub async fn pin(scratch: &mut Scratch, what: &Pin) -> Result<Pinned, BenchError> {
    let (rows_per_insert, without) = steady(scratch, what, false).await?;
    tracing::info!(?without, "without an open transaction");
    let (_, with) = steady(scratch, what, true).await?;
    Ok(Pinned {
        offered_per_second: rounded(what.rate),
        rows_per_insert,
        without,
        with,
        server: scratch.server_settings().await?,
    })
}

async fn steady(
    scratch: &mut Scratch,
    what: &Pin,
    is_pinned: bool,
) -> Result<(u64, Steady), BenchError> {
    scratch.fill(0).await?;
    let mut holder = scratch.connector().connect().await?;
    if is_pinned {
        holder
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            .await?;
    }
    let first_claim = claim_cost(scratch, &Frontier::default()).await?;
    let starts = Starts::default();
    let mut engine = Engine::start(scratch, &what.load, Some(Arc::clone(&starts))).await?;
    let frontier = engine.frontier();
    let inserter = Inserter::new(scratch).await?;
    // One row through everything first: connections, prepared statements.
    inserter.insert(0, 0).await?;
    engine.until_completed(1).await?;
    starts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
    let begin = Instant::now();
    let inserted = inserter.steadily(what.rate, what.duration).await;
    let completed = match &inserted {
        Ok(inserted) => {
            let rows = number_of(inserted.sent.len()).saturating_add(1);
            engine.until_completed(rows).await
        }
        Err(_) => Ok(()),
    };
    let took = begin.elapsed();
    engine.stop().await;
    completed?;
    let Inserted {
        sent,
        inserting,
        rows_per_insert,
    } = inserted?;
    let last_claim = claim_cost(scratch, &frontier).await?;
    let last_claim_of_all = claim_cost(scratch, &Frontier::default()).await?;
    drop(holder);

    let waits = waits(&starts, &sent);
    let late = begin + inserting.mul_f64(0.9);
    let all = sorted_millis(waits.iter().map(|(_, waited)| *waited));
    let last = waits.iter().filter(|(sent, _)| *sent >= late);
    let last = sorted_millis(last.map(|(_, waited)| *waited));
    let rows = number(number_of(sent.len()));
    let steady = Steady {
        inserted_per_second: rounded(rows / inserting.as_secs_f64()),
        completed_per_second: rounded(rows / took.as_secs_f64()),
        p50_ms: rounded(percentile(&all, 50)),
        p99_ms: rounded(percentile(&all, 99)),
        last_p50_ms: rounded(percentile(&last, 50)),
        last_p99_ms: rounded(percentile(&last, 99)),
        max_ms: rounded(percentile(&all, 100)),
        first_claim,
        last_claim,
        last_claim_of_all,
    };
    Ok((rows_per_insert, steady))
}

/// Claims rows that are queued for it, and takes both back.
async fn claim_cost(scratch: &Scratch, frontier: &Frontier) -> Result<ClaimCost, BenchError> {
    let stage = stage();
    let mut conn = scratch.connector().connect().await?;
    let node = node::register(&mut conn).await?;
    let hour = Duration::from_secs(3_600);
    let lease = lease::open(&mut conn, node, "bench", hour).await?;
    let (mut millis, mut buffers) = (Vec::new(), Vec::new());
    for _ in 0..CLAIMS {
        conn.batch_execute(&format!(
            "BEGIN; INSERT INTO bench_item (id, url, noop_status) \
             SELECT -item, 'https://www.example.org/', 'Queued' FROM generate_series(1, {CLAIMED}) AS item"
        ))
        .await?;
        let before = read(&mut conn).await?;
        let start = Instant::now();
        let claimed = stage
            .claim_past(
                &mut conn,
                lease,
                usize::try_from(CLAIMED).unwrap_or(0),
                frontier,
            )
            .await?;
        millis.push(start.elapsed().as_secs_f64() * 1_000.0);
        buffers.push(number((read(&mut conn).await? - before).unsigned_abs()));
        conn.batch_execute("ROLLBACK").await?;
        if i64::try_from(claimed.len()).unwrap_or(0) < CLAIMED {
            return Err(BenchError::Stuck(format!(
                "a claim got {} of {CLAIMED} rows",
                claimed.len()
            )));
        }
    }
    Ok(ClaimCost {
        ms: rounded(median(&millis)),
        buffers: median(&buffers),
    })
}

/// Pages of the table and its indexes that this session has read in its transaction.
async fn read(conn: &mut AsyncPgConnection) -> Result<i64, BenchError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        pages: i64,
    }
    let row: Row = sql_query(
        "SELECT (pg_stat_get_xact_blocks_fetched('bench_item'::regclass) \
         + sum(pg_stat_get_xact_blocks_fetched(indexrelid)))::bigint AS pages \
         FROM pg_index WHERE indrelid = 'bench_item'::regclass",
    )
    .get_result(conn)
    .await?;
    Ok(row.pages)
}
