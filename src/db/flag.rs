//! Flags: what needs a person's eye. At most one is open per kind and subject.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;

/// A flag, as people see it.
#[derive(Clone, Debug, PartialEq, QueryableByName, Serialize)]
pub struct Flag {
    /// Its key.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// What kind of trouble.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// `pending`, `in_progress`, `resolved` or `wont_fix`.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// The shop, if it is about one.
    #[diesel(sql_type = Nullable<Text>)]
    pub domain: Option<String>,
    /// The page, if it is about one.
    #[diesel(sql_type = Nullable<Text>)]
    pub url: Option<String>,
    /// What happened.
    #[diesel(sql_type = Text)]
    pub message: String,
    /// RFC 3339, UTC.
    #[diesel(sql_type = Text)]
    pub opened_at: String,
    /// Who resolved it.
    #[diesel(sql_type = Nullable<Text>)]
    pub resolved_by: Option<String>,
}

/// Flags, the newest first, at most a thousand: the open ones, or all.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(conn: &mut AsyncPgConnection, all: bool) -> QueryResult<Vec<Flag>> {
    sql_query(
        "SELECT flag.id, kind, status, site.domain, coalesce(url.url, url.raw_url) AS url, message, \
         to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS opened_at, resolved_by \
         FROM flag LEFT JOIN site ON site.id = flag.site_id LEFT JOIN product_url url ON url.id = flag.product_url_id \
         WHERE $1 OR status IN ('pending', 'in_progress') ORDER BY flag.id DESC LIMIT 1000",
    )
    .bind::<Bool, _>(all)
    .load(conn)
    .await
}

/// Opens a flag about a shop; one that is open already gets the new message.
///
/// # Errors
/// Whatever the database answers.
pub async fn open(
    conn: &mut AsyncPgConnection,
    kind: &str,
    site: i64,
    message: &str,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO flag (kind, site_id, message) VALUES ($1, $2, $3) \
         ON CONFLICT (kind, coalesce(site_id, 0), coalesce(product_url_id, 0)) WHERE status IN ('pending', 'in_progress') \
         DO UPDATE SET message = excluded.message",
    )
    .bind::<Text, _>(kind)
    .bind::<BigInt, _>(site)
    .bind::<Text, _>(message)
    .execute(conn)
    .await
    .map(drop)
}

/// Closes flags of these kinds about a shop, because the trouble is over.
///
/// # Errors
/// Whatever the database answers.
pub async fn close(conn: &mut AsyncPgConnection, kinds: &[&str], site: i64) -> QueryResult<()> {
    sql_query(
        "UPDATE flag SET status = 'resolved', resolved_at = now(), resolved_by = 'gleaner' \
         WHERE kind = ANY ($1) AND site_id = $2 AND status IN ('pending', 'in_progress')",
    )
    .bind::<Array<Text>, _>(kinds)
    .bind::<BigInt, _>(site)
    .execute(conn)
    .await
    .map(drop)
}

/// Resolves open flags by their keys, for a person. Returns how many were open.
///
/// # Errors
/// Whatever the database answers.
pub async fn resolve(
    conn: &mut AsyncPgConnection,
    flags: &[i64],
    status: &str,
    by: &str,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE flag SET status = $2, resolved_at = now(), resolved_by = $3 \
         WHERE id = ANY ($1) AND status IN ('pending', 'in_progress')",
    )
    .bind::<Array<BigInt>, _>(flags)
    .bind::<Text, _>(status)
    .bind::<Text, _>(by)
    .execute(conn)
    .await
}

/// What a look at the shops has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName, Serialize)]
pub struct Judged {
    /// Flags opened.
    #[diesel(sql_type = BigInt)]
    pub opened: i64,
    /// Flags closed.
    #[diesel(sql_type = BigInt)]
    pub closed: i64,
    /// Shops whose pattern is to be learnt anew.
    #[diesel(sql_type = BigInt)]
    pub repairs: i64,
}

/// Looks at every shop's latest results and jobs: opens the flags that are due, closes those whose trouble is over.
///
/// A shop whose pattern fails, or that cannot be read at all, gets its pattern learnt anew.
///
/// # Errors
/// Whatever the database answers.
pub async fn judge(conn: &mut AsyncPgConnection) -> QueryResult<Judged> {
    sql_query(include_str!("flag/judge.sql"))
        .get_result(conn)
        .await
}
