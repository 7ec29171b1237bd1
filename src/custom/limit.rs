//! The limit on statements of the operator's, within transactions that go on after them.

use std::time::{Duration, Instant};

use diesel::result::Error as DieselError;
use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection};

use crate::db::sqlstate;
use crate::db::statement::statement;

/// A statement has been cancelled.
const QUERY_CANCELED: &str = "57014";

/// A statement would write where nothing may.
const READ_ONLY: &str = "25006";

/// A statement took longer than it may. That is no trouble of the database's, which would be waited for, but the statement's or its
/// rows': they are parted until the one that it takes long for stands alone.
#[derive(Debug, thiserror::Error)]
#[error("the statement in {key} took longer than its statement_timeout of {} and was cancelled", humantime::format_duration(*.limit))]
struct TooLong {
    key: &'static str,
    limit: Duration,
}

/// A statement writes in a transaction that cannot. On a standby, where nothing can, the rows would not have been claimed.
#[derive(Debug, thiserror::Error)]
#[error("the statement in {key} writes, and may only read")]
struct Writes {
    key: &'static str,
}

/// A limit in force.
#[derive(Debug)]
pub(super) struct Limit {
    key: &'static str,
    limit: Duration,
    /// What it was before.
    before: String,
    since: Instant,
}

#[derive(QueryableByName)]
struct Before {
    #[diesel(sql_type = Text)]
    before: String,
}

fn milliseconds(limit: Duration) -> String {
    limit.as_millis().max(1).to_string()
}

impl Limit {
    /// Puts it in force for the statements that follow in this transaction, which stand at this key.
    pub(super) async fn set(
        conn: &mut AsyncPgConnection,
        key: &'static str,
        limit: Duration,
    ) -> QueryResult<Self> {
        let set: Before = statement(include_str!("set_timeout.sql"))
            .bind::<Text, _>(milliseconds(limit))
            .get_result(conn)
            .await?;
        Ok(Self {
            key,
            limit,
            before: set.before,
            since: Instant::now(),
        })
    }

    /// What came of the statement. If that is good, the limit is as before; if not, the transaction ends, and the limit with it.
    pub(super) async fn over<T>(
        self,
        conn: &mut AsyncPgConnection,
        done: QueryResult<T>,
    ) -> QueryResult<T> {
        let done = done.map_err(|error| judged(error, self.key, self.limit, self.since))?;
        let _set: Before = statement(include_str!("set_timeout.sql"))
            .bind::<Text, _>(self.before)
            .get_result(conn)
            .await?;
        Ok(done)
    }
}

/// Begins a transaction that writes nothing and whose statements have this limit. `db::locks::end` is to follow.
pub(super) async fn begin_reading(
    conn: &mut AsyncPgConnection,
    limit: Duration,
) -> QueryResult<()> {
    // One round trip, as `BEGIN` alone is.
    let sql = format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = {}",
        milliseconds(limit)
    );
    AnsiTransactionManager::begin_transaction_sql(conn, &sql).await
}

/// The same error, unless it is that a statement took too long. Whoever cancels it before that has another reason.
fn judged(error: DieselError, key: &'static str, limit: Duration, since: Instant) -> DieselError {
    if sqlstate::code(&error) == Some(QUERY_CANCELED) && since.elapsed() >= limit {
        DieselError::SerializationError(Box::new(TooLong { key, limit }))
    } else {
        error
    }
}

/// The same of a statement after [`begin_reading`], and unless it is that it would write.
pub(super) fn judged_reading(
    error: DieselError,
    key: &'static str,
    limit: Duration,
    since: Instant,
) -> DieselError {
    if sqlstate::code(&error) == Some(READ_ONLY) {
        DieselError::SerializationError(Box::new(Writes { key }))
    } else {
        judged(error, key, limit, since)
    }
}
