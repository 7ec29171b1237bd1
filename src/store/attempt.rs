//! The history of attempts, read for people.

use crate::db::locks;
use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Text};
use diesel_async::AsyncPgConnection;

use super::stage::Stage;

/// Failures of one kind at one stage.
#[derive(Clone, Debug, PartialEq, QueryableByName, serde::Serialize)]
pub struct FailureGroup {
    /// The stage, as `table/stage`.
    #[diesel(sql_type = Text)]
    pub stage: String,
    /// Class of the failure: `timeout`, `panic`, `http`, …; `quarantined` where no worker lived to say.
    #[diesel(sql_type = Text)]
    pub class: String,
    /// How many of the failures looked at.
    #[diesel(sql_type = BigInt)]
    pub failures: i64,
    /// Of these, how many ended in `Error`; the others were tried again.
    #[diesel(sql_type = BigInt)]
    pub given_up: i64,
    /// Seconds since the newest.
    #[diesel(sql_type = Double)]
    pub seconds_ago: f64,
    /// The row of the newest, by the engine's number.
    #[diesel(sql_type = BigInt)]
    pub item: i64,
    /// The same by its key; the number, where the row or its stage is gone.
    #[diesel(sql_type = Text)]
    pub key: String,
    /// The beginning of the newest's message.
    #[diesel(sql_type = Text)]
    pub message: String,
}

/// The failures of the last hour by stage and class, the most frequent first.
///
/// Looks at the newest thousand at most, through an index over failures alone, so that it costs the same whatever the history
/// holds.
///
/// `stages` are those whose rows have keys of their own.
///
/// # Errors
/// Whatever the database answers.
pub async fn recent_failures(
    conn: &mut AsyncPgConnection,
    stages: &[&Stage],
) -> QueryResult<Vec<FailureGroup>> {
    let mut groups: Vec<FailureGroup> = sql_query(include_str!("attempt/recent_failures.sql"))
        .load(conn)
        .await?;
    for stage in stages.iter().filter(|stage| stage.key().has_handle()) {
        let name = stage.name();
        let own = groups.iter().filter(|group| group.stage == name);
        let items: Vec<i64> = own.map(|group| group.item).collect();
        if items.is_empty() {
            continue;
        }
        let keys = match stage.own_keys(conn, &items).await {
            // The number will do for as long as somebody has locked the table.
            Err(error) if locks::is_locked(&error) => continue,
            keys => keys?,
        };
        for group in groups.iter_mut().filter(|group| group.stage == name) {
            if let Some(key) = keys.get(&group.item) {
                group.key.clone_from(key);
            }
        }
    }
    Ok(groups)
}
