//! The text of documents, page by page and piece by piece.

use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::statement::statement;
use crate::documents::document::Uid;
use crate::documents::scope;
use crate::documents::scope::TenantId;

/// A page: of a file without pages a sheet, a slide, a chapter, or all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, QueryableByName, ToSchema)]
#[schema(as = DocumentPage)]
pub struct Page {
    /// From 1.
    #[diesel(sql_type = Integer)]
    pub page: i32,
    /// Where it begins in the text of the document, and ends, in code points.
    #[diesel(sql_type = BigInt)]
    pub start: i64,
    #[diesel(sql_type = BigInt)]
    pub end: i64,
    /// `text` as the file has it, `ocr` if it was read from a picture.
    #[diesel(sql_type = Text)]
    pub source: String,
    /// Name of a sheet, slide or chapter.
    #[diesel(sql_type = Nullable<Text>)]
    pub locator: Option<String>,
    #[diesel(sql_type = Text)]
    pub text: String,
}

/// A piece of a document's text, as the search knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, QueryableByName, ToSchema)]
#[schema(as = DocumentPiece)]
pub struct Piece {
    /// From 0.
    #[diesel(sql_type = Integer)]
    pub seq: i32,
    /// The page that it begins on, and the one that it ends on.
    #[diesel(sql_type = Integer)]
    pub page: i32,
    #[diesel(sql_type = Integer)]
    pub page_to: i32,
    /// Where it begins in the text of the document, and ends, in code points.
    #[diesel(sql_type = BigInt)]
    pub start: i64,
    #[diesel(sql_type = BigInt)]
    pub end: i64,
    /// Heading, sheet or slide that it stands under.
    #[diesel(sql_type = Nullable<Text>)]
    pub locator: Option<String>,
    #[diesel(sql_type = Text)]
    pub text: String,
}

/// This page of this document.
///
/// # Errors
/// Whatever the database answers.
pub async fn page(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
    number: i32,
) -> QueryResult<Option<Page>> {
    conn.transaction::<_, DieselError, _>(async |conn| {
        scope::enter(conn, tenant).await?;
        statement(
            "SELECT p.number AS page, p.start_char AS start, p.start_char + p.chars AS \"end\", p.source, p.locator, p.text \
             FROM documents AS d JOIN document_page AS p ON p.document_id = d.id AND p.tenant_id = d.tenant_id \
             WHERE d.tenant_id = $1 AND d.uid = $2::uuid AND d.deleted_at IS NULL AND p.number = $3",
        )
        .bind::<BigInt, _>(tenant)
        .bind::<Text, _>(uid.as_str())
        .bind::<Integer, _>(number)
        .get_result(conn)
        .await
        .optional()
    })
    .await
}

/// Code points that the pages of one look have together, unless a single one has more.
const MOST_CHARS: i64 = 500_000;
/// Pages of one look.
const MOST_PAGES: i64 = 500;

/// The pages of this document behind this one, in order: as many as make an answer of bearable size, and at least one if there is one.
///
/// # Errors
/// Whatever the database answers.
pub async fn pages(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
    behind: i32,
) -> QueryResult<Vec<Page>> {
    conn.transaction::<_, DieselError, _>(async |conn| {
        scope::enter(conn, tenant).await?;
        statement(include_str!("pages.sql"))
            .bind::<BigInt, _>(tenant)
            .bind::<Text, _>(uid.as_str())
            .bind::<Integer, _>(behind)
            .bind::<BigInt, _>(MOST_PAGES)
            .bind::<BigInt, _>(MOST_CHARS)
            .load(conn)
            .await
    })
    .await
}

/// Pieces of this document behind this one, in order.
///
/// # Errors
/// Whatever the database answers.
pub async fn pieces(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
    behind: i32,
    limit: i64,
) -> QueryResult<Vec<Piece>> {
    conn.transaction::<_, DieselError, _>(async |conn| {
        scope::enter(conn, tenant).await?;
        statement(include_str!("pieces.sql"))
            .bind::<BigInt, _>(tenant)
            .bind::<Text, _>(uid.as_str())
            .bind::<Integer, _>(behind)
            .bind::<BigInt, _>(limit)
            .load(conn)
            .await
    })
    .await
}
