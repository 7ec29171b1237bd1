//! Pulls that wait for jobs, and many at once: how many may, whom they hold up (nobody), and how their waiting ends.

use gleaner::prices::config::Bots;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Api, TOKEN, is, refusal};
use crate::support::exchange::Answer;
use crate::support::wait_until;

/// A program with one job that is not due, where so many pulls may wait, per bot and in all.
async fn with_places(per_bot: usize, in_all: usize) -> Api {
    let api = Api::start_with(1, |config| {
        config.section_mut::<Bots>().max_waiting_per_bot = per_bot;
        config.section_mut::<Bots>().max_waiting = in_all;
    })
    .await;
    api.app
        .database
        .run("UPDATE crawl_job SET crawl_status = NULL")
        .await;
    api
}

impl Api {
    async fn queue_the_job(&self) {
        self.app
            .database
            .run("UPDATE crawl_job SET crawl_status = 'Queued'")
            .await;
    }

    /// Until a statement that begins like this waits for a lock.
    async fn wait_until_locked_out(&self, statement: &str) {
        let waiting = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '{statement}%'"
        );
        wait_until("the statement waits for a lock", async || {
            self.app.database.count(&waiting).await > 0
        })
        .await;
    }

    /// Until this bot's first pull has found nothing, after which it waits.
    async fn wait_until_it_waits(&self, bot: &str) {
        wait_until("the pull waits", async || {
            let counted = format!("SELECT window_pulls::bigint FROM bot WHERE bot_id = '{bot}'");
            self.app.database.count(&counted).await == 1
        })
        .await;
    }
}

/// Whether the connection between these ports of 127.0.0.1 has not been closed on the side of the first, as the kernel has it.
fn is_open(server: u16, client: u16) -> bool {
    let ends = format!("0100007F:{server:04X} 0100007F:{client:04X} ");
    std::fs::read_to_string("/proc/net/tcp")
        .expect("the kernel tells")
        .lines()
        .any(|line| line.contains(&ends))
}

fn jobs(answer: &Answer) -> usize {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let jobs = answer.json()["data"]["jobs"].clone();
    jobs.as_array().expect("a list").len()
}

/// One place, two pulls: whichever comes second is told so at once, and the other gets the job when there is one.
async fn one_waits_and_one_is_refused(api: &Api, bots: [&str; 2], expected: (u16, String)) {
    let wait = || json!({"wait_seconds": 30});
    let (first, second) = (
        pin!(api.post_as(bots[0], "pull/", wait())),
        pin!(api.post_as(bots[1], "pull/", wait())),
    );
    let (refused, waiting) = match select(first, second).await {
        Either::Left((refused, waiting)) | Either::Right((refused, waiting)) => (refused, waiting),
    };
    assert_eq!(refusal(&refused), expected);
    assert_eq!(refused.header("retry-after"), Some("5"));
    api.queue_the_job().await;
    assert_eq!(jobs(&waiting.await), 1);
}

#[tokio::test]
async fn a_bot_has_only_so_many_places_to_wait_in() {
    let api = with_places(1, 10).await;
    one_waits_and_one_is_refused(&api, ["ann", "ann"], is(429, "too_many_waiting")).await;
}

#[tokio::test]
async fn there_are_only_so_many_places_to_wait_in() {
    let api = with_places(10, 1).await;
    one_waits_and_one_is_refused(&api, ["ann", "bob"], is(503, "too_many_waiting")).await;
    // Who does not wait needs none.
    assert!(api.pull("bob", json!({})).await.is_empty());
}

/// A client that goes away while it waits makes room for another.
#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    let api = with_places(1, 1).await;
    let body = json!({"bot_id": "ann", "api_token": TOKEN, "wait_seconds": 30}).to_string();
    let request = format!(
        "POST /api/crawl/pull/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = TcpStream::connect(api.address).await.expect("it serves");
    client
        .write_all(request.as_bytes())
        .await
        .expect("it listens");
    api.wait_until_it_waits("ann").await;
    let status = async || {
        let answer = api.post_as("bob", "pull/", json!({"wait_seconds": 1}));
        answer.await.status
    };
    wait_until("the place is taken", async || status().await == 503).await;
    drop(client);
    wait_until("the place is free", async || status().await == 200).await;
}

