//! What the status command shows of the rows: how many in which status, what waits, when something was last finished.

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel_async::AsyncPgConnection;

use super::stage::Stage;

/// The rows of a stage that share a status.
#[derive(Clone, Debug, PartialEq, QueryableByName, serde::Serialize)]
pub struct StatusCount {
    /// The status; none for rows that were never asked for.
    #[diesel(sql_type = Nullable<Text>)]
    pub status: Option<String>,
    /// How many rows have it.
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
    /// Of these, rows with a due time that has come.
    #[diesel(sql_type = BigInt)]
    pub due: i64,
    /// How long the oldest of those has waited, in seconds.
    #[diesel(sql_type = Nullable<Double>)]
    pub oldest_seconds: Option<f64>,
}

/// Counts the rows of a stage by status. Reads the whole table once.
///
/// # Errors
/// Whatever the database answers.
pub async fn counts(conn: &mut AsyncPgConnection, stage: &Stage) -> QueryResult<Vec<StatusCount>> {
    let (table, stage) = (stage.table_in_statements(), stage.column_group());
    sql_query(format!(
        "SELECT {stage}_status AS status, count(*) AS rows, \
         count(*) FILTER (WHERE {stage}_due_at <= now()) AS due, \
         extract(epoch FROM now() - min(greatest({stage}_due_at, '1900-01-01Z')) FILTER (WHERE {stage}_due_at <= now()))::float8 AS oldest_seconds \
         FROM {table} GROUP BY {stage}_status"
    ))
    .load(conn)
    .await
}

/// When a stage last finished a row.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct LastCompletion {
    /// The stage, as `table/stage`.
    #[diesel(sql_type = Text)]
    pub stage: String,
    /// How long ago, in seconds.
    #[diesel(sql_type = Double)]
    pub seconds: f64,
}

/// When each stage last finished a row, for those that did within a day: the history has no index by time, and a day is two
/// of its partitions.
///
/// # Errors
/// Whatever the database answers.
pub async fn last_completions(conn: &mut AsyncPgConnection) -> QueryResult<Vec<LastCompletion>> {
    sql_query(
        "SELECT stage, extract(epoch FROM now() - max(least(settled_at, now())))::float8 AS seconds FROM attempt \
         WHERE settled_at > now() - interval '1 day' AND outcome IN ('completed', 'filtered') GROUP BY stage",
    )
    .load(conn)
    .await
}

/// The server's version, as it names itself.
///
/// # Errors
/// Whatever the database answers.
pub async fn server_version(conn: &mut AsyncPgConnection) -> QueryResult<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let row: Row = sql_query("SELECT current_setting('server_version') AS version")
        .get_result(conn)
        .await?;
    // Distributions add their own package version.
    Ok(row
        .version
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}
