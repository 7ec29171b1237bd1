//! Bots: outside workers that are handed crawl jobs and report on them. Their accounts, and every statement of their API.
//!
//! A hand-out is a claim like any other: one statement, a lease of the bot's on the jobs, attempts counted. That statement takes
//! most of its time to be started and committed, so it serves as many pulls as there are at the moment. A bot that dies is
//! noticed by the end of its lease, and the timeout-checker takes the jobs back. A report is a settle like any other: fenced
//! by lease and attempt, in one transaction with the result.

mod account;
mod report;

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::result::Error as DieselError;
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Nullable, SmallInt, Text, Timestamptz,
};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use gleaner_actors::port::LeaseId;

pub use account::{
    Account, Listed, create, disable, enable, find, find_all, find_by_token, list, rotate,
};
pub use report::{Done, Refusal, Report, Reported, report};

use crate::db::statement::statement;
use crate::prices::crawl::JOBS;
use crate::prices::price_fetch::PriceFetch;
use crate::store::stage::{Frontier, Stage};
use crate::workflow::Workflow as _;

/// The stage whose jobs are handed out: that of the workflow whose place the bots take.
pub(crate) static STAGE: LazyLock<Stage> = LazyLock::new(PriceFetch::stage);

/// The hand-out, reading the whole queue.
static PULL: LazyLock<String> = LazyLock::new(|| {
    hand_out(
        "crawl_job AS job",
        "job.crawl_priority DESC, job.crawl_due_at, job.id",
    )
});

/// The hand-out, reading the queue from a frontier on.
static PULL_PAST: LazyLock<String> =
    LazyLock::new(|| hand_out(include_str!("bot/past.sql"), "range.place"));

fn hand_out(queue: &str, order: &str) -> String {
    let template = include_str!("bot/pull.sql")
        .replace("{queue}", queue)
        .replace("{order}", order);
    JOBS.claim_under(&template, "opening.lease")
}

/// One of the pulls that a claim answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull {
    pub bot: i64,
    /// At most this many jobs, and no more than the bot may have at a time.
    pub jobs: i64,
    /// Whether it counts against the bot's rate; looking again for a request that waits does not.
    pub counts: bool,
}

/// Among which jobs a claim looks.
#[derive(Clone, Copy, Debug)]
pub struct Among<'a> {
    /// Only of this domain and what is below it.
    pub domain: Option<&'a str>,
    /// Only of these sites; empty for all.
    pub sites: &'a [String],
    /// Between two jobs of a site that says nothing itself.
    pub pace: Duration,
    /// From where on they are read.
    pub frontier: &'a Frontier,
}

/// The right to one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub lease: LeaseId,
    pub attempt: i16,
}

/// A job handed out.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
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
    Jobs(Vec<Job>),
    /// The bot has pulled too often; so long until it may again.
    TooOften(Duration),
    /// The bot's row is locked by somebody else at this moment, or it is gone or switched off.
    Missing,
}

