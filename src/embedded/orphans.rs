//! Processes left running by an earlier process of ours that died.
//!
//! They are recognised by the instance name, which is on their command line: PostgreSQL's postmaster has it as
//! `cluster_name`, and puts it into the title of its children; Redis has it in its socket's or working directory's path.
//! `postmaster.pid` alone would not do: its pid may have been given to another program since.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::EmbeddedError;

/// How long a left-over server may take to obey each signal, from the gentlest on.
const PATIENCE: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(20)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

/// What a process is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The server itself: obeys signals and ends its children.
    Server,
    /// A child of PostgreSQL's postmaster. Without its parent it ends by itself, but not in the middle of a query.
    Backend,
}

/// Stops whatever `recognise` finds, so that a new server can take its place.
///
/// A server is asked to shut down cleanly. Backends that lost their postmaster are told to quit at once, as the
/// postmaster itself would after a crash: until they are gone, PostgreSQL refuses to start.
pub(super) async fn stop_leftovers(
    program: &'static str,
    recognise: impl Fn(&[u8]) -> Option<Role>,
) -> Result<(), EmbeddedError> {
    for (signal, patience) in PATIENCE {
        let processes = find(&recognise);
        let Some((first, _)) = processes.first().copied() else {
            return Ok(());
        };
        warn!(program, pid = first.as_raw(), count = processes.len(), %signal, "stopping leftovers of an earlier run");
        let has_server = processes.iter().any(|(_, role)| *role == Role::Server);
        for (pid, role) in &processes {
            let signal = match role {
                Role::Server => signal,
                Role::Backend if has_server => continue,
                Role::Backend if signal == Signal::SIGINT => Signal::SIGQUIT,
                Role::Backend => signal,
            };
            match kill(*pid, signal) {
                // ESRCH: it ended by itself in between, which is what we want.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => {
                    warn!(program, pid = pid.as_raw(), %error, "failed to signal a leftover process");
                }
            }
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if find(&recognise).is_empty() {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    match find(&recognise).first() {
        Some((pid, _)) => Err(EmbeddedError::Orphan {
            program,
            pid: pid.as_raw(),
        }),
        None => Ok(()),
    }
}

/// All processes but ourselves whose command line `recognise` knows. `/proc/<pid>/cmdline` is readable across users, which
/// `cwd` and `exe` are not in a container without `CAP_SYS_PTRACE`.
fn find(recognise: &impl Fn(&[u8]) -> Option<Role>) -> Vec<(Pid, Role)> {
    let ourselves = std::process::id();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            if u32::try_from(pid).ok() == Some(ourselves) {
                return None;
            }
            let command_line = fs::read(entry.path().join("cmdline")).ok()?;
            Some((Pid::from_raw(pid), recognise(&command_line)?))
        })
        .collect()
}

/// Whether `pid` is a PostgreSQL process of any cluster.
pub(super) fn is_postgres(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
        let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
        line.starts_with(b"postgres: ") || has_base_name(program, &["postgres", "postmaster"])
    })
}

/// Recognises PostgreSQL processes of the cluster named `cluster`, from the bytes of `/proc/<pid>/cmdline`.
pub(super) fn postgres_role(command_line: &[u8], cluster: &str) -> Option<Role> {
    // A backend overwrites its arguments with one title: "postgres: <cluster>: checkpointer".
    if command_line.starts_with(format!("postgres: {cluster}: ").as_bytes()) {
        return Some(Role::Backend);
    }
    let setting = format!("cluster_name={cluster}");
    let mut arguments = command_line.split(|byte| *byte == 0);
    let is_postgres = arguments
        .next()
        .is_some_and(|program| has_base_name(program, &["postgres"]));
    (is_postgres && arguments.any(|argument| argument == setting.as_bytes()))
        .then_some(Role::Server)
}

/// Recognises a Redis or Valkey server on `socket`. Its title is `redis-server unixsocket:<socket>`.
pub(super) fn redis_role(command_line: &[u8], socket: &str) -> Option<Role> {
    let text = command_line
        .split(|byte| *byte == 0 || *byte == b' ')
        .collect::<Vec<_>>();
    let is_redis = text
        .first()
        .is_some_and(|program| has_base_name(program, &["redis-server", "valkey-server"]));
    let title = format!("unixsocket:{socket}");
    let is_ours = text
        .iter()
        .any(|part| *part == socket.as_bytes() || *part == title.as_bytes());
    (is_redis && is_ours).then_some(Role::Server)
}

fn has_base_name(program: &[u8], names: &[&str]) -> bool {
    let base = program
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or(program);
    names.iter().any(|name| name.as_bytes() == base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_processes_are_recognised_by_their_cluster_name() {
        let check = |line: &str, wanted| {
            assert_eq!(
                postgres_role(line.as_bytes(), "gleaner-1"),
                wanted,
                "{line}"
            );
        };
        let server = Some(Role::Server);
        check(
            "/usr/lib/postgresql/15/bin/postgres\0-D\0/d\0-c\0cluster_name=gleaner-1\0",
            server,
        );
        check(
            "postgres: gleaner-1: checkpointer \0\0\0",
            Some(Role::Backend),
        );
        check("postgres: gleaner-12: checkpointer ", None);
        check("/usr/bin/postgres\0-c\0cluster_name=gleaner-12\0", None);
        check("/usr/bin/psql\0cluster_name=gleaner-1\0", None);
        check(
            "gleaner\0embedded-exec\0--\0/bin/postgres\0-c\0cluster_name=gleaner-1\0",
            None,
        );
        check("", None);
    }

    #[test]
    fn redis_is_recognised_by_its_socket() {
        let check = |line: &str, wanted| {
            assert_eq!(
                redis_role(line.as_bytes(), "/d/redis.sock"),
                wanted,
                "{line}"
            );
        };
        check(
            "/usr/bin/redis-server unixsocket:/d/redis.sock\0\0",
            Some(Role::Server),
        );
        check(
            "/usr/bin/redis-server\0--unixsocket\0/d/redis.sock\0",
            Some(Role::Server),
        );
        check("valkey-server unixsocket:/d/redis.sock", Some(Role::Server));
        check("redis-server *:6379", None);
        check("redis-cli\0-s\0/d/redis.sock\0", None);
    }
}
