//! The crawl-scheduler: from a URL that somebody inserted to a job that comes due again and again.

use std::sync::Arc;
use std::time::Duration;

use gleaner::app::state::Shared;
use gleaner::areas;
use gleaner::live::Live;
use gleaner::prices::crawl_scheduler::{CrawlScheduler, Round};
use tokio::time::Instant;

use crate::support::TestDatabase;
use crate::support::app::test_config;

/// The scheduler as one node has it.
fn scheduler(database: &TestDatabase) -> CrawlScheduler {
    let mut config = test_config(database);
    config.fetch.per_host_delay = Duration::from_millis(500);
    let pool = database.pool();
    let workflows = areas::in_force(&config);
    CrawlScheduler::new(Shared::new(pool, 1, Live::new(config), None, workflows))
}

async fn insert(database: &TestDatabase, urls: &[&str]) {
    let values: Vec<String> = urls.iter().map(|url| format!("('{url}')")).collect();
    database
        .run(&format!(
            "INSERT INTO product_url (raw_url) VALUES {}",
            values.join(", ")
        ))
        .await;
}

const JOBS: &str = "SELECT product_url_id, crawl_status, crawl_attempts FROM crawl_job ORDER BY 1";

/// Anybody's INSERT is enough, and a page is admitted once.
#[tokio::test]
async fn urls_inserted_by_hand_become_jobs() {
    let database = TestDatabase::new().await;
    insert(
        &database,
        &[
            "https://Shop.Example.co.uk/P/1?utm_source=x",
            "https://shop.example.co.uk/P/1#again",
            "https://www.example.co.uk/2",
            "not a url at all",
            "http://192.0.2.7/3",
        ],
    )
    .await;
    let scheduler = scheduler(&database);
    let round = scheduler.round().await.unwrap();
    assert_eq!((round.admitted, round.planned, round.queued), (5, 3, 3));
    assert_eq!(
        database
            .rows(
                "SELECT page.id, url, domain, length(url_hash), rejected FROM product_url AS page \
                 LEFT JOIN site ON site.id = site_id ORDER BY 1"
            )
            .await,
        [
            "1|https://shop.example.co.uk/P/1|example.co.uk|64|",
            "2||||the same page as product_url 1",
            "3|https://www.example.co.uk/2|example.co.uk|64|",
            "4||||the url cannot be parsed: invalid international domain name",
            "5|http://192.0.2.7/3|192.0.2.7|64|",
        ]
    );
    assert_eq!(
        database.rows(JOBS).await,
        ["1|Queued|0", "3|Queued|0", "5|Queued|0"]
    );
    insert(&database, &["shop.example.co.uk/P/1"]).await;
    assert_eq!(
        scheduler.round().await.unwrap(),
        Round {
            admitted: 1,
            ..Round::default()
        }
    );
    assert_eq!(database.count("SELECT count(*) FROM crawl_job").await, 3);
}

/// W-45: the order and the spelling of the parameters are kept in what is fetched, and do not make two pages of one.
#[tokio::test]
async fn w45_an_address_is_fetched_as_given_and_admitted_once() {
    let database = TestDatabase::new().await;
    insert(
        &database,
        &[
            "https://shop.example/list?news&123",
            "https://shop.example/list?123&news",
            "https://shop.example/p?size=%6d&id=7&utm_source=x",
            "https://shop.example/p?id=7&size=m",
            "https://shop.example/%7eann/r%c3%b3za",
            "https://shop.example/~ann/róza?_pos=1&_sid=a&_ss=r",
        ],
    )
    .await;
    let scheduler = scheduler(&database);
    assert_eq!(scheduler.round().await.unwrap().admitted, 6);
    assert_eq!(
        database
            .rows("SELECT id, url, rejected FROM product_url ORDER BY id")
            .await,
        [
            "1|https://shop.example/list?news&123|",
            "2|https://shop.example/list?123&news|",
            "3|https://shop.example/p?size=%6d&id=7|",
            "4||the same page as product_url 3",
            "5|https://shop.example/~ann/r%C3%B3za|",
            "6||the same page as product_url 5",
        ]
    );
    insert(&database, &["shop.example/p?size=m&id=7"]).await;
    scheduler.round().await.unwrap();
    assert_eq!(
        database
            .rows("SELECT rejected FROM product_url WHERE id = 7")
            .await,
        ["the same page as product_url 3"]
    );
}

