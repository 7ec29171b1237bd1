//! Under a real supervisord, with the program file of `deploy/`, changed in its paths only.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::alone;
use crate::support::database::TestDatabase;
use crate::support::held::{held, is_page};
use crate::support::journal::Journal;
use crate::support::process::{ConfigFile, PROGRAM};
use crate::support::rows::{add_pages, assert_each_once, wait_all_done};
use crate::support::tools::skip;
use crate::support::wait::{wait_until, wait_until_by};

/// A supervisord of the test's own; shut down when dropped.
struct Supervisor {
    folder: TempDir,
    daemon: Child,
}

impl Supervisor {
    async fn start(config: &ConfigFile) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gleaner-chaos-")
            .tempdir_in("/tmp")
            .unwrap();
        let at = folder.path().display().to_string();
        let text = format!(
            "[unix_http_server]\nfile={at}/socket\n\
             [supervisord]\nlogfile={at}/supervisord.log\npidfile={at}/supervisord.pid\nchildlogdir={at}\n\
             [rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://{at}/socket\n\n{}",
            program_file(config, folder.path())
        );
        std::fs::write(folder.path().join("supervisord.conf"), text).unwrap();
        let daemon = Command::new("supervisord")
            .args(["--nodaemon", "--configuration"])
            .arg(folder.path().join("supervisord.conf"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let supervisor = Self { folder, daemon };
        wait_until("supervisord answers", async || {
            supervisor.log().contains("supervisord started")
                && supervisor.folder.path().join("socket").exists()
        })
        .await;
        supervisor
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// supervisord's own log.
    fn log(&self) -> String {
        std::fs::read_to_string(self.path("supervisord.log")).unwrap_or_default()
    }

    /// The program's log, as supervisord keeps it.
    fn program_log(&self) -> String {
        std::fs::read_to_string(self.path("gleaner.log")).unwrap_or_default()
    }

    async fn control(&self, arguments: &[&str]) -> String {
        let output = Command::new("supervisorctl")
            .arg("--configuration")
            .arg(self.path("supervisord.conf"))
            .args(arguments)
            .output()
            .await
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The program's process id, while it runs.
    async fn pid(&self) -> Option<i32> {
        let status = self.control(&["pid", "gleaner"]).await;
        status.trim().parse().ok().filter(|pid| *pid > 0)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(pid) = self.daemon.id().and_then(|pid| i32::try_from(pid).ok()) {
            // SIGTERM: it stops its programs and ends.
            // It may have ended by itself.
            let _ended = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

/// `deploy/supervisord.conf` with the paths and the user of this machine.
fn program_file(config: &ConfigFile, folder: &Path) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/supervisord.conf");
    let mut text = std::fs::read_to_string(file).unwrap();
    let user = User::from_uid(geteuid()).unwrap().unwrap().name;
    let at = folder.display().to_string();
    for (there, here) in [
        ("/usr/local/bin/gleaner", PROGRAM),
        ("/etc/gleaner/gleaner.toml", config.path().to_str().unwrap()),
        ("user=gleaner\n", &format!("user={user}\n")),
        ("/var/lib/gleaner", &at),
        ("/var/log/gleaner", &at),
    ] {
        assert!(
            text.contains(there),
            "deploy/supervisord.conf has no {there}"
        );
        text = text.replace(there, here);
    }
    text
}

fn is_installed() -> bool {
    let found = std::process::Command::new("supervisord")
        .arg("--version")
        .output();
    if found.is_err() {
        skip("no supervisord on this machine (apt-get install supervisor)");
    }
    found.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn supervisord_brings_it_back_and_drains_it() {
    if !is_installed() {
        return;
    }
    let _alone = alone().await;
    let (journal, database, client) = held().await;
    let config = ConfigFile::new("supervised", database.url(), journal.address);
    let supervisor = Supervisor::start(&config).await;
    add_pages(&client, 1, 30).await;
    wait_until("it is at work", async || journal.count(is_page) == 30).await;

    let pid = supervisor.pid().await.unwrap();
    let killed_at = Instant::now();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    // New work at once, old work when the lease has ended.
    add_pages(&client, 31, 40).await;
    wait_until("new rows are asked for", async || {
        journal.count(|entry| is_page(entry) && entry.at > killed_at) >= 10
    })
    .await;
    let back = killed_at.elapsed();
    wait_until_by(
        "the old ones are asked for again",
        Duration::from_secs(15),
        async || journal.count(|entry| is_page(entry) && entry.at > killed_at) >= 40,
    )
    .await;
    println!(
        "under supervisord: at work {back:.1?} after kill -9, with the orphans after {:.1?}",
        killed_at.elapsed()
    );
    assert_ne!(supervisor.pid().await, Some(pid));

    // Half-way through a batch; what answers while it drains is stored, and all is handed back in time.
    let stopping = supervisor.control(&["stop", "gleaner"]);
    let release = async {
        wait_until("it drains", async || {
            supervisor.program_log().contains("draining")
        })
        .await;
        journal.open();
    };
    let stopped_at = Instant::now();
    let (said, ()) = tokio::join!(stopping, release);
    println!(
        "supervisorctl stop took {:.1?}: {}",
        stopped_at.elapsed(),
        said.trim()
    );
    assert!(said.contains("gleaner: stopped"), "{said}");
    let log = supervisor.log();
    assert!(log.contains("stopped: gleaner (exit status 0)"), "{log}");
    assert_each_once_or_queued(&client).await;

    // A drain that was asked for is not undone by supervisord; a start is.
    assert!(supervisor.pid().await.is_none());
    supervisor.control(&["start", "gleaner"]).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    assert_each_once(&client).await;

    // Reload by supervisorctl.
    config.write(&config.text().replace(
        "[workflows.page-curation]",
        "[workflows.page-curation]\nbatch_size = 44",
    ));
    supervisor.control(&["signal", "HUP", "gleaner"]).await;
    wait_until("the file is reloaded", async || {
        supervisor.program_log().contains("configuration reloaded")
    })
    .await;
}

async fn assert_each_once_or_queued(client: &tokio_postgres::Client) {
    let sql = "SELECT count(*) FROM page WHERE curation_status NOT IN ('Completed', 'Queued') OR curation_lease IS NOT NULL";
    let held: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(held, 0, "rows are still held after the drain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn supervisord_does_not_start_a_bad_configuration_for_ever() {
    if !is_installed() {
        return;
    }
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let config = ConfigFile::new("broken", database.url(), journal.address);
    config.write(&config.text().replace("max_attempts", "max_atempts"));
    let supervisor = Supervisor::start(&config).await;
    wait_until("it has given up", async || {
        supervisor
            .log()
            .contains("exited: gleaner (exit status 2; expected)")
    })
    .await;
    // supervisord looks about once a second; three looks without another start.
    let seen_at = Instant::now();
    wait_until_by(
        "three seconds have passed",
        Duration::from_secs(10),
        async || seen_at.elapsed() > Duration::from_secs(3),
    )
    .await;
    let log = supervisor.log();
    assert_eq!(log.matches("spawned: 'gleaner'").count(), 1, "{log}");
    let said = supervisor.program_log();
    assert!(
        said.contains("max_atempts") && said.contains("gleaner.toml"),
        "{said}"
    );
}
