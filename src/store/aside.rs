//! Rows that periodic work can do nothing with: found, told of, and left out for a while, so that all others get done.
//!
//! Rows are written by others too, and may hold whatever their columns admit, under rules of others' making. A statement over many
//! rows is refused as a whole for the one that it cannot work; it is then run over halves of them ([`Halves`]) until that row
//! stands alone. It is noted in `set_aside`, with the reason, and is passed over until its time: an hour at first, twice as long
//! each time it is refused again, a week at most.

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Text};
use diesel_async::AsyncPgConnection;
use tracing::warn;

use crate::db;
use crate::db::halves::Halves;
use crate::db::names;
use crate::db::statement::sql_query;

/// Longest reason kept, in characters.
const LONGEST_REASON: usize = 1_000;

/// Periodic work, and the table whose rows it goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work<'a> {
    /// Its name, for people: that of its ticker, mostly.
    pub name: &'a str,
    /// As people name it.
    pub table: &'a str,
}

impl Work<'_> {
    /// The condition that a row is not set aside for this work; `key` is SQL. It is asked once for all rows of a statement, and
    /// leaves the way in which they are found as it is.
    #[must_use]
    pub fn takes(&self, key: &str) -> String {
        let (name, table) = (names::literal(self.name), names::literal(self.table));
        format!(
            "{key} <> ALL (ARRAY(SELECT row_id FROM set_aside \
             WHERE work = {name} AND table_name = {table} AND until > now()))"
        )
    }
}

/// Sets a row aside, and says so in the log.
///
/// # Errors
/// Whatever the database answers.
pub async fn put(
    conn: &mut AsyncPgConnection,
    work: Work<'_>,
    row: i64,
    error: &DieselError,
) -> QueryResult<()> {
    let reason: String = db::described(error).chars().take(LONGEST_REASON).collect();
    warn!(
        work = work.name,
        table = work.table,
        row,
        reason,
        "cannot work a row: it is set aside, and the others go on"
    );
    sql_query(
        "INSERT INTO set_aside AS known (work, table_name, row_id, reason, until) VALUES ($1, $2, $3, $4, now() + interval '1 hour') \
         ON CONFLICT (work, table_name, row_id) DO UPDATE SET reason = excluded.reason, times = least(known.times, 1000) + 1, \
             until = now() + least(interval '1 hour' * 2 ^ least(known.times, 10), interval '7 days')",
    )
    .bind::<Text, _>(work.name)
    .bind::<Text, _>(work.table)
    .bind::<BigInt, _>(row)
    .bind::<Text, _>(reason)
    .execute(conn)
    .await?;
    Ok(())
}

/// A statement was refused for this part of its rows: the part is halved, or the row at fault is set aside.
///
/// # Errors
/// As [`Halves::refused`], and whatever the database answers.
pub async fn refused<'a>(
    conn: &mut AsyncPgConnection,
    work: Work<'_>,
    halves: &mut Halves<'a, i64>,
    part: &'a [i64],
    error: DieselError,
) -> QueryResult<()> {
    match halves.refused(part, error)? {
        Some((row, error)) => put(conn, work, *row, &error).await,
        None => Ok(()),
    }
}

/// The keys that a query yields as `id`.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Key {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
}

impl Key {
    /// As numbers.
    #[must_use]
    pub fn numbers(keys: &[Self]) -> Vec<i64> {
        keys.iter().map(|key| key.id).collect()
    }
}

/// How many rows are set aside now, and the one that was set aside last.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct SetAside {
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
    /// The work that refused the last one; empty for none.
    #[diesel(sql_type = Text)]
    pub work: String,
    /// Its table.
    #[diesel(sql_type = Text)]
    pub table: String,
    /// The number by which the work knows it.
    #[diesel(sql_type = BigInt)]
    pub row_id: i64,
    /// Why, shortened.
    #[diesel(sql_type = Text)]
    pub reason: String,
}

/// Reads [`SetAside`].
///
/// # Errors
/// Whatever the database answers.
pub async fn count(conn: &mut AsyncPgConnection) -> QueryResult<SetAside> {
    sql_query(
        "SELECT coalesce(max(place), 0) AS rows, coalesce(min(work) FILTER (WHERE place = 1), '') AS work, \
             coalesce(min(table_name) FILTER (WHERE place = 1), '') AS \"table\", \
             coalesce(min(row_id) FILTER (WHERE place = 1), 0) AS row_id, \
             coalesce(min(left(reason, 200)) FILTER (WHERE place = 1), '') AS reason \
         FROM (SELECT *, row_number() OVER (ORDER BY until DESC, id DESC) AS place FROM set_aside WHERE until > now()) AS known",
    )
    .get_result(conn)
    .await
}

/// Forgets rows whose time has come and that nobody refused again within a day: they are mended, or gone.
///
/// # Errors
/// Whatever the database answers.
pub async fn prune(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query("DELETE FROM set_aside WHERE until < now() - interval '1 day'")
        .execute(conn)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_asked_once() {
        let work = Work {
            name: "crawl-plan",
            table: "crawl_job",
        };
        assert_eq!(
            work.takes("job.id"),
            "job.id <> ALL (ARRAY(SELECT row_id FROM set_aside \
             WHERE work = 'crawl-plan' AND table_name = 'crawl_job' AND until > now()))"
        );
    }
}