#[derive(QueryableByName)]
struct PulledRow {
    #[diesel(sql_type = BigInt)]
    pull: i64,
    #[diesel(sql_type = Bool)]
    is_open: bool,
    #[diesel(sql_type = Nullable<Double>)]
    opens_in: Option<f64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    url: Option<String>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    crawl_priority: Option<i16>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    crawl_due_at: Option<DateTime<Utc>>,
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

/// How a pull is planned: once for each connection, since planning took as long as the rest, and always along the index of what
/// is queued. Without statistics, as on a table just filled, the planner prefers to sort all of it, at 1.5 s a pull with 300,000
/// jobs.
const PLAN_OF_PULLS: &str =
    "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_sort = off";

/// The same from a frontier on: each job that comes up is looked up by its key, in the order of the queue. Left to itself the planner
/// reads the whole table for that, and the queue by an index that also has what lies before the frontier.
const PLAN_OF_PULLS_PAST: &str = "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_sort = off; \
    SET LOCAL enable_incremental_sort = off; SET LOCAL enable_seqscan = off";

/// Hands due jobs to bots, in one statement for all these pulls; what each yields is in their order.
///
/// A bot never gets what it may not have: its rate, its cap, and the sites' own switches and paces are part of that statement,
/// so they hold across nodes. Its sites are for the caller to name. It waits for no lock. In a transaction of its own, unless
/// there is one.
///
/// # Errors
/// Whatever the database answers.
pub async fn pull(
    conn: &mut AsyncPgConnection,
    pulls: &[Pull],
    among: &Among<'_>,
) -> QueryResult<Vec<Pulled>> {
    let bots: Vec<i64> = pulls.iter().map(|pull| pull.bot).collect();
    let jobs: Vec<i64> = pulls.iter().map(|pull| pull.jobs.max(0)).collect();
    let counts: Vec<bool> = pulls.iter().map(|pull| pull.counts).collect();
    let ranges = among.frontier.ranges_for_choice();
    let rows = conn
        .transaction::<Vec<PulledRow>, DieselError, _>(async |conn| {
            let plan = match ranges {
                Some(_) => PLAN_OF_PULLS_PAST,
                None => PLAN_OF_PULLS,
            };
            conn.batch_execute(plan).await?;
            let asked = statement(if ranges.is_some() { &PULL_PAST } else { &PULL })
                .bind::<Array<BigInt>, _>(&bots)
                .bind::<Array<BigInt>, _>(&jobs)
                .bind::<Array<Bool>, _>(&counts)
                .bind::<BigInt, _>(jobs.iter().sum::<i64>())
                .bind::<Nullable<Text>, _>(among.domain)
                .bind::<Array<Text>, _>(among.sites)
                .bind::<Double, _>(among.pace.as_secs_f64())
                .bind::<Text, _>(PriceFetch::NAME);
            let Some(ranges) = ranges else {
                return asked.load(conn).await;
            };
            asked
                .bind::<Array<Integer>, _>(ranges.above)
                .bind::<Array<Integer>, _>(ranges.upto)
                .bind::<Array<SmallInt>, _>(ranges.kinds)
                .bind::<Array<Nullable<Timestamptz>>, _>(ranges.due_at)
                .bind::<Array<Nullable<BigInt>>, _>(ranges.ids)
                .bind::<Array<BigInt>, _>(ranges.strays)
                .load(conn)
                .await
        })
        .await?;
    let handed_out: Vec<(i64, i16, DateTime<Utc>)> = rows
        .iter()
        .filter_map(|row| Some((row.id?, row.crawl_priority?, row.crawl_due_at?)))
        .collect();
    among.frontier.handed_out(&handed_out);
    let mut yields = vec![Pulled::Missing; pulls.len()];
    for row in rows {
        let place = usize::try_from(row.pull - 1).unwrap_or(usize::MAX);
        if let Some(pulled) = yields.get_mut(place) {
            pulled.take_in(row);
        }
    }
    Ok(yields)
}

impl Pulled {
    fn take_in(&mut self, row: PulledRow) {
        if !row.is_open {
            let seconds = row.opens_in.unwrap_or_default().max(0.0);
            *self = Self::TooOften(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        } else if let Self::Jobs(jobs) = self {
            jobs.extend(row.job());
        } else {
            *self = Self::Jobs(Vec::from_iter(row.job()));
        }
    }
}

/// Waits until nobody else has the row of the bot with this name locked, and keeps it locked until the transaction ends.
///
/// # Errors
/// Whatever the database answers.
pub async fn hold(conn: &mut AsyncPgConnection, bot_id: &str) -> QueryResult<()> {
    statement("SELECT FROM bot WHERE bot_id = $1 FOR UPDATE")
        .bind::<Text, _>(bot_id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes back what was handed to a bot that is not there any more to be told, unharmed.
///
/// # Errors
/// Whatever the database answers.
pub async fn take_back(conn: &mut AsyncPgConnection, bot: i64, jobs: &[Job]) -> QueryResult<()> {
    let reports: Vec<Report<'_>> = jobs
        .iter()
        .map(|job| Report {
            job: job.id,
            token: Some(job.token),
            done: Done::Released,
        })
        .collect();
    report(conn, bot, &reports).await?;
    Ok(())
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
