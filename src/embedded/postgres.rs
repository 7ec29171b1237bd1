//! The private PostgreSQL server.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use tokio::sync::{Mutex, watch};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tracing::{info, warn};

use super::account::{self, Account, DataDirLock};
use super::binaries::{self, PostgresBinaries};
use super::process::{ChildSlot, Server, ServerLog, SlotState, keep_running, wait_until_ready};
use super::{EmbeddedError, Options, io_error, orphans, shim};

const PROGRAM: &str = "postgres";
const INITDB: &str = "initdb";
/// The superuser of the cluster, and the only role we make.
const ROLE: &str = "gleaner";
/// How long each way to stop may take: fast (sessions are cut, a checkpoint is written), then immediate (recovery at the
/// next start).
const STOP: [(Signal, Duration); 2] = [
    (Signal::SIGINT, Duration::from_secs(20)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
];

/// A running private PostgreSQL server. Dropping it shuts the server down without waiting; [`Postgres::stop`] waits.
#[derive(Debug)]
pub struct Postgres {
    options: Options,
    binaries: PostgresBinaries,
    account: Account,
    cluster_name: String,
    home: PathBuf,
    socket_dir: PathBuf,
    slot: ChildSlot,
    /// Held over every start and stop, so that they never overlap.
    lifecycle: Mutex<()>,
    wanted: watch::Sender<bool>,
    _lock: DataDirLock,
}

impl Postgres {
    /// Starts the server of `options.data_dir`, after making its cluster if there is none, and waits until it is ready.
    ///
    /// Server programs are searched in `options.pg_bin` (and then nowhere else), `/usr/lib/postgresql/*/bin` (highest
    /// version first), `$PATH` and `<data_dir>/pgbin`. What an earlier process left running is stopped first.
    ///
    /// # Errors
    ///
    /// See [`EmbeddedError`]; its texts say how to mend it.
    pub async fn start(options: Options) -> Result<Self, EmbeddedError> {
        let data_dir = account::create_data_dir(&options.data_dir)?;
        let lock = DataDirLock::take(&data_dir, PROGRAM)?;
        let home = data_dir.join(PROGRAM);
        let account = Account::choose(&home)?;
        account.check_traversable(&data_dir)?;
        account.create_private_dir(&home)?;
        let socket_dir = account::create_socket_dir(&data_dir, &account)?;
        let cluster = home.join("data");
        let cluster_major = read_cluster_major(&cluster);
        let binaries = binaries::find_postgres(
            options.pg_bin.as_deref(),
            &data_dir,
            cluster_major.map(|major| (major, cluster.as_path())),
        )?;
        let slot = ChildSlot::new("embedded-pg").map_err(|source| EmbeddedError::Spawn {
            program: PROGRAM,
            source,
        })?;
        let postgres = Self {
            cluster_name: account::instance_name(&data_dir),
            options,
            binaries,
            account,
            home,
            socket_dir,
            slot,
            lifecycle: Mutex::new(()),
            wanted: watch::channel(true).0,
            _lock: lock,
        };
        let guard = postgres.lifecycle.lock().await;
        if cluster_major.is_none() {
            postgres.make_cluster().await?;
        }
        postgres.launch().await?;
        drop(guard);
        Ok(postgres)
    }

    /// The URL of `database`, for tokio-postgres, libpq and `psql` alike. It names the socket's directory and the
    /// superuser; there is no password, the directory is private.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{ROLE}@{}/{}?sslmode=disable",
            percent_encode(self.socket_dir.as_os_str().as_bytes(), NON_ALPHANUMERIC),
            utf8_percent_encode(database, NON_ALPHANUMERIC),
        )
    }

    /// The server's process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self.slot.state() {
            SlotState::Running(pid) => Some(pid),
            SlotState::Empty | SlotState::Ended(_) => None,
        }
    }

    /// The major version of the server programs.
    #[must_use]
    pub fn major_version(&self) -> u32 {
        self.binaries.major
    }

    /// Whether the server process is running.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.slot.is_running()
    }

    /// Creates the database `name` unless it exists; says whether it did.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::Database`] when the server cannot be reached or refuses.
    pub async fn create_database_if_missing(&self, name: &str) -> Result<bool, EmbeddedError> {
        let failed = |source| EmbeddedError::Database {
            action: format!("create database \"{name}\""),
            source,
        };
        let (client, connection) = tokio_postgres::connect(&self.url("postgres"), NoTls)
            .await
            .map_err(failed)?;
        let work = async {
            let exists = "SELECT 1 FROM pg_database WHERE datname = $1";
            if client.query_opt(exists, &[&name]).await?.is_some() {
                return Ok(false);
            }
            let quoted = name.replace('"', "\"\"");
            match client
                .batch_execute(&format!("CREATE DATABASE \"{quoted}\""))
                .await
            {
                Ok(()) => Ok(true),
                // Someone else was quicker.
                Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(false),
                Err(error) => Err(error),
            }
        };
        tokio::select! {
            created = work => created.map_err(failed),
            ended = connection => match ended {
                Err(source) => Err(failed(source)),
                Ok(()) => Err(EmbeddedError::NotRunning { program: PROGRAM }),
            },
        }
    }

    /// Keeps the server running: starts it again whenever it ends, until [`Postgres::stop`]. The application polls this
    /// future as long as it lives. Cancel safe: without it the server runs on, unsupervised.
    pub async fn watch(&self) {
        keep_running(self).await;
    }

    /// Stops the server and starts it again.
    ///
    /// # Errors
    ///
    /// As [`Postgres::start`].
    pub async fn restart(&self) -> Result<(), EmbeddedError> {
        let _guard = self.lifecycle.lock().await;
        self.slot.stop(&STOP).await;
        self.wanted.send_replace(true);
        self.launch().await
    }

    /// Shuts the server down: fast, after 20 s by SIGQUIT, after 5 s more by SIGKILL. [`Postgres::watch`] then returns.
    pub async fn stop(&self) {
        self.wanted.send_replace(false);
        let _guard = self.lifecycle.lock().await;
        self.slot.stop(&STOP).await;
    }

    fn cluster(&self) -> PathBuf {
        self.home.join("data")
    }

    fn pid_file(&self) -> PathBuf {
        self.cluster().join("postmaster.pid")
    }

    fn shim_command(&self, program: &str, arguments: Vec<OsString>) -> Command {
        let program = self.binaries.directory.join(program);
        let shim_path = self.options.shim.as_ref().map(|path| path.as_os_str());
        let mut command = shim::command(shim_path, &self.account, program.as_os_str(), arguments);
        command.current_dir(&self.home);
        command
    }

    /// Runs `initdb` in `data.tmp` and renames the result: a cluster is whole or not there.
    async fn make_cluster(&self) -> Result<(), EmbeddedError> {
        let cluster = self.cluster();
        if fs::symlink_metadata(&cluster).is_ok() {
            return Err(EmbeddedError::Io {
                action: "use",
                path: cluster,
                source: io::Error::other("it exists and is no PostgreSQL cluster"),
            });
        }
        let started = Instant::now();
        let unfinished = self.home.join("data.tmp");
        // Debian's glibc has C.UTF-8 (words and case of all scripts); where it is missing, plain C still works.
        let mut result = self.run_initdb(&unfinished, "C.UTF-8").await;
        if let Err(EmbeddedError::Exited { tail, .. }) = &result
            && tail.contains("locale")
        {
            warn!("no locale C.UTF-8 here, making the cluster with locale C");
            result = self.run_initdb(&unfinished, "C").await;
        }
        result?;
        self.append_settings(&unfinished.join("postgresql.conf"))?;
        fs::rename(&unfinished, &cluster).map_err(io_error("rename", &unfinished))?;
        if self.options.durable {
            File::open(&self.home)
                .and_then(|directory| directory.sync_all())
                .map_err(io_error("flush", &self.home))?;
        }
        info!(cluster = %cluster.display(), version = self.binaries.major, elapsed = ?started.elapsed(), "made a PostgreSQL cluster");
        Ok(())
    }

    async fn run_initdb(&self, target: &Path, locale: &str) -> Result<(), EmbeddedError> {
        match fs::remove_dir_all(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", target)(error));
            }
            _ => {}
        }
        let mut arguments: Vec<OsString> = vec!["-D".into(), target.into()];
        arguments.extend(
            [
                "--auth=trust",
                "--encoding=UTF8",
                &format!("--username={ROLE}"),
            ]
            .map(OsString::from),
        );
        arguments.push(format!("--locale={locale}").into());
        if !self.options.durable {
            arguments.push("--no-sync".into());
        }
        let log_path = self.home.join("initdb.log");
        let log = ServerLog(&log_path);
        let mut command = self.shim_command(INITDB, arguments);
        log.attach(&mut command)?;
        self.slot
            .spawn(command)
            .await
            .map_err(|source| EmbeddedError::Spawn {
                program: INITDB,
                source,
            })?;
        self.slot.ended().await;
        match self.slot.state() {
            SlotState::Ended(status) if status.success() => Ok(()),
            SlotState::Ended(status) => {
                let tail = log.tail();
                Err(EmbeddedError::Exited {
                    program: INITDB,
                    status,
                    log: log_path,
                    tail,
                })
            }
            SlotState::Empty | SlotState::Running(_) => {
                Err(EmbeddedError::NotRunning { program: INITDB })
            }
        }
    }

    /// Adds our defaults to `postgresql.conf`, once, so that an operator may change them. JIT costs small queries more than
    /// it gives, and does not work under systemd's `MemoryDenyWriteExecute`.
    fn append_settings(&self, path: &Path) -> Result<(), EmbeddedError> {
        let settings = "\n# Written by gleaner when it made this cluster; change what you like.\n\
            shared_buffers = '128MB'\n\
            max_connections = 50\n\
            jit = off\n\
            timezone = 'UTC'\n\
            log_timezone = 'UTC'\n";
        OpenOptions::new()
            .append(true)
            .open(path)
            .and_then(|mut file| {
                file.write_all(settings.as_bytes())?;
                if self.options.durable {
                    file.sync_all()
                } else {
                    Ok(())
                }
            })
            .map_err(io_error("write", path))
    }

    /// Starts the server and waits until it is ready. The caller holds `lifecycle`, and the slot is free.
    async fn launch(&self) -> Result<(), EmbeddedError> {
        let started = Instant::now();
        orphans::stop_leftovers(PROGRAM, |line| {
            orphans::postgres_role(line, &self.cluster_name)
        })
        .await?;
        remove_stale_pid_file(&self.pid_file())?;
        let log_path = self.home.join("server.log");
        let log = ServerLog(&log_path);
        let mut command = self.shim_command(PROGRAM, self.server_arguments());
        log.attach(&mut command)?;
        let pid = self
            .slot
            .spawn(command)
            .await
            .map_err(|source| EmbeddedError::Spawn {
                program: PROGRAM,
                source,
            })?;
        wait_until_ready(self, pid, &log, self.options.startup_timeout).await?;
        info!(pid, version = self.binaries.major, socket = %self.socket_dir.display(), elapsed = ?started.elapsed(), "embedded PostgreSQL is ready");
        Ok(())
    }

    fn server_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["-D".into(), self.cluster().into()];
        let mut set = |name: &str, value: &str| {
            arguments.extend(["-c".into(), format!("{name}={value}").into()]);
        };
        set("listen_addresses", "");
        set("port", "5432");
        set(
            "unix_socket_directories",
            &self.socket_dir.to_string_lossy(),
        );
        set("unix_socket_permissions", "0700");
        set("cluster_name", &self.cluster_name);
        set("update_process_title", "on");
        if !self.options.durable {
            set("fsync", "off");
            set("full_page_writes", "off");
        }
        for (name, value) in &self.options.settings {
            set(name, value);
        }
        arguments
    }
}

