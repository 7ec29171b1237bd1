//! Flags: what needs a person's eye. At most one is open per kind and subject.

use std::ops::Add;
use std::sync::LazyLock;

use crate::db;
use crate::db::halves::Halves;
use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::AsyncPgConnection;
use serde::Serialize;
use tracing::warn;
use utoipa::ToSchema;
use utoipa::openapi::Object;

use super::pattern::SITES;
use crate::http::openapi::one_of;
use crate::store::aside::{self, Key, Work};
use crate::store::stage::Request;

/// A flag, as people see it.
#[derive(Clone, Debug, PartialEq, QueryableByName, Serialize, ToSchema)]
pub struct Flag {
    /// Its key.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// What kind of trouble.
    #[diesel(sql_type = Text)]
    #[schema(schema_with = kinds)]
    pub kind: String,
    /// `pending`, `in_progress`, `resolved` or `wont_fix`.
    #[diesel(sql_type = Text)]
    #[schema(schema_with = statuses)]
    pub status: String,
    /// The site, if it is about one.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required)]
    pub domain: Option<String>,
    /// The page, if it is about one.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required)]
    pub url: Option<String>,
    /// What happened.
    #[diesel(sql_type = Text)]
    pub message: String,
    /// RFC 3339, UTC.
    #[diesel(sql_type = Text)]
    #[schema(format = DateTime)]
    pub opened_at: String,
    /// The same, of its end.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required, format = DateTime)]
    pub resolved_at: Option<String>,
    /// Who resolved it.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required)]
    pub resolved_by: Option<String>,
}

/// The kinds of trouble.
pub const KINDS: [&str; 7] = [
    "pattern_generation_failed",
    "pattern_low_confidence",
    "fetch_failing_repeatedly",
    "store_rate_limited",
    "duplicate_products",
    "price_jump",
    "unusable_row",
];

/// The states of a flag.
pub const STATUSES: [&str; 4] = ["pending", "in_progress", "resolved", "wont_fix"];

/// A kind, as it is described.
pub(crate) fn kinds() -> Object {
    one_of(&KINDS)
}

fn statuses() -> Object {
    one_of(&STATUSES)
}

/// Those in which it is open.
pub const OPEN: [&str; 2] = ["pending", "in_progress"];

/// Which flags are meant: those for which all that is given holds.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// One of these; empty for any.
    pub statuses: &'a [&'a str],
    pub kind: Option<&'a str>,
    /// About this site.
    pub domain: Option<&'a str>,
    /// One of these; empty for any.
    pub ids: &'a [i64],
    /// Older than this one.
    pub before: Option<i64>,
}

/// Flags, the newest first, at most `limit`.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(
    conn: &mut AsyncPgConnection,
    filter: &Filter<'_>,
    limit: i64,
) -> QueryResult<Vec<Flag>> {
    sql_query(include_str!("flag/list.sql"))
        .bind::<Array<Text>, _>(filter.statuses)
        .bind::<Nullable<Text>, _>(filter.kind)
        .bind::<Nullable<Text>, _>(filter.domain)
        .bind::<Array<BigInt>, _>(filter.ids)
        .bind::<Nullable<BigInt>, _>(filter.before)
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await
}

/// How many are open.
///
/// # Errors
/// Whatever the database answers.
pub async fn count_open(conn: &mut AsyncPgConnection) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let row: Row =
        sql_query("SELECT count(*) FROM flag WHERE status IN ('pending', 'in_progress')")
            .get_result(conn)
            .await?;
    Ok(row.count)
}

/// Opens a flag about a site; one that is open already gets the new message.
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

/// Closes flags of these kinds about a site, because the trouble is over.
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

/// Opens a closed flag again, for a person. Returns whether it was closed, and nothing else of its kind and subject is open.
///
/// # Errors
/// Whatever the database answers.
pub async fn reopen(conn: &mut AsyncPgConnection, flag: i64) -> QueryResult<bool> {
    let changed = sql_query(
        "UPDATE flag SET status = 'pending', resolved_at = NULL, resolved_by = NULL \
         WHERE id = $1 AND status NOT IN ('pending', 'in_progress') AND NOT EXISTS (SELECT 1 FROM flag AS other \
             WHERE other.kind = flag.kind AND other.status IN ('pending', 'in_progress') \
               AND other.site_id IS NOT DISTINCT FROM flag.site_id AND other.product_url_id IS NOT DISTINCT FROM flag.product_url_id)",
    )
    .bind::<BigInt, _>(flag)
    .execute(conn)
    .await;
    match changed {
        Ok(changed) => Ok(changed > 0),
        // One was opened in the same moment.
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a look at the sites has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName, Serialize)]
pub struct Judged {
    /// Flags opened.
    #[diesel(sql_type = BigInt)]
    pub opened: i64,
    /// Flags closed.
    #[diesel(sql_type = BigInt)]
    pub closed: i64,
    /// Sites whose pattern is to be learnt anew.
    #[diesel(sql_type = BigInt)]
    pub repairs: i64,
}