/// W-17, W-26, W-29, W-30 and PT-9: what is due stands in the job's row: no pull, no memory of a process and no Redis is needed,
/// a job in hand or in the queue is left alone, and looking twice queues once.
#[tokio::test]
async fn w17_only_jobs_at_rest_are_queued_and_each_once() {
    let database = super::with_jobs().await;
    let scheduler_one = scheduler(&database);
    scheduler_one.round().await.unwrap();
    database
        .run(
            "INSERT INTO node (host, pid, version) VALUES ('h', 1, '0');
             INSERT INTO lease (node_id, workflow, expires_at) SELECT id, 'x', now() + interval '1 hour' FROM node;
             UPDATE crawl_job SET crawl_status = 'Processing', crawl_lease = 1, crawl_attempts = 1, next_run_at = now() WHERE id = 1;
             UPDATE crawl_job SET crawl_due_at = '2001-01-01', next_run_at = now() WHERE id = 2;
             UPDATE crawl_job SET crawl_status = 'Error', crawl_attempts = 3, next_run_at = now() WHERE id = 3",
        )
        .await;
    assert_eq!(scheduler_one.round().await.unwrap().queued, 1);
    // Another process, as after a restart.
    assert_eq!(scheduler(&database).round().await.unwrap().queued, 0);
    assert_eq!(
        database.rows(JOBS).await,
        ["1|Processing|1", "2|Queued|0", "3|Queued|0"]
    );
    assert_eq!(
        database
            .rows("SELECT crawl_due_at = '2001-01-01' FROM crawl_job WHERE id = 2")
            .await,
        ["t"]
    );
    // A job that ends without any result comes again at its own time.
    assert_eq!(
        database
            .rows("SELECT next_run_at BETWEEN now() + interval '21 hours' AND now() + interval '27 hours' FROM crawl_job WHERE id = 3")
            .await,
        ["t"]
    );
}

/// W-31 and E30: what is switched off is out of the queue at once, and stays out.
#[tokio::test]
async fn w31_what_is_switched_off_is_not_crawled() {
    let database = super::with_jobs().await;
    let scheduler = scheduler(&database);
    scheduler.round().await.unwrap();
    database
        .run(
            "UPDATE product_url SET is_active = false WHERE id = 1;
             UPDATE site SET enabled = false WHERE id = 2;
             INSERT INTO product_url (raw_url, is_active) VALUES ('https://c.example/', false)",
        )
        .await;
    let status = "SELECT id, crawl_status, next_run_at IS NULL FROM crawl_job ORDER BY id";
    assert_eq!(database.rows(status).await, ["1||t", "2|Queued|f", "3||t"]);
    assert_eq!(scheduler.round().await.unwrap().queued, 0);
    assert_eq!(
        database.rows(status).await,
        ["1||t", "2|Queued|f", "3||t", "4||t"]
    );
    database
        .run("UPDATE product_url SET is_active = true; UPDATE site SET enabled = true")
        .await;
    assert_eq!(scheduler.round().await.unwrap().queued, 3);
}

