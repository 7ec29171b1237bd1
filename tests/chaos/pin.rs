//! Somebody's transaction stays open under load: rows go on being worked at once, in their order, and its holder is named.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::support::database::TestDatabase;
use crate::support::journal::Journal;
use crate::support::process::{ConfigFile, Process};
use crate::support::rows::{add_pages, wait_all_done};
use crate::support::wait::wait_until_by;
use crate::support::{alone, let_pass};

/// A row that comes before those that were worked already is found within this: some looks, on a machine that is busy.
const FOUND: Duration = Duration::from_secs(15);

async fn is_done(client: &Client, url: &str) -> bool {
    client
        .query_one(
            "SELECT curation_status = 'Completed' FROM page WHERE url = $1",
            &[&url],
        )
        .await
        .unwrap()
        .get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_forgotten_transaction_work_goes_on_in_order_and_its_holder_is_named() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let forgotten = database.client().await;
    forgotten
        .batch_execute(
            "SET application_name = 'forgotten psql'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1",
        )
        .await
        .unwrap();
    let pid: i32 = forgotten
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    let file = ConfigFile::new("pinned", database.url(), journal.address);
    let mut process = Process::start(&file).await;

    // A stream of rows, so that there are many transactions since.
    let mut next = 1;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(14) {
        add_pages(&client, next, next + 4).await;
        next += 5;
        // The pace of the stream.
        let_pass(Duration::from_millis(25)).await;
    }
    wait_all_done(&client, Duration::from_secs(60)).await;
    wait_until_by("the holder is named", Duration::from_secs(20), async || {
        let (code, ready) = process.readiness().await;
        let named = ready["pinned_by"][0]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        code == 200 && named.contains(&pid.to_string()) && named.contains("forgotten psql")
    })
    .await;
    assert_eq!(
        process.log_count("dead row versions are kept for somebody"),
        1
    );

    // Asked for since long, as far as the row tells; and by a transaction that began long before it is seen.
    let slow = database.client().await;
    slow.batch_execute("BEGIN; SELECT now()").await.unwrap();
    let again = "http://chaos-1.com/contact";
    client
        .execute(
            "UPDATE page SET curation_status = 'Queued', curation_due_at = now() - interval '1 day' WHERE url = $1",
            &[&again],
        )
        .await
        .unwrap();
    let asked = Instant::now();
    wait_until_by("it is worked again", FOUND, async || {
        is_done(&client, again).await
    })
    .await;
    println!(
        "a row due since yesterday was done after {:.1?}",
        asked.elapsed()
    );
    add_pages(&client, next, next + 20).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    slow.batch_execute(
        "WITH site AS (INSERT INTO domain (domain, registrable_domain) VALUES ('slow.com', 'slow.com') RETURNING id) \
         INSERT INTO page (domain_id, url, curation_status) SELECT id, 'http://slow.com/contact', 'Queued' FROM site; COMMIT",
    )
    .await
    .unwrap();
    let committed = Instant::now();
    wait_until_by("the late row is worked", FOUND, async || {
        is_done(&client, "http://slow.com/contact").await
    })
    .await;
    println!(
        "a row committed late was done after {:.1?}",
        committed.elapsed()
    );

    forgotten.batch_execute("COMMIT").await.unwrap();
    wait_until_by("nobody is named any more", FOUND, async || {
        let (code, ready) = process.readiness().await;
        code == 200 && ready.get("pinned_by").is_none()
    })
    .await;
    add_pages(&client, next + 21, next + 40).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    assert_eq!(
        client
            .query_one(
                "SELECT count(*) FROM attempt WHERE outcome <> 'completed'",
                &[]
            )
            .await
            .unwrap()
            .get::<_, i64>(0),
        0
    );
    assert!(process.is_running(), "{}", process.log_text());
}
