//! Other software keeps a transaction open on our rows and tables: what it has locked waits, nothing else does, and it is named.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio_postgres::Client;

use crate::support::alone;
use crate::support::database::TestDatabase;
use crate::support::held::{held, is_page, wait_asked};
use crate::support::journal::{Entry, Journal};
use crate::support::process::{ConfigFile, PROGRAM, Process};
use crate::support::rows::{add_homes, add_pages, assert_each_once, connect, texts, wait_all_done};
use crate::support::wait::wait_until_by;

/// Within this of a lock that comes, all that it does not concern goes on; within this of its end, all that it did.
const SOON: Duration = Duration::from_secs(10);

fn is_of(entry: &Entry, numbers: &[u32]) -> bool {
    numbers
        .iter()
        .any(|number| entry.host == format!("chaos-{number}.com"))
}

/// A session of other software, that says so.
async fn app(database: &TestDatabase) -> (Client, i32) {
    let client = database.client().await;
    client
        .batch_execute("SET application_name = 'back-office'")
        .await
        .unwrap();
    let pid = client.query_one("SELECT pg_backend_pid()", &[]).await;
    (client, pid.unwrap().get(0))
}

async fn curation(process: &Process) -> Value {
    process.workflow("page-curation").await
}

async fn wait_unsettled(process: &Process, rows: u64) {
    wait_until_by("results wait to be recorded", SOON, async || {
        curation(process).await["unsettled"].as_u64() >= Some(rows)
    })
    .await;
}