/// W-28 and W-31: policies select what they say, the best of those that match decides, and a half-filled one is refused.
#[tokio::test]
async fn w28_policies_select_what_they_say() {
    let database = TestDatabase::new().await;
    insert(
        &database,
        &[
            "https://www.a.example/x",
            "https://a.example/sale/9",
            "https://nota.example/",
            "https://b.example/",
            "https://c.example/",
        ],
    )
    .await;
    database
        .run(
            "UPDATE product_url SET tags = '{new, hot}' WHERE id = 5;
             INSERT INTO crawl_policy (name, selection, target, frequency, priority, max_retries) VALUES
                 ('base', 'all', '', '48 hours', 5, 3),
                 ('a', 'domain', 'A.example', '6 hours', 5, 4),
                 ('any a', 'domain_regex', '^(www\\.)?a\\.', '7 hours', 5, 5),
                 ('sale', 'url_regex', '/sale/[0-9]', '2 hours', 5, 6),
                 ('hot', 'tag', 'hot', '1 hour', 10, 7),
                 ('off', 'tag', 'new', '1 minute', 20, 8)",
        )
        .await;
    database
        .run("UPDATE crawl_policy SET enabled = false WHERE name = 'off'")
        .await;
    let scheduler = scheduler(&database);
    scheduler.round().await.unwrap();
    let decided = "SELECT page.id, policy.name, job.frequency, job.priority, job.max_retries, job.crawl_priority FROM crawl_job AS job \
        JOIN product_url AS page ON page.id = product_url_id LEFT JOIN crawl_policy AS policy ON policy.id = policy_id ORDER BY 1";
    assert_eq!(
        database.rows(decided).await,
        [
            "1|a|06:00:00|5|4|5",
            "2|sale|02:00:00|5|6|5",
            "3|base|48:00:00|5|3|5",
            "4|base|48:00:00|5|3|5",
            "5|hot|01:00:00|10|7|10",
        ]
    );
    // A change reaches every job.
    database
        .run(
            "UPDATE crawl_policy SET priority = 20, frequency = '30 minutes' WHERE name = 'base';
             DELETE FROM crawl_policy WHERE name = 'hot';
             UPDATE product_url SET tags = '{other}' WHERE id = 4;
             INSERT INTO crawl_policy (name, selection, target, priority) VALUES ('other', 'tag', 'other', 21)",
        )
        .await;
    assert_eq!(scheduler.round().await.unwrap().planned, 5);
    assert_eq!(
        database.rows(decided).await,
        [
            "1|base|00:30:00|20|3|20",
            "2|base|00:30:00|20|3|20",
            "3|base|00:30:00|20|3|20",
            "4|other|24:00:00|21|3|21",
            "5|base|00:30:00|20|3|20",
        ]
    );
    assert_eq!(scheduler.round().await.unwrap(), Round::default());

    let client = database.client().await;
    for bad in [
        "('x', 'domain', ' ')",
        "('x', 'tag', '')",
        "('x', 'url_regex', '')",
        "('x', 'all', 'a.example')",
        "('x', 'url_regex', '(')",
        "('x', 'domain_regex', '[')",
    ] {
        let sql = format!("INSERT INTO crawl_policy (name, selection, target) VALUES {bad}");
        assert!(client.batch_execute(&sql).await.is_err(), "{bad}");
    }
}

/// PT-11: a subscription's priority is what it says; the keenest counts, and only while it is active.
#[tokio::test]
async fn pt11_the_keenest_subscription_decides_how_often() {
    let database = super::with_jobs().await;
    let scheduler = scheduler(&database);
    scheduler.round().await.unwrap();
    database
        .run(
            "UPDATE crawl_job SET last_result_at = now() - interval '10 minutes', next_run_at = now() + interval '20 hours';
             INSERT INTO product (name) VALUES ('kettle');
             UPDATE product_url SET product_id = 1 WHERE id IN (1, 2);
             INSERT INTO subscription (subscriber, product_id, priority) VALUES ('ann', 1, 'low'), ('bob', 1, 'high');
             INSERT INTO subscription (subscriber, product_url_id, priority) VALUES ('cid', 2, 'normal'), ('dan', 3, 'normal')",
        )
        .await;
    assert_eq!(scheduler.round().await.unwrap().planned, 3);
    let decided = "SELECT id, frequency, priority, round(extract(epoch FROM next_run_at - last_result_at) / 60) BETWEEN \
        extract(epoch FROM frequency) / 66.7 AND extract(epoch FROM frequency) / 54.4 FROM crawl_job ORDER BY 1";
    assert_eq!(
        database.rows(decided).await,
        ["1|00:15:00|10|t", "2|00:15:00|10|t", "3|01:00:00|5|t"]
    );
    database
        .run("UPDATE subscription SET active = false WHERE subscriber = 'bob'; DELETE FROM subscription WHERE subscriber = 'dan'")
        .await;
    assert_eq!(scheduler.round().await.unwrap().planned, 3);
    assert_eq!(
        database.rows(decided).await,
        ["1|24:00:00|1|t", "2|01:00:00|5|t", "3|24:00:00|5|t"]
    );
}

