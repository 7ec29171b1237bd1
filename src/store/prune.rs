//! The end of what is old: a kind of row at a time, a batch at a time, so that nothing is locked for long.
//!
//! A batch is found by walking an index from a cursor, so a pass costs what it examines, however much it keeps. A batch with a row
//! that cannot go, since somebody's own table holds on to it, say, is made smaller until that row stands alone; it is set aside.

use std::time::Duration;

use crate::db;
use crate::db::statement::{seconds, sql_query};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;

use super::aside::{self, Work};

/// So many rows set aside one after the other, and none gone in between, are not at fault themselves.
const LONELY_AT_MOST: u32 = 20;

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
    /// The table whose keys the cursor goes by.
    pub table: &'static str,
    /// When it is looked through.
    pub schedule: Schedule,
    /// Rows examined in one step.
    pub batch: i64,
    /// One step. Parameters: `$1` how long they are kept, in seconds; `$2`, `$3` the time and key of the row from which to go on;
    /// `$4` rows to examine; `$5` whether they go, or are only counted; `$6` the work under whose name rows are set aside, which
    /// are passed over. Yields `gone`, `examined`, `last_at`, `last_id`.
    pub sql: &'static str,
}

/// How far a pass has come: by time, then by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    at: DateTime<Utc>,
    id: i64,
    /// Rows of the next step, where those before were refused in larger ones.
    batch: Option<i64>,
    /// Rows set aside since one last went.
    lonely: u32,
}

/// One step of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Rows that went, or would go.
    pub gone: i64,
    /// Where the next step begins; none after the last.
    pub next: Option<Cursor>,
}

#[derive(QueryableByName)]
struct Looked {
    #[diesel(sql_type = BigInt)]
    gone: i64,
    #[diesel(sql_type = BigInt)]
    examined: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_id: Option<i64>,
}

/// Takes the next batch of rows older than `keep`. With `is_trial` they are only counted.
///
/// # Errors
/// Whatever the database answers, but for a single row's sake.
pub async fn step(
    conn: &mut AsyncPgConnection,
    kind: &Kind,
    keep: Duration,
    cursor: Cursor,
    is_trial: bool,
) -> QueryResult<Step> {
    let work = format!("retention {}", kind.key);
    let work = Work {
        name: &work,
        table: kind.table,
    };
    let mut batch = cursor.batch.unwrap_or(kind.batch);
    let mut lonely = cursor.lonely;
    let looked = loop {
        let error = match look(conn, kind, work, keep, cursor, batch, is_trial).await {
            Ok(looked) => break looked,
            Err(error) if db::is_of_a_row(&error) && lonely < LONELY_AT_MOST => error,
            Err(error) => return Err(error),
        };
        if batch > 1 {
            batch /= 2;
            continue;
        }
        // Which one it is, the same look tells when it takes nothing.
        let alone = look(conn, kind, work, keep, cursor, 1, true).await?;
        let Some(row) = alone.last_id.filter(|_| alone.gone > 0) else {
            return Err(error);
        };
        aside::put(conn, work, row, &error).await?;
        lonely += 1;
    };
    let is_last = looked.examined < batch;
    let fuller = batch.saturating_mul(2);
    Ok(Step {
        gone: looked.gone,
        next: match (looked.last_at, looked.last_id) {
            (at, Some(id)) if !is_last => Some(Cursor {
                at: at.unwrap_or_default(),
                id,
                batch: (fuller < kind.batch).then_some(fuller),
                lonely: if looked.gone > 0 { 0 } else { lonely },
            }),
            _ => None,
        },
    })
}

async fn look(
    conn: &mut AsyncPgConnection,
    kind: &Kind,
    work: Work<'_>,
    keep: Duration,
    cursor: Cursor,
    batch: i64,
    is_trial: bool,
) -> QueryResult<Looked> {
    sql_query(kind.sql)
        .bind::<Double, _>(seconds(keep))
        .bind::<Timestamptz, _>(cursor.at)
        .bind::<BigInt, _>(cursor.id)
        .bind::<BigInt, _>(batch)
        .bind::<Bool, _>(!is_trial)
        .bind::<Text, _>(work.name)
        .get_result(conn)
        .await
}