/// When the program stops, who waits is answered, and not kept until its time is up or cut off.
#[tokio::test]
async fn a_drain_ends_the_waiting() {
    let api = with_places(1, 1).await;
    let start = Instant::now();
    let (answer, report) = tokio::join!(
        api.post_as("ann", "pull/", json!({"wait_seconds": 30})),
        async {
            api.wait_until_it_waits("ann").await;
            api.app.app().drain(Duration::from_secs(1)).await
        }
    );
    assert_eq!(jobs(&answer), 0);
    assert_eq!(report.released, 0);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

/// Pulls are served together, each within its bot's rate and under leases of its own.
#[tokio::test]
async fn pulls_at_once_are_counted_one_by_one() {
    let api = Api::start(40).await;
    api.app
        .database
        .run("UPDATE bot SET rate_limit_per_minute = 3 WHERE bot_id = 'ann'")
        .await;
    let bots = ["ann", "bob"].into_iter().cycle().take(12);
    let answers = join_all(bots.map(async |bot| {
        let answer = api.post_as(bot, "pull/", json!({"max_jobs": 2})).await;
        (bot, answer)
    }))
    .await;
    let refused: Vec<&Answer> = answers
        .iter()
        .filter(|(_, answer)| answer.status != 200)
        .map(|(bot, answer)| {
            assert_eq!(*bot, "ann");
            answer
        })
        .collect();
    assert_eq!(refused.len(), 3);
    for answer in refused {
        assert_eq!(refusal(answer), is(429, "rate_limited"));
        assert!(answer.header("retry-after").is_some());
    }
    let handed: Vec<Value> = answers
        .iter()
        .filter(|(_, answer)| answer.status == 200)
        .map(|(_, answer)| answer.json()["data"]["jobs"].clone())
        .collect();
    let mut leases = std::collections::BTreeSet::new();
    let mut ids = std::collections::BTreeSet::new();
    for jobs in &handed {
        let jobs = jobs.as_array().expect("a list");
        assert_eq!(jobs.len(), 2);
        assert_eq!(jobs[0]["lease_token"], jobs[1]["lease_token"]);
        assert!(leases.insert(jobs[0]["lease_token"].to_string()), "shared");
        ids.extend(jobs.iter().map(|job| job["job_id"].to_string()));
    }
    assert_eq!((leases.len(), ids.len()), (9, 18));
    assert_eq!(
        api.app
            .database
            .rows("SELECT bot_id, window_pulls, jobs_pulled FROM bot ORDER BY 1")
            .await,
        ["ann|3|6", "bob|6|12"]
    );
}

/// A bot whose row somebody has locked waits by itself.
#[tokio::test]
async fn a_locked_bot_holds_up_no_other() {
    let api = Api::start(2).await;
    let keeper = api.app.database.client().await;
    keeper
        .batch_execute("BEGIN; SELECT FROM bot WHERE bot_id = 'ann' FOR UPDATE")
        .await
        .expect("a lock");
    let one = || json!({"max_jobs": 1});
    let mut locked = pin!(api.pull("ann", one()));
    let other = async {
        let jobs = api.pull("bob", one()).await;
        assert_eq!(jobs.len(), 1);
        api.wait_until_locked_out("SELECT FROM bot").await;
    };
    match select(&mut locked, pin!(other)).await {
        Either::Left((jobs, _)) => panic!("answered with {jobs:?} while the row is locked"),
        Either::Right(((), _)) => {}
    }
    keeper.batch_execute("COMMIT").await.expect("unlocked");
    assert_eq!(locked.await.len(), 1);
}

/// What was claimed for a client that has gone in the meantime is handed to the next one, with no attempt counted.
#[tokio::test]
async fn jobs_for_a_client_that_has_gone_are_taken_back() {
    let api = Api::start(1).await;
    let keeper = api.app.database.client().await;
    keeper
        .batch_execute("BEGIN; LOCK TABLE crawl_job IN EXCLUSIVE MODE")
        .await
        .expect("a lock");
    let body = json!({"bot_id": "ann", "api_token": TOKEN}).to_string();
    let request = format!(
        "POST /api/crawl/pull/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = TcpStream::connect(api.address).await.expect("it serves");
    client
        .write_all(request.as_bytes())
        .await
        .expect("it listens");
    api.wait_until_locked_out("-- Hands due jobs to bots").await;
    let port = client.local_addr().expect("connected").port();
    drop(client);
    wait_until("the server has hung up too", async || {
        !is_open(api.address.port(), port)
    })
    .await;
    keeper.batch_execute("COMMIT").await.expect("unlocked");
    wait_until("the job is taken back", async || {
        api.states().await == ["1 Queued 0 ann"]
    })
    .await;
    assert_eq!(api.pull_one("bob").await["retry_count"], 0);
}
