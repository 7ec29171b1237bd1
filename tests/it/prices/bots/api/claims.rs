//! Many bots at once, on two nodes: no job goes to two, and what dies is taken up again.

use gleaner::prices::config::Crawl;
use gleaner::prices::price_fetch::PriceFetch;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Api, TOKEN, failed, good};
use crate::support::app::test_config;
use crate::support::exchange::exchange_body;

async fn pull_at(address: SocketAddr, bot: &str) -> Vec<Value> {
    let body = json!({"bot_id": bot, "api_token": TOKEN, "max_jobs": 10}).to_string();
    let length = format!("Content-Length: {}", body.len());
    let answer = exchange_body(
        address,
        "POST /api/crawl/pull/",
        &[&length],
        body.as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["data"]["jobs"]
        .as_array()
        .expect("a list")
        .clone()
}

/// W-13, PT-9: 8 bots on two nodes, pulls of 10, 1,000 jobs: each is handed out once.
#[tokio::test(flavor = "multi_thread")]
async fn w13_no_job_goes_to_two_bots() {
    let api = Api::start(1_000).await;
    api.app
        .database
        .run("INSERT INTO bot (bot_id, token_hash) SELECT 'bot-' || n, token_hash FROM bot, generate_series(1, 8) AS n WHERE bot_id = 'ann'; UPDATE bot SET rate_limit_per_minute = 100000")
        .await;
    let mut config = test_config(&api.app.database);
    config.section_mut::<Crawl>().interval = std::time::Duration::from_secs(3600);
    config.workflows.of_mut::<PriceFetch>().enabled = false;
    let second = gleaner::app::App::start(config, None).await.unwrap();
    let nodes = [api.address, second.http_address().expect("it serves")];
    let bots = (1..=8).map(|bot| async move {
        let mut got = Vec::new();
        let mut empty = 0;
        // Sites that another hand-out has at this very moment are left out: empty once is not empty for good.
        while empty < 20 {
            let jobs = pull_at(nodes[bot % 2], &format!("bot-{bot}")).await;
            empty = if jobs.is_empty() { empty + 1 } else { 0 };
            got.extend(jobs.iter().map(|job| job["job_id"].to_string()));
        }
        got
    });
    let handed: Vec<String> = futures_util::future::join_all(bots)
        .await
        .into_iter()
        .flatten()
        .collect();
    let distinct: BTreeSet<&String> = handed.iter().collect();
    assert_eq!((handed.len(), distinct.len()), (1_000, 1_000));
    assert_eq!(
        api.app
            .database
            .count("SELECT sum(jobs_pulled)::bigint FROM bot")
            .await,
        1_000,
        "W-42: no count is lost"
    );
    drop(second.drain(std::time::Duration::from_secs(1)).await);
}

/// W-14, W-15: the jobs of a dead bot come back by themselves; at the last attempt they are given up, and say so.
#[tokio::test]
async fn w14_the_jobs_of_a_dead_bot_come_back() {
    let api = Api::start(1).await;
    for attempt in 1..=3 {
        let job = api.pull_one("ann").await;
        assert_eq!(job["retry_count"], attempt - 1);
        api.expire(true).await;
    }
    assert_eq!(api.states().await, ["1 Error 3 ann"]);
    let error: String = api
        .app
        .database
        .scalar("SELECT crawl_error FROM crawl_job")
        .await;
    assert!(
        error.starts_with("quarantined: its worker died at attempt 3"),
        "{error}"
    );
}

/// W-22: a result that comes late counts, as long as nobody took the job since.
#[tokio::test]
async fn w22_late_results_count_while_nobody_took_the_job() {
    let api = Api::start(3).await;
    let jobs = api.pull("ann", json!({})).await;
    api.expire(false).await;
    assert_eq!(
        api.post_as("ann", "submit/", good(&jobs[0])).await.status,
        201
    );
    api.expire(true).await;
    let mut bare = good(&jobs[1]);
    bare["lease_token"] = Value::Null;
    assert_eq!(
        api.post_as("ann", "submit/", bare.clone()).await.status,
        201
    );
    assert_eq!(
        api.post_as("ann", "submit/", bare).await.status,
        201,
        "a repeat"
    );
    let late = api.post_as("ann", "submit/", failed(&jobs[2])).await.json();
    assert_eq!(late["data"]["status"], "pending");
    assert_eq!(
        api.states().await,
        ["1 Completed 1 ann", "2 Completed 1 ann", "3 Queued 1 ann"]
    );
    assert_eq!(
        api.app
            .database
            .count("SELECT count(*) FROM crawl_result")
            .await,
        3
    );
}

/// W-18: a pull is one statement: what cannot be handed out is left where it is, and nothing is locked without being answered.
#[tokio::test]
async fn w18_one_bad_row_spoils_no_pull() {
    let api = Api::start(3).await;
    api.app
        .database
        .run("UPDATE product_url SET is_active = false WHERE id = 2; UPDATE crawl_job SET crawl_status = 'Queued' WHERE id = 2")
        .await;
    assert_eq!(api.pull("ann", json!({})).await.len(), 2);
    assert_eq!(
        api.states().await,
        ["1 Processing 1 ann", "2 Queued 0", "3 Processing 1 ann"]
    );
}

/// W-24: there is no cache: a job is there the moment it is queued.
#[tokio::test]
async fn w24_a_job_is_there_at_once() {
    let api = Api::start(1).await;
    api.app
        .database
        .run("UPDATE crawl_job SET crawl_status = NULL")
        .await;
    assert!(api.pull("ann", json!({})).await.is_empty());
    api.app
        .database
        .run("UPDATE crawl_job SET crawl_status = 'Queued'")
        .await;
    assert_eq!(api.pull("ann", json!({})).await.len(), 1);
}

/// A bot that is switched off loses what it has in hand.
#[tokio::test]
async fn a_bot_that_is_switched_off_loses_its_jobs() {
    let api = Api::start(1).await;
    let job = api.pull_one("ann").await;
    let mut conn = api.app.database.connect().await;
    assert!(
        gleaner::prices::bot::disable(&mut conn, "ann")
            .await
            .unwrap()
    );
    assert_eq!(api.post_as("ann", "submit/", good(&job)).await.status, 401);
    api.expire(true).await;
    assert_eq!(api.pull_one("bob").await["job_id"], job["job_id"]);
}
