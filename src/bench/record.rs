//! How fast results are judged and recorded from a full queue in Redis, and how near that is to what the same statements can
//! do without engine, rules or Redis around them. And how long it takes to put one result into the queue.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use diesel_async::SimpleAsyncConnection;
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::Client;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::engine::{Engine, Load};
use super::scratch::Scratch;
use super::turns::{Rounds, Turns, bare_clients};
use super::{BenchError, number, percentile, rounded};
use crate::db::connect::{CHECKS_PLANNED_EACH, CHECKS_PLANNED_ONCE};
use crate::live::Live;
use crate::prices::auto_record::{AutoRecord, Options, sql};
use crate::prices::queue::Queue;
use crate::redis;
use crate::store::stage::Stage;
use crate::workflow::Workflow;

#[derive(Clone, Debug)]
pub struct Record {
    /// Results in each round.
    pub results: u32,
    /// Rounds of each kind, engine and bare loop by turns. The medians count.
    pub rounds: usize,
    /// How the engine is set.
    pub load: Load,
    pub options: Options,
    /// Where the queue is; keys get a prefix of the benchmark's own.
    pub redis: redis::Config,
}

/// Results put into the queue one by one.
const ENQUEUED: i64 = 2_000;
/// Before every key. The braces are the hash tag that a cluster needs.
const PREFIX: &str = "{gleaner_bench}:";

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// Results popped, claimed, judged, compared and written in a second, end to end: its start, its lease and its last
    /// commit included.
    pub results_per_second: f64,
    /// The same statements, prepared, in a bare loop over as many connections as the engine uses at once.
    pub ceiling_results_per_second: f64,
    /// Half of the single results were in the queue after this many milliseconds.
    pub enqueue_p50_ms: f64,
    /// All but one in a hundred were.
    pub enqueue_p99_ms: f64,
    /// Results per round.
    pub results: u32,
    /// Each round, and what it was measured on.
    #[serde(flatten)]
    pub turns: Turns,
}

/// Measures.
///
/// # Errors
/// Whatever the database or Redis answers; [`BenchError::Stuck`].
pub async fn record(scratch: &mut Scratch, what: &Record) -> Result<Recorded, BenchError> {
    let mut redis = what.redis.clone();
    redis.prefix = format!("{PREFIX}{}", redis.prefix);
    let queue = Queue::connect(&redis).await?;
    queue.clear().await?;
    let mut rounds = Rounds::default();
    for _ in 0..what.rounds.max(1) {
        let rate = engine_round(scratch, what, &queue).await?;
        rounds.note(rate, ceiling_round(scratch, what).await?);
    }
    let enqueued = enqueue_times(&queue).await;
    queue.clear().await?;
    Ok(Recorded {
        results_per_second: rounds.engine(),
        ceiling_results_per_second: rounds.ceiling(),
        enqueue_p50_ms: rounded(percentile(&enqueued, 50)),
        enqueue_p99_ms: rounded(percentile(&enqueued, 99)),
        results: what.results,
        turns: rounds.end(scratch, &what.load).await?,
    })
}

