//! A `gleaner run` of its own, so that its memory is its own.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::BenchError;
use super::scratch::Scratch;
use crate::child;

/// How long the process may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Starts `program run` in the scratch schema, without HTTP and Redis and with little to log. Of our own settings it gets none:
/// what is measured are the defaults, and what `environment` says.
///
/// # Errors
/// [`BenchError::Process`].
pub(super) fn start(
    scratch: &Scratch,
    program: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Child, BenchError> {
    let process = Command::new(program)
        .arg("run")
        .args(arguments)
        .env_clear()
        .envs(child::environment())
        .envs(authorities())
        .env("GLEANER_DATABASE__URL", scratch.database().url.expose())
        .env("GLEANER_DATABASE__DIRECT_URL", "")
        .env("GLEANER_HTTP__LISTEN", "")
        .env("GLEANER_LOG__LEVEL", "warn")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(process)
}

/// Whom to trust when the database is reached by TLS: files, not secrets.
fn authorities() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| name == "SSL_CERT_FILE" || name == "SSL_CERT_DIR")
}

/// Waits for as long, unless the process ends.
///
/// # Errors
/// [`BenchError::Stuck`] if it does.
pub(super) async fn stay_alive(process: &mut Child, duration: Duration) -> Result<(), BenchError> {
    match tokio::time::timeout(duration, process.wait()).await {
        Err(_alive) => Ok(()),
        Ok(ended) => Err(BenchError::Stuck(format!(
            "the process that is measured ended by itself: {}",
            ended?
        ))),
    }
}

/// Has it drain, and kills it if that takes too long.
///
/// # Errors
/// [`BenchError::Process`].
pub(super) async fn stop(process: &mut Child) -> Result<(), BenchError> {
    if let Some(id) = process.id().and_then(|id| i32::try_from(id).ok())
        && let Err(error) = kill(Pid::from_raw(id), Signal::SIGTERM)
    {
        tracing::debug!(%error, "the process that is measured is gone already");
    }
    if tokio::time::timeout(STOP_WITHIN, process.wait())
        .await
        .is_err()
    {
        process.kill().await?;
    }
    Ok(())
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// [`BenchError::Process`], [`BenchError::Stuck`].
pub(super) fn resident(process: u32) -> Result<u64, BenchError> {
    memory(process, "VmRSS:")
}

/// The most resident memory that a process has had, in bytes.
///
/// # Errors
/// [`BenchError::Process`], [`BenchError::Stuck`].
pub(super) fn peak(process: u32) -> Result<u64, BenchError> {
    memory(process, "VmHWM:")
}

fn memory(process: u32, field: &str) -> Result<u64, BenchError> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    memory_in(&status, field).ok_or_else(|| {
        BenchError::Stuck("the kernel does not tell the memory of a process".to_owned())
    })
}

/// A line such as `VmRSS:     1234 kB` of `/proc/PID/status`; source: `proc_pid_status(5)`.
fn memory_in(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read() {
        let status = "Name:\tx\nVmHWM:\t 2000 kB\nVmRSS:\t   1234 kB\nVmData: 1 kB\n";
        assert_eq!(memory_in(status, "VmRSS:"), Some(1_263_616));
        assert_eq!(memory_in(status, "VmHWM:"), Some(2_048_000));
        assert_eq!(memory_in("Name:\tkernel thread\n", "VmRSS:"), None);
    }
}
