//! What operators ask of workflows: rows, so that every node sees them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::db::schema::workflow_control;

/// What has been asked of one workflow.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, serde::Serialize)]
#[diesel(table_name = workflow_control)]
pub struct Control {
    /// Which workflow.
    pub workflow: String,
    /// Whether claiming is stopped.
    pub paused: bool,
    /// When somebody last asked for a claim at once.
    pub run_requested_at: Option<DateTime<Utc>>,
    /// When somebody last asked for a parked workflow to be started again.
    pub unpark_requested_at: Option<DateTime<Utc>>,
}

/// All requests there are.
///
/// # Errors
/// Whatever the database answers.
pub async fn all(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Control>> {
    workflow_control::table
        .select(Control::as_select())
        .order(workflow_control::workflow)
        .load(conn)
        .await
}

/// Stops or restarts claiming of a workflow on every node.
///
/// # Errors
/// Whatever the database answers.
pub async fn set_paused(
    conn: &mut AsyncPgConnection,
    workflow: &str,
    paused: bool,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO workflow_control (workflow, paused) VALUES ($1, $2) ON CONFLICT (workflow) \
         DO UPDATE SET paused = excluded.paused, changed_at = now(), changed_by = current_user",
    )
    .bind::<Text, _>(workflow)
    .bind::<Bool, _>(paused)
    .execute(conn)
    .await?;
    Ok(())
}

/// Asks every node to claim now.
///
/// # Errors
/// Whatever the database answers.
pub async fn request_run(conn: &mut AsyncPgConnection, workflow: &str) -> QueryResult<()> {
    request(conn, workflow, "run_requested_at").await
}

/// Asks every node to start a parked workflow again.
///
/// # Errors
/// Whatever the database answers.
pub async fn request_unpark(conn: &mut AsyncPgConnection, workflow: &str) -> QueryResult<()> {
    request(conn, workflow, "unpark_requested_at").await
}

async fn request(
    conn: &mut AsyncPgConnection,
    workflow: &str,
    column: &'static str,
) -> QueryResult<()> {
    sql_query(format!(
        "INSERT INTO workflow_control (workflow, {column}) VALUES ($1, clock_timestamp()) \
         ON CONFLICT (workflow) DO UPDATE \
         SET {column} = excluded.{column}, changed_at = now(), changed_by = current_user"
    ))
    .bind::<Text, _>(workflow)
    .execute(conn)
    .await?;
    Ok(())
}
