//! One firing: what a schedule does, and the record of it, in one transaction.
//!
//! Whoever fires holds a lock for as long as its transaction lasts, by the name of the schedule, and looks again whether it is due once it
//! has it. So a time is fired for once, whoever sees it come; and a process that dies in the middle leaves nothing behind, not even the
//! lock. A schedule that queues rows does so in batches, a transaction each: how far it has come is part of what each of them writes.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use serde::{Deserialize, Serialize};

use super::definition::{Action, Defined, key};
use super::queue;
use super::state::{self, LOCK_CLASS, Standing};
use super::timing::{Due, Turn};
use crate::db;
use crate::db::sqlstate;
use crate::db::statement::{sql_query, statement};

/// A statement that got in somebody's way is run so many times.
const TRIES: u32 = 3;
/// Longest error that is kept, in characters.
const LONGEST_ERROR: usize = 2_000;

/// What a look at a schedule came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is due any more: somebody else was faster.
    NotDue,
    /// Somebody else has it in hand.
    Busy,
    /// A process has made another schedule of this name known since: it is not for this one to fire.
    NotOurs,
    /// Some rows were queued, and there may be more.
    More,
    /// It has fired, or a time of it was let go.
    Done(Fired),
}

/// How a firing came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    /// What it did is rolled back; of one that queues, the rows of earlier batches are queued.
    Failed,
    /// It was too late for it, and nothing was done.
    Missed,
}

impl Outcome {
    /// As the tables and the metrics have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Missed => "missed",
        }
    }
}

/// A firing that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The time that it was for.
    pub due_at: DateTime<Utc>,
    pub outcome: Outcome,
    /// Rows changed, returned or queued; none where it did not come to that.
    pub rows: Option<i64>,
    /// Times that were not fired for.
    pub missed: i64,
    pub error: Option<String>,
    pub elapsed: Duration,
}

/// Why there is a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cause {
    /// Its time has come.
    Due,
    /// An operator wants it.
    Asked,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Asked => "asked",
        }
    }
}

/// What is to be fired for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Occasion {
    pub(super) due_at: DateTime<Utc>,
    pub(super) cause: Cause,
    pub(super) missed: i64,
    /// The time that nobody has seen to, before; and after, where that moves on.
    pub(super) from: DateTime<Utc>,
    pub(super) next_at: Option<DateTime<Utc>>,
    pub(super) started_at: DateTime<Utc>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) outcome: Outcome,
    pub(super) rows: Option<i64>,
    pub(super) error: Option<String>,
}

impl Made {
    pub(super) fn failed(rows: Option<i64>, error: impl Into<String>) -> Self {
        let error = error.into();
        Self {
            outcome: Outcome::Failed,
            rows,
            error: Some(error.chars().take(LONGEST_ERROR).collect()),
        }
    }

    pub(super) fn completed(rows: i64) -> Self {
        Self {
            outcome: Outcome::Completed,
            rows: Some(rows),
            error: None,
        }
    }
}

/// Fires a schedule if it is due: all of it, or one batch of the rows that it queues.
///
/// # Errors
/// Whatever the database answers, but for the statement's own sake: that is a firing that failed. Nothing is done then, and it is still due.
pub async fn step(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    node: i64,
) -> QueryResult<Step> {
    conn.transaction(async |conn| {
        if !lock(conn, &defined.name).await? {
            return Ok(Step::Busy);
        }
        // After the lock: what whoever had it before has done is seen now.
        let Some(standing) = state::standing(conn, &[defined]).await?.pop() else {
            return Ok(Step::NotDue);
        };
        if !standing.is_as(defined) {
            return Ok(Step::NotOurs);
        }
        if let Some(progress) = &standing.progress {
            return queue::go_on(conn, defined, node, progress).await;
        }
        let Some((occasion, is_late)) = occasion(&standing, defined) else {
            return Ok(Step::NotDue);
        };
        if is_late {
            let made = Made {
                outcome: Outcome::Missed,
                rows: None,
                error: Some("too late: nobody was there to fire in time".to_owned()),
            };
            return record(conn, defined, node, &occasion, made).await;
        }
        if occasion.cause == Cause::Due && has_fired(conn, defined, occasion.due_at).await? {
            // The clock was set back, and the time comes again.
            move_on(conn, defined, &occasion).await?;
            return Ok(Step::NotDue);
        }
        match &defined.action {
            Action::Sql(sql) => {
                let made = run(conn, defined, &occasion, sql).await?;
                record(conn, defined, node, &occasion, made).await
            }
            Action::Queue { .. } => queue::begin(conn, defined, node, occasion).await,
        }
    })
    .await
}

