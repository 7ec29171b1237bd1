//! Locks that others hold: never waited for longer than said, and who holds them.
//!
//! Any software may keep a transaction open on the rows and tables we work on. What it has locked waits; nothing else does.
//! Who that is the server knows, by process: user, application, state and age are told, never the text of a statement, which
//! may quote anything.

use std::fmt;
use std::time::Duration;

use diesel::sql_types::{Array, Double, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};

use super::sqlstate;
use super::statement::sql_query;

/// How long a statement of a running process waits for a lock. Whoever asks for more than a moment's lock is not outwaited: the
/// statement fails, gives its connection back to others, and is tried again.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Longest name of a user or an application that is repeated, in characters.
const LONGEST_NAME: usize = 60;

/// Holders that are named; there may be more.
const NAMED: usize = 3;

/// Begins a transaction no statement of which waits longer than that for a lock. [`end`] is to follow.
///
/// # Errors
/// Whatever the database answers.
pub async fn begin(conn: &mut AsyncPgConnection, patience: Duration) -> QueryResult<()> {
    // One round trip, as `BEGIN` alone is.
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = {}",
        patience.as_millis().max(1)
    );
    AnsiTransactionManager::begin_transaction_sql(conn, &sql).await
}

/// Ends it: what was done well is committed, what was not is rolled back.
///
/// # Errors
/// What went wrong in it; else what the commit answers.
pub async fn end<T>(conn: &mut AsyncPgConnection, done: QueryResult<T>) -> QueryResult<T> {
    match done {
        Ok(value) => {
            AnsiTransactionManager::commit_transaction(conn).await?;
            Ok(value)
        }
        Err(error) => {
            // Of two errors, that there is nothing to roll back is the one that tells what has become of the connection.
            AnsiTransactionManager::rollback_transaction(conn).await?;
            Err(error)
        }
    }
}

/// Whether a statement failed for a lock of somebody else's: it was not to be had in time, or we were in each other's way.
#[must_use]
pub fn is_locked(error: &diesel::result::Error) -> bool {
    matches!(
        sqlstate::code(error),
        Some(sqlstate::LOCK_NOT_AVAILABLE | sqlstate::DEADLOCK_DETECTED)
    )
}

/// Somebody who holds a lock that others wait for.
#[derive(Clone, Debug, PartialEq, QueryableByName, serde::Serialize)]
pub struct Holder {
    /// The server's process for its session; 0 for a transaction that was prepared and belongs to no session.
    #[diesel(sql_type = Integer)]
    pub pid: i32,
    /// Who it has logged in as.
    #[diesel(sql_type = Nullable<Text>)]
    pub user: Option<String>,
    /// What it calls itself.
    #[diesel(sql_type = Nullable<Text>)]
    pub application: Option<String>,
    /// What it is doing, in the server's words; unknown where we may not see it.
    #[diesel(sql_type = Nullable<Text>)]
    pub state: Option<String>,
    /// How long its transaction has been open.
    #[diesel(sql_type = Nullable<Double>)]
    pub seconds: Option<f64>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return f.write_str("a prepared transaction (pg_prepared_xacts)");
        }
        write!(f, "pid {}", self.pid)?;
        let named = |what: &str, name: &Option<String>| {
            let name = plain(name.as_deref()?);
            (!name.is_empty()).then(|| format!("{what} {name}"))
        };
        let known: Vec<String> = [
            named("user", &self.user),
            named("application", &self.application),
            self.state.as_deref().map(plain),
            self.seconds
                .map(|seconds| format!("transaction open for {:.0}s", seconds.max(0.0))),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !known.is_empty() {
            write!(f, " ({})", known.join(", "))?;
        }
        Ok(())
    }
}

/// Names are others' texts.
fn plain(name: &str) -> String {
    let printable = name.chars().filter(|letter| !letter.is_control());
    printable.take(LONGEST_NAME).collect()
}

/// Holders in words; nothing where none is known.
#[must_use]
pub fn named(holders: &[Holder]) -> Option<String> {
    let first: Vec<String> = holders.iter().take(NAMED).map(Holder::to_string).collect();
    let more = holders.len().saturating_sub(NAMED);
    match (first.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(first.join("; ")),
        (false, more) => Some(format!("{} and {more} more", first.join("; "))),
    }
}

/// The rest of a statement that begins with who is in the way at first (`first`): who is in their way in turn, and of all of these
/// those who wait for nobody.
const THEN: &str = "\
    chain AS (
        SELECT pid FROM first
        UNION
        SELECT next.pid FROM chain CROSS JOIN LATERAL unnest(pg_blocking_pids(chain.pid)) AS next(pid) WHERE chain.pid <> 0
    )
    SELECT chain.pid, usename::text AS \"user\", application_name AS application, state,
        extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
    FROM chain LEFT JOIN pg_stat_activity AS session ON session.pid = chain.pid
    WHERE wait_event_type IS DISTINCT FROM 'Lock'
    ORDER BY xact_start, chain.pid LIMIT 100";

