//! Private PostgreSQL and Redis servers, run as children of this process.
//!
//! `gleaner demo` and `--embedded` need real servers and nothing installed by hand. This module finds the server
//! programs, makes a cluster inside the data directory, starts it on a Unix socket only, keeps it running and stops it
//! with us. What it holds to:
//!
//! - **Durable.** A cluster is made aside and renamed into place, and runs with `fsync` on. A SIGKILL of the server or of
//!   us loses nothing that was committed.
//! - **Never two.** The data directory is locked by `flock` for as long as we live. A second process gets
//!   [`EmbeddedError::InUse`] with our pid.
//! - **Nothing left running.** Servers start through [`exec_shim`], which asks the kernel to interrupt them when we die. What
//!   survives even that is found by its cluster name at the next start, and stopped.
//! - **Kept running.** [`Postgres::watch`] and [`Redis::watch`] start a server again when it dies. The application polls
//!   them as long as it lives.
//! - **Private.** No TCP port; the socket's directory is 0700.
//!
//! As root the servers run as `postgres`, else as `nobody`, else (for an existing directory) as its owner: PostgreSQL
//! refuses to run as root. Linux only: the death signal and `/proc` are used.
//!
//! ```text
//! <data_dir>/postgres/data     the cluster (data.tmp while it is being made)
//! <data_dir>/postgres/server.log
//! <data_dir>/redis/            append-only file and server.log
//! <data_dir>/run/              the sockets (in /tmp/gleaner-<hash> when this path is too long for a socket)
//! <data_dir>/postgres.lock     held while a process uses the directory; contains its pid
//! <data_dir>/pgbin/            optional: server programs unpacked by ./quickstart when it may not install packages
//! ```

mod account;

mod binaries;
mod config;
mod orphans;
mod postgres;
mod process;
mod redis;
mod shim;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

pub use config::Config;
pub use postgres::Postgres;
pub use redis::Redis;
pub use shim::{EXEC_SUBCOMMAND, exec_shim};

/// How to run the embedded servers.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory that holds everything; created if missing. As root, the user the servers run as must be able to
    /// traverse it and its parents.
    pub data_dir: PathBuf,
    /// The directory of `postgres` and `initdb`. `None` searches, see [`Postgres::start`].
    pub pg_bin: Option<PathBuf>,
    /// The `redis-server` or `valkey-server` program. `None` searches.
    pub redis_server: Option<PathBuf>,
    /// The program whose `embedded-exec` subcommand calls [`exec_shim`]. `None` is the running program.
    pub shim: Option<PathBuf>,
    /// `false` turns `fsync` off: the death of any process still loses nothing, a power cut may lose all. For tests only.
    pub durable: bool,
    /// How long a server may take to become ready. Crash recovery of a large cluster counts.
    pub startup_timeout: Duration,
    /// Further PostgreSQL settings, `("name", "value")`; they win over `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// Durable servers in `data_dir`, found by search, with two minutes to start.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            pg_bin: None,
            redis_server: None,
            shim: None,
            durable: true,
            startup_timeout: Duration::from_secs(120),
            settings: Vec::new(),
        }
    }
}

/// Where the servers live if nobody says otherwise. `./quickstart` computes the same.
///
/// As root `/var/lib/gleaner` (another user must get there, and `/root` is closed), else `$XDG_DATA_HOME/gleaner` or
/// `$HOME/.local/share/gleaner`.
///
/// The environment's values are passed in, because only `config` reads it; empty and relative ones count as missing (XDG
/// Base Directory Specification). Without a home it is `/tmp/gleaner-data-<uid>`.
#[must_use]
pub fn default_data_dir(xdg_data_home: Option<&OsStr>, home: Option<&OsStr>) -> PathBuf {
    data_dir_for(nix::unistd::geteuid().as_raw(), xdg_data_home, home)
}

fn data_dir_for(uid: u32, xdg_data_home: Option<&OsStr>, home: Option<&OsStr>) -> PathBuf {
    if uid == 0 {
        return PathBuf::from("/var/lib/gleaner");
    }
    let absolute =
        |value: Option<&OsStr>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(xdg_data_home)
        .or_else(|| absolute(home).map(|home| home.join(".local/share")))
        .map(|base| base.join("gleaner"))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/gleaner-data-{uid}")))
}

