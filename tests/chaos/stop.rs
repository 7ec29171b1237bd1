//! SIGTERM at bad moments: while the program starts, and while its database is away.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpListener;
use tokio::process::Child;

use crate::database_faults::private_server;
use crate::support::database::TestDatabase;
use crate::support::held::is_page;
use crate::support::journal::Journal;
use crate::support::process::{ConfigFile, Process, command};
use crate::support::rows::{add_pages, connect};
use crate::support::wait::wait_until_by;
use crate::support::{alone, let_pass};

/// When the signal comes, in milliseconds after the start.
const MOMENTS: [u64; 14] = [0, 1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 400, 1_000];

/// Longest life of a process after it was asked to stop.
const END: Duration = Duration::from_secs(20);

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap())
}

/// Whether the process has come as far as to look after SIGTERM itself: it catches it, or keeps it waiting.
fn is_looked_after(child: &Child) -> bool {
    let path = format!("/proc/{}/status", pid(child));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let term = 1_u64 << (Signal::SIGTERM as u32 - 1);
    ["SigCgt:", "SigBlk:"].iter().any(|field| {
        text.lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & term != 0)
    })
}

/// Starts it, sends SIGTERM after that time, and waits for the end. The end, what it said, and whether it was told after it had
/// begun to look after the signal, before which there is nothing of ours that could.
async fn stopped_after(arguments: &[&str], moment: Duration) -> (ExitStatus, String, bool) {
    let mut child = command(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let_pass(moment).await;
    let looked_after = is_looked_after(&child);
    kill(pid(&child), Signal::SIGTERM).unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut text = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut stderr, &mut text);
    let ending = async { tokio::join!(reading, child.wait()).1.unwrap() };
    let status = tokio::time::timeout(END, ending).await.unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    (status, text, looked_after)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_told_to_stop_while_it_starts_does_so_in_good_order() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    add_pages(&client, 1, 20).await;
    let config = ConfigFile::new("early", database.url(), journal.address);
    let path = config.path();
    let arguments = ["run", "--config", path.to_str().unwrap()];
    let (mut told, mut too_early) = (0, 0);
    for round in 0..4 {
        for millis in MOMENTS {
            let moment = Duration::from_millis(millis) + Duration::from_micros(round * 300);
            let (status, text, looked_after) = stopped_after(&arguments, moment).await;
            if looked_after {
                told += 1;
                assert_eq!(
                    status.code(),
                    Some(0),
                    "after {moment:?}: {status:?}\n{text}"
                );
            } else {
                too_early += 1;
            }
        }
    }
    println!("{told} starts stopped in good order; {too_early} were told before their first line");
    assert!(
        told >= 40,
        "only {told} of 56 were told after their first line"
    );
    // Whatever they had claimed, or registered, they have given back.
    let left =
        "SELECT (SELECT count(*) FROM lease) + (SELECT count(*) FROM node WHERE stopped_at IS NULL)
        + (SELECT count(*) FROM page WHERE curation_status = 'Processing')";
    let left: i64 = client.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

/// From the first line on, whatever else it does first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_its_first_line_on_a_process_looks_after_the_signal() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let config = ConfigFile::new("first", database.url(), journal.address);
    let path = config.path();
    let arguments = ["run", "--config", path.to_str().unwrap()];
    for _ in 0..40 {
        let mut child = command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + END;
        let threads = format!("/proc/{}/task", pid(&child));
        // The very moment at which it can be told, or has begun anything.
        loop {
            let is_one = std::fs::read_dir(&threads).is_ok_and(|all| all.count() == 1);
            if is_looked_after(&child) {
                break;
            }
            assert!(
                is_one,
                "threads were started before the signal was looked after"
            );
            assert!(Instant::now() < deadline, "it never looks after the signal");
        }
        kill(pid(&child), Signal::SIGTERM).unwrap();
        let status = tokio::time::timeout(END, child.wait()).await.unwrap();
        assert_eq!(status.unwrap().code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waits_for_a_database_can_be_stopped() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    // Lets everybody in and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://nobody@{}/nothing", silent.local_addr().unwrap());
    let more = "[database]\nconnect_timeout = \"60s\"\n";
    let config = ConfigFile::new("waiting", &url, journal.address);
    config.write(&config.text().replace("[database]\n", more));
    let path = config.path();
    let mut child = command(&["run", "--config", path.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (_held, _) = tokio::time::timeout(END, silent.accept())
        .await
        .unwrap()
        .unwrap();
    let asked_at = Instant::now();
    kill(pid(&child), Signal::SIGTERM).unwrap();
    let status = tokio::time::timeout(END, child.wait())
        .await
        .unwrap()
        .unwrap();
    println!("ended {:.1?} after it was asked to", asked_at.elapsed());
    assert_eq!(status.code(), Some(0), "{status:?}");
    assert!(asked_at.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_start_can_be_stopped_at_any_moment() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let folder = tempfile::Builder::new()
        .prefix("gleaner-chaos-")
        .tempdir_in("/tmp")
        .unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let config = ConfigFile::new("embedded", "", journal.address);
    let text = config.text().replace("url = \"\"\n", "");
    config.write(&format!("{text}\n[embedded]\ndata_dir = \"{data}\"\n"));
    let path = config.path();
    let arguments = ["run", "--embedded", "--config", path.to_str().unwrap()];
    let servers = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .filter(|line| {
                let line = String::from_utf8_lossy(line);
                line.contains(&data) && !line.starts_with(crate::support::process::PROGRAM)
            })
            .count()
    };
    // The first make the cluster, or half of it; the later ones find it.
    for millis in [20, 100, 300, 800, 2_000, 4_000, 100, 400, 1_000, 2_500] {
        let moment = Duration::from_millis(millis);
        let (status, text, looked_after) = stopped_after(&arguments, moment).await;
        assert!(looked_after, "after {moment:?}");
        assert_eq!(
            status.code(),
            Some(0),
            "after {moment:?}: {status:?}\n{text}"
        );
        wait_until_by("its servers are gone", END, async || servers() == 0).await;
    }
    // And it is none the worse for it.
    let mut process = Process::start_with(&path, &["--embedded"]).await;
    process.wait_ready(Duration::from_secs(30)).await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended(END).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_without_its_database_ends_a_second_after_its_deadline() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let (_folder, postgres) = private_server().await;
    let url = postgres.url("work");
    let drain = "[engine]\ndrain_timeout = \"4s\"\n";
    let config = ConfigFile::with("orphaned", &url, journal.address, drain);
    for how in ["stopped", "frozen"] {
        journal.hold(is_page);
        let mut process = Process::start(&config).await;
        let client = connect(&url).await;
        let pages = if how == "stopped" { (1, 20) } else { (21, 40) };
        let before = journal.count(is_page);
        add_pages(&client, pages.0, pages.1).await;
        wait_until_by("pages are asked for", END, async || {
            journal.count(is_page) >= before + 20
        })
        .await;
        drop(client);
        let server = Pid::from_raw(i32::try_from(postgres.pid().unwrap()).unwrap());
        if how == "stopped" {
            postgres.stop().await;
        } else {
            freeze(server, Signal::SIGSTOP);
        }
        journal.open();
        let asked_at = Instant::now();
        process.signal(Signal::SIGTERM);
        let status = process.ended(Duration::from_secs(30)).await;
        let took = asked_at.elapsed();
        println!("database {how}: ended after {took:.2?} of 4 s");
        assert_eq!(status.code(), Some(0), "{}", process.log_text());
        assert!(took < Duration::from_millis(5_500), "took {took:?}");
        if how == "stopped" {
            postgres.restart().await.unwrap();
        } else {
            freeze(server, Signal::SIGCONT);
        }
    }
    postgres.stop().await;
}

/// The server and all its sessions.
fn freeze(server: Pid, signal: Signal) {
    let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children"));
    let children = children.unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    for pid in children.map(Pid::from_raw).chain([server]) {
        kill(pid, signal).unwrap_or_default();
    }
}