/// Locks the schedule for as long as this transaction lasts, unless somebody else has it.
async fn lock(conn: &mut AsyncPgConnection, name: &str) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        is_ours: bool,
    }
    let row: Row = statement("SELECT pg_try_advisory_xact_lock($1, hashtext($2)) AS is_ours")
        .bind::<Integer, _>(LOCK_CLASS)
        .bind::<Text, _>(key(name))
        .get_result(conn)
        .await?;
    Ok(row.is_ours)
}

/// What there is to fire for, and whether it is too late for that.
fn occasion(standing: &Standing, defined: &Defined) -> Option<(Occasion, bool)> {
    let occasion = |due_at, cause, missed, next_at| Occasion {
        due_at,
        cause,
        missed,
        from: standing.next_at,
        next_at,
        started_at: standing.now,
    };
    if let Some(asked) = standing.asked_at {
        return Some((occasion(asked, Cause::Asked, 0, None), false));
    }
    let (due, is_late) = match standing.turn(defined) {
        Turn::Wait(_) => return None,
        Turn::Fire(due) => (due, false),
        Turn::Leave(due) => (due, true),
    };
    let Due {
        due_at,
        missed,
        next_at,
    } = due;
    let next_at = next_at.unwrap_or_else(state::never);
    Some((
        occasion(due_at, Cause::Due, missed, Some(next_at)),
        is_late,
    ))
}

/// Whether there was a firing for this time.
async fn has_fired(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    due_at: DateTime<Utc>,
) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        has_fired: bool,
    }
    let row: Row = statement(
        "SELECT EXISTS (SELECT FROM schedule_firing WHERE schedule = $1 AND due_at = $2 AND cause = 'due') AS has_fired",
    )
    .bind::<Text, _>(key(&defined.name))
    .bind::<Timestamptz, _>(due_at)
    .get_result(conn)
    .await?;
    Ok(row.has_fired)
}

async fn move_on(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    occasion: &Occasion,
) -> QueryResult<()> {
    statement("UPDATE schedule SET next_at = $2 WHERE name = $1")
        .bind::<Text, _>(key(&defined.name))
        .bind::<Timestamptz, _>(occasion.next_at.unwrap_or_else(state::never))
        .execute(conn)
        .await?;
    Ok(())
}

/// Runs the statement. What it is refused for is undone, and told.
async fn run(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    occasion: &Occasion,
    sql: &str,
) -> QueryResult<Made> {
    let mut tries = 0;
    loop {
        tries += 1;
        let ran = conn
            .transaction(async |conn| {
                let before = set_up(conn, defined, occasion.due_at).await?;
                let rows = sql_query(sql).execute(conn).await?;
                // What is checked at the commit only would take the record of the failure along.
                conn.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
                put_back(conn, &before).await?;
                Ok(rows)
            })
            .await;
        return Ok(match ran {
            Ok(rows) => Made::completed(i64::try_from(rows).unwrap_or(i64::MAX)),
            Err(error) if is_gone(&error) => return Err(error),
            Err(error) if is_in_the_way(&error) && tries < TRIES => continue,
            Err(error) => Made::failed(None, told(&error, defined)),
        });
    }
}

