//! `gleaner run --embedded`: the private PostgreSQL lives and dies with the process, and the data outlives both.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::Client;

use crate::support::alone;
use crate::support::held::is_page;
use crate::support::journal::Journal;
use crate::support::process::{ConfigFile, Process};
use crate::support::rows::{add_pages, assert_each_once, connect, wait_all_done};
use crate::support::wait::{wait_until, wait_until_by};

/// Processes, apart from gleaner itself, whose command line names the folder.
fn servers_in(folder: &Path) -> Vec<i32> {
    let folder = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if line.contains(folder) && line.contains("postgres") && !line.contains("--config") {
            found.push(pid);
        }
    }
    found
}

/// Connects to the database of a private server, by the socket that its pid file names.
async fn client_of(folder: &Path) -> Client {
    let pid_file = std::fs::read_to_string(folder.join("postgres/data/postmaster.pid")).unwrap();
    let socket = pid_file.lines().nth(4).unwrap().replace('/', "%2F");
    connect(&format!("postgres://gleaner@{socket}/gleaner")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_database_survives_the_death_of_its_process() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    journal.hold(is_page);
    let folder = tempfile::Builder::new()
        .prefix("gleaner-chaos-")
        .tempdir_in("/tmp")
        .unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let data_dir = folder.path().join("data");
    let section = format!("[embedded]\ndata_dir = \"{}\"\n", data_dir.display());
    let config = ConfigFile::with("embedded", "", journal.address, &section);
    let started = Instant::now();
    let process = Process::start_with(&config.path(), &["--embedded"]).await;
    println!("first start, with initdb: {:.1?}", started.elapsed());
    let client = client_of(&data_dir).await;
    add_pages(&client, 1, 30).await;
    wait_until("all are asked for", async || journal.count(is_page) == 30).await;

    // A second process on the same folder is told whose it is.
    let (status, log) = crate::support::process::run_to_end(
        &[
            "run",
            "--embedded",
            "--config",
            config.path().to_str().unwrap(),
        ],
        Duration::from_secs(20),
    )
    .await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(&format!("pid {}", process.pid())), "{log}");

    let killed_at = Instant::now();
    process.kill().await;
    wait_until_by("no server is left", Duration::from_secs(15), async || {
        servers_in(&data_dir).is_empty()
    })
    .await;
    println!(
        "after SIGKILL no server was left after {:.1?}",
        killed_at.elapsed()
    );

    journal.open();
    let started = Instant::now();
    let mut process = Process::start_with(&config.path(), &["--embedded"]).await;
    println!("second start: {:.1?}", started.elapsed());
    let client = client_of(&data_dir).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    println!(
        "rescued and done {:.1?} after the kill",
        killed_at.elapsed()
    );
    assert_each_once(&client).await;

    // The server alone dies: it is started again, and the process goes on.
    let postmaster =
        std::fs::read_to_string(data_dir.join("postgres/data/postmaster.pid")).unwrap();
    let postmaster: i32 = postmaster.lines().next().unwrap().parse().unwrap();
    kill(Pid::from_raw(postmaster), Signal::SIGKILL).unwrap();
    wait_until("another server serves", async || {
        let servers = servers_in(&data_dir);
        !servers.is_empty() && !servers.contains(&postmaster) && process.readiness().await.0 == 200
    })
    .await;
    let client = client_of(&data_dir).await;
    add_pages(&client, 31, 60).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    assert_each_once(&client).await;
    drop(client);

    process.signal(Signal::SIGTERM);
    let status = process.ended(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(0), "{}", process.log_text());
    assert_eq!(servers_in(&data_dir), Vec::<i32>::new());
}
