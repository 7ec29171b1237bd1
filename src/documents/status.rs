//! What the status document says of documents.

use std::time::Duration;

use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde_json::{Map, Value, json};

use super::metrics::Standing;
use crate::db::statement::statement;

/// Documents are counted no further than this.
const COUNT_BOUND: i64 = 100_000;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    queued: i64,
    #[diesel(sql_type = Nullable<Double>)]
    oldest: Option<f64>,
    #[diesel(sql_type = BigInt)]
    used_bytes: i64,
    #[diesel(sql_type = BigInt)]
    reserved_bytes: i64,
}

/// How many there are by status, up to a bound, and how long the oldest has waited: one value.
///
/// # Errors
/// Whatever the database answers.
pub(super) async fn look(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Value>> {
    let counts: Vec<Count> = statement(
        "SELECT status, count(*) AS number FROM (SELECT status FROM documents WHERE deleted_at IS NULL LIMIT $1) AS counted \
         GROUP BY status ORDER BY status",
    )
    .bind::<BigInt, _>(COUNT_BOUND)
    .load(conn)
    .await?;
    let standing = standing(conn).await?;
    let by_status: Map<String, Value> = counts
        .into_iter()
        .map(|count| (count.status, json!(count.number)))
        .collect();
    Ok(vec![json!({
        "by_status": by_status,
        "oldest_queued_seconds": standing.oldest.as_secs(),
        "used_bytes": standing.used_bytes,
        "reserved_bytes": standing.reserved_bytes,
    })])
}

/// How things stand.
///
/// # Errors
/// Whatever the database answers.
pub(super) async fn standing(conn: &mut AsyncPgConnection) -> QueryResult<Standing> {
    let row: Row = statement(
        "SELECT queued.number AS queued, queued.oldest, accounts.used AS used_bytes, accounts.reserved AS reserved_bytes \
         FROM (SELECT count(*) AS number, extract(epoch FROM now() - min(process_due_at) FILTER (WHERE process_due_at <= now()))::float8 AS oldest \
               FROM (SELECT process_due_at FROM documents WHERE process_status = 'Queued' \
                     ORDER BY process_priority DESC, process_due_at, id LIMIT $1) AS head) AS queued, \
              (SELECT coalesce(sum(used_bytes), 0)::bigint AS used, coalesce(sum(reserved_bytes), 0)::bigint AS reserved FROM tenant) AS accounts",
    )
    .bind::<BigInt, _>(COUNT_BOUND)
    .get_result(conn)
    .await?;
    let oldest = row.oldest.unwrap_or_default().max(0.0);
    Ok(Standing {
        queued: row.queued,
        oldest: Duration::try_from_secs_f64(oldest).unwrap_or(Duration::MAX),
        used_bytes: row.used_bytes,
        reserved_bytes: row.reserved_bytes,
    })
}
