//! When jobs run: admission of URLs, what decides how often, the queue, ageing. One bounded statement each.
//!
//! A row that such a statement is refused for costs the others nothing: it is run again over halves of them, and the one at fault
//! is set aside. Those that are at rest, or wait, are found in the same way by the statement and by the halving.

use std::sync::LazyLock;
use std::time::Duration;

use crate::db::statement::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Jsonb, Nullable, Text};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::db;
use crate::db::connect::CHECKS_PLANNED_ONCE;
use crate::db::halves::Halves;
use crate::db::statement::statement;
use crate::store::aside::{self, Key, Work};
use crate::store::stage::{Request, bounded};

use super::JOBS;

/// Serialises admission across nodes, so that one page is never admitted twice. Any number will do, so long as it stays.
const ADMISSION_LOCK: i64 = 4_711_000_003;

const ADMISSION: Work<'_> = Work {
    name: "crawl-admission",
    table: "product_url",
};
const PLANNING: Work<'_> = Work {
    name: "crawl-plan",
    table: "crawl_job",
};
/// The same, for the policies that it goes by.
const POLICIES: Work<'_> = Work {
    name: "crawl-plan",
    table: "crawl_policy",
};
const QUEUEING: Work<'_> = Work {
    name: "crawl-queue",
    table: "crawl_job",
};
const AGING: Work<'_> = Work {
    name: "crawl-aging",
    table: "crawl_job",
};

/// Jobs that were decided before a generation.
static UNDECIDED: LazyLock<String> = LazyLock::new(|| {
    let takes = PLANNING.takes("id");
    format!("SELECT id FROM crawl_job WHERE plan < $1 AND {takes}")
});

/// Up to `$2` of them, of these (`$3`) only where it is not NULL, locked.
static UNDECIDED_OF: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} AND ($3::bigint[] IS NULL OR id = ANY ($3)) ORDER BY plan LIMIT $2 FOR UPDATE SKIP LOCKED",
        *UNDECIDED
    )
});

/// Jobs at rest that have come due.
static DUE: LazyLock<String> = LazyLock::new(|| {
    let takes = QUEUEING.takes("id");
    format!(
        "SELECT id, product_url_id, site_id, priority, next_run_at FROM crawl_job \
         WHERE (crawl_status IS NULL OR crawl_status IN ('Completed', 'Error', 'Filtered')) AND next_run_at <= now() AND {takes}"
    )
});

/// Jobs that have waited for longer than `$2` seconds, and are below the priority that this gives them.
static STALE: LazyLock<String> = LazyLock::new(|| {
    let takes = AGING.takes("id");
    format!(
        "SELECT id FROM crawl_job WHERE crawl_status = 'Queued' AND crawl_due_at < now() - make_interval(secs => $2) \
         AND crawl_priority < least(100, priority + floor({WAITED} / $2)) AND {takes}"
    )
});

/// For how long a job has waited, in seconds. Nothing can be taken from a time without end.
const WAITED: &str =
    "extract(epoch FROM now() - greatest(crawl_due_at, now() - interval '10 years'))";

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
        &include_str!("queue.sql").replace("{due}", &DUE),
        &[behind, Request::Prioritise("item.priority")],
    )
});

/// Raises what has waited too long; see its file.
static AGE: LazyLock<String> = LazyLock::new(|| {
    let raised = Request::Prioritise(
        "least(100, item.priority + floor(extract(epoch FROM now() - greatest(item.crawl_due_at, now() - interval '10 years')) / $2))",
    );
    JOBS.ask(
        &include_str!("age.sql").replace("{stale}", &STALE),
        &[raised],
    )
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
        /// By what that is told from others.
        key: String,
        /// The site's domain.
        site: String,
    },
    /// It is none, for this reason.
    Reject(String),
}

/// What one statement did with the rows that it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Rows that were worked.
    pub done: usize,
    /// Rows that were looked at, with those that were set aside.
    pub seen: usize,
}

impl Batch {
    const fn all(done: usize) -> Self {
        Self { done, seen: done }
    }

    const fn of(done: usize, rows: &[i64]) -> Self {
        Self {
            done,
            seen: rows.len(),
        }
    }
}