impl Server for Postgres {
    const PROGRAM: &'static str = PROGRAM;

    fn slot(&self) -> &ChildSlot {
        &self.slot
    }

    fn wanted(&self) -> &watch::Sender<bool> {
        &self.wanted
    }

    async fn is_ready(&self, pid: u32) -> bool {
        fs::read_to_string(self.pid_file()).is_ok_and(|text| is_postmaster_ready(&text, pid))
    }

    async fn relaunch(&self) -> Result<(), EmbeddedError> {
        let _guard = self.lifecycle.lock().await;
        if *self.wanted.borrow() && !self.slot.is_running() {
            self.launch().await?;
        }
        Ok(())
    }
}

/// The major version that made the cluster, from its `PG_VERSION`; `None` when there is no cluster.
fn read_cluster_major(cluster: &Path) -> Option<u32> {
    fs::read_to_string(cluster.join("PG_VERSION"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Removes `postmaster.pid` if its pid is not a PostgreSQL server's. Nothing that we started runs any more, so that pid may
/// have been given to another program, which would make PostgreSQL refuse to start. A server that someone else started on
/// this cluster keeps its file.
fn remove_stale_pid_file(path: &Path) -> Result<(), EmbeddedError> {
    let Ok(text) = fs::read_to_string(path) else {
        return Ok(());
    };
    let pid = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    if pid.is_some_and(orphans::is_postgres) {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Whether `postmaster.pid` is that of `pid` and says that connections are accepted: line 1 is the pid, line 8 the state
/// (`src/include/utils/pidfile.h`).
fn is_postmaster_ready(text: &str, pid: u32) -> bool {
    let mut lines = text.lines();
    let is_ours = lines.next().and_then(|line| line.trim().parse().ok()) == Some(pid);
    is_ours && lines.nth(6).map(str::trim) == Some("ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_line_eight_of_our_own_pid_file() {
        let file = |pid: &str, state: &str| {
            format!("{pid}\n/d\n1700000000\n5432\n/run\n\n  1 2\n{state}\n")
        };
        for (text, wanted) in [
            (file("42", "ready   "), true),
            (file("42", "starting"), false),
            (file("43", "ready   "), false),
            ("42\n/d\n".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_postmaster_ready(&text, 42), wanted, "{text}");
        }
    }

    #[test]
    fn its_futures_may_move_between_threads() {
        fn assert_send(future: impl Send) {
            drop(future);
        }
        let _check: fn(&Postgres, Options) = |postgres, options| {
            assert_send(Postgres::start(options));
            assert_send(postgres.watch());
            assert_send(postgres.restart());
            assert_send(postgres.stop());
            assert_send(postgres.create_database_if_missing("x"));
        };
    }
}
