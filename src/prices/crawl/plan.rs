//! When jobs run: admission of URLs, what decides how often, the queue, ageing. One bounded statement each.

use std::sync::LazyLock;
use std::time::Duration;

use crate::db::statement::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Jsonb, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::db::connect::CHECKS_PLANNED_ONCE;
use crate::db::statement::statement;
use crate::store::stage::Request;

use super::JOBS;

/// Serialises admission across nodes, so that one page is never admitted twice. Any number will do, so long as it stays.
const ADMISSION_LOCK: i64 = 4_711_000_003;

/// Decides how often and how urgently; see its file.
static PLAN: LazyLock<String> = LazyLock::new(|| {
    let request = Request::PrioritiseIf {
        condition: "item.priority <> decided.priority",
        priority: "decided.priority",
    };
    JOBS.ask(include_str!("plan.sql"), &[request])
});

/// Queues what has come due; see its file.
static QUEUE: LazyLock<String> = LazyLock::new(|| {
    let behind = Request::QueueAt {
        condition: "is_wanted",
        time: "line.ends_at + make_interval(secs => judged.place * judged.pace)",
    };
    JOBS.ask(
        include_str!("queue.sql"),
        &[behind, Request::Prioritise("item.priority")],
    )
});

/// Raises what has waited too long; see its file.
static AGE: LazyLock<String> = LazyLock::new(|| {
    let raised = Request::Prioritise(
        "least(100, item.priority + floor(extract(epoch FROM now() - item.crawl_due_at) / $2))",
    );
    JOBS.ask(include_str!("age.sql"), &[raised])
});

/// A URL that waits to be admitted.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Candidate {
    /// Key of the row of `product_url`.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// The URL as it was given.
    #[diesel(sql_type = Text)]
    pub raw_url: String,
}

/// What is to become of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is a page of a site.
    Admit {
        /// Its normalised URL.
        url: String,
        /// The site's domain.
        site: String,
    },
    /// It is none, for this reason.
    Reject(String),
}

/// Takes up to `limit` new rows of `product_url`, has `judge` look at each, and stores what it says; returns how many there
/// were. Only one caller at a time does, on all nodes; the others find nothing.
///
/// # Errors
/// Whatever the database answers.
pub async fn admit(
    conn: &mut AsyncPgConnection,
    limit: i64,
    judge: fn(&str) -> Admission,
) -> QueryResult<usize> {
    #[derive(QueryableByName)]
    struct Lock {
        #[diesel(sql_type = Bool)]
        is_mine: bool,
    }
    conn.transaction(async |conn| {
        let lock: Lock = sql_query("SELECT pg_try_advisory_xact_lock($1) AS is_mine")
            .bind::<BigInt, _>(ADMISSION_LOCK)
            .get_result(conn)
            .await?;
        if !lock.is_mine {
            return Ok(0);
        }
        let new: Vec<Candidate> = sql_query(
            "SELECT id, raw_url FROM product_url WHERE url IS NULL AND rejected IS NULL \
             ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",
        )
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?;
        let count = new.len();
        let mut rejected: (Vec<i64>, Vec<String>) = Default::default();
        let mut admitted: (Vec<i64>, Vec<String>, Vec<String>) = Default::default();
        for candidate in new {
            match judge(&candidate.raw_url) {
                Admission::Admit { url, site } => {
                    admitted.0.push(candidate.id);
                    admitted.1.push(url);
                    admitted.2.push(site);
                }
                Admission::Reject(reason) => {
                    rejected.0.push(candidate.id);
                    rejected.1.push(reason);
                }
            }
        }
        if !rejected.0.is_empty() {
            sql_query(
                "UPDATE product_url SET rejected = reason FROM unnest($1, $2) AS refused(id, reason) \
                 WHERE product_url.id = refused.id",
            )
            .bind::<Array<BigInt>, _>(rejected.0)
            .bind::<Array<Text>, _>(rejected.1)
            .execute(conn)
            .await?;
        }
        if !admitted.0.is_empty() {
            // Their triggers store jobs, which is planned just so.
            conn.batch_execute(CHECKS_PLANNED_ONCE).await?;
            sql_query(include_str!("admit.sql"))
                .bind::<Array<BigInt>, _>(admitted.0)
                .bind::<Array<Text>, _>(admitted.1)
                .bind::<Array<Text>, _>(admitted.2)
                .execute(conn)
                .await?;
        }
        Ok(count)
    })
    .await
}

/// How often jobs run for which no policy says so, and by the priority of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Frequencies {
    /// Where nothing else decides.
    #[serde(with = "humantime_serde")]
    pub default: Duration,
    /// For a subscription of priority high.
    #[serde(with = "humantime_serde")]
    pub high: Duration,
    /// Of priority normal.
    #[serde(with = "humantime_serde")]
    pub normal: Duration,
    /// Of priority low.
    #[serde(with = "humantime_serde")]
    pub low: Duration,
}

