//! What a firing is for, how it came out, and the record of it; and the session in which users' statements run.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};

use super::definition::{Defined, key};
use crate::db;
use crate::db::sqlstate;
use crate::db::statement::statement;

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