/// Who keeps this session of the server's waiting, the one who has done so for longest first.
///
/// # Errors
/// Whatever the database answers.
pub async fn holders_against(conn: &mut AsyncPgConnection, pid: i32) -> QueryResult<Vec<Holder>> {
    let sql = format!(
        "WITH RECURSIVE first AS (SELECT blocking.pid FROM unnest(pg_blocking_pids($1)) AS blocking(pid)), {THEN}"
    );
    sql_query(sql).bind::<Integer, _>(pid).load(conn).await
}

/// Who keeps sessions of ours waiting, and who has locked one of these tables against writing.
///
/// # Errors
/// Whatever the database answers.
pub async fn holders(conn: &mut AsyncPgConnection, tables: &[&str]) -> QueryResult<Vec<Holder>> {
    let sql = format!(
        "WITH RECURSIVE first AS (
            SELECT blocking.pid FROM pg_stat_activity AS own
                CROSS JOIN LATERAL unnest(pg_blocking_pids(own.pid)) AS blocking(pid)
            WHERE own.datname = current_database() AND own.usename = current_user AND own.wait_event_type = 'Lock'
              AND own.application_name = current_setting('application_name')
            UNION
            SELECT pid FROM pg_locks
            WHERE locktype = 'relation' AND granted AND pid <> pg_backend_pid()
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND relation IN (SELECT to_regclass(name)::oid FROM unnest($1) AS named(name)
                UNION SELECT relid FROM unnest($1) AS named(name), pg_partition_tree(to_regclass(name)))
              AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        ), {THEN}"
    );
    sql_query(sql)
        .bind::<Array<Text>, _>(tables)
        .load(conn)
        .await
}

/// Who uses a table in any way, or one of its partitions, the one who has done so for longest first: whoever wants it for itself waits
/// for these.
///
/// # Errors
/// Whatever the database answers.
pub async fn users(conn: &mut AsyncPgConnection, table: &str) -> QueryResult<Vec<Holder>> {
    sql_query(
        "SELECT session.pid, usename::text AS \"user\", application_name AS application, state, \
             extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds \
         FROM pg_stat_activity AS session WHERE session.pid <> pg_backend_pid() AND EXISTS ( \
           SELECT FROM pg_locks AS held WHERE held.pid = session.pid AND locktype = 'relation' AND granted \
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
           AND relation IN (SELECT to_regclass($1)::oid UNION SELECT relid FROM pg_partition_tree(to_regclass($1)))) \
         ORDER BY xact_start, session.pid LIMIT 100",
    )
    .bind::<Text, _>(table)
    .load(conn)
    .await
}

/// The server's process for a session.
///
/// # Errors
/// Whatever the database answers.
pub async fn own_pid(conn: &mut AsyncPgConnection) -> QueryResult<i32> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        pid: i32,
    }
    let row: Row = sql_query("SELECT pg_backend_pid() AS pid")
        .get_result(conn)
        .await?;
    Ok(row.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_named_as_far_as_they_are_known() {
        let known = Holder {
            pid: 7,
            user: Some("app".to_owned()),
            application: Some("psql\u{7}".to_owned()),
            state: Some("idle in transaction".to_owned()),
            seconds: Some(41.6),
        };
        let hidden = Holder {
            user: None,
            application: None,
            state: None,
            seconds: None,
            ..known.clone()
        };
        let prepared = Holder {
            pid: 0,
            ..hidden.clone()
        };
        let nameless = Holder {
            application: Some(String::new()),
            ..known.clone()
        };
        for (holders, expected) in [
            (vec![], None),
            (
                vec![known.clone()],
                Some(
                    "pid 7 (user app, application psql, idle in transaction, transaction open for 42s)",
                ),
            ),
            (
                vec![hidden.clone(), prepared],
                Some("pid 7; a prepared transaction (pg_prepared_xacts)"),
            ),
            (
                vec![nameless],
                Some("pid 7 (user app, idle in transaction, transaction open for 42s)"),
            ),
            (vec![hidden; 5], Some("pid 7; pid 7; pid 7 and 2 more")),
        ] {
            assert_eq!(named(&holders).as_deref(), expected);
        }
        let long = Holder {
            application: Some("x".repeat(10_000)),
            ..known
        };
        assert!(long.to_string().len() < 200);
    }
}