/// The generation of decisions in force. A change of the configured frequencies begins a new one, as a change of policies does.
///
/// # Errors
/// Whatever the database answers.
pub async fn generation(
    conn: &mut AsyncPgConnection,
    frequencies: &Frequencies,
) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        generation: i64,
    }
    let defaults = json!([
        frequencies.default.as_secs_f64(),
        frequencies.high.as_secs_f64(),
        frequencies.normal.as_secs_f64(),
        frequencies.low.as_secs_f64(),
    ]);
    statement(
        "UPDATE crawl_plan SET generation = generation + 1, defaults = $1, changed_at = now() \
         WHERE defaults IS DISTINCT FROM $1",
    )
    .bind::<Jsonb, _>(&defaults)
    .execute(conn)
    .await?;
    let row: Row = statement("SELECT generation FROM crawl_plan")
        .get_result(conn)
        .await?;
    Ok(row.generation)
}

/// Decides anew for up to `limit` jobs that were decided before this generation, or never; returns how many there were.
///
/// # Errors
/// Whatever the database answers.
pub async fn replan(
    conn: &mut AsyncPgConnection,
    limit: i64,
    generation: i64,
    frequencies: &Frequencies,
) -> QueryResult<usize> {
    #[derive(QueryableByName)]
    struct Job {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    conn.transaction(async |conn| {
        let jobs: Vec<Job> = statement(
            "SELECT id FROM crawl_job WHERE plan < $1 ORDER BY plan LIMIT $2 FOR UPDATE SKIP LOCKED",
        )
        .bind::<BigInt, _>(generation)
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?;
        if jobs.is_empty() {
            return Ok(0);
        }
        let ids: Vec<i64> = jobs.iter().map(|job| job.id).collect();
        statement(&PLAN)
            .bind::<Array<BigInt>, _>(&ids)
            .bind::<BigInt, _>(generation)
            .bind::<Double, _>(frequencies.default.as_secs_f64())
            .bind::<Double, _>(frequencies.high.as_secs_f64())
            .bind::<Double, _>(frequencies.normal.as_secs_f64())
            .bind::<Double, _>(frequencies.low.as_secs_f64())
            .execute(conn)
            .await?;
        Ok(ids.len())
    })
    .await
}

/// What one statement of the queue did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName)]
pub struct Queued {
    /// Jobs that are queued now.
    #[diesel(sql_type = BigInt)]
    pub queued: i64,
    /// Jobs that were due, with those that may not be crawled.
    #[diesel(sql_type = BigInt)]
    pub seen: i64,
}

/// Queues up to `limit` jobs at rest that have come due. `pace` lies between two jobs of a site that says nothing itself; so
/// much of a site's line as `at_once` is due without waiting.
///
/// # Errors
/// Whatever the database answers.
pub async fn queue_due(
    conn: &mut AsyncPgConnection,
    limit: i64,
    pace: Duration,
    at_once: Duration,
) -> QueryResult<Queued> {
    statement(&QUEUE)
        .bind::<BigInt, _>(limit)
        .bind::<Double, _>(pace.as_secs_f64())
        .bind::<Double, _>(at_once.as_secs_f64())
        .get_result(conn)
        .await
}

/// Raises the priority of up to `limit` jobs that have waited for longer than `step`, by one for each; returns how many.
///
/// # Errors
/// Whatever the database answers.
pub async fn age(conn: &mut AsyncPgConnection, limit: i64, step: Duration) -> QueryResult<usize> {
    statement(&AGE)
        .bind::<BigInt, _>(limit)
        .bind::<Double, _>(step.as_secs_f64())
        .execute(conn)
        .await
}

/// What somebody wants to be tracked.
#[derive(Clone, Debug, Default)]
pub struct Wish<'a> {
    /// The URL as it was given.
    pub raw_url: &'a str,
    /// The same, normalised.
    pub url: &'a str,
    /// The product's name: found by it, or created; `None` for no product.
    pub product: Option<&'a str>,
    /// Tags to be added.
    pub tags: &'a [String],
}

/// Stores a URL to be tracked, or adds to what is known of it; returns its row. The crawl-scheduler admits it.
///
/// # Errors
/// Whatever the database answers.
pub async fn track(conn: &mut AsyncPgConnection, wish: &Wish<'_>) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let row: Row = sql_query(include_str!("track.sql"))
        .bind::<Text, _>(wish.raw_url)
        .bind::<Text, _>(wish.url)
        .bind::<Nullable<Text>, _>(wish.product)
        .bind::<Array<Text>, _>(wish.tags)
        .get_result(conn)
        .await?;
    Ok(row.id)
}