/// The state of some pages.
async fn states(client: &Client, pages: &str) -> Vec<String> {
    let sql = format!(
        "SELECT concat_ws(' ', domain, curation_status, curation_attempts, curation_error) FROM page \
         JOIN domain d ON d.id = domain_id WHERE domain IN ({pages}) ORDER BY domain"
    );
    texts(client, &sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_other_software_has_locked_hold_nobody_up() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    journal.hold(|entry| is_page(entry) && is_of(entry, &[1, 2, 3]));
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::new("patient", database.url(), journal.address);
    let process = Process::start(&config).await;
    add_pages(&client, 1, 3).await;
    wait_asked(&journal, 3).await;

    // Two rows themselves, and what the result of the third refers to.
    let (mut app, pid) = app(&database).await;
    let open = app.transaction().await.unwrap();
    let locked = "SELECT 1 FROM page JOIN domain d ON d.id = domain_id \
                  WHERE domain IN ('chaos-1.com', 'chaos-2.com') FOR UPDATE OF page";
    assert_eq!(open.query(locked, &[]).await.unwrap().len(), 2);
    open.batch_execute("SELECT 1 FROM domain WHERE domain = 'chaos-3.com' FOR UPDATE")
        .await
        .unwrap();
    // One after the other, so that each is in a batch of its own.
    journal.hold(|entry| is_page(entry) && is_of(entry, &[2, 3]));
    wait_unsettled(&process, 1).await;
    journal.hold(|entry| is_page(entry) && is_of(entry, &[3]));
    wait_unsettled(&process, 2).await;
    journal.open();
    wait_unsettled(&process, 3).await;

    let from = Instant::now();
    add_pages(&client, 4, 1_703).await;
    let mut first = None;
    wait_until_by(
        "1,700 others are asked for",
        Duration::from_secs(45),
        async || {
            let asked = journal.count(is_page);
            if asked > 3 {
                first.get_or_insert(from.elapsed());
            }
            asked >= 1_703
        },
    )
    .await;
    println!(
        "the first of 1,700 free pages was asked for after {:.1?}, the last after {:.1?}",
        first.unwrap(),
        from.elapsed()
    );
    assert!(first.unwrap() < SOON, "{first:?}");
    let done = "SELECT count(*) FROM page WHERE curation_status = 'Completed'";
    wait_until_by("they are recorded", SOON, async || {
        let done: i64 = client.query_one(done, &[]).await.unwrap().get(0);
        done == 1_700
    })
    .await;
    wait_until_by("it is said who is in the way", SOON, async || {
        let own = curation(&process).await;
        let by = own["set_aside_by"].as_str().unwrap_or_default().to_owned();
        own["set_aside"] == 3
            && by.contains(&format!("pid {pid} "))
            && by.contains("application back-office")
            && by.contains("idle in transaction")
    })
    .await;
    let (status, readiness) = process.readiness().await;
    assert_eq!(status, 200, "the work gets done: {readiness}");

    let freed = Instant::now();
    open.rollback().await.unwrap();
    wait_until_by("they are recorded when the lock goes", SOON, async || {
        let done: i64 = client.query_one(done, &[]).await.unwrap().get(0);
        done == 1_703
    })
    .await;
    println!("recorded {:.1?} after the lock went", freed.elapsed());
    assert_eq!(
        states(&client, "'chaos-1.com', 'chaos-2.com', 'chaos-3.com'").await,
        [
            "chaos-1.com Completed 1",
            "chaos-2.com Completed 1",
            "chaos-3.com Completed 1"
        ],
        "nothing was charged to them"
    );
    assert_each_once(&client).await;
    assert_eq!(journal.count(is_page), 1_703, "nothing was asked for twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_is_named_and_keeps_no_other_from_being_worked() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::from_millis(20)).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::new("tabled", database.url(), journal.address);
    let process = Process::start(&config).await;
    process.wait_ready(SOON).await;
    add_pages(&client, 1, 3_000).await;
    wait_until_by("there is load", SOON, async || journal.count(is_page) > 50).await;

    let (mut app, pid) = app(&database).await;
    let open = app.transaction().await.unwrap();
    open.batch_execute("LOCK TABLE page IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let locked = Instant::now();
    add_homes(&client, 1, 60).await;
    let is_home = |entry: &Entry| entry.host.starts_with("home-") && entry.path == "/";
    wait_until_by("homes are asked for all the same", SOON, async || {
        journal.count(is_home) >= 60
    })
    .await;
    println!("60 homes asked for {:.1?} after the lock", locked.elapsed());
    let done = "SELECT count(*) FROM domain WHERE metadata_status = 'Completed'";
    wait_until_by("and recorded", SOON, async || {
        let done: i64 = client.query_one(done, &[]).await.unwrap().get(0);
        done >= 60
    })
    .await;
    let left = SOON
        .saturating_sub(locked.elapsed())
        .max(Duration::from_secs(1));
    let told = |readiness: &Value| {
        let problems = readiness["problems"].to_string();
        problems.contains("page-curation: ")
            && problems.contains(&format!("locked by pid {pid} "))
            && problems.contains("back-office")
    };
    wait_until_by("readiness says so, and who it is", left, async || {
        let (status, readiness) = process.readiness().await;
        status == 503 && told(&readiness)
    })
    .await;
    println!("unready {:.1?} after the lock", locked.elapsed());
    let path = config.path();
    let arguments = ["status", "--config", path.to_str().unwrap()];
    let asked = Instant::now();
    let status = tokio::process::Command::new(PROGRAM)
        .args(arguments)
        .output();
    let status = tokio::time::timeout(SOON, status).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    println!("gleaner status took {:.1?}", asked.elapsed());
    assert_eq!(status.status.code(), Some(1), "{text}");
    assert!(
        text.contains("page-curation: its table is locked by ")
            && text.contains(&format!("pid {pid} ")),
        "{text}"
    );

    let freed = Instant::now();
    open.rollback().await.unwrap();
    process.wait_ready(SOON).await;
    println!("ready {:.1?} after the lock went", freed.elapsed());
    wait_all_done(&client, Duration::from_secs(90)).await;
    assert_each_once(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locked_rows_do_not_hold_a_drain_past_its_deadline() {
    let _alone = alone().await;
    let (journal, database, client) = held().await;
    let drain = "[engine]\ndrain_timeout = \"3s\"\n";
    let config = ConfigFile::with("detained", database.url(), journal.address, drain);
    let mut process = Process::start(&config).await;
    add_pages(&client, 1, 30).await;
    wait_asked(&journal, 30).await;
    let mut other = connect(database.url()).await;
    let open = other.transaction().await.unwrap();
    open.batch_execute(
        "SELECT 1 FROM page JOIN domain d ON d.id = domain_id \
         WHERE domain IN ('chaos-1.com', 'chaos-2.com', 'chaos-30.com') FOR UPDATE OF page",
    )
    .await
    .unwrap();
    // Two have a result that cannot be recorded; the third and a few free ones never end.
    journal.hold(|entry| is_page(entry) && is_of(entry, &[20, 21, 30]));
    wait_until_by("the free ones are recorded", SOON, async || {
        let done = "SELECT count(*) FROM page WHERE curation_status = 'Completed'";
        let done: i64 = client.query_one(done, &[]).await.unwrap().get(0);
        done == 25
    })
    .await;

    let asked_at = Instant::now();
    process.signal(Signal::SIGTERM);
    let status = process.ended(Duration::from_secs(20)).await;
    let took = asked_at.elapsed();
    println!("ended after {took:.1?} of 3 s");
    assert_eq!(status.code(), Some(0), "{}", process.log_text());
    assert!(took < Duration::from_millis(4_500), "took {took:.1?}");
    assert_eq!(
        states(&client, "'chaos-20.com', 'chaos-21.com'").await,
        ["chaos-20.com Queued 0", "chaos-21.com Queued 0"],
        "what was free is handed back"
    );
    open.rollback().await.unwrap();
    journal.open();
    let _next = Process::start(&config).await;
    wait_all_done(&client, Duration::from_secs(60)).await;
    assert_each_once(&client).await;
    let charged = "SELECT item_id || ' ' || outcome FROM attempt WHERE outcome IN ('rescued', 'quarantined', 'retried') \
                   UNION ALL SELECT id || ' ' || curation_attempts FROM page WHERE curation_attempts <> 1";
    assert_eq!(
        texts(&client, charged).await,
        Vec::<String>::new(),
        "nobody has died over them"
    );
}
