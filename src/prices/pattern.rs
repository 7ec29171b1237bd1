//! The versions of sites' extraction patterns. At most one per site is active.

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Json, Nullable, Text};
use diesel_async::AsyncPgConnection;
use serde::Serialize;
use serde_json::Value;

use crate::store::stage::{Group, Request};

/// The stage of a site, as requests name it.
pub(crate) const SITES: Group = Group::new("site", "pattern");

/// A version, as people see it.
#[derive(Clone, Debug, PartialEq, QueryableByName, Serialize)]
pub struct Version {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// From 1, per site.
    #[diesel(sql_type = Integer)]
    pub version: i32,
    /// `candidate`, `active`, `retired` or `rejected`.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// `generated`, `manual` or `rollback`.
    #[diesel(sql_type = Text)]
    pub source: String,
    /// Why it was made, or rejected.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Json)]
    pub pattern: Value,
    /// On what it was tried.
    #[diesel(sql_type = Nullable<Json>)]
    pub tested: Option<Value>,
    /// RFC 3339, UTC.
    #[diesel(sql_type = Text)]
    pub created_at: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewVersion<'a> {
    pub pattern: &'a Value,
    /// `generated`, `manual` or `rollback`.
    pub source: &'a str,
    /// Why it is made, or rejected.
    pub reason: &'a str,
    /// On what it was tried.
    pub tested: Option<&'a Value>,
}

/// The site of this domain.
///
/// # Errors
/// Whatever the database answers.
pub async fn site(conn: &mut AsyncPgConnection, domain: &str) -> QueryResult<Option<i64>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let row: Option<Row> = sql_query("SELECT id FROM site WHERE domain = $1")
        .bind::<Text, _>(domain)
        .get_result(conn)
        .await
        .optional()?;
    Ok(row.map(|row| row.id))
}

/// All versions of a site, the newest first.
///
/// # Errors
/// Whatever the database answers.
pub async fn versions(conn: &mut AsyncPgConnection, site: i64) -> QueryResult<Vec<Version>> {
    sql_query(
        "SELECT id, version, status, source, reason, pattern::json AS pattern, tested::json AS tested, \
         to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS created_at \
         FROM extraction_pattern WHERE site_id = $1 ORDER BY version DESC",
    )
    .bind::<BigInt, _>(site)
    .load(conn)
    .await
}

/// Stores a version and makes it the active one; the one before it is retired. Returns its number.
///
/// Belongs into a transaction: the site's row is locked to its end, so that versions come one after the other.
///
/// # Errors
/// Whatever the database answers.
pub async fn activate(
    conn: &mut AsyncPgConnection,
    site: i64,
    version: &NewVersion<'_>,
) -> QueryResult<i32> {
    lock(conn, site).await?;
    sql_query(
        "UPDATE extraction_pattern SET status = 'retired' WHERE site_id = $1 AND status = 'active'",
    )
    .bind::<BigInt, _>(site)
    .execute(conn)
    .await?;
    insert(conn, site, version, "active").await
}

/// Stores a version that did not pass its test. Belongs into a transaction, as [`activate`]. Returns its number.
///
/// # Errors
/// Whatever the database answers.
pub async fn reject(
    conn: &mut AsyncPgConnection,
    site: i64,
    version: &NewVersion<'_>,
) -> QueryResult<i32> {
    lock(conn, site).await?;
    insert(conn, site, version, "rejected").await
}

/// Asks for a site's pattern to be learnt anew.
///
/// # Errors
/// Whatever the database answers.
pub async fn ask(conn: &mut AsyncPgConnection, site: i64) -> QueryResult<()> {
    sql_query(SITES.ask(
        "UPDATE {table} AS item SET {set} WHERE id = $1",
        &[Request::Queue],
    ))
    .bind::<BigInt, _>(site)
    .execute(conn)
    .await
    .map(drop)
}

async fn lock(conn: &mut AsyncPgConnection, site: i64) -> QueryResult<()> {
    sql_query("SELECT FROM site WHERE id = $1 FOR UPDATE")
        .bind::<BigInt, _>(site)
        .execute(conn)
        .await
        .map(drop)
}

async fn insert(
    conn: &mut AsyncPgConnection,
    site: i64,
    version: &NewVersion<'_>,
    status: &str,
) -> QueryResult<i32> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        version: i32,
    }
    let row: Row = sql_query(
        "INSERT INTO extraction_pattern (site_id, version, status, pattern, source, reason, tested, activated_at) \
         SELECT $1, coalesce(max(version), 0) + 1, $2, $3::jsonb, $4, $5, $6::jsonb, CASE WHEN $2 = 'active' THEN now() END \
         FROM extraction_pattern WHERE site_id = $1 RETURNING version",
    )
    .bind::<BigInt, _>(site)
    .bind::<Text, _>(status)
    .bind::<Json, _>(version.pattern)
    .bind::<Text, _>(version.source)
    .bind::<Text, _>(version.reason)
    .bind::<Nullable<Json>, _>(version.tested)
    .get_result(conn)
    .await?;
    Ok(row.version)
}
