//! How fast a queue is drained, and how near that is to what the same statements can do without an engine around them.

use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::engine::{Engine, Load, stage};
use super::scratch::{Cost, Scratch};
use super::turns::{Rounds, Turns, bare_clients};
use super::{BenchError, median, number};

#[derive(Clone, Debug)]
pub struct Drain {
    /// Rows to drain in each round.
    pub rows: u64,
    /// Rounds of each kind, engine and bare loop by turns. The medians count.
    pub rounds: usize,
    /// How the engine is set.
    pub load: Load,
}

/// What came out. Per row means per row drained.
#[derive(Clone, Debug, Serialize)]
pub struct Drained {
    /// Rows that the engine claimed, ran and settled in a second, end to end: its start, its lease and its last commit
    /// included.
    pub rows_per_second: f64,
    /// Bytes that the server added to its WAL.
    pub wal_bytes_per_row: f64,
    /// Row versions that updates made obsolete, on all tables of the engine (`n_tup_upd + n_tup_del`).
    pub dead_versions_per_row: f64,
    /// Share of the updates that touched no index.
    pub hot_share: f64,
    /// The same statements, prepared, in a bare loop over as many connections as the engine uses at once.
    pub ceiling_rows_per_second: f64,
    /// Rows per round.
    pub rows: u64,
    /// Each round, and what it was measured on.
    #[serde(flatten)]
    pub turns: Turns,
}

/// Measures.
///
/// # Errors
/// Whatever the database answers; [`BenchError::Stuck`].
pub async fn drain(scratch: &mut Scratch, what: &Drain) -> Result<Drained, BenchError> {
    let mut rounds = Rounds::default();
    let mut costs = Vec::new();
    for _ in 0..what.rounds.max(1) {
        let (rate, cost) = engine_round(scratch, what).await?;
        rounds.note(rate, ceiling_round(scratch, what).await?);
        costs.push(cost);
    }
    let middle = |of: fn(&Cost) -> f64| median(&costs.iter().map(of).collect::<Vec<f64>>());
    Ok(Drained {
        rows_per_second: rounds.engine(),
        ceiling_rows_per_second: rounds.ceiling(),
        wal_bytes_per_row: middle(|cost| cost.wal_bytes_per_row),
        dead_versions_per_row: middle(|cost| cost.dead_versions_per_row),
        hot_share: middle(|cost| cost.hot_share),
        rows: what.rows,
        turns: rounds.end(scratch, &what.load).await?,
    })
}

/// Fills, and has the engine drain it. Rows per second, and what they cost.
pub(super) async fn engine_round(
    scratch: &mut Scratch,
    what: &Drain,
) -> Result<(f64, Cost), BenchError> {
    scratch.fill(what.rows).await?;
    let before = scratch.meter().await?;
    let start = Instant::now();
    let mut engine = Engine::start(scratch, &what.load, None).await?;
    let drained = engine.until_completed(what.rows).await;
    let elapsed = start.elapsed();
    let after = scratch.meter().await?;
    engine.stop().await;
    drained?;
    let updates = before.updates + i64::try_from(2 * what.rows).unwrap_or(i64::MAX);
    let late = scratch.settled_meter(updates).await?;
    let cost = after.cost_since(&before, &late, what.rows);
    Ok((number(what.rows) / elapsed.as_secs_f64(), cost))
}

/// Fills, and drains it with bare loops. Rows per second.
async fn ceiling_round(scratch: &mut Scratch, what: &Drain) -> Result<f64, BenchError> {
    scratch.fill(what.rows).await?;
    let (clients, lease) = bare_clients(scratch).await?;
    let start = Instant::now();
    let done = try_join_all(
        clients
            .iter()
            .map(|client| bare_loop(client, lease, what.load.batch)),
    )
    .await?;
    let elapsed = start.elapsed();
    let settled: u64 = done.iter().sum();
    if settled != what.rows {
        return Err(BenchError::Stuck(format!(
            "the bare loop settled {settled} of {} rows",
            what.rows
        )));
    }
    Ok(number(what.rows) / elapsed.as_secs_f64())
}

/// Claims and settles until nothing is left to claim. Returns how many rows it settled.
async fn bare_loop(client: &Client, lease: i64, batch: usize) -> Result<u64, BenchError> {
    let stage = stage();
    let claim = client.prepare(stage.claim_sql()).await?;
    let settle = client.prepare(stage.settle_sql()).await?;
    let limit = i64::try_from(batch).unwrap_or(i64::MAX);
    let mut settled = 0;
    loop {
        let rows = client.query(&claim, &[&lease, &limit]).await?;
        if rows.is_empty() {
            return Ok(settled);
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let attempts: Vec<i16> = rows.iter().map(|row| row.get(1)).collect();
        let nothing: Vec<Option<&str>> = vec![None; ids.len()];
        let rows = client
            .query(
                &settle,
                &[
                    &lease,
                    &ids,
                    &attempts,
                    &vec!["Completed"; ids.len()],
                    &vec![0.0_f64; ids.len()],
                    &nothing,
                    &vec![0_i16; ids.len()],
                    &vec!["completed"; ids.len()],
                    &nothing,
                    &vec![0_i32; ids.len()],
                ],
            )
            .await?;
        settled += u64::try_from(rows.len()).unwrap_or(u64::MAX);
    }
}
