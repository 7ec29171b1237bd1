//! PostgreSQL goes away under load: restarted, killed, its sessions cut. The process stays up, says so, and goes on by itself.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gleaner::demo::Web;
use gleaner::embedded::{Options, Postgres};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::database::{TestDatabase, migrate};
use crate::support::journal::Journal;
use crate::support::process::{ConfigFile, PROGRAM, Process};
use crate::support::rows::{
    add_pages, add_places, assert_each_once, assert_truth, connect, wait_all_done,
};
use crate::support::wait::{wait_until, wait_until_by};
use crate::support::{alone, seed};

/// Working again within this of the database being back.
const BACK: Duration = Duration::from_secs(10);

/// So many sessions are cut, at most five a second.
const CUTS: i64 = 50;

/// A private server, in a folder that its user can reach also when the tests run as root.
pub(crate) async fn private_server() -> (TempDir, Postgres) {
    private_server_with(&[]).await
}

/// The same with further settings.
pub(crate) async fn private_server_with(settings: &[(&str, &str)]) -> (TempDir, Postgres) {
    let folder = tempfile::Builder::new()
        .prefix("gleaner-chaos-")
        .tempdir_in("/tmp")
        .unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let options = Options {
        shim: Some(PathBuf::from(PROGRAM)),
        durable: false,
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Options::new(folder.path())
    };
    let postgres = Postgres::start(options).await.unwrap();
    postgres.create_database_if_missing("work").await.unwrap();
    migrate(&postgres.url("work")).await;
    (folder, postgres)
}

/// Brings the server back, and tells how long after that the process asked the web for something, and was ready.
async fn time_to_recover(
    postgres: &Postgres,
    journal: &Journal,
    process: &mut Process,
) -> (Duration, Duration) {
    postgres.restart().await.unwrap();
    let back_at = Instant::now();
    wait_until_by("it is at work again", BACK, async || {
        journal.count(|entry| entry.at > back_at) > 0
    })
    .await;
    let first = journal.entries(|entry| entry.at > back_at)[0].at - back_at;
    // Ready is when the last of all actors has been answered again.
    process.wait_ready(BACK).await;
    assert!(process.is_running(), "{}", process.log_text());
    (first, back_at.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_database_under_load_loses_nothing() {
    let _alone = alone().await;
    let seed = seed();
    let web = Web::generate(seed, 120);
    let server = web.serve().await.unwrap();
    let journal = Journal::before(server.address).await;
    let (_folder, postgres) = private_server().await;
    let url = postgres.url("work");
    let config = ConfigFile::new("bereft", &url, journal.address);
    let mut process = Process::start(&config).await;
    let pid = process.pid();

    let (first, rest) = web.places().split_at(40);
    add_places(&connect(&url).await, first).await;
    for (round, places) in rest.chunks(20).enumerate() {
        let before = journal.count(|_| true);
        wait_until("there is load", async || {
            journal.count(|_| true) > before + 30
        })
        .await;
        let down_at = Instant::now();
        let how = if round % 2 == 0 {
            // Fast shutdown: sessions are cut, new ones refused.
            postgres.stop().await;
            "stopped"
        } else {
            kill(
                Pid::from_raw(i32::try_from(postgres.pid().unwrap()).unwrap()),
                Signal::SIGKILL,
            )
            .unwrap();
            wait_until("the server is gone", async || !postgres.is_alive()).await;
            "killed"
        };
        wait_until("readiness says so", async || {
            let (status, detail) = process.readiness().await;
            status == 503 && detail["database"] == false
        })
        .await;
        let told = down_at.elapsed();
        if round == 0 {
            // Long enough for every lease to end: its own claims are lost to it, and it must open new ones.
            wait_until_by(
                "the leases have run out",
                Duration::from_secs(20),
                async || down_at.elapsed() > Duration::from_secs(11),
            )
            .await;
        }
        let down = down_at.elapsed();
        let (at_work, ready) = time_to_recover(&postgres, &journal, &mut process).await;
        println!(
            "{how}: unready after {told:.1?}, down for {down:.1?}, at work {at_work:.1?} and ready {ready:.1?} after it was back"
        );
        add_places(&connect(&url).await, places).await;
    }
    assert_eq!(process.pid(), pid);
    let client = connect(&url).await;
    wait_all_done(&client, Duration::from_secs(90)).await;
    assert_each_once(&client).await;
    assert_truth(&client, web.truth()).await;
    drop(process);
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_cut_five_times_a_second_lose_nothing() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::from_millis(10)).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::new("cut", database.url(), journal.address);
    let mut process = Process::start(&config).await;
    add_pages(&client, 1, 2_000).await;
    let started = Instant::now();
    let mut cut = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    // At some ticks there is no session, the last one having been cut.
    while cut < CUTS {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "only {cut} sessions could be cut"
        );
        ticks.tick().await;
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'gleaner' ORDER BY random() LIMIT 1) AS one";
        let one: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        cut += one;
    }
    let by_then: i64 = client
        .query_one(
            "SELECT count(*) FROM page WHERE curation_status = 'Completed'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    println!(
        "{cut} sessions cut in {:.1?}; {by_then} pages done meanwhile",
        started.elapsed()
    );
    wait_all_done(&client, Duration::from_secs(120)).await;
    assert!(process.is_running(), "{}", process.log_text());
    process.wait_ready(BACK).await;
    assert_each_once(&client).await;
    let contacts: i64 = client
        .query_one("SELECT count(*) FROM contact", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(contacts, 2_000);
}