/// Why an embedded server could not be started, used or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No PostgreSQL server programs were found, or only ones that are too old.
    #[error(
        "no PostgreSQL server (version 14 or newer) found{}: run `apt-get install postgresql`, \
         or ./quickstart which installs one, or name its folder in embedded.pg_bin", note(.searched)
    )]
    NoPostgres {
        /// What was found and why it does not do; empty when nothing was found.
        searched: String,
    },
    /// The existing cluster was made by a major version that is not installed.
    #[error(
        "the cluster in {} was made by PostgreSQL {cluster}, which is not installed (found: {found}): \
         run `apt-get install postgresql-{cluster}`, or move that directory away to begin anew",
        .data_dir.display()
    )]
    OtherMajor {
        data_dir: PathBuf,
        /// The major version that made it.
        cluster: u32,
        found: String,
    },
    /// No Redis or Valkey server program was found.
    #[error(
        "no Redis server found: run `apt-get install redis-server`, or do without: \
         PostgreSQL then serves the auto-record queue"
    )]
    NoRedis,
    /// Another live process uses the data directory.
    #[error(
        "{} is in use by another gleaner{}: stop it, or choose another data directory",
        .data_dir.display(), .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        data_dir: PathBuf,
        /// The other process, if its lock file could be read.
        pid: Option<u32>,
    },
    /// The user the servers run as cannot reach the data directory.
    #[error(
        "user {user} cannot enter {}, and as root PostgreSQL must run as that user: \
         run `chmod o+x {}`, or choose another data directory (for example /var/lib/gleaner)",
        .directory.display(), .directory.display()
    )]
    NotTraversable {
        /// The first directory in the way.
        directory: PathBuf,
        /// The name of the user.
        user: String,
    },
    /// We are root and found no user to run the servers as.
    #[error(
        "PostgreSQL does not run as root, and there is no user \"postgres\" or \"nobody\" to run it as"
    )]
    NoAccount,
    /// We are not root and our uid has no passwd entry, which `initdb` demands.
    #[error(
        "uid {uid} has no entry in the user database, which PostgreSQL demands: run as another user"
    )]
    NoPasswdEntry {
        /// Our effective uid.
        uid: u32,
    },
    /// The fall-back socket directory exists and is not ours.
    #[error("{} belongs to someone else: remove it, or choose a shorter data directory", .directory.display())]
    ForeignSocketDirectory {
        /// The directory under `/tmp`.
        directory: PathBuf,
    },
    /// A file operation failed.
    #[error("failed to {action} {}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A program could not be started at all.
    #[error("failed to start {program}")]
    Spawn {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    /// A program ended when it should not have.
    #[error("{program} ended with {status}; the end of {}:\n{tail}", .log.display())]
    Exited {
        program: &'static str,
        status: ExitStatus,
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A server runs but did not become ready in time. It has been stopped.
    #[error("{program} was not ready after {waited:?}; the end of {}:\n{tail}", .log.display())]
    NotReady {
        program: &'static str,
        /// How long we waited.
        waited: Duration,
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A server left by an earlier process does not end.
    #[error("{program} (pid {pid}) left over from an earlier run does not end, even after SIGKILL")]
    Orphan { program: &'static str, pid: i32 },
    /// A server was not running when something was asked of it.
    #[error("{program} is not running")]
    NotRunning { program: &'static str },
    /// A query on the embedded PostgreSQL failed.
    #[error("failed to {action}")]
    Database {
        /// What was tried, as a verb.
        action: String,
        #[source]
        source: tokio_postgres::Error,
    },
    /// The hidden `embedded-exec` subcommand was misused.
    #[error("embedded-exec: {0}")]
    ShimArguments(String),
    /// `embedded-exec` could not prepare or replace the process.
    #[error("embedded-exec: failed to {action}")]
    Shim {
        /// What was tried, as a verb.
        action: String,
        #[source]
        source: io::Error,
    },
}

fn note(searched: &str) -> String {
    if searched.is_empty() {
        String::new()
    } else {
        format!(" ({searched})")
    }
}

/// Turns an [`io::Error`] into [`EmbeddedError::Io`].
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_path_buf();
    move |source| EmbeddedError::Io {
        action,
        path,
        source,
    }
}

/// How long to wait before the `failures`-th start in a row that did not last: at once, then 0.5 s doubling up to 30 s.
fn relaunch_delay(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => Duration::from_millis(500)
            .saturating_mul(2_u32.saturating_pow(n.saturating_sub(1).min(16)))
            .min(Duration::from_secs(30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relaunch_delay_starts_at_zero_and_is_capped() {
        let cases = [
            (0, 0),
            (1, 500),
            (2, 1_000),
            (3, 2_000),
            (6, 16_000),
            (7, 30_000),
            (u32::MAX, 30_000),
        ];
        for (failures, millis) in cases {
            assert_eq!(
                relaunch_delay(failures),
                Duration::from_millis(millis),
                "{failures}"
            );
        }
    }

    #[test]
    fn the_default_data_dir_follows_the_user() {
        for (uid, xdg, home, wanted) in [
            (0, Some("/x"), Some("/root"), "/var/lib/gleaner"),
            (7, Some("/x"), Some("/home/a"), "/x/gleaner"),
            (7, None, Some("/home/a"), "/home/a/.local/share/gleaner"),
            (
                7,
                Some("relative"),
                Some("/home/a"),
                "/home/a/.local/share/gleaner",
            ),
            (7, Some(""), Some(""), "/tmp/gleaner-data-7"),
        ] {
            let found = data_dir_for(uid, xdg.map(OsStr::new), home.map(OsStr::new));
            assert_eq!(found, PathBuf::from(wanted));
        }
    }

    #[test]
    fn errors_say_how_to_mend_it() {
        let check = |error: EmbeddedError, wanted: &str| assert_eq!(error.to_string(), wanted);
        check(
            EmbeddedError::NoPostgres {
                searched: String::new(),
            },
            "no PostgreSQL server (version 14 or newer) found: run `apt-get install postgresql`, \
             or ./quickstart which installs one, or name its folder in embedded.pg_bin",
        );
        check(
            EmbeddedError::InUse {
                data_dir: "/d".into(),
                pid: Some(7),
            },
            "/d is in use by another gleaner (pid 7): stop it, or choose another data directory",
        );
        check(
            EmbeddedError::OtherMajor {
                data_dir: "/d".into(),
                cluster: 15,
                found: "17".into(),
            },
            "the cluster in /d was made by PostgreSQL 15, which is not installed (found: 17): \
             run `apt-get install postgresql-15`, or move that directory away to begin anew",
        );
    }
}