impl Add for Judged {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            opened: self.opened + other.opened,
            closed: self.closed + other.closed,
            repairs: self.repairs + other.repairs,
        }
    }
}

const JUDGING: Work<'_> = Work {
    name: "flags",
    table: "site",
};

/// Looks at sites' results and jobs; see its file.
static JUDGE: LazyLock<String> = LazyLock::new(|| {
    let template = include_str!("flag/judge.sql").replace("{set_aside}", SET_ASIDE);
    SITES.ask(&template, &[Request::Queue])
});

/// Looks at what is alike; see its file.
static DUPLICATES: LazyLock<String> =
    LazyLock::new(|| include_str!("flag/duplicates.sql").replace("{set_aside}", SET_ASIDE));

/// The sites that are set aside.
const SET_ASIDE: &str = "ARRAY(SELECT row_id FROM set_aside WHERE work = 'flags' AND table_name = 'site' AND until > now())";

/// Looks at every site's latest results and jobs, and at what looks the same: opens the flags that are due, closes those whose
/// trouble is over.
///
/// A site whose pattern fails, or that cannot be read at all, gets its pattern learnt anew. A site for which that cannot be written
/// down is set aside.
///
/// # Errors
/// Whatever the database answers, but for a row's sake.
pub async fn judge(conn: &mut AsyncPgConnection) -> QueryResult<Judged> {
    let sites = judge_by(conn, &JUDGE).await?;
    let duplicates = judge_by(conn, &DUPLICATES).await?;
    tell_set_aside(conn).await?;
    Ok(sites + duplicates)
}

/// Runs a statement over all sites, or where that is refused over some at a time.
async fn judge_by(conn: &mut AsyncPgConnection, sql: &'static str) -> QueryResult<Judged> {
    match judge_of(conn, sql, None).await {
        Err(error) if db::is_of_a_row(&error) => {}
        done => return done,
    }
    let sites: Vec<Key> = sql_query(format!(
        "SELECT id FROM site WHERE {} ORDER BY id",
        JUDGING.takes("id")
    ))
    .load(conn)
    .await?;
    let (sites, mut all) = (Key::numbers(&sites), Judged::default());
    let mut halves = Halves::of(&sites);
    while let Some(part) = halves.next_part() {
        match judge_of(conn, sql, Some(part)).await {
            Ok(some) => all = all + some,
            Err(error) => aside::refused(conn, JUDGING, &mut halves, part, error).await?,
        }
    }
    Ok(all)
}

async fn judge_of(
    conn: &mut AsyncPgConnection,
    sql: &'static str,
    only: Option<&[i64]>,
) -> QueryResult<Judged> {
    sql_query(sql)
        .bind::<Nullable<Array<BigInt>>, _>(only)
        .get_result(conn)
        .await
}

/// Opens a flag for each row of ours that periodic work has set aside, and closes those of rows that it has not refused for a day.
///
/// # Errors
/// Whatever the database answers, but for a row's sake.
pub async fn tell_set_aside(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    const TELL: &str = include_str!("flag/set_aside.sql");
    let all = sql_query(TELL)
        .bind::<Nullable<Array<BigInt>>, _>(None::<&[i64]>)
        .execute(conn)
        .await;
    match all {
        Err(error) if db::is_of_a_row(&error) => {}
        done => return done.map(drop),
    }
    let rows: Vec<Key> = sql_query("SELECT id FROM set_aside ORDER BY id")
        .load(conn)
        .await?;
    let rows = Key::numbers(&rows);
    let mut halves = Halves::of(&rows);
    while let Some(part) = halves.next_part() {
        let told = sql_query(TELL)
            .bind::<Nullable<Array<BigInt>>, _>(Some(part))
            .execute(conn)
            .await;
        if let Err(error) = told
            && let Some((row, error)) = halves.refused(part, error)?
        {
            // It stands in set_aside all the same, and was in the log.
            warn!(
                row,
                error = db::described(&error),
                "cannot flag a row that is set aside"
            );
        }
    }
    Ok(())
}
