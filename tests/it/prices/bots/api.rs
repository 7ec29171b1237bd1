//! The bots' API over HTTP: every row of its contract, and what goes wrong around it.

mod claims;
mod contract;
mod described;
mod large;
mod places;
mod reading;
mod strangers;
mod waiting;

use std::net::SocketAddr;

use gleaner::config::Config;
use gleaner::prices::auto_record::AutoRecord;
use gleaner::prices::config::Crawl;
use gleaner::prices::price_fetch::PriceFetch;
use serde_json::{Value, json};

use crate::support::exchange::{Answer, exchange_body};
use crate::support::{TestApp, TestDatabase};

/// A program that serves bots, on a database with jobs that are due. What is due is what a test says: the jobs are decided as of a
/// generation to come, so that the crawl-scheduler leaves them alone.
struct Api {
    app: TestApp,
    address: SocketAddr,
}

/// The token of every bot of these tests.
const TOKEN: &str = "correct horse";

impl Api {
    /// With `jobs` jobs, each at a site of its own, in the order of their numbers; and the bots `ann` and `bob`.
    async fn start(jobs: i64) -> Self {
        Self::start_with(jobs, |_| {}).await
    }

    async fn start_with(jobs: i64, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(Self::database(jobs).await, change).await
    }

    /// What it starts on. More jobs belong into it before: a crawl-scheduler that is in its first round holds what it decides on.
    async fn database(jobs: i64) -> TestDatabase {
        let database = TestDatabase::new().await;
        database
            .run(&format!(
                "INSERT INTO site (domain) SELECT 'shop-' || n || '.example' FROM generate_series(1, {jobs}) AS n;
                 INSERT INTO product_url (site_id, raw_url, url, url_hash)
                     SELECT n, 'x', 'https://www.shop-' || n || '.example/p', 'h' || n FROM generate_series(1, {jobs}) AS n;
                 INSERT INTO crawl_job (product_url_id, site_id, plan, crawl_status, crawl_due_at)
                     SELECT n, n, 1000, 'Queued', now() - interval '10 minutes' + n * interval '1 millisecond' FROM generate_series(1, {jobs}) AS n;
                 INSERT INTO bot (bot_id, token_hash) SELECT name, sha256('{TOKEN}') FROM unnest('{{ann,bob}}'::text[]) AS name"
            ))
            .await;
        database
    }

    async fn start_on(database: TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        let app = TestApp::start_on(database, |config| {
            // One round finds nothing to do, and there is no second.
            config.section_mut::<Crawl>().interval = std::time::Duration::from_secs(3600);
            // The jobs are for the bots.
            config.workflows.of_mut::<PriceFetch>().enabled = false;
            // And what they say stays as it was stored.
            config.workflows.of_mut::<AutoRecord>().enabled = false;
            change(config);
        })
        .await;
        let address = app.app().http_address().expect("it serves");
        Self { app, address }
    }

    /// Posts as a bot; the fields are beside its name and token.
    async fn post_as(&self, bot: &str, path: &str, fields: Value) -> Answer {
        let mut body = json!({"bot_id": bot, "api_token": TOKEN});
        if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
            body.extend(fields);
        }
        self.post(path, &body.to_string()).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        let length = format!("Content-Length: {}", body.len());
        let lines = ["Content-Type: application/json", length.as_str()];
        let request = format!("POST /api/crawl/{path}");
        exchange_body(self.address, &request, &lines, body.as_bytes()).await
    }

    /// The jobs that a pull hands out.
    async fn pull(&self, bot: &str, fields: Value) -> Vec<Value> {
        let answer = self.post_as(bot, "pull/", fields).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let json = answer.json();
        assert_eq!(json["success"], true);
        let jobs = json["data"]["jobs"].as_array().expect("a list").clone();
        assert_eq!(json["data"]["count"], jobs.len());
        assert_eq!(json["data"]["skipped"], 0);
        jobs
    }

    /// One job. It may have to be waited for: the planner has a row of it locked now and then.
    async fn pull_one(&self, bot: &str) -> Value {
        let asked = json!({"max_jobs": 1, "wait_seconds": 10});
        let jobs = self.pull(bot, asked).await;
        jobs.into_iter().next().expect("a job")
    }

    /// Lets a bot's time run out, and what a dead worker held be taken back.
    async fn expire(&self, is_rescued: bool) {
        self.app
            .database
            .run("UPDATE lease SET expires_at = now() - interval '1 second' WHERE bot_id IS NOT NULL")
            .await;
        if is_rescued {
            let stage = gleaner::store::stage::Stage::limited(
                "crawl_job",
                "crawl",
                true,
                Some("max_retries"),
            );
            let mut conn = self.app.database.connect().await;
            stage.rescue(&mut conn, 100).await.unwrap();
        }
    }

    async fn states(&self) -> Vec<String> {
        self.app
            .database
            .rows("SELECT concat_ws(' ', id, crawl_status, crawl_attempts, locked_by) FROM crawl_job ORDER BY id")
            .await
    }
}

/// A good submit for this job.
fn good(job: &Value) -> Value {
    json!({"job_id": job["job_id"], "lease_token": job["lease_token"], "success": true, "price": 19.9, "currency": "eur"})
}

/// A failed one.
fn failed(job: &Value) -> Value {
    json!({"job_id": job["job_id"], "lease_token": job["lease_token"], "success": false, "error_msg": "no price"})
}

/// Status and error code of a refusal.
fn refusal(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    assert_eq!(json["success"], false, "{json}");
    assert!(json["detail"].is_string(), "{json}");
    (
        answer.status,
        json["error"].as_str().expect("a code").to_owned(),
    )
}

/// What is expected of it.
fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
