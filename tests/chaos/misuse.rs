//! Starting it wrongly, and other people's habits: `--once`, bad files, a taken port, a log that nobody reads.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::alone;
use crate::support::database::TestDatabase;
use crate::support::journal::Journal;
use crate::support::process::{ConfigFile, Process, command, run_to_end};
use crate::support::rows::{add_homes, add_pages, assert_each_once, connect, wait_all_done};
use crate::support::wait::wait_until;

const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_works_all_that_is_there_and_ends() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::new("once", database.url(), journal.address);
    let file = config.path();
    let file = file.to_str().unwrap();
    add_pages(&client, 1, 500).await;
    add_homes(&client, 1, 200).await;
    let (status, log) = run_to_end(&["run", "--once", "--config", file], PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{log}");
    wait_all_done(&client, Duration::from_secs(1)).await;
    assert_each_once(&client).await;

    // As the guides start it; on an empty queue.
    let guides = [
        "run",
        "--interval",
        "5",
        "--timeout-check-interval",
        "60",
        "--once",
        "--config",
        file,
    ];
    let (status, log) = run_to_end(&guides, PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_at_the_start_is_said_once() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let empty = TestDatabase::empty().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let good = ConfigFile::new("misused", database.url(), journal.address).text();
    let database_section = format!("url = \"{}\"", database.url());
    for (wrong, code, wanted) in [
        (
            good.replace("max_attempts", "max_atempts"),
            2,
            vec!["max_atempts", "gleaner.toml"],
        ),
        (
            good.replace(
                "per_host_concurrency = 50",
                "per_host_concurrency = \"many\"",
            ),
            2,
            vec!["fetch.per_host_concurrency", "gleaner.toml"],
        ),
        (
            good.clone() + "[engine]\nlease = \"1s\"\n",
            2,
            vec!["engine.fence_margin"],
        ),
        (good.clone() + "[oops", 2, vec!["gleaner.toml"]),
        (
            good.replace("127.0.0.1:0", "0.0.0.0:0"),
            2,
            vec!["http.admin_token"],
        ),
        (
            good.replace(&database_section, "url = \"\""),
            2,
            vec!["database.url"],
        ),
        (
            good.replace(&database_section, &format!("url = \"{}\"", empty.url())),
            2,
            vec!["gleaner migrate"],
        ),
        (
            good.replace(
                &database_section,
                "url = \"postgres://nobody:hunter2@127.0.0.1:1/none\"",
            ),
            1,
            vec!["127.0.0.1:1/none"],
        ),
        (
            good.replace("127.0.0.1:0", &taken),
            1,
            vec!["http.listen", &taken],
        ),
    ] {
        let config = ConfigFile::new("misused", database.url(), journal.address);
        config.write(&wrong);
        let arguments = ["run", "--config", config.path().to_str().unwrap()].map(str::to_owned);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (status, log) = run_to_end(&arguments, PATIENCE).await;
        assert_eq!(status.code(), Some(code), "{wanted:?}: {log}");
        let complaints = log.lines().filter(|line| line.starts_with("gleaner: "));
        assert_eq!(complaints.count(), 1, "{log}");
        let (_, complaint) = log.split_once("gleaner: ").unwrap();
        for part in wanted {
            assert!(complaint.contains(part), "\"{part}\" is not in: {log}");
        }
        assert!(
            !log.contains("hunter2") && !log.contains("panicked"),
            "{log}"
        );
    }
    let (status, log) =
        run_to_end(&["run", "--config", "/nonexistent/gleaner.toml"], PATIENCE).await;
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("/nonexistent/gleaner.toml"), "{log}");
    let (status, log) = run_to_end(
        &[
            "run",
            "--only",
            "deep-scam",
            "--database-url",
            database.url(),
        ],
        PATIENCE,
    )
    .await;
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(
        log.contains("deep-scam") && log.contains("deep-scan"),
        "{log}"
    );
    // A start that failed leaves nothing behind that holds rows.
    let leases: i64 = database.count("SELECT count(*) FROM lease").await;
    assert_eq!(leases, 0, "a start that failed left leases open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_any_more_is_no_reason_to_die() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = connect(database.url()).await;
    let config = ConfigFile::with(
        "unread",
        database.url(),
        journal.address,
        "[engine]\nfault_injection = true\n[log]\nlevel = \"debug\"\n",
    );
    let mut child = command(&["run", "--config", config.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    // Both ends are closed before it has said its first word.
    drop((child.stdout.take(), child.stderr.take()));
    add_pages(&client, 1, 200).await;
    wait_all_done(&client, PATIENCE).await;
    kill(pid, Signal::SIGHUP).unwrap();
    kill(pid, Signal::SIGUSR1).unwrap();
    add_pages(&client, 201, 220).await;
    wait_all_done(&client, PATIENCE).await;
    assert!(child.try_wait().unwrap().is_none(), "it died");
    kill(pid, Signal::SIGTERM).unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert_each_once(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_without_its_key_says_so_and_the_others_work() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::new("keyless", database.url(), journal.address);
    config.write(
        &config
            .text()
            .replace("api_key = \"a-key\"", "api_key = \"\""),
    );
    let process = Process::start(&config).await;
    add_pages(&client, 1, 20).await;
    wait_all_done(&client, PATIENCE).await;
    client
        .batch_execute("INSERT INTO place (place_id, status) VALUES ('p1', 'Selected')")
        .await
        .unwrap();
    wait_until("readiness names the workflow and the key", async || {
        let (_, detail) = process.readiness().await;
        let problems = detail["problems"].to_string();
        problems.contains("deep-scan") && problems.contains("api_key")
    })
    .await;
}
