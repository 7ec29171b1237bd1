//! Bots: outside workers that are handed crawl jobs and report on them. Their accounts, and every statement of their API.
//!
//! A hand-out is a claim like any other: one statement, a lease of the bot's on the jobs, attempts counted. A bot that dies is
//! noticed by the end of its lease, and the timeout-checker takes the jobs back. A report is a settle like any other: fenced
//! by lease and attempt, in one transaction with the result.

mod account;
mod report;

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Interval, Nullable, SmallInt, Text, Timestamptz,
};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use gleaner_actors::port::LeaseId;

pub use account::{Account, Listed, create, disable, enable, find, list, rotate};
pub use report::{Done, Refusal, Report, Reported, report};

use super::stage::Stage;
use super::statement::statement;

/// The stage whose jobs are handed out, as notifications name it.
pub const STAGE_NAME: &str = "crawl_job/crawl";

/// The same, with its statements.
pub(crate) static STAGE: LazyLock<Stage> =
    LazyLock::new(|| Stage::limited("crawl_job", "crawl", true, Some("max_retries")));

/// What a pull asks for.
#[derive(Clone, Debug)]
pub struct Pull<'a> {
    /// At most this many jobs.
    pub jobs: i64,
    /// Only of this domain and what is below it.
    pub domain: Option<&'a str>,
    /// Between two jobs of a shop that says nothing itself.
    pub pace: Duration,
    /// Whether it counts against the bot's rate; looking again for a request that waits does not.
    pub counts: bool,
}

/// The right to one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The lease.
    pub lease: LeaseId,
    /// The attempt.
    pub attempt: i16,
}

/// A job handed out.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its key.
    pub id: i64,
    /// The page to be crawled.
    pub url: String,
    /// Its priority, as policies give it.
    pub priority: i16,
    /// Attempts it has in all.
    pub max_retries: i16,
    /// The right to it: names the attempt too, from 1.
    pub token: Token,
    /// When that ends, unless it is prolonged.
    pub locked_until: DateTime<Utc>,
    /// How long that is, in seconds.
    pub timeout_seconds: i64,
}

/// What a pull yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Pulled {
    /// These jobs.
    Jobs(Vec<Job>),
    /// The bot has pulled too often; so long until it may again.
    TooOften(Duration),
    /// The bot is gone or switched off since it was looked up.
    Gone,
}

#[derive(QueryableByName)]
struct PulledRow {
    #[diesel(sql_type = Bool)]
    is_open: bool,
    #[diesel(sql_type = Nullable<Double>)]
    opens_in: Option<f64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    url: Option<String>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    priority: Option<i16>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    max_retries: Option<i16>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    attempt: Option<i16>,
    #[diesel(sql_type = Nullable<BigInt>)]
    lease: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    locked_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    timeout_seconds: Option<i64>,
}

impl PulledRow {
    fn job(self) -> Option<Job> {
        Some(Job {
            id: self.id?,
            url: self.url?,
            priority: self.priority?,
            max_retries: self.max_retries?,
            token: Token {
                lease: LeaseId(self.lease?),
                attempt: self.attempt?,
            },
            locked_until: self.locked_until?,
            timeout_seconds: self.timeout_seconds?,
        })
    }
}

/// Hands due jobs to a bot, in one statement.
///
/// A bot never gets what it may not have: its rate, its cap, its shops, and the
/// shops' own switches and paces are part of that statement, so they hold across nodes.
///
/// # Errors
/// Whatever the database answers.
pub async fn pull(
    conn: &mut AsyncPgConnection,
    bot: &Account,
    pull: &Pull<'_>,
) -> QueryResult<Pulled> {
    let ttl = bot.lock_ttl_seconds.map(|seconds| {
        diesel::data_types::PgInterval::from_microseconds(i64::from(seconds) * 1_000_000)
    });
    let rows: Vec<PulledRow> = statement(include_str!("bot/pull.sql"))
        .bind::<BigInt, _>(bot.id)
        .bind::<BigInt, _>(pull.jobs.clamp(0, i64::from(bot.max_jobs_per_pull)))
        .bind::<Nullable<Text>, _>(pull.domain)
        .bind::<Array<Text>, _>(&bot.allowed_domains)
        .bind::<Double, _>(pull.pace.as_secs_f64())
        .bind::<Nullable<Interval>, _>(ttl)
        .bind::<Bool, _>(pull.counts)
        .load(conn)
        .await?;
    let Some(first) = rows.as_slice().first() else {
        return Ok(Pulled::Gone);
    };
    if !first.is_open {
        let seconds = first.opens_in.unwrap_or_default().max(0.0);
        return Ok(Pulled::TooOften(
            Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        ));
    }
    Ok(Pulled::Jobs(
        rows.into_iter().filter_map(PulledRow::job).collect(),
    ))
}

/// Prolongs a bot's leases, each by the time it was given for. Returns those that stand, with their new ends: the others have
/// ended, or have no job left.
///
/// # Errors
/// Whatever the database answers.
pub async fn extend(
    conn: &mut AsyncPgConnection,
    bot: i64,
    leases: &[i64],
) -> QueryResult<Vec<(LeaseId, DateTime<Utc>)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = Timestamptz)]
        expires_at: DateTime<Utc>,
    }
    let rows: Vec<Row> = statement(include_str!("bot/extend.sql"))
        .bind::<BigInt, _>(bot)
        .bind::<Array<BigInt>, _>(leases)
        .load(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (LeaseId(row.id), row.expires_at))
        .collect())
}
