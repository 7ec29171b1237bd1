//! `kill -9` of one of two processes and a flush of Redis, over and over, while results are pushed many times each.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::database::TestDatabase;
use crate::support::process::{ConfigFile, Process};
use crate::support::redis::TestRedis;
use crate::support::wait::wait_until_by;
use crate::support::{alone, let_pass, seed};

const RESULTS: i32 = 2_000;
const PAGES: i32 = 400;
const KILLS: i32 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_flushes_record_each_result_once() {
    let _alone = alone().await;
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let seed = seed();
    let mut chance = StdRng::seed_from_u64(seed);
    let database = TestDatabase::new().await;
    database
        .run(&format!(
            "INSERT INTO site (domain) VALUES ('shop.example');
             INSERT INTO product_url (site_id, raw_url, url, url_hash)
             SELECT 1, 'u' || n, 'u' || n, 'u' || n FROM generate_series(1, {PAGES}) AS n"
        ))
        .await;
    // Small batches, so that a kill finds some in every state; the web is never asked for anything.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let more = format!(
        "[redis]\nurl = \"{}\"\nreconcile_interval = \"1s\"\n[workflows.auto-record]\nmax_attempts = 15\nbatch_size = 20\nconcurrency = 60\n",
        redis.url()
    );
    let start = async |name: &str| {
        let config = ConfigFile::new(name, database.url(), nowhere);
        config.write(
            &config
                .text()
                .replace("[workflows.auto-record]\nmax_attempts = 15\n", &more),
        );
        Process::start_with(&config.path(), &["--only", "auto-record"]).await
    };
    let mut processes = vec![start("first").await, start("second").await];
    for round in 0..KILLS {
        // Five observations of a page in all, of alternating prices, so that most are rows of their own.
        let (from, to) = (round * RESULTS / KILLS + 1, (round + 1) * RESULTS / KILLS);
        database
            .run(&format!(
                "INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, price_sources, crawled_at)
                 SELECT 1 + (n - 1) % {PAGES}, 1, n % 50 <> 0, 100 + (n / {PAGES}) % 3, 'EUR', '{{jsonld}}', '2026-01-01Z'::timestamptz + n * interval '1 second'
                 FROM generate_series({from}, {to}) AS n"
            ))
            .await;
        let ids: Vec<String> = (1..=to).map(|id| id.to_string()).collect();
        redis
            .run(&format!("RPUSH crawl:auto_record:queue {}", ids.join(" ")))
            .await;
        // Not a wait for anything: the moment of the kill is to be a random one.
        let_pass(Duration::from_millis(chance.random_range(5..250))).await;
        let victim = processes.remove(chance.random_range(0..processes.len()));
        victim.kill().await;
        if round % 2 == 0 {
            redis.run("FLUSHALL").await;
        }
        processes.push(start(&format!("after-{round}")).await);
    }
    wait_until_by("all are settled", Duration::from_secs(120), async || {
        database
            .count("SELECT count(*) FROM crawl_result WHERE auto_record_status IN ('Queued', 'Processing')")
            .await
            == 0
    })
    .await;
    let rescued = database
        .count("SELECT count(*) FROM attempt WHERE outcome = 'rescued'")
        .await;
    println!("{rescued} results were taken back from the dead");
    let counts = database
        .rows(
            "SELECT count(*), count(*) FILTER (WHERE success),
                count(*) FILTER (WHERE success AND auto_record_status = 'Completed' AND history_record_status IN ('recorded', 'duplicate')),
                count(*) FILTER (WHERE NOT success AND auto_record_status = 'Filtered' AND NOT history_recorded)
             FROM crawl_result",
        )
        .await;
    assert_eq!(counts, [format!("{RESULTS}|1960|1960|40")]);
    // Each recorded result has its one row, and every row its recorded result.
    let rows = database
        .rows(
            "SELECT count(*) FILTER (WHERE r.history_record_status = 'recorded'), count(h.id), count(DISTINCT h.crawl_result_id)
             FROM crawl_result r FULL JOIN price_history h ON h.crawl_result_id = r.id
             WHERE h.id IS NOT NULL OR r.history_record_status = 'recorded'",
        )
        .await;
    let [row] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    let counts: Vec<&str> = row.split('|').collect();
    assert!(counts.iter().all(|count| *count == counts[0]), "{row}");
    // What the history says is what was seen: no two rows of a page in a row are alike.
    let alike = database
        .count(
            "SELECT count(*) FROM (SELECT price, lag(price) OVER (PARTITION BY product_url_id ORDER BY scraped_at) AS before
             FROM price_history) AS pairs WHERE price = before",
        )
        .await;
    assert_eq!(alike, 0);
}
