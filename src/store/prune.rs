//! The end of what is old: a kind of row at a time, a batch at a time, so that nothing is locked for long.
//!
//! A batch is found by walking an index from a cursor, so a pass costs what it examines, however much it keeps.

use std::time::Duration;

use crate::db::statement::sql_query;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Timestamptz};
use diesel_async::AsyncPgConnection;

/// How often a kind is looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// By `retention.daily`.
    Daily,
    /// By `retention.weekly`: what takes long.
    Weekly,
}

/// Something that gets old.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// How long it is kept: the key of `[retention]`.
    pub key: &'static str,
    /// Its name, for people.
    pub name: &'static str,
    /// When it is looked through.
    pub schedule: Schedule,
    /// Rows examined in one step.
    pub batch: i64,
    /// One step. Parameters: `$1` how long they are kept, in seconds; `$2`, `$3` the time and key of the row from which to go on;
    /// `$4` rows to examine; `$5` whether they go, or are only counted. Yields `gone`, `examined`, `last_at`, `last_id`.
    pub sql: &'static str,
}

/// How far a pass has come: by time, then by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    at: DateTime<Utc>,
    id: i64,
}

/// One step of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Rows that went, or would go.
    pub gone: i64,
    /// Where the next step begins; none after the last.
    pub next: Option<Cursor>,
}

/// Takes the next batch of rows older than `keep`. With `is_trial` they are only counted.
///
/// # Errors
/// Whatever the database answers.
pub async fn step(
    conn: &mut AsyncPgConnection,
    kind: &Kind,
    keep: Duration,
    cursor: Cursor,
    is_trial: bool,
) -> QueryResult<Step> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        gone: i64,
        #[diesel(sql_type = BigInt)]
        examined: i64,
        #[diesel(sql_type = Nullable<Timestamptz>)]
        last_at: Option<DateTime<Utc>>,
        #[diesel(sql_type = Nullable<BigInt>)]
        last_id: Option<i64>,
    }
    let row: Row = sql_query(kind.sql)
        .bind::<Double, _>(keep.as_secs_f64())
        .bind::<Timestamptz, _>(cursor.at)
        .bind::<BigInt, _>(cursor.id)
        .bind::<BigInt, _>(kind.batch)
        .bind::<Bool, _>(!is_trial)
        .get_result(conn)
        .await?;
    let is_last = row.examined < kind.batch;
    Ok(Step {
        gone: row.gone,
        next: match (row.last_at, row.last_id) {
            (at, Some(id)) if !is_last => Some(Cursor {
                at: at.unwrap_or_default(),
                id,
            }),
            _ => None,
        },
    })
}