/// Takes up to `limit` new rows of `product_url`, has `judge` look at each, and stores what it says. Only one caller at a time does,
/// on all nodes; the others find nothing.
///
/// A page that the table does not take is rejected, with the table's reason.
///
/// # Errors
/// Whatever the database answers, but for a row's sake.
pub async fn admit(
    conn: &mut AsyncPgConnection,
    limit: i64,
    judge: fn(&str) -> Admission,
) -> QueryResult<Batch> {
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
            return Ok(Batch::default());
        }
        let new: Vec<Candidate> = sql_query(format!(
            "SELECT id, raw_url FROM product_url WHERE url IS NULL AND rejected IS NULL AND {} \
             ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",
            ADMISSION.takes("id")
        ))
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?;
        let mut batch = Batch {
            done: 0,
            seen: new.len(),
        };
        let mut halves = Halves::of(&new);
        while let Some(part) = halves.next_part() {
            let judged = part.iter().map(|own| (own.id, judge(&own.raw_url)));
            match store_judged(conn, judged.collect()).await {
                Ok(()) => batch.done += part.len(),
                Err(error) => {
                    if let Some((row, error)) = halves.refused(part, error)? {
                        batch.done += usize::from(reject(conn, row.id, &error).await?);
                    }
                }
            }
        }
        Ok(batch)
    })
    .await
}

/// Stores what candidates were judged to be, or nothing. Within a transaction.
async fn store_judged(
    conn: &mut AsyncPgConnection,
    judged: Vec<(i64, Admission)>,
) -> QueryResult<()> {
    let mut rejected: (Vec<i64>, Vec<String>) = Default::default();
    let mut admitted: (Vec<i64>, Vec<String>, Vec<String>, Vec<String>) = Default::default();
    for (id, admission) in judged {
        match admission {
            Admission::Admit { url, key, site } => {
                admitted.0.push(id);
                admitted.1.push(url);
                admitted.2.push(site);
                admitted.3.push(key);
            }
            Admission::Reject(reason) => {
                rejected.0.push(id);
                rejected.1.push(reason);
            }
        }
    }
    conn.transaction(async |conn| {
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
                .bind::<Array<Text>, _>(admitted.3)
                .execute(conn)
                .await?;
        }
        Ok(())
    })
    .await
}

/// Rejects a page that the table did not take. Whether it took that: otherwise the row is set aside.
async fn reject(
    conn: &mut AsyncPgConnection,
    row: i64,
    error: &diesel::result::Error,
) -> QueryResult<bool> {
    let reason = bounded(&format!("cannot be stored: {}", db::described(error)));
    match store_judged(conn, vec![(row, Admission::Reject(reason))]).await {
        Ok(()) => Ok(true),
        Err(again) if db::is_of_a_row(&again) => {
            aside::put(conn, ADMISSION, row, error).await?;
            Ok(false)
        }
        Err(again) => Err(again),
    }
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
    let row: Option<Row> = statement("SELECT generation FROM crawl_plan")
        .get_result(conn)
        .await
        .optional()?;
    if let Some(row) = row {
        return Ok(row.generation);
    }
    // Somebody has deleted the row: all is decided anew.
    let row: Row = sql_query(
        "INSERT INTO crawl_plan (generation, defaults) SELECT coalesce(max(plan), 0) + 1, $1 FROM crawl_job \
         ON CONFLICT (id) DO UPDATE SET changed_at = now() RETURNING generation",
    )
    .bind::<Jsonb, _>(&defaults)
    .get_result(conn)
    .await?;
    Ok(row.generation)
}

/// Decides anew for up to `limit` jobs that were decided before this generation, or never.
///
/// A policy that cannot be read is switched off, since it would stand in every job's way.
///
/// # Errors
/// Whatever the database answers, but for a row's sake.
pub async fn replan(
    conn: &mut AsyncPgConnection,
    limit: i64,
    generation: i64,
    frequencies: &Frequencies,
) -> QueryResult<Batch> {
    match replan_of(conn, limit, generation, frequencies, None).await {
        Err(error) if db::is_of_a_row(&error) => {}
        done => return done.map(Batch::all),
    }
    switch_off_unreadable(conn).await?;
    let jobs: Vec<Key> = sql_query(format!("{} ORDER BY plan LIMIT $2", *UNDECIDED))
        .bind::<BigInt, _>(generation)
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?;
    let (jobs, mut done) = (Key::numbers(&jobs), 0);
    let mut halves = Halves::of(&jobs);
    while let Some(part) = halves.next_part() {
        match replan_of(conn, limit, generation, frequencies, Some(part)).await {
            Ok(count) => done += count,
            Err(error) => aside::refused(conn, PLANNING, &mut halves, part, error).await?,
        }
    }
    Ok(Batch::of(done, &jobs))
}