/// W-27: many that come due together come one after the other, at the site's pace; other sites do not wait for them.
#[tokio::test]
async fn w27_what_is_due_together_is_spread_at_the_sites_pace() {
    let database = TestDatabase::new().await;
    database
        .run(
            "INSERT INTO site (domain, delay_seconds, rate_per_minute) VALUES ('slow.example', 1, 6);
             INSERT INTO product_url (raw_url) SELECT 'https://slow.example/' || n FROM generate_series(1, 1200) AS n;
             INSERT INTO product_url (raw_url) SELECT 'https://fast.example/' || n FROM generate_series(1, 40) AS n",
        )
        .await;
    let scheduler = scheduler(&database);
    assert_eq!(scheduler.round().await.unwrap().queued, 1240);
    let spread = "SELECT domain, count(*) FILTER (WHERE crawl_due_at <= now()), \
        round(extract(epoch FROM max(crawl_due_at) - min(crawl_due_at))) FROM crawl_job \
        JOIN site ON site.id = site_id GROUP BY domain ORDER BY domain";
    // One in ten seconds, and two in one: ten seconds' worth at once.
    assert_eq!(
        database.rows(spread).await,
        ["fast.example|20|20", "slow.example|1|11990"]
    );
    // Later ones stand behind, and what is urgent does not.
    database
        .run(
            "INSERT INTO crawl_policy (name, selection, target, priority) VALUES ('urgent', 'tag', 'urgent', 20);
             INSERT INTO product_url (raw_url, tags) VALUES ('https://slow.example/late', '{}'), ('https://slow.example/now', '{urgent}')",
        )
        .await;
    scheduler.round().await.unwrap();
    assert_eq!(
        database
            .rows(
                "SELECT raw_url, crawl_due_at <= now() + interval '1 second' FROM crawl_job JOIN product_url AS page ON page.id = product_url_id \
                 WHERE raw_url ~ 'late|now' ORDER BY 1"
            )
            .await,
        ["https://slow.example/late|f", "https://slow.example/now|t"]
    );
}

/// W-23: nothing waits for ever behind what is more urgent.
#[tokio::test]
async fn w23_what_waits_long_becomes_urgent() {
    let database = super::with_jobs().await;
    let scheduler = scheduler(&database);
    scheduler.round().await.unwrap();
    database
        .run(
            "UPDATE crawl_job SET priority = 1, crawl_priority = 1;
             UPDATE crawl_job SET crawl_due_at = now() - interval '29 minutes' WHERE id = 1;
             UPDATE crawl_job SET crawl_due_at = now() - interval '5 hours 1 minute' WHERE id = 2;
             UPDATE crawl_job SET crawl_due_at = now() - interval '5 years' WHERE id = 3",
        )
        .await;
    assert_eq!(scheduler.round().await.unwrap().raised, 2);
    assert_eq!(
        database
            .rows("SELECT id, priority, crawl_priority FROM crawl_job ORDER BY id")
            .await,
        ["1|1|1", "2|1|11", "3|1|100"]
    );
    assert_eq!(scheduler.round().await.unwrap().raised, 0);
}

/// W-25, PT-13: any number of nodes share the work, in batches, and an idle round costs next to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn w25_nodes_share_the_work_and_idle_rounds_are_cheap() {
    let database = TestDatabase::new().await;
    database
        .run("INSERT INTO product_url (raw_url) SELECT 'https://shop-' || n % 500 || '.example/' || n FROM generate_series(1, 20000) AS n")
        .await;
    let (one, two) = (
        Arc::new(scheduler(&database)),
        Arc::new(scheduler(&database)),
    );
    let mut rounds = Vec::new();
    // As many rounds as it takes: admission is one node's at a time.
    while database
        .count("SELECT count(*) FROM crawl_job WHERE crawl_status = 'Queued'")
        .await
        < 20_000
    {
        let (a, b) = tokio::join!(one.round(), two.round());
        rounds.extend([a.unwrap(), b.unwrap()]);
    }
    let sum = |of: fn(&Round) -> usize| rounds.iter().map(of).sum::<usize>();
    assert_eq!(
        (sum(|r| r.admitted), sum(|r| r.planned), sum(|r| r.queued)),
        (20_000, 20_000, 20_000)
    );
    let start = Instant::now();
    assert_eq!(one.round().await.unwrap(), Round::default());
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}
