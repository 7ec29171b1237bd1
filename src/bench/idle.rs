//! What a process costs that has nothing to do: statements at the database, and memory.
//!
//! It is a process of its own, `gleaner run` with every workflow on, so that its memory is its own.

use std::path::Path;
use std::time::Duration;

use crate::db::statement::sql_query;
use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use serde::Serialize;
use tokio::process::Child;

use super::scratch::{Scratch, ServerSettings};
use super::{BenchError, number, process, rounded};
use crate::areas;

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    /// Transactions per second that the process's sessions ended, divided by the number of workflows. Each statement of an
    /// idle process is a transaction of its own. Others who use the same database count as well.
    pub queries_per_second_per_workflow: f64,
    /// The same, not divided.
    pub queries_per_second: f64,
    /// Workflows that stood idle.
    pub workflows: usize,
    /// Resident memory of the process at the end, in bytes, its program text included.
    pub resident_bytes: u64,
    /// How long it was watched, in seconds.
    pub seconds: f64,
    #[serde(flatten)]
    pub server: ServerSettings,
}

/// After the start, until what starting costs is over and has been reported: an idle session reports its statistics after
/// ten seconds (`PGSTAT_IDLE_INTERVAL`).
const WARM_UP: Duration = Duration::from_secs(15);

/// Starts `program run` in the scratch schema and watches it for `duration`.
///
/// # Errors
/// Whatever the database answers; [`BenchError::Process`]; [`BenchError::Stuck`] if it ends by itself.
pub async fn idle(
    scratch: &mut Scratch,
    program: &Path,
    duration: Duration,
) -> Result<Idle, BenchError> {
    // Without a key that workflow would not run.
    let key = ("GLEANER_WORKFLOWS__DEEP-SCAN__OPTIONS__API_KEY", "unused");
    let mut process = process::start(scratch, program, &[], &[key])?;
    let watched = watch(scratch, &mut process, duration).await;
    process::stop(&mut process).await?;
    watched
}

async fn watch(
    scratch: &mut Scratch,
    child: &mut Child,
    duration: Duration,
) -> Result<Idle, BenchError> {
    process::stay_alive(child, WARM_UP).await?;
    let before = transactions(scratch).await?;
    let start = tokio::time::Instant::now();
    process::stay_alive(child, duration).await?;
    let after = transactions(scratch).await?;
    let seconds = start.elapsed().as_secs_f64();
    let resident_bytes = process::resident(child.id().unwrap_or_default())?;
    let workflows = areas::workflows().len();
    let rate = number(after.saturating_sub(before)) / seconds;
    Ok(Idle {
        queries_per_second_per_workflow: rounded(
            rate / number(u64::try_from(workflows).unwrap_or(1)),
        ),
        queries_per_second: rounded(rate),
        workflows,
        resident_bytes,
        seconds: rounded(seconds),
        server: scratch.server_settings().await?,
    })
}

/// Transactions ended in this database so far, as far as they have been reported. A session reports at the end of a
/// transaction, at most once a second, so that seconds at both ends cancel out.
async fn transactions(scratch: &mut Scratch) -> Result<u64, BenchError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        ended: i64,
    }
    let row: Row = sql_query(
        "SELECT xact_commit + xact_rollback AS ended FROM pg_stat_database WHERE datname = current_database()",
    )
    .get_result(scratch.admin())
    .await?;
    Ok(row.ended.unsigned_abs())
}
