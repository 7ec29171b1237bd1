//! What a session reads of the database.

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

/// Pages of a table and its indexes that the session has read in its transaction.
pub(crate) async fn pages_read(conn: &mut AsyncPgConnection, table: &str) -> QueryResult<i64> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        pages: i64,
    }
    let row: Row = diesel::sql_query(format!(
        "SELECT (pg_stat_get_xact_blocks_fetched('{table}'::regclass) \
         + sum(pg_stat_get_xact_blocks_fetched(indexrelid)))::bigint AS pages \
         FROM pg_index WHERE indrelid = '{table}'::regclass",
    ))
    .get_result(conn)
    .await?;
    Ok(row.pages)
}
