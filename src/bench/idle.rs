//! What a process costs that has nothing to do: statements at the database, and memory.
//!
//! It is a process of its own, `gleaner run` with every workflow on, so that its memory is its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::process::{Child, Command};

use super::scratch::{Scratch, ServerSettings};
use super::{BenchError, number, rounded};
use crate::workflows;

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
    /// Whose server it was.
    #[serde(flatten)]
    pub server: ServerSettings,
}

/// After the start, until what starting costs is over and has been reported: an idle session reports its statistics after
/// ten seconds (`PGSTAT_IDLE_INTERVAL`).
const WARM_UP: Duration = Duration::from_secs(15);
/// How long the process may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Starts `program run` in the scratch schema and watches it for `duration`.
///
/// # Errors
/// Whatever the database answers; [`BenchError::Process`]; [`BenchError::Stuck`] if it ends by itself.
pub async fn idle(
    scratch: &mut Scratch,
    program: &Path,
    duration: Duration,
) -> Result<Idle, BenchError> {
    let mut process = Command::new(program)
        .arg("run")
        .env_remove("GLEANER_CONFIG")
        .env("GLEANER_DATABASE__URL", scratch.database().url.expose())
        .env("GLEANER_DATABASE__DIRECT_URL", "")
        .env("GLEANER_HTTP__LISTEN", "")
        // Without a key that workflow would not run.
        .env("GLEANER_WORKFLOWS__DEEP-SCAN__OPTIONS__API_KEY", "unused")
        .env("GLEANER_LOG__LEVEL", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let watched = watch(scratch, &mut process, duration).await;
    stop(&mut process).await?;
    watched
}

async fn watch(
    scratch: &mut Scratch,
    process: &mut Child,
    duration: Duration,
) -> Result<Idle, BenchError> {
    stay_alive(process, WARM_UP).await?;
    let before = transactions(scratch).await?;
    let start = tokio::time::Instant::now();
    stay_alive(process, duration).await?;
    let after = transactions(scratch).await?;
    let seconds = start.elapsed().as_secs_f64();
    let resident_bytes = resident(process.id().unwrap_or_default())?;
    let workflows = workflows::NAMES.len();
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

async fn stay_alive(process: &mut Child, duration: Duration) -> Result<(), BenchError> {
    match tokio::time::timeout(duration, process.wait()).await {
        Err(_alive) => Ok(()),
        Ok(ended) => Err(BenchError::Stuck(format!(
            "the idle process ended by itself: {}",
            ended?
        ))),
    }
}

async fn stop(process: &mut Child) -> Result<(), BenchError> {
    if let Some(id) = process.id().and_then(|id| i32::try_from(id).ok())
        && let Err(error) = kill(Pid::from_raw(id), Signal::SIGTERM)
    {
        tracing::debug!(%error, "the idle process is gone already");
    }
    if tokio::time::timeout(STOP_WITHIN, process.wait())
        .await
        .is_err()
    {
        process.kill().await?;
    }
    Ok(())
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

/// Resident memory of a process, in bytes.
pub(super) fn resident(process: u32) -> Result<u64, BenchError> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    resident_in(&status).ok_or_else(|| {
        BenchError::Stuck("the kernel does not tell the memory of a process".to_owned())
    })
}

/// The line `VmRSS:     1234 kB` of `/proc/PID/status`; source: `proc_pid_status(5)`.
fn resident_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        assert_eq!(
            resident_in("Name:\tx\nVmRSS:\t   1234 kB\nVmData: 1 kB\n"),
            Some(1_263_616)
        );
        assert_eq!(resident_in("Name:\tkernel thread\n"), None);
    }
}
