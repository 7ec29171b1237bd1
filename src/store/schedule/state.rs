//! What the tables know of the users' schedules, for whoever fires them: what is due next, and what operators have asked.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;

use super::definition::{Defined, key};
use super::timing::Turn;
use crate::db::statement::{sql_query, statement};
use crate::store::prune::{self, Kind};

/// The first of the two numbers by which a firing under way is locked ("sche" in ASCII); the second is made of the name.
pub const LOCK_CLASS: i32 = 0x7363_6865;

/// What gets old of it: the history of firings.
pub const KEPT: Kind = Kind {
    key: "firings",
    name: "schedule_firing",
    table: "schedule_firing",
    schedule: prune::Schedule::Daily,
    batch: 5_000,
    sql: include_str!("firings.sql"),
};

/// How a schedule stands, as a process sees it that may have to fire it.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct Standing {
    /// As the tables know it.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// The database's clock.
    #[diesel(sql_type = Timestamptz)]
    pub now: DateTime<Utc>,
    /// The first of its times that nobody has seen to.
    #[diesel(sql_type = Timestamptz)]
    pub next_at: DateTime<Utc>,
    /// When it is due, in words.
    #[diesel(sql_type = Nullable<Text>)]
    pub rule: Option<String>,
    /// The schedule as the process has it that read its configuration last.
    #[diesel(sql_type = Nullable<Text>)]
    pub definition: Option<String>,
    /// How far a firing has come that queues rows.
    #[diesel(sql_type = Nullable<Text>)]
    pub progress: Option<String>,
    #[diesel(sql_type = Bool)]
    pub paused: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub resumed_at: Option<DateTime<Utc>>,
    /// A request to fire at once that was not answered yet.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub asked_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub last_outcome: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub succeeded_at: Option<DateTime<Utc>>,
}

impl Standing {
    /// Whether this process may fire it: no other has read another schedule of the name since.
    #[must_use]
    pub fn is_as(&self, defined: &Defined) -> bool {
        self.definition.as_deref() == Some(&defined.definition)
    }

    /// The first of its times that nobody has seen to, without those that passed before it was resumed.
    #[must_use]
    pub fn next_at(&self, defined: &Defined) -> Option<DateTime<Utc>> {
        match self.resumed_at {
            Some(resumed) => defined.timing.rule.first_after(self.next_at, resumed),
            None => Some(self.next_at),
        }
    }

    /// What is to be done now by its times.
    #[must_use]
    pub fn turn(&self, defined: &Defined) -> Turn {
        match self.next_at(defined) {
            Some(next_at) if !self.paused => defined.timing.turn(next_at, self.now),
            _ => Turn::Wait(None),
        }
    }

    /// Whether there is anything to be done now.
    #[must_use]
    pub fn is_due(&self, defined: &Defined) -> bool {
        self.progress.is_some()
            || self.asked_at.is_some()
            || !matches!(self.turn(defined), Turn::Wait(_))
    }

    /// How long it has been due.
    #[must_use]
    pub fn late(&self, defined: &Defined) -> Duration {
        let Some(next_at) = self.next_at(defined).filter(|_| !self.paused) else {
            return Duration::ZERO;
        };
        let due_at = next_at + defined.timing.delay(next_at);
        (self.now - due_at).to_std().unwrap_or_default()
    }
}

/// How these schedules stand.
///
/// # Errors
/// Whatever the database answers.
pub async fn standing(
    conn: &mut AsyncPgConnection,
    defined: &[&Defined],
) -> QueryResult<Vec<Standing>> {
    statement(include_str!("standing.sql"))
        .bind::<Array<Text>, _>(keys(defined))
        .load(conn)
        .await
}

fn keys(defined: &[&Defined]) -> Vec<String> {
    defined.iter().map(|own| key(&own.name)).collect()
}

/// The clock of the database.
///
/// # Errors
/// Whatever the database answers.
pub async fn now(conn: &mut AsyncPgConnection) -> QueryResult<DateTime<Utc>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Timestamptz)]
        now: DateTime<Utc>,
    }
    let row: Row = statement("SELECT clock_timestamp() AS now")
        .get_result(conn)
        .await?;
    Ok(row.now)
}

/// Makes these schedules known as a configuration has them that was just read.
///
/// One that is new waits for its first time, and so does one whose rule is another now; all else goes on where it was, however long it
/// was not in any configuration.
///
/// # Errors
/// Whatever the database answers.
pub async fn make_known(conn: &mut AsyncPgConnection, defined: &[&Defined]) -> QueryResult<()> {
    if defined.is_empty() {
        return Ok(());
    }
    let now = now(conn).await?;
    let first = |own: &&Defined| own.timing.rule.next_after(now).unwrap_or(never());
    let column =
        |of: fn(&Defined) -> String| -> Vec<String> { defined.iter().map(|own| of(own)).collect() };
    sql_query(include_str!("make_known.sql"))
        .bind::<Array<Text>, _>(keys(defined))
        .bind::<Array<Timestamptz>, _>(defined.iter().map(first).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(column(|own| own.timing.rule.told()))
        .bind::<Array<Text>, _>(column(|own| own.definition.clone()))
        .execute(conn)
        .await?;
    Ok(())
}

/// For a schedule whose time will not come any more.
#[must_use]
pub fn never() -> DateTime<Utc> {
    // The last second that the table takes.
    DateTime::from_timestamp(253_402_214_400, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Stops or restarts the firing of schedules. `by` is who asks.
///
/// # Errors
/// Whatever the database answers; nothing is asked of any schedule then.
pub async fn set_paused(
    conn: &mut AsyncPgConnection,
    names: &[&str],
    paused: bool,
    by: &str,
) -> QueryResult<()> {
    let keys: Vec<String> = names.iter().map(|name| key(name)).collect();
    sql_query(
        "INSERT INTO schedule_control (schedule, paused, changed_by) \
         SELECT DISTINCT name, $2, $3 FROM unnest($1) AS name ORDER BY name ON CONFLICT (schedule) \
         DO UPDATE SET paused = excluded.paused, changed_at = now(), changed_by = excluded.changed_by",
    )
    .bind::<Array<Text>, _>(keys)
    .bind::<Bool, _>(paused)
    .bind::<Text, _>(by)
    .execute(conn)
    .await?;
    Ok(())
}

/// Asks for one firing of each at once, also of those that are paused. `by` is who asks.
///
/// # Errors
/// As [`set_paused`].
pub async fn request_run(
    conn: &mut AsyncPgConnection,
    names: &[&str],
    by: &str,
) -> QueryResult<()> {
    let keys: Vec<String> = names.iter().map(|name| key(name)).collect();
    sql_query(
        "INSERT INTO schedule_control (schedule, run_requested_at, changed_by) \
         SELECT name, clock_timestamp(), $2 FROM (SELECT DISTINCT unnest($1) AS name ORDER BY 1) AS asked \
         ON CONFLICT (schedule) DO UPDATE SET run_requested_at = excluded.run_requested_at, changed_at = now(), \
         changed_by = excluded.changed_by",
    )
    .bind::<Array<Text>, _>(keys)
    .bind::<Text, _>(by)
    .execute(conn)
    .await?;
    Ok(())
}
