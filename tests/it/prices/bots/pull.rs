//! Hand-outs of jobs while somebody's open transaction pins row versions.

use std::sync::Arc;
use std::time::Duration;

use diesel::result::Error;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use gleaner::prices::bot::{self, Among, Pull, Pulled};
use gleaner::prices::price_fetch::PriceFetch;
use gleaner::store::stage::{Frontier, patrol};
use gleaner::workflow::Workflow as _;

use crate::support::TestDatabase;
use crate::support::pages::pages_read;

/// Jobs of a pull.
const JOBS: usize = 100;

/// The jobs of a pull, in their order, and how many pages it reads; it is kept or taken back.
async fn measured(
    conn: &mut AsyncPgConnection,
    frontier: &Frontier,
    keep: bool,
) -> (Vec<i64>, i64) {
    let pull = Pull {
        bot: 1,
        jobs: 100,
        counts: true,
    };
    let among = Among {
        domain: None,
        sites: &[],
        pace: Duration::ZERO,
        frontier,
    };
    let mut got = (Vec::new(), 0);
    let done = conn
        .transaction::<(), Error, _>(async |conn| {
            let before = pages_read(conn, "crawl_job").await?;
            let pulled = bot::pull(conn, &[pull], &among).await?;
            let pages = pages_read(conn, "crawl_job").await? - before;
            let [Pulled::Jobs(jobs)] = pulled.as_slice() else {
                panic!("{pulled:?}");
            };
            got = (jobs.iter().map(|job| job.id).collect(), pages);
            if keep {
                Ok(())
            } else {
                Err(Error::RollbackTransaction)
            }
        })
        .await;
    assert_eq!(done.is_ok(), keep, "{done:?}");
    got
}

/// Among the jobs that are due first are those of a site that is switched off: they are passed over by every pull, and come first as soon
/// as it is switched on.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_under_a_pin_reads_no_more_than_three_times_what_a_fresh_one_does() {
    let database = TestDatabase::new().await;
    database
        .run(
            "INSERT INTO site (domain, enabled) VALUES ('a.example', true), ('b.example', true), ('off.example', false);
             ALTER TABLE product_url DISABLE TRIGGER USER; ALTER TABLE crawl_job DISABLE TRIGGER USER;
             INSERT INTO product_url (site_id, raw_url, url, url_hash)
                 SELECT CASE WHEN n <= 30 THEN 3 ELSE 1 + n % 2 END, 'x', 'https://a.example/' || n, md5(n::text)
                 FROM generate_series(1, 18000) AS n;
             INSERT INTO crawl_job (product_url_id, site_id, crawl_status, crawl_priority, crawl_due_at)
                 SELECT id, site_id, 'Queued', id % 2, now() - interval '1 hour'
                     - make_interval(secs => CASE WHEN site_id = 3 THEN 99999 ELSE id * 7919 % 18000 END)
                 FROM product_url;
             ALTER TABLE product_url ENABLE TRIGGER USER; ALTER TABLE crawl_job ENABLE TRIGGER USER;
             INSERT INTO bot (bot_id, token_hash, rate_limit_per_minute, max_jobs_per_pull)
                 VALUES ('bot', sha256('x'), 1000000, 1000);
             ANALYZE site, product_url, crawl_job, bot",
        )
        .await;
    let report = database.client().await;
    report
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .await
        .unwrap();
    let mut conn = database.connect().await;
    let frontier: Arc<Frontier> = Arc::default();
    let stage = PriceFetch::stage();
    let places = [(&stage, Arc::clone(&frontier))];
    let mut fresh = Vec::new();
    for round in 0..150 {
        let (jobs, pages) = measured(&mut conn, &frontier, true).await;
        assert_eq!(jobs.len(), JOBS, "round {round}");
        if round < 5 {
            fresh.push(pages);
        }
        if round % 20 == 0 {
            patrol(&mut conn, &places).await.unwrap();
        }
    }
    fresh.sort_unstable();
    let fresh = fresh[fresh.len() / 2];
    // As the lookout does, in its own time.
    stage.look(&mut conn, &frontier).await.unwrap();
    let (jobs, pages) = measured(&mut conn, &frontier, false).await;
    let (all, pages_of_all) = measured(&mut conn, &Frontier::default(), false).await;
    println!("pages: {fresh} fresh, {pages} past the frontier, {pages_of_all} reading everything");
    assert_eq!(jobs, all, "the same jobs are next, in the same order");
    assert!(pages <= 3 * fresh, "{pages} pages, {fresh} at first");
    assert!(pages_of_all > 3 * fresh, "{pages_of_all}, {fresh} at first");

    database
        .run("UPDATE site SET enabled = true WHERE domain = 'off.example'")
        .await;
    let (jobs, _) = measured(&mut conn, &frontier, false).await;
    let (all, _) = measured(&mut conn, &Frontier::default(), false).await;
    assert_eq!(jobs, all);
    assert!(jobs.contains(&1) && jobs.contains(&2), "{jobs:?}");
}
