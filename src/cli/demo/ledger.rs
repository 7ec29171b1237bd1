//! The demo's own database, and how far the workflows are in it.

use crate::db::statement::sql_query;
use anyhow::Context;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};

use crate::areas;

/// Drops a database, if it is there, and makes it anew.
pub(super) async fn recreate_database(
    conn: &mut AsyncPgConnection,
    name: &'static str,
) -> anyhow::Result<()> {
    conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        .await
        .context("cannot drop the database of the last demo")?;
    conn.batch_execute(&format!("CREATE DATABASE {name}"))
        .await
        .context("cannot create the demo's database")
}

/// One workflow's rows by status, and its attempts.
#[derive(Clone, Copy, Debug, QueryableByName)]
struct StageCounts {
    #[diesel(sql_type = BigInt)]
    queued: i64,
    #[diesel(sql_type = BigInt)]
    processing: i64,
    #[diesel(sql_type = BigInt)]
    completed: i64,
    #[diesel(sql_type = BigInt)]
    filtered: i64,
    #[diesel(sql_type = BigInt)]
    error: i64,
    #[diesel(sql_type = BigInt)]
    attempts: i64,
}

/// One workflow's rows by status.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// Which workflow.
    pub(super) workflow: &'static str,
    /// Waiting, due or not.
    pub(super) queued: i64,
    /// In hand.
    pub(super) processing: i64,
    /// Done.
    pub(super) completed: i64,
    /// Rightly nothing to do.
    pub(super) filtered: i64,
    /// Given up.
    pub(super) error: i64,
    /// Attempts made, snoozes and returned items not counted.
    pub(super) attempts: i64,
}

impl Counts {
    /// Rows still to be worked.
    pub(super) fn waiting(&self) -> i64 {
        self.queued + self.processing
    }

    /// Rows that are through.
    pub(super) fn settled(&self) -> i64 {
        self.completed + self.filtered + self.error
    }
}

/// Every workflow's rows by status, in the order of the pipeline and as of one moment: nothing hides between two stages.
pub(super) async fn counts(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Counts>> {
    let known = areas::workflows();
    let parts: Vec<String> = known
        .iter()
        .map(|workflow| {
            let (table, stage) = (workflow.stage.table_in_statements(), workflow.stage.column_group());
            let name = workflow.stage.name();
            format!(
                "SELECT count(*) FILTER (WHERE {stage}_status = 'Queued') AS queued, \
                 count(*) FILTER (WHERE {stage}_status = 'Processing') AS processing, \
                 count(*) FILTER (WHERE {stage}_status = 'Completed') AS completed, \
                 count(*) FILTER (WHERE {stage}_status = 'Filtered' AND {stage}_attempts > 0) AS filtered, \
                 count(*) FILTER (WHERE {stage}_status = 'Error') AS error, \
                 (SELECT count(*) FROM attempt WHERE attempt.stage = '{name}' \
                  AND outcome NOT IN ('snoozed', 'released')) AS attempts FROM {table}"
            )
        })
        .collect();
    let rows: Vec<StageCounts> = sql_query(parts.join(" UNION ALL ")).load(conn).await?;
    Ok(known
        .iter()
        .zip(rows)
        .map(|(workflow, row)| Counts {
            workflow: workflow.name,
            queued: row.queued,
            processing: row.processing,
            completed: row.completed,
            filtered: row.filtered,
            error: row.error,
            attempts: row.attempts,
        })
        .collect())
}
