//! Periodic work that fires once across all nodes, by the database's clock: the program's own, every so often or by a cron
//! expression, and the users' schedules from the configuration.
//!
//! The program's own work asks [`is_mine`] or [`is_mine_by_cron`] from its tickers. A schedule of the users' is a [`Schedule`];
//! [`timing`] says when it fires, [`state`] is what its rows hold and [`view`] what people see of them, [`firing`] fires it, and
//! [`check`] looks whether it can.

pub mod check;
mod cron;
pub mod definition;
pub mod firing;
mod queue;
mod record;
pub mod state;
pub mod timing;
pub mod view;

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;
use serde::Serialize;

use crate::db::statement::statement;
use crate::db::statement::{seconds, sql_query};

pub use cron::{Cron, CronError};
pub use definition::Schedule;

/// Whether the named work is due and this node is the one to do it. The first to ask after a due time gets it; what was missed
/// while nobody ran fires once. A name that is new is due at once.
///
/// # Errors
/// Whatever the database answers.
pub async fn is_mine(
    conn: &mut AsyncPgConnection,
    name: &str,
    every: Duration,
    node: i64,
) -> QueryResult<bool> {
    let fired = statement(
        "INSERT INTO schedule (name, next_at, fired_at, fired_by) \
         VALUES ($1, now() + make_interval(secs => $2), now(), $3) \
         ON CONFLICT (name) DO UPDATE \
         SET next_at = excluded.next_at, fired_at = now(), fired_by = excluded.fired_by \
         WHERE schedule.next_at <= now()",
    )
    .bind::<Text, _>(name)
    .bind::<Double, _>(seconds(every))
    .bind::<BigInt, _>(node)
    .execute(conn)
    .await?;
    Ok(fired > 0)
}

/// Whether the named work is due by its cron expression, and this node is the one to do it.
///
/// What was missed while nobody ran fires once, however often it was missed. A name that is new waits for its first time; a changed expression holds at once.
///
/// # Errors
/// Whatever the database answers.
pub async fn is_mine_by_cron(
    conn: &mut AsyncPgConnection,
    name: &str,
    cron: &Cron,
    node: i64,
) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Timestamptz)]
        now: DateTime<Utc>,
        #[diesel(sql_type = Nullable<Timestamptz>)]
        next_at: Option<DateTime<Utc>>,
    }
    let Row { now, next_at } = statement(
        // A time that is none of ours, without end or of another age, is as good as none.
        "SELECT now() AS now, CASE WHEN next_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN next_at END AS next_at \
         FROM (VALUES (0)) AS one LEFT JOIN schedule ON name = $1",
    )
    .bind::<Text, _>(name)
    .get_result(conn)
    .await?;
    let Some(next) = cron.next_after(now) else {
        return Ok(false);
    };
    if next_at == Some(next) {
        return Ok(false);
    }
    let is_due = next_at.is_some_and(|at| at <= now);
    // Whoever else saw the same finds another time here.
    let written = statement(
        "INSERT INTO schedule (name, next_at) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at, \
         fired_at = CASE WHEN $4 THEN now() ELSE schedule.fired_at END, \
         fired_by = CASE WHEN $4 THEN $5 ELSE schedule.fired_by END \
         WHERE CASE WHEN schedule.next_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN schedule.next_at END IS NOT DISTINCT FROM $3",
    )
    .bind::<Text, _>(name)
    .bind::<Timestamptz, _>(next)
    .bind::<Nullable<Timestamptz>, _>(next_at)
    .bind::<Bool, _>(is_due)
    .bind::<BigInt, _>(node)
    .execute(conn)
    .await?;
    Ok(is_due && written > 0)
}

/// A schedule as people see it.
#[derive(Clone, Debug, PartialEq, QueryableByName, Serialize)]
pub struct Scheduled {
    /// Name of the work.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// Seconds until it is due.
    #[diesel(sql_type = Double)]
    pub due_in_seconds: f64,
    /// Seconds since it last fired; null if it never did.
    #[diesel(sql_type = Nullable<Double>)]
    pub fired_seconds_ago: Option<f64>,
}

/// All schedules, the next one first.
///
/// # Errors
/// Whatever the database answers.
pub async fn all(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Scheduled>> {
    sql_query(
        "SELECT name, extract(epoch FROM least(greatest(next_at, '1900-01-01Z'), '9999-12-31Z') - now())::float8 AS due_in_seconds, \
         extract(epoch FROM now() - CASE WHEN fired_at BETWEEN '1900-01-01Z' AND '9999-12-31Z' THEN fired_at END)::float8 AS fired_seconds_ago FROM schedule ORDER BY next_at, name",
    )
    .load(conn)
    .await
}
