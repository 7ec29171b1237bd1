//! What becomes of a bot's report on a job: judged by who has the job, settled, recorded, counted; all in one transaction.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use crate::db::statement::sql_query;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, SmallInt, Text, Timestamptz};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use gleaner_actors::port::{Failure, LeaseId, Settlement, Verdict};
use serde_json::value::RawValue;

use super::{STAGE, Token};
use crate::db::statement::statement;
use crate::prices::crawl;
use crate::prices::crawl::{KeptPage, Seen, Submission};
use crate::prices::policy;
use crate::prices::price_fetch::PriceFetch;
use crate::store::stage::Records;
use crate::workflow::Workflow as _;

/// How long the lease stands under which a late report is settled: no longer than its transaction.
const LATE_LEASE: &str = "1 minute";

static LOOK: LazyLock<String> = LazyLock::new(|| crawl::JOBS.excusing(include_str!("look.sql")));

/// A report on one job.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    pub job: i64,
    /// The right under which it was worked; `None` for the last hand-out of the job to this bot.
    pub token: Option<Token>,
    pub done: Done<'a>,
}

/// What was done with a job.
#[derive(Clone, Debug)]
pub enum Done<'a> {
    /// It was crawled, well or not.
    Crawled {
        seen: Seen<'a>,
        /// What else the bot says.
        parsed_data: &'a RawValue,
        /// How long it took, in milliseconds.
        duration_ms: Option<i32>,
        /// The page, gzip, where the bot sent it.
        page: Option<Vec<u8>>,
    },
    /// Nothing: it is given back unharmed.
    Released,
}

/// Why a report does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such job.
    NotFound,
    /// Nobody has it.
    NotLocked,
    /// Somebody else has it.
    NotAssigned,
    /// This bot had it, and lost it: its time was up and the job went on without it.
    Expired,
}

/// What became of a report. Of one that had been made before: what became of the first, whatever the repeat says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The row of `crawl_result`; `None` where nothing was crawled.
    pub result: Option<i64>,
    /// Whether the crawl went well.
    pub success: bool,
    /// The price that is recorded, if it did.
    pub price: Option<String>,
    /// Its currency.
    pub currency: Option<String>,
    /// Why it did not.
    pub error: Option<String>,
    /// Failed attempts so far, with this one.
    pub failures: i16,
    /// Attempts in all.
    pub max_retries: i16,
    /// Whether it is tried again.
    pub is_retried: bool,
    /// When the job is due next by its plan.
    pub next_run_at: Option<DateTime<Utc>>,
    /// Whether this report had been made before.
    pub is_repeat: bool,
}

#[derive(Clone, Debug, QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = Nullable<Text>)]
    status: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    lease: Option<i64>,
    #[diesel(sql_type = SmallInt)]
    attempts: i16,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_lease: Option<i64>,
    #[diesel(sql_type = Bool)]
    was_mine: bool,
    #[diesel(sql_type = SmallInt)]
    max_retries: i16,
    #[diesel(sql_type = Double)]
    backoff_seconds: f64,
    #[diesel(sql_type = Bool)]
    is_wanted: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    token_lease: Option<i64>,
    #[diesel(sql_type = SmallInt)]
    token_attempt: i16,
    /// How many of its attempts do not count, where their number says that it was the last.
    #[diesel(sql_type = SmallInt)]
    excused: i16,
    #[diesel(sql_type = Bool)]
    is_alive: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    result: Option<i64>,
    #[diesel(sql_type = Nullable<Bool>)]
    result_success: Option<bool>,
    #[diesel(sql_type = Nullable<Text>)]
    result_price: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    result_currency: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    result_error: Option<String>,
}

/// What a report is, by who has the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Made before, with this result.
    Repeat {
        result: i64,
        success: bool,
    },
    /// The bot has the job.
    InHand,
    /// The bot's time is up, and nobody took the job since.
    Late,
    Refused(Refusal),
}

impl Row {
    /// What the report said that is recorded.
    fn told(&self, success: bool) -> Told {
        Told {
            success,
            price: self.result_price.clone(),
            currency: self.result_currency.clone(),
            error: self.result_error.clone(),
        }
    }

