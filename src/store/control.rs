//! What operators ask of workflows: rows, so that every node sees them.

use crate::db::statement::sql_query;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;

/// What has been asked of one workflow.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName, serde::Serialize)]
pub struct Control {
    #[diesel(sql_type = Text)]
    pub workflow: String,
    /// Whether claiming is stopped.
    #[diesel(sql_type = Bool)]
    pub paused: bool,
    /// When somebody last asked for a claim at once.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub run_requested_at: Option<DateTime<Utc>>,
    /// When somebody last asked for a parked workflow to be started again.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub unpark_requested_at: Option<DateTime<Utc>>,
}

/// All requests there are.
///
/// # Errors
/// Whatever the database answers.
pub async fn all(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Control>> {
    sql_query(
        // A request made at no time that there is, is none.
        "SELECT workflow, paused, \
         CASE WHEN run_requested_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN run_requested_at END AS run_requested_at, \
         CASE WHEN unpark_requested_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN unpark_requested_at END AS unpark_requested_at \
         FROM workflow_control ORDER BY workflow",
    )
    .load(conn)
    .await
}

/// Stops or restarts claiming of workflows on every node: of all of them, or of none. One may be named twice.
///
/// # Errors
/// Whatever the database answers; nothing is asked of any workflow then.
pub async fn set_paused(
    conn: &mut AsyncPgConnection,
    workflows: &[&str],
    paused: bool,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO workflow_control (workflow, paused) \
         SELECT DISTINCT name, $2 FROM unnest($1) AS name ORDER BY name ON CONFLICT (workflow) \
         DO UPDATE SET paused = excluded.paused, changed_at = now(), changed_by = current_user",
    )
    .bind::<Array<Text>, _>(workflows)
    .bind::<Bool, _>(paused)
    .execute(conn)
    .await?;
    Ok(())
}

/// Asks every node to claim now for these workflows; as [`set_paused`], for all or none.
///
/// # Errors
/// Whatever the database answers.
pub async fn request_run(conn: &mut AsyncPgConnection, workflows: &[&str]) -> QueryResult<()> {
    request(conn, workflows, "run_requested_at").await
}

/// Asks every node to start these workflows again, where they are parked; as [`set_paused`], for all or none.
///
/// # Errors
/// Whatever the database answers.
pub async fn request_unpark(conn: &mut AsyncPgConnection, workflows: &[&str]) -> QueryResult<()> {
    request(conn, workflows, "unpark_requested_at").await
}

async fn request(
    conn: &mut AsyncPgConnection,
    workflows: &[&str],
    column: &'static str,
) -> QueryResult<()> {
    sql_query(format!(
        "INSERT INTO workflow_control (workflow, {column}) \
         SELECT name, clock_timestamp() FROM (SELECT DISTINCT unnest($1) AS name ORDER BY 1) AS asked ON CONFLICT (workflow) DO UPDATE \
         SET {column} = excluded.{column}, changed_at = now(), changed_by = current_user"
    ))
    .bind::<Array<Text>, _>(workflows)
    .execute(conn)
    .await?;
    Ok(())
}