/// Milliseconds that each of many single results took on its way into the queue, in order of length.
async fn enqueue_times(queue: &Queue) -> Vec<f64> {
    let mut times = Vec::new();
    for id in 1..=ENQUEUED {
        let start = Instant::now();
        // Thousands of lines of log would drown the figures, and so would the terminal's slowness.
        queue
            .enqueue(&[id])
            .with_subscriber(NoSubscriber::default())
            .await;
        times.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    times
}

/// Empties the tables, and puts in so many pages with a price each, and a result each with another.
async fn fill(scratch: &mut Scratch, results: u32) -> Result<(), BenchError> {
    // Without the triggers, which would do no more than set what is set here.
    scratch
        .admin()
        .batch_execute(&format!(
            "TRUNCATE site, product_url, crawl_result, price_history, notification, attempt RESTART IDENTITY CASCADE; \
             INSERT INTO site (domain) VALUES ('shop.example'); \
             INSERT INTO product_url (site_id, raw_url, url, url_hash, current_price, current_currency, current_availability, current_at) \
             SELECT 1, 'https://shop.example/p/' || n, 'https://shop.example/p/' || n, md5(n::text), 100, 'EUR', 'InStock', now() - interval '1 day' \
             FROM generate_series(1, {results}) AS n; \
             INSERT INTO price_history (product_url_id, price, currency, availability, source, scraped_at, last_confirmed_at) \
             SELECT n, 100, 'EUR', 'InStock', 'AUTO', now() - interval '1 day', now() - interval '1 hour' FROM generate_series(1, {results}) AS n; \
             ALTER TABLE crawl_result DISABLE TRIGGER USER; \
             INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, availability, price_sources, confidence, title, \
                auto_record_status, auto_record_due_at) \
             SELECT n, 1, true, 90 + n % 10, 'EUR', 'InStock', '{{jsonld}}', 0.95, 'A product with a name of usual length ' || n, \
                'Queued', now() - make_interval(secs => ({results} - n) * 0.001) \
             FROM generate_series(1, {results}) AS n; \
             ALTER TABLE crawl_result ENABLE TRIGGER USER; \
             ANALYZE site, product_url, crawl_result, price_history"
        ))
        .await?;
    Ok(())
}

/// Fills tables and queue, and has the engine record it all. Results per second.
async fn engine_round(
    scratch: &mut Scratch,
    what: &Record,
    queue: &Queue,
) -> Result<f64, BenchError> {
    fill(scratch, what.results).await?;
    let ids: Vec<i64> = (1..=i64::from(what.results)).collect();
    if !queue.enqueue(&ids).await {
        return Err(BenchError::Stuck(
            "Redis did not take the results".to_owned(),
        ));
    }
    let workflow = AutoRecord::with_queue(queue.clone(), Live::new(what.options.clone()));
    let start = Instant::now();
    let mut engine = Engine::with(scratch, &what.load, workflow, false)
        .with_subscriber(NoSubscriber::default())
        .await?;
    let recorded = engine.until_completed(u64::from(what.results)).await;
    let elapsed = start.elapsed();
    engine.stop().await;
    recorded?;
    Ok(number(u64::from(what.results)) / elapsed.as_secs_f64())
}

/// Fills, and records it with bare loops. Results per second.
async fn ceiling_round(scratch: &mut Scratch, what: &Record) -> Result<f64, BenchError> {
    fill(scratch, what.results).await?;
    let (mut clients, lease) = bare_clients(scratch).await?;
    let next = AtomicI64::new(1);
    let start = Instant::now();
    let done = try_join_all(
        clients
            .iter_mut()
            .map(|client| bare_loop(client, lease, what, &next)),
    )
    .await?;
    let elapsed = start.elapsed();
    let recorded: u64 = done.iter().sum();
    if recorded != u64::from(what.results) {
        return Err(BenchError::Stuck(format!(
            "the bare loop recorded {recorded} of {} results",
            what.results
        )));
    }
    Ok(number(u64::from(what.results)) / elapsed.as_secs_f64())
}

/// Claims, loads, settles and writes batch after batch. Returns how many results it recorded.
async fn bare_loop(
    client: &mut Client,
    lease: i64,
    what: &Record,
    next: &AtomicI64,
) -> Result<u64, BenchError> {
    let stage = Stage::new(AutoRecord::TABLE, AutoRecord::STAGE, AutoRecord::TOUCHES);
    let claim = client.prepare(stage.claim_these_sql()).await?;
    let load = client.prepare(sql::LOAD).await?;
    let settle = client.prepare(stage.settle_sql()).await?;
    let lock = client.prepare(sql::LOCK).await?;
    let neighbours = client.prepare(sql::NEIGHBOURS).await?;
    let insert = client.prepare(sql::INSERT).await?;
    let flag_results = client.prepare(sql::FLAG_RESULTS).await?;
    let set_current = client.prepare(sql::SET_CURRENT).await?;
    let subscriptions = client.prepare(sql::SUBSCRIPTIONS).await?;
    let batch = i64::try_from(what.load.batch).unwrap_or(i64::MAX);
    let mut recorded = 0;
    loop {
        let from = next.fetch_add(batch, Ordering::Relaxed);
        let to = (from + batch - 1).min(i64::from(what.results));
        if from > to {
            return Ok(recorded);
        }
        let wanted: Vec<i64> = (from..=to).collect();
        let rows = client.query(&claim, &[&lease, &wanted]).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let attempts: Vec<i16> = rows.iter().map(|row| row.get(1)).collect();
        let rows = client.query(&load, &[&ids]).await?;
        let urls: Vec<i64> = rows.iter().map(|row| row.get("url")).collect();
        let moments: Vec<SystemTime> = rows.iter().map(|row| row.get("at")).collect();
        let prices: Vec<String> = rows.iter().map(|row| row.get("price")).collect();
        let results: Vec<i64> = rows.iter().map(|row| row.get("id")).collect();
        let count = ids.len();
        let nothing: Vec<Option<&str>> = vec![None; count];
        let (euro, in_stock) = (vec!["EUR"; count], vec!["InStock"; count]);

        let transaction = client.transaction().await?;
        transaction
            .query(
                &settle,
                &[
                    &lease,
                    &ids,
                    &attempts,
                    &vec!["Completed"; count],
                    &vec![0.0_f64; count],
                    &nothing,
                    &vec![0_i16; count],
                    &vec!["completed"; count],
                    &nothing,
                    &vec![0_i32; count],
                ],
            )
            .await?;
        transaction.query(&lock, &[&urls]).await?;
        transaction
            .query(&neighbours, &[&urls, &moments, &0_i64])
            .await?;
        transaction.batch_execute(CHECKS_PLANNED_ONCE).await?;
        let inserted = transaction
            .query(
                &insert,
                &[
                    &urls,
                    &results,
                    &prices,
                    &euro,
                    &nothing,
                    &in_stock,
                    &vec![true; count],
                    &vec!["AUTO"; count],
                    &vec!["jsonld"; count],
                    &vec![0.95_f64; count],
                    &moments,
                    &moments,
                ],
            )
            .await?;
        transaction.batch_execute(CHECKS_PLANNED_EACH).await?;
        transaction
            .query(&flag_results, &[&ids, &vec!["recorded"; count]])
            .await?;
        transaction
            .query(&set_current, &[&urls, &prices, &euro, &in_stock, &moments])
            .await?;
        transaction.query(&subscriptions, &[&urls]).await?;
        transaction.commit().await?;
        recorded += u64::try_from(inserted.len()).unwrap_or(u64::MAX);
    }
}
