//! Search in the text of a tenant's documents, without a model: BM25 over the words of the pieces.
//!
//! Which pieces are best is the business of `gleaner_search` (its migration says how); here a query is read, the hits are looked up under
//! the tenant's own rights, and their snippets are cut.

mod query;
mod snippet;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde::Serialize;
use utoipa::ToSchema;

use super::document::Uid;
use super::scope;
use super::scope::TenantId;
use crate::db::statement::statement;

pub use self::query::{BadQuery, Query};

/// Hits of an answer, at most.
pub const MOST: i64 = 50;

/// Among which pieces is searched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this document alone.
    pub document: Option<Uid>,
    /// Of documents that were uploaded then or later.
    pub from: Option<DateTime<Utc>>,
    /// Of documents that were uploaded before.
    pub to: Option<DateTime<Utc>>,
    /// That are on this page.
    pub page: Option<i32>,
}

/// Where the hits go on: behind this one.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    score: f64,
    uid: Uid,
    seq: i32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}.{}", self.score.to_bits(), self.uid, self.seq)
    }
}

/// What is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor is none that an answer gave")]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(NoCursor);
        let (score, uid, seq) = (next()?, next()?, next()?);
        let score = u64::from_str_radix(score, 16).map(f64::from_bits);
        let score = score.ok().filter(|score| score.is_finite());
        let cursor = Self {
            score: score.ok_or(NoCursor)?,
            uid: uid.parse().ok().ok_or(NoCursor)?,
            seq: seq.parse().ok().ok_or(NoCursor)?,
        };
        match parts.next() {
            None => Ok(cursor),
            Some(_) => Err(NoCursor),
        }
    }
}

/// A piece of text that answers a query.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Hit {
    pub document_id: String,
    pub filename: String,
    /// The page that it begins on, and the one that it ends on.
    pub page: i32,
    pub page_to: i32,
    /// Where it begins in the text of the document, and ends, in code points.
    pub start: i64,
    pub end: i64,
    /// Where it begins in the text of its first page.
    pub page_start: i64,
    /// Heading, sheet or slide that it stands under.
    pub locator: Option<String>,
    pub score: f64,
    /// The part of it that says most, as HTML: the words that were asked for stand in `<mark>`, all else is escaped.
    pub snippet: String,
    /// Where the snippet's text begins in the text of the document, and ends.
    pub snippet_start: i64,
    pub snippet_end: i64,
    /// Where the marked words stand in the text of the document.
    #[schema(value_type = Vec<Vec<i64>>)]
    pub marks: Vec<(i64, i64)>,
}

/// What is found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The best first.
    pub hits: Vec<Hit>,
    /// Where it goes on, if it does.
    pub next: Option<Cursor>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    document_id: String,
    #[diesel(sql_type = Text)]
    filename: String,
    #[diesel(sql_type = Integer)]
    seq: i32,
    #[diesel(sql_type = Integer)]
    page_from: i32,
    #[diesel(sql_type = Integer)]
    page_to: i32,
    #[diesel(sql_type = BigInt)]
    start_char: i64,
    #[diesel(sql_type = BigInt)]
    end_char: i64,
    #[diesel(sql_type = BigInt)]
    page_start: i64,
    #[diesel(sql_type = Nullable<Text>)]
    locator: Option<String>,
    #[diesel(sql_type = Double)]
    score: f64,
    #[diesel(sql_type = Text)]
    text: String,
    /// The same with marks, and with blanks for what could be mistaken for something else.
    #[diesel(sql_type = Text)]
    marked: String,
}

/// Looks for pieces. `None` if the document that the filter names is not there.
///
/// # Errors
/// Whatever the database answers.
pub async fn search(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    query: &Query,
    filter: &Filter,
    cursor: Option<&Cursor>,
    limit: i64,
) -> QueryResult<Option<Found>> {
    let limit = limit.clamp(1, MOST);
    let rows = conn
        .transaction::<_, DieselError, _>(async |conn| {
            scope::enter(conn, tenant).await?;
            let document = match &filter.document {
                None => None,
                Some(uid) => match key(conn, tenant, uid).await? {
                    None => return Ok(None),
                    key => key,
                },
            };
            rows(conn, tenant, (query, filter, document), cursor, limit)
                .await
                .map(Some)
        })
        .await?;
    let Some(mut rows) = rows else {
        return Ok(None);
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let goes_on = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| goes_on).and_then(|last| {
        Some(Cursor {
            score: last.score,
            uid: last.document_id.parse().ok()?,
            seq: last.seq,
        })
    });
    let hits = rows.into_iter().map(Row::into_hit).collect();
    Ok(Some(Found { hits, next }))
}

/// The key of a document of this tenant's.
async fn key(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> QueryResult<Option<i64>> {
    #[derive(QueryableByName)]
    struct Key {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let key: Option<Key> = statement(
        "SELECT id FROM documents WHERE tenant_id = $1 AND uid = $2::uuid AND deleted_at IS NULL",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(uid.as_str())
    .get_result(conn)
    .await
    .optional()?;
    Ok(key.map(|key| key.id))
}

async fn rows(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    (query, filter, document): (&Query, &Filter, Option<i64>),
    cursor: Option<&Cursor>,
    limit: i64,
) -> QueryResult<Vec<Row>> {
    statement(include_str!("search/search.sql"))
        .bind::<BigInt, _>(tenant)
        .bind::<Text, _>(query.all_words())
        .bind::<Array<Text>, _>(query.phrases())
        .bind::<Array<Text>, _>(query.unwanted())
        .bind::<Nullable<BigInt>, _>(document)
        .bind::<Nullable<Timestamptz>, _>(filter.from)
        .bind::<Nullable<Timestamptz>, _>(filter.to)
        .bind::<Nullable<Integer>, _>(filter.page)
        .bind::<Nullable<Double>, _>(cursor.map(|cursor| cursor.score))
        .bind::<Nullable<Text>, _>(cursor.map(|cursor| cursor.uid.as_str()))
        .bind::<Nullable<Integer>, _>(cursor.map(|cursor| cursor.seq))
        .bind::<BigInt, _>(limit + 1)
        .bind::<SmallInt, _>(snippet::OPEN)
        .bind::<SmallInt, _>(snippet::CLOSE)
        .load(conn)
        .await
}

impl Row {
    fn into_hit(self) -> Hit {
        let cut = snippet::cut(&self.text, &self.marked);
        Hit {
            document_id: self.document_id,
            filename: self.filename,
            page: self.page_from,
            page_to: self.page_to,
            start: self.start_char,
            end: self.end_char,
            page_start: self.page_start,
            locator: self.locator,
            score: self.score,
            snippet: cut.html,
            snippet_start: self.start_char + cut.start,
            snippet_end: self.start_char + cut.end,
            marks: cut
                .marks
                .iter()
                .map(|(start, end)| (self.start_char + start, self.start_char + end))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_an_answer_gave() {
        let cursor = Cursor {
            score: 2.145_92,
            uid: "0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b"
                .parse()
                .expect("a uid"),
            seq: 7,
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in [
            "",
            "1.2.3",
            "7ff0000000000000.0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b.1",
            "0.0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b.1.2",
            "0.0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b.x",
        ] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NoCursor), "{wrong}");
        }
    }
}
