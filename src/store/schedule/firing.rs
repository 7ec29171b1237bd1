//! One firing: what a schedule does, and the record of it, in one transaction.
//!
//! Whoever fires holds a lock for as long as its transaction lasts, by the name of the schedule, and looks again whether it is due once it
//! has it. So a time is fired for once, whoever sees it come; and a process that dies in the middle leaves nothing behind, not even the
//! lock. A schedule that queues rows does so in batches, a transaction each: how far it has come is part of what each of them writes.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};

use super::definition::{Action, Defined, key};
use super::queue;
use super::record::{
    Cause, Made, Occasion, is_gone, is_in_the_way, put_back, record, set_up, told,
};
use super::state::{self, LOCK_CLASS, Standing};
use super::timing::{Due, Turn};
use crate::db::statement::{sql_query, statement};

pub use super::record::{Fired, Outcome, Step};

/// A statement that got in somebody's way is run so many times.
const TRIES: u32 = 3;

/// Fires a schedule if it is due: all of it, or one batch of the rows that it queues.
///
/// # Errors
/// Whatever the database answers, but for the statement's own sake: that is a firing that failed. Nothing is done then, and it is still due.
pub async fn step(conn: &mut AsyncPgConnection, defined: &Defined, node: i64) -> QueryResult<Step> {
    conn.transaction(async |conn| {
        if !lock(conn, &defined.name).await? {
            return Ok(Step::Busy);
        }
        // After the lock: what whoever had it before has done is seen now.
        let Some(standing) = state::standing(conn, &[defined]).await?.pop() else {
            return Ok(Step::NotDue);
        };
        if !standing.is_as(defined) {
            return Ok(Step::NotOurs);
        }
        if let Some(progress) = &standing.progress {
            return queue::go_on(conn, defined, node, progress).await;
        }
        let Some((occasion, is_late)) = occasion(&standing, defined) else {
            return Ok(Step::NotDue);
        };
        if is_late {
            let made = Made {
                outcome: Outcome::Missed,
                rows: None,
                error: Some("too late: nobody was there to fire in time".to_owned()),
            };
            return record(conn, defined, node, &occasion, made).await;
        }
        if occasion.cause == Cause::Due && has_fired(conn, defined, occasion.due_at).await? {
            // The clock was set back, and the time comes again.
            move_on(conn, defined, &occasion).await?;
            return Ok(Step::NotDue);
        }
        match &defined.action {
            Action::Sql(sql) => {
                let made = run(conn, defined, &occasion, sql).await?;
                record(conn, defined, node, &occasion, made).await
            }
            Action::Queue { .. } => queue::begin(conn, defined, node, occasion).await,
        }
    })
    .await
}

/// Locks the schedule for as long as this transaction lasts, unless somebody else has it.
async fn lock(conn: &mut AsyncPgConnection, name: &str) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        is_ours: bool,
    }
    let row: Row = statement("SELECT pg_try_advisory_xact_lock($1, hashtext($2)) AS is_ours")
        .bind::<Integer, _>(LOCK_CLASS)
        .bind::<Text, _>(key(name))
        .get_result(conn)
        .await?;
    Ok(row.is_ours)
}

/// What there is to fire for, and whether it is too late for that.
fn occasion(standing: &Standing, defined: &Defined) -> Option<(Occasion, bool)> {
    let occasion = |due_at, cause, missed, next_at| Occasion {
        due_at,
        cause,
        missed,
        from: standing.next_at,
        next_at,
        started_at: standing.now,
    };
    if let Some(asked) = standing.asked_at {
        return Some((occasion(asked, Cause::Asked, 0, None), false));
    }
    let (due, is_late) = match standing.turn(defined) {
        Turn::Wait(_) => return None,
        Turn::Fire(due) => (due, false),
        Turn::Leave(due) => (due, true),
    };
    let Due {
        due_at,
        missed,
        next_at,
    } = due;
    let next_at = next_at.unwrap_or_else(state::never);
    Some((occasion(due_at, Cause::Due, missed, Some(next_at)), is_late))
}

/// Whether there was a firing for this time.
async fn has_fired(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    due_at: DateTime<Utc>,
) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        has_fired: bool,
    }
    let row: Row = statement(
        "SELECT EXISTS (SELECT FROM schedule_firing WHERE schedule = $1 AND due_at = $2 AND cause = 'due') AS has_fired",
    )
    .bind::<Text, _>(key(&defined.name))
    .bind::<Timestamptz, _>(due_at)
    .get_result(conn)
    .await?;
    Ok(row.has_fired)
}

async fn move_on(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    occasion: &Occasion,
) -> QueryResult<()> {
    statement("UPDATE schedule SET next_at = $2 WHERE name = $1")
        .bind::<Text, _>(key(&defined.name))
        .bind::<Timestamptz, _>(occasion.next_at.unwrap_or_else(state::never))
        .execute(conn)
        .await?;
    Ok(())
}

/// Runs the statement. What it is refused for is undone, and told.
async fn run(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    occasion: &Occasion,
    sql: &str,
) -> QueryResult<Made> {
    let mut tries = 0;
    loop {
        tries += 1;
        let ran = conn
            .transaction(async |conn| {
                let before = set_up(conn, defined, occasion.due_at).await?;
                let rows = sql_query(sql).execute(conn).await?;
                // What is checked at the commit only would take the record of the failure along.
                conn.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
                put_back(conn, &before).await?;
                Ok(rows)
            })
            .await;
        return Ok(match ran {
            Ok(rows) => Made::completed(i64::try_from(rows).unwrap_or(i64::MAX)),
            Err(error) if is_gone(&error) => return Err(error),
            Err(error) if is_in_the_way(&error) && tries < TRIES => continue,
            Err(error) => Made::failed(None, told(&error, defined)),
        });
    }
}
