//! Rows that are a key and one text: what several workflows are worked from.

use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;

use super::statement::statement;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    text: Option<String>,
}

/// The rows of a query that takes keys as `$1` and yields `id` and `text`.
///
/// # Errors
/// Whatever the database answers.
pub async fn texts(
    conn: &mut AsyncPgConnection,
    sql: &'static str,
    ids: &[i64],
) -> QueryResult<Vec<(i64, Option<String>)>> {
    let rows: Vec<Row> = statement(sql)
        .bind::<Array<BigInt>, _>(ids)
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.text)).collect())
}

/// As [`texts`], of a column that is never empty.
///
/// # Errors
/// Whatever the database answers.
pub async fn names(
    conn: &mut AsyncPgConnection,
    sql: &'static str,
    ids: &[i64],
) -> QueryResult<Vec<(i64, String)>> {
    let rows = texts(conn, sql, ids).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, text)| Some((id, text?)))
        .collect())
}