/// As [`replan`], of these jobs, or all or none.
async fn replan_of(
    conn: &mut AsyncPgConnection,
    limit: i64,
    generation: i64,
    frequencies: &Frequencies,
    only: Option<&[i64]>,
) -> QueryResult<usize> {
    conn.transaction(async |conn| {
        let jobs: Vec<Key> = statement(&UNDECIDED_OF)
            .bind::<BigInt, _>(generation)
            .bind::<BigInt, _>(limit)
            .bind::<Nullable<Array<BigInt>>, _>(only)
            .load(conn)
            .await?;
        if jobs.is_empty() {
            return Ok(0);
        }
        let ids = Key::numbers(&jobs);
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

/// Switches policies off whose expression PostgreSQL cannot read: their table looks at each when it is written, but a backup that
/// is restored, say, gets past it.
async fn switch_off_unreadable(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    let policies: Vec<Key> = sql_query(
        "SELECT id FROM crawl_policy WHERE enabled AND selection IN ('domain_regex', 'url_regex') ORDER BY id",
    )
    .load(conn)
    .await?;
    for Key { id } in policies {
        let read = sql_query("SELECT '' ~ target FROM crawl_policy WHERE id = $1")
            .bind::<BigInt, _>(id)
            .execute(conn)
            .await;
        match read {
            Ok(_) => {}
            Err(error) if db::is_of_a_row(&error) => {
                sql_query("UPDATE crawl_policy SET enabled = false WHERE id = $1")
                    .bind::<BigInt, _>(id)
                    .execute(conn)
                    .await?;
                aside::put(conn, POLICIES, id, &error).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
/// Whatever the database answers, but for a row's sake.
pub async fn queue_due(
    conn: &mut AsyncPgConnection,
    limit: i64,
    pace: Duration,
    at_once: Duration,
) -> QueryResult<Queued> {
    match queue_of(conn, limit, pace, at_once, None).await {
        Err(error) if db::is_of_a_row(&error) => {}
        done => return done,
    }
    let jobs: Vec<Key> = sql_query(format!("{} ORDER BY next_run_at LIMIT $1", *DUE))
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?;
    let jobs = Key::numbers(&jobs);
    let mut all = Queued {
        queued: 0,
        seen: i64::try_from(jobs.len()).unwrap_or(limit),
    };
    let mut halves = Halves::of(&jobs);
    while let Some(part) = halves.next_part() {
        match queue_of(conn, limit, pace, at_once, Some(part)).await {
            Ok(some) => all.queued += some.queued,
            Err(error) => aside::refused(conn, QUEUEING, &mut halves, part, error).await?,
        }
    }
    Ok(all)
}

async fn queue_of(
    conn: &mut AsyncPgConnection,
    limit: i64,
    pace: Duration,
    at_once: Duration,
    only: Option<&[i64]>,
) -> QueryResult<Queued> {
    statement(&QUEUE)
        .bind::<BigInt, _>(limit)
        .bind::<Double, _>(pace.as_secs_f64())
        .bind::<Double, _>(at_once.as_secs_f64())
        .bind::<Nullable<Array<BigInt>>, _>(only)
        .get_result(conn)
        .await
}

/// Raises the priority of up to `limit` jobs that have waited for longer than `step`, by one for each.
///
/// # Errors
/// Whatever the database answers, but for a row's sake.
pub async fn age(conn: &mut AsyncPgConnection, limit: i64, step: Duration) -> QueryResult<Batch> {
    match age_of(conn, limit, step, None).await {
        Err(error) if db::is_of_a_row(&error) => {}
        done => return done.map(Batch::all),
    }
    let jobs: Vec<Key> = sql_query(format!("{} ORDER BY crawl_due_at LIMIT $1", *STALE))
        .bind::<BigInt, _>(limit)
        .bind::<Double, _>(step.as_secs_f64())
        .load(conn)
        .await?;
    let (jobs, mut done) = (Key::numbers(&jobs), 0);
    let mut halves = Halves::of(&jobs);
    while let Some(part) = halves.next_part() {
        match age_of(conn, limit, step, Some(part)).await {
            Ok(count) => done += count,
            Err(error) => aside::refused(conn, AGING, &mut halves, part, error).await?,
        }
    }
    Ok(Batch::of(done, &jobs))
}

async fn age_of(
    conn: &mut AsyncPgConnection,
    limit: i64,
    step: Duration,
    only: Option<&[i64]>,
) -> QueryResult<usize> {
    statement(&AGE)
        .bind::<BigInt, _>(limit)
        .bind::<Double, _>(step.as_secs_f64())
        .bind::<Nullable<Array<BigInt>>, _>(only)
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
    /// By what that is told from others.
    pub key: &'a str,
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
        .bind::<Text, _>(wish.key)
        .get_result(conn)
        .await?;
    Ok(row.id)
}