    fn standing(&self) -> Standing {
        if let (Some(result), Some(success)) = (self.result, self.result_success) {
            return Standing::Repeat { result, success };
        }
        let is_last = self.was_mine
            && self.token_lease.is_some()
            && self.token_lease == self.last_lease
            && self.token_attempt == self.attempts;
        match self.lease {
            Some(lease) if is_last && self.last_lease == Some(lease) => {
                let is_processing = self.status.as_deref() == Some("Processing");
                match (is_processing, self.is_alive) {
                    (true, true) => Standing::InHand,
                    (true, false) => Standing::Late,
                    // Somebody changed its status meanwhile: their wish stands.
                    (false, _) => Standing::Refused(Refusal::NotLocked),
                }
            }
            Some(lease) if self.was_mine && self.last_lease == Some(lease) => {
                Standing::Refused(Refusal::Expired)
            }
            Some(_) => Standing::Refused(Refusal::NotAssigned),
            None if is_last
                && self.attempts > 0
                && matches!(self.status.as_deref(), Some("Queued" | "Error")) =>
            {
                Standing::Late
            }
            None if self.was_mine && self.token_lease != self.last_lease => {
                Standing::Refused(Refusal::Expired)
            }
            None => Standing::Refused(Refusal::NotLocked),
        }
    }

    /// Failures that count, if this attempt is one. Never more than there may be, so that a report made again is answered as it was
    /// the first time: once the job has ended, nothing is excused any more.
    fn failures(&self) -> i16 {
        (self.token_attempt - self.excused).min(self.max_retries)
    }

    fn is_tried_again(&self) -> bool {
        self.is_wanted && self.failures() < self.max_retries
    }

    fn verdict(&self, done: &Done<'_>) -> Verdict<()> {
        match done {
            Done::Released => Verdict::Release,
            Done::Crawled {
                seen: Seen::Offer(_),
                ..
            } => Verdict::Complete(()),
            Done::Crawled {
                seen: Seen::Failed { error, .. },
                ..
            } => {
                let failure = Failure::new("bot", *error);
                if self.is_tried_again() {
                    let after = policy::backoff(self.backoff_seconds, self.token_attempt);
                    Verdict::Retry {
                        after,
                        failure,
                        output: None,
                    }
                } else {
                    Verdict::Fail {
                        failure,
                        output: None,
                    }
                }
            }
        }
    }
}

