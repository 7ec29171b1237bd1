//! The end of what is old: a kind of row at a time, a batch at a time, so that nothing is locked for long.
//!
//! A batch is found by walking an index from a cursor, so a pass costs what it examines, however much it keeps.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// What gets old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Good crawl results, but those that wait to be judged and those that a page's latest price was recorded from.
    Results,
    /// Failed crawl results.
    FailedResults,
    /// Notifications that are not on their way.
    Notifications,
    /// Stored pages of URLs that are not crawled any more.
    Pages,
    /// Prices that neither differ from the one before nor are the first lowest or highest of their day (UTC). The price that
    /// stays is confirmed as late as those that go. What a person recorded stays.
    History,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Results,
        Self::FailedResults,
        Self::Notifications,
        Self::Pages,
        Self::History,
    ];

    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Results => "crawl_result",
            Self::FailedResults => "crawl_result (failed)",
            Self::Notifications => "notification",
            Self::Pages => "product_page",
            Self::History => "price_history",
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Results => include_str!("retention/results.sql"),
            Self::FailedResults => include_str!("retention/failed_results.sql"),
            Self::Notifications => include_str!("retention/notifications.sql"),
            Self::Pages => include_str!("retention/pages.sql"),
            Self::History => include_str!("retention/history.sql"),
        }
    }

    /// Rows examined in one step; of the history, pages, each with all its old prices.
    fn batch(self) -> i64 {
        match self {
            Self::History => 200,
            Self::Pages => 1_000,
            Self::Results | Self::FailedResults | Self::Notifications => 5_000,
        }
    }
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
    kind: Kind,
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
    let row: Row = sql_query(kind.sql())
        .bind::<Double, _>(keep.as_secs_f64())
        .bind::<Timestamptz, _>(cursor.at)
        .bind::<BigInt, _>(cursor.id)
        .bind::<BigInt, _>(kind.batch())
        .bind::<Bool, _>(!is_trial)
        .get_result(conn)
        .await?;
    let is_last = row.examined < kind.batch();
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