/// The session's settings, as they were before a statement that may change them.
#[derive(Debug, QueryableByName)]
pub(super) struct Before {
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    search_path: String,
    #[diesel(sql_type = Text)]
    statement_timeout: String,
}

/// What the statement finds: its limit, its zone, and what it is run for.
pub(super) async fn set_up(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    due_at: DateTime<Utc>,
) -> QueryResult<Before> {
    let before: Before = statement(
        "SELECT current_setting('role') AS role, current_setting('search_path') AS search_path, \
         current_setting('statement_timeout') AS statement_timeout",
    )
    .get_result(conn)
    .await?;
    statement(
        "SELECT set_config('statement_timeout', $1, true), set_config('TimeZone', $2, true), \
         set_config('gleaner.schedule', $3, true), set_config('gleaner.due_at', $4, true)",
    )
    .bind::<Text, _>(defined.timeout.as_millis().max(1).to_string())
    .bind::<Text, _>(defined.zone.name())
    .bind::<Text, _>(&defined.name)
    .bind::<Text, _>(due_at.to_rfc3339_opts(SecondsFormat::Micros, true))
    .execute(conn)
    .await?;
    Ok(before)
}

/// After a statement that went well: what follows is ours again. Where one did not, the way back to before it has done the same.
pub(super) async fn put_back(conn: &mut AsyncPgConnection, before: &Before) -> QueryResult<()> {
    statement(
        "SELECT set_config('role', $1, true), set_config('search_path', $2, true), set_config('statement_timeout', $3, true), \
         set_config('TimeZone', 'UTC', true)",
    )
    .bind::<Text, _>(&before.role)
    .bind::<Text, _>(&before.search_path)
    .bind::<Text, _>(&before.statement_timeout)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether nothing can be recorded any more: the server or the connection to it goes away.
pub(super) fn is_gone(error: &diesel::result::Error) -> bool {
    match sqlstate::code(error) {
        Some(code) => code.starts_with("08") || code.starts_with("57P"),
        None => db::is_trouble(error),
    }
}

/// Whether another try may find the way free.
pub(super) fn is_in_the_way(error: &diesel::result::Error) -> bool {
    matches!(sqlstate::code(error), Some("40001" | "40P01"))
}

/// An error of the user's statement, for people.
pub(super) fn told(error: &diesel::result::Error, defined: &Defined) -> String {
    let code = sqlstate::code(error);
    let mut told = db::described(error);
    if let Some(code) = code {
        told.push_str(&format!(" [{code}]"));
    }
    if code == Some("57014") {
        let timeout = humantime::format_duration(defined.timeout);
        told.push_str(&format!("; its timeout is {timeout}"));
    }
    told
}

/// Records a firing that is over, and moves on to the next time.
pub(super) async fn record(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    node: i64,
    occasion: &Occasion,
    made: Made,
) -> QueryResult<Step> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        elapsed_ms: i64,
    }
    let row: Row = statement(include_str!("record.sql"))
        .bind::<Text, _>(key(&defined.name))
        .bind::<Timestamptz, _>(occasion.due_at)
        .bind::<Text, _>(occasion.cause.name())
        .bind::<Timestamptz, _>(occasion.started_at)
        .bind::<Text, _>(made.outcome.name())
        .bind::<Nullable<BigInt>, _>(made.rows)
        .bind::<BigInt, _>(occasion.missed)
        .bind::<Nullable<Text>, _>(&made.error)
        .bind::<BigInt, _>(node)
        .bind::<Text, _>(defined.timing.rule.told())
        .bind::<Timestamptz, _>(occasion.from)
        .bind::<Nullable<Timestamptz>, _>(occasion.next_at)
        .get_result(conn)
        .await?;
    let elapsed = u64::try_from(row.elapsed_ms).unwrap_or_default();
    Ok(Step::Done(Fired {
        due_at: occasion.due_at,
        outcome: made.outcome,
        rows: made.rows,
        missed: occasion.missed,
        error: made.error,
        elapsed: Duration::from_millis(elapsed),
    }))
}
