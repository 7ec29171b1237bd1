//! How many rows tables have, as PostgreSQL reckons: from its statistics, so that a table of any size costs nothing.

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::AsyncPgConnection;

/// A table and about how many rows it has.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName, serde::Serialize)]
pub struct TableSize {
    #[diesel(sql_type = Text)]
    pub table: String,
    /// About how many rows.
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
}

/// About how many rows these tables have, each named as SQL does.
///
/// The running count of the statistics, or what the last ANALYZE reckoned where that is
/// more: a crash of the server forgets the running count.
///
/// # Errors
/// Whatever the database answers.
pub async fn table_sizes(
    conn: &mut AsyncPgConnection,
    tables: &[&str],
) -> QueryResult<Vec<TableSize>> {
    sql_query(
        // Of a partitioned table, what its partitions have together.
        "SELECT named.name AS \"table\", \
         sum(greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0))::bigint AS rows \
         FROM unnest($1) AS named(name), LATERAL ( \
             SELECT to_regclass(named.name) AS relid UNION SELECT relid FROM pg_partition_tree(to_regclass(named.name)) \
         ) AS part JOIN pg_class c ON c.oid = part.relid AND c.relkind <> 'p' GROUP BY 1 ORDER BY 1",
    )
    .bind::<Array<Text>, _>(tables)
    .load(conn)
    .await
}