/// Takes a bot's reports, each judged by itself; of several on one job the first counts. The answers are in the order of the
/// reports. Everything happens in one transaction, or nothing.
///
/// # Errors
/// Whatever the database answers.
pub async fn report(
    conn: &mut AsyncPgConnection,
    bot: i64,
    reports: &[Report<'_>],
) -> QueryResult<Vec<Result<Reported, Refusal>>> {
    conn.transaction(async |conn| take(conn, bot, reports).await)
        .await
}

async fn take(
    conn: &mut AsyncPgConnection,
    bot: i64,
    reports: &[Report<'_>],
) -> QueryResult<Vec<Result<Reported, Refusal>>> {
    let rows = look(conn, bot, reports).await?;
    let mut by_job: BTreeMap<i64, (&Row, &Report<'_>)> = BTreeMap::new();
    let mut standings: Vec<Result<(&Row, Standing), Refusal>> =
        vec![Err(Refusal::NotFound); reports.len()];
    for row in &rows {
        let place = usize::try_from(row.place - 1).unwrap_or(usize::MAX);
        let (Some(report), Some(slot)) = (reports.get(place), standings.get_mut(place)) else {
            continue;
        };
        let standing = row.standing();
        let is_new = matches!(standing, Standing::InHand | Standing::Late);
        *slot = match standing {
            Standing::Refused(refusal) => Err(refusal),
            // Twice in one batch.
            _ if is_new && by_job.contains_key(&row.id) => Err(Refusal::NotLocked),
            standing => Ok((row, standing)),
        };
        if is_new && slot.is_ok() {
            by_job.insert(row.id, (row, report));
        }
    }

    settle(conn, bot, &by_job).await?;
    let recorded = record(conn, bot, &by_job).await?;
    if !by_job.is_empty() {
        count(conn, bot, &by_job).await?;
    }
    let next = next_runs(conn, &rows).await?;

    let answers = standings.into_iter().map(|standing| {
        standing.map(|(row, standing)| {
            let (result, told) = match standing {
                Standing::Repeat { result, success } => (Some(result), row.told(success)),
                _ => (
                    recorded.get(&row.id).copied(),
                    by_job
                        .get(&row.id)
                        .map(|(_, report)| Told::by(report))
                        .unwrap_or_default(),
                ),
            };
            let (is_release, success) = (result.is_none(), told.success);
            Reported {
                result,
                success,
                price: told.price,
                currency: told.currency,
                error: told.error,
                failures: if success || is_release {
                    0
                } else {
                    row.failures()
                },
                max_retries: row.max_retries,
                is_retried: is_release || (!success && row.is_tried_again()),
                next_run_at: next.get(&row.id).copied().flatten(),
                is_repeat: matches!(standing, Standing::Repeat { .. }),
            }
        })
    });
    Ok(answers.collect())
}

/// What a report says, as far as its answer says it again.
#[derive(Default)]
struct Told {
    success: bool,
    price: Option<String>,
    currency: Option<String>,
    error: Option<String>,
}

impl Told {
    fn by(report: &Report<'_>) -> Self {
        match &report.done {
            Done::Crawled {
                seen: Seen::Offer(offer),
                ..
            } => Self {
                success: true,
                price: offer.price.map(str::to_owned),
                currency: offer.currency.map(str::to_owned),
                error: None,
            },
            Done::Crawled {
                seen: Seen::Failed { error, .. },
                ..
            } => Self {
                error: Some((*error).to_owned()),
                ..Self::default()
            },
            Done::Released => Self::default(),
        }
    }
}

fn is_success(report: &Report<'_>) -> bool {
    matches!(
        report.done,
        Done::Crawled {
            seen: Seen::Offer(_),
            ..
        }
    )
}

async fn look(
    conn: &mut AsyncPgConnection,
    bot: i64,
    reports: &[Report<'_>],
) -> QueryResult<Vec<Row>> {
    let jobs: Vec<i64> = reports.iter().map(|report| report.job).collect();
    let (leases, attempts): (Vec<Option<i64>>, Vec<Option<i16>>) = reports
        .iter()
        .map(|report| {
            let token = report.token;
            (token.map(|own| own.lease.0), token.map(|own| own.attempt))
        })
        .unzip();
    statement(&LOOK)
        .bind::<Array<BigInt>, _>(&jobs)
        .bind::<Array<Nullable<BigInt>>, _>(&leases)
        .bind::<Array<Nullable<SmallInt>>, _>(&attempts)
        .bind::<BigInt, _>(bot)
        .load(conn)
        .await
}

type Taken<'a> = BTreeMap<i64, (&'a Row, &'a Report<'a>)>;

/// Settles every job under the lease it is held by; late ones under one that stands.
async fn settle(conn: &mut AsyncPgConnection, bot: i64, taken: &Taken<'_>) -> QueryResult<()> {
    let (late_jobs, late_attempts): (Vec<i64>, Vec<i16>) = taken
        .values()
        .filter(|(row, _)| row.standing() == Standing::Late)
        .map(|(row, _)| (row.id, row.token_attempt))
        .unzip();
    let late_lease = if late_jobs.is_empty() {
        None
    } else {
        Some(readopt(conn, bot, &late_jobs, &late_attempts).await?)
    };
    let mut by_lease: BTreeMap<i64, Vec<Settlement<()>>> = BTreeMap::new();
    for (row, report) in taken.values() {
        let lease = match (row.standing(), late_lease) {
            (Standing::Late, Some(lease)) => lease,
            _ => row.lease.unwrap_or_default(),
        };
        by_lease.entry(lease).or_default().push(Settlement {
            item: row.id,
            attempt: row.token_attempt,
            elapsed: elapsed(report),
            verdict: row.verdict(&report.done),
        });
    }
    let leases: Vec<i64> = by_lease.keys().copied().collect();
    for (lease, batch) in by_lease {
        STAGE
            .settle(conn, LeaseId(lease), &Records::of(&batch))
            .await?;
    }
    // A lease that has ended is kept for an hour: late reports on its other jobs are told by it.
    statement(
        "DELETE FROM lease WHERE id = ANY ($1) AND expires_at > now() \
         AND NOT EXISTS (SELECT 1 FROM crawl_job WHERE crawl_lease = lease.id)",
    )
    .bind::<Array<BigInt>, _>(&leases)
    .execute(conn)
    .await?;
    Ok(())
}

fn elapsed(report: &Report<'_>) -> Duration {
    match &report.done {
        Done::Crawled { duration_ms, .. } => {
            Duration::from_millis(u64::try_from(duration_ms.unwrap_or(0)).unwrap_or(0))
        }
        Done::Released => Duration::ZERO,
    }
}

async fn readopt(
    conn: &mut AsyncPgConnection,
    bot: i64,
    jobs: &[i64],
    attempts: &[i16],
) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let lease: Id = sql_query(format!(
        "INSERT INTO lease (bot_id, workflow, expires_at) VALUES ($1, $2, now() + interval '{LATE_LEASE}') RETURNING id"
    ))
    .bind::<BigInt, _>(bot)
    .bind::<Text, _>(PriceFetch::NAME)
    .get_result(conn)
    .await?;
    STAGE
        .readopt(conn, LeaseId(lease.id), jobs, attempts)
        .await?;
    Ok(lease.id)
}

/// Records what was crawled; returns the results by job.
async fn record(
    conn: &mut AsyncPgConnection,
    bot: i64,
    taken: &Taken<'_>,
) -> QueryResult<BTreeMap<i64, i64>> {
    let mut crawls = Vec::new();
    let mut pages = Vec::new();
    for (row, report) in taken.values() {
        let Done::Crawled {
            seen,
            parsed_data,
            duration_ms,
            page,
        } = &report.done
        else {
            continue;
        };
        crawls.push(Submission {
            job: row.id,
            lease: row.token_lease,
            attempt: row.token_attempt,
            bot: Some(bot),
            pattern: None,
            seen: seen.clone(),
            parsed_data: Cow::Borrowed(parsed_data),
            duration_ms: *duration_ms,
        });
        pages.extend(page.as_ref().map(|body| KeptPage {
            job: row.id,
            url: None,
            body: body.clone(),
        }));
    }
    let recorded = crawl::submit(conn, &crawls).await?;
    crawl::keep_pages(conn, &pages).await?;
    Ok(recorded
        .into_iter()
        .map(|own| (own.job, own.result))
        .collect())
}

async fn count(conn: &mut AsyncPgConnection, bot: i64, taken: &Taken<'_>) -> QueryResult<()> {
    let crawled = |wanted: bool| {
        let count = taken
            .values()
            .filter(|(_, report)| {
                matches!(report.done, Done::Crawled { .. }) && is_success(report) == wanted
            })
            .count();
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    statement(
        "UPDATE bot SET jobs_completed = jobs_completed + $2, jobs_failed = jobs_failed + $3, last_submit_at = now() WHERE id = $1",
    )
    .bind::<BigInt, _>(bot)
    .bind::<BigInt, _>(crawled(true))
    .bind::<BigInt, _>(crawled(false))
    .execute(conn)
    .await?;
    Ok(())
}

async fn next_runs(
    conn: &mut AsyncPgConnection,
    rows: &[Row],
) -> QueryResult<BTreeMap<i64, Option<DateTime<Utc>>>> {
    #[derive(QueryableByName)]
    struct Next {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = Nullable<Timestamptz>)]
        next_run_at: Option<DateTime<Utc>>,
    }
    let jobs: Vec<i64> = rows.iter().map(|row| row.id).collect();
    if jobs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let next: Vec<Next> = statement("SELECT id, next_run_at FROM crawl_job WHERE id = ANY ($1)")
        .bind::<Array<BigInt>, _>(&jobs)
        .load(conn)
        .await?;
    Ok(next
        .into_iter()
        .map(|own| (own.id, own.next_run_at))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job in the hands of lease 7 at attempt 2, reported on by its bot.
    fn row() -> Row {
        Row {
            id: 1,
            place: 1,
            status: Some("Processing".to_owned()),
            lease: Some(7),
            attempts: 2,
            last_lease: Some(7),
            was_mine: true,
            max_retries: 3,
            backoff_seconds: 300.0,
            is_wanted: true,
            token_lease: Some(7),
            token_attempt: 2,
            excused: 0,
            is_alive: true,
            result: None,
            result_success: None,
            result_price: None,
            result_currency: None,
            result_error: None,
        }
    }

    #[test]
    fn a_report_counts_by_who_has_the_job() {
        use Refusal::{Expired, NotAssigned, NotLocked};
        use Standing::{InHand, Late, Refused, Repeat};
        let status = |text: &str| Some(text.to_owned());
        let free = |text: &str| Row {
            status: status(text),
            lease: None,
            is_alive: false,
            ..row()
        };
        for (what, row, expected) in [
            ("in hand", row(), InHand),
            (
                "time up, not taken back yet",
                Row {
                    is_alive: false,
                    ..row()
                },
                Late,
            ),
            ("taken back", free("Queued"), Late),
            ("taken back for good", free("Error"), Late),
            ("done by hand", free("Completed"), Refused(NotLocked)),
            (
                "cancelled while in hand",
                Row {
                    status: status("Cancelled"),
                    ..row()
                },
                Refused(NotLocked),
            ),
            (
                "made before",
                Row {
                    result: Some(9),
                    result_success: Some(true),
                    ..free("Completed")
                },
                Repeat {
                    result: 9,
                    success: true,
                },
            ),
            (
                "another bot has it",
                Row {
                    lease: Some(8),
                    last_lease: Some(8),
                    was_mine: false,
                    ..row()
                },
                Refused(NotAssigned),
            ),
            (
                "our own fetcher has it",
                Row {
                    lease: Some(8),
                    ..row()
                },
                Refused(NotAssigned),
            ),
            (
                "the bot's other process has it",
                Row {
                    lease: Some(8),
                    last_lease: Some(8),
                    attempts: 3,
                    ..row()
                },
                Refused(Expired),
            ),
            (
                "the bot had it twice, and this is the first",
                Row {
                    last_lease: Some(8),
                    attempts: 3,
                    ..free("Queued")
                },
                Refused(Expired),
            ),
            (
                "asked for anew",
                Row {
                    attempts: 0,
                    ..free("Queued")
                },
                Refused(NotLocked),
            ),
            (
                "never handed out",
                Row {
                    last_lease: None,
                    was_mine: false,
                    token_lease: None,
                    attempts: 0,
                    token_attempt: 0,
                    ..free("Queued")
                },
                Refused(NotLocked),
            ),
            (
                "another bot's token",
                Row {
                    was_mine: false,
                    ..row()
                },
                Refused(NotAssigned),
            ),
        ] {
            assert_eq!(row.standing(), expected, "{what}");
        }
    }

    #[test]
    fn failures_are_tried_again_while_there_are_attempts_and_the_page_is_wanted() {
        let failed = Done::Crawled {
            seen: Seen::Failed {
                class: "http",
                error: "503",
            },
            parsed_data: RawValue::NULL,
            duration_ms: None,
            page: None,
        };
        let verdict = |row: Row| match row.verdict(&failed) {
            Verdict::Retry { after, .. } => after.as_secs(),
            Verdict::Fail { .. } => 0,
            _ => 1,
        };
        assert_eq!(verdict(row()), 600);
        // As long as our own fetcher would wait, and no longer.
        assert_eq!(
            verdict(Row {
                backoff_seconds: 30.0 * 86_400.0,
                ..row()
            }),
            policy::LONGEST_BACKOFF.as_secs()
        );
        assert_eq!(
            verdict(Row {
                token_attempt: 3,
                ..row()
            }),
            0
        );
        // One of the three was an outage's.
        assert_eq!(
            verdict(Row {
                token_attempt: 3,
                excused: 1,
                ..row()
            }),
            1_200
        );
        assert_eq!(
            verdict(Row {
                is_wanted: false,
                ..row()
            }),
            0
        );
    }
}
