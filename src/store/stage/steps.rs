//! What makes a table a stage, step by step: `gleaner_stage_steps` says which statements a table lacks, and here they are run, such that
//! whoever writes to the table waits no longer than said.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};

use super::catalogue::Found;
use crate::db::statement::sql_query;
use crate::db::{locks, names};

/// A statement that a table lacks to be a stage.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName, serde::Serialize)]
pub struct Step {
    /// What it is for, in a word, or the index or constraint that it makes.
    #[diesel(sql_type = Text)]
    pub what: String,
    /// Whether it takes a lock that keeps everybody out, for a moment. Those that follow each other belong into one transaction; others
    /// stand alone.
    #[diesel(sql_type = Bool)]
    pub is_brief: bool,
    #[diesel(sql_type = Text)]
    pub statement: String,
}

/// What a table lacks to be a stage, in the order in which it is to be done; nothing if it is one.
///
/// `key` is its primary key where no
/// columns are named. `is_live` for a table that is written to meanwhile: its indexes are built beside the writers.
///
/// # Errors
/// Whatever the database answers; what the table cannot be a stage for, in the words of the schema's function.
pub async fn lacking(
    conn: &mut AsyncPgConnection,
    table: &Found,
    stage: &str,
    key: &[String],
    is_live: bool,
) -> QueryResult<Vec<Step>> {
    let key = (!key.is_empty()).then_some(key);
    sql_query("SELECT * FROM gleaner_stage_steps($1::oid, $2, $3, $4)")
        .bind::<BigInt, _>(table.oid)
        .bind::<Text, _>(stage)
        .bind::<Nullable<Array<Text>>, _>(key)
        .bind::<Bool, _>(is_live)
        .load(conn)
        .await
}

/// Refuses whoever may not change the table.
///
/// # Errors
/// Whatever the database answers: 42501 with what is missing.
pub async fn require_owner(conn: &mut AsyncPgConnection, table: &Found) -> QueryResult<()> {
    sql_query("SELECT gleaner_require_owner($1::oid)")
        .bind::<BigInt, _>(table.oid)
        .execute(conn)
        .await
        .map(drop)
}

/// Runs statements in one transaction, all of them or none. From when it asks for a lock to when it lets go of it, no more than `patience`
/// goes by, so nobody who wants the table waits longer for it.
///
/// # Errors
/// Whatever the database answers: [`locks::is_locked`] if the lock was not to be had in three quarters of that time, a statement that
/// was cancelled if the rest did not suffice.
pub async fn run_briefly(
    conn: &mut AsyncPgConnection,
    statements: &[&str],
    patience: Duration,
) -> QueryResult<()> {
    locks::begin(conn, patience * 3 / 4).await?;
    let done = run_within(conn, statements, patience).await;
    locks::end(conn, done).await
}

async fn run_within(
    conn: &mut AsyncPgConnection,
    statements: &[&str],
    patience: Duration,
) -> QueryResult<()> {
    let most = patience.as_millis().max(1);
    conn.batch_execute(&format!("SET LOCAL statement_timeout = {most}"))
        .await?;
    // As one statement, so that the time is that of all together.
    let body: String = statements
        .iter()
        .map(|statement| format!("EXECUTE {}; ", names::literal(statement)))
        .collect();
    let all = names::literal(&format!("BEGIN {body}END"));
    conn.batch_execute(&format!("DO {all}")).await
}

/// Runs a statement that stands alone, for as long as it takes. It keeps nobody from writing.
///
/// # Errors
/// Whatever the database answers.
pub async fn run_alone(conn: &mut AsyncPgConnection, statement: &str) -> QueryResult<()> {
    conn.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0")
        .await?;
    conn.batch_execute(statement).await
}

/// Makes this session the only one that makes or drops stages of a table; whether it is.
///
/// # Errors
/// Whatever the database answers.
pub async fn reserve(conn: &mut AsyncPgConnection, table: &Found) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        is_ours: bool,
    }
    let row: Row = sql_query(
        "SELECT pg_try_advisory_lock(hashtext('gleaner_stage_steps'), ($1 % 2147483648)::integer) AS is_ours",
    )
    .bind::<BigInt, _>(table.oid)
    .get_result(conn)
    .await?;
    Ok(row.is_ours)
}

/// How far the building of an index has come.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct Built {
    /// In the server's words.
    #[diesel(sql_type = Text)]
    pub phase: String,
    /// Of this phase, where the server knows.
    #[diesel(sql_type = Nullable<Double>)]
    pub percent: Option<f64>,
}

/// How far the index has come that a session builds, if it builds one.
///
/// # Errors
/// Whatever the database answers.
pub async fn built(conn: &mut AsyncPgConnection, pid: i32) -> QueryResult<Option<Built>> {
    let found: Vec<Built> = sql_query(
        "SELECT phase, 100.0 * coalesce(blocks_done::float8 / nullif(blocks_total, 0), tuples_done::float8 / nullif(tuples_total, 0), \
             lockers_done::float8 / nullif(lockers_total, 0)) AS percent FROM pg_stat_progress_create_index WHERE pid = $1",
    )
    .bind::<Integer, _>(pid)
    .load(conn)
    .await?;
    Ok(found.into_iter().next())
}

/// How many rows, up to a thousand, say `Queued` from before the table was a stage: nothing has made them due.
///
/// # Errors
/// Whatever the database answers.
pub async fn never_due(conn: &mut AsyncPgConnection, stage: &super::Stage) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        rows: i64,
    }
    let lacks_key = if stage.key().has_handle() {
        " OR {key} IS NULL"
    } else {
        ""
    };
    let sql = stage.names.fill(&format!(
        "SELECT count(*) AS rows FROM (SELECT FROM {{table}} WHERE {{stage}}_status = 'Queued' AND ({{stage}}_due_at IS NULL{lacks_key}) LIMIT 1000) AS head"
    ));
    let row: Row = sql_query(sql).get_result(conn).await?;
    Ok(row.rows)
}
