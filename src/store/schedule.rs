//! Periodic work that fires once across all nodes, by the database's clock: every so often, or by a cron expression.

use std::fmt;
use std::time::Duration;

use crate::db::statement::{seconds, sql_query};
use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds, Year};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};

use crate::db::statement::statement;

/// A cron expression of five fields (minute, hour, day of the month, month, day of the week), in UTC: no hour of it is ever
/// skipped or repeated.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron(croner::Cron);

/// Why a text is no cron expression.
#[derive(Debug, thiserror::Error)]
pub enum CronError {
    /// It cannot be read.
    #[error(
        "\"{expression}\" is no cron expression of five fields such as \"30 3 * * *\": {reason}"
    )]
    Unreadable {
        expression: String,
        /// What is wrong with it.
        reason: croner::errors::CronError,
    },
    /// It names a time that never comes.
    #[error("\"{0}\" never comes")]
    Never(String),
}

impl Cron {
    /// The first time after this one.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.find_next_occurrence(&time, false).ok()
    }
}

impl TryFrom<String> for Cron {
    type Error = CronError;

    fn try_from(expression: String) -> Result<Self, CronError> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        match parser.parse(&expression) {
            // A year that has no such day has no other either, but for the 29th of February.
            Ok(cron)
                if Self(cron.clone())
                    .next_after(DateTime::UNIX_EPOCH)
                    .is_none() =>
            {
                Err(CronError::Never(expression))
            }
            Ok(cron) => Ok(Self(cron)),
            Err(reason) => Err(CronError::Unreadable { expression, reason }),
        }
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.to_string()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({self})")
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_in_utc() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        for (expression, after, expected) in [
            ("0 2 * * *", "2026-03-29T01:59:59Z", "2026-03-29T02:00:00Z"),
            ("0 2 * * *", "2026-03-29T02:00:00Z", "2026-03-30T02:00:00Z"),
            ("0 3 * * 0", "2026-11-23T12:00:00Z", "2026-11-29T03:00:00Z"),
            (
                "30 3 29 2 *",
                "2026-11-23T12:00:00Z",
                "2028-02-29T03:30:00Z",
            ),
            (
                "*/15 * * * *",
                "2026-11-23T12:01:00Z",
                "2026-11-23T12:15:00Z",
            ),
        ] {
            let cron = Cron::try_from(expression.to_owned()).unwrap();
            assert_eq!(
                cron.next_after(at(after)),
                Some(at(expected)),
                "{expression}"
            );
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for expression in [
            "",
            "0 2 * *",
            "61 2 * * *",
            "every day",
            "0 0 30 2 *",
            "* * * * * *",
        ] {
            assert!(
                Cron::try_from(expression.to_owned()).is_err(),
                "{expression}"
            );
        }
    }
}
