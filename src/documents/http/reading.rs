//! What a tenant reads of its documents: how far they are, lists, text, usage.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/documents/{id}/status` | how far it is; with an `ETag`, for those who ask every two seconds |
//! | `GET /api/documents/{id}` | all that is known of it |
//! | `GET /api/documents?status=&cursor=&limit=` | newest first |
//! | `GET /api/documents/{id}/text?page=` | a page; without one all pages, some at a time (`after`), or as `text/plain` in one |
//! | `GET /api/documents/{id}/chunks?cursor=&limit=` | the pieces that the search knows |
//! | `GET /api/user/stats`, `GET /api/user/profile` | what the tenant has, and may have |

use axum::body::Body;
use axum::extract::State as Held;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::Object;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::State;
use super::asked::{Asked, Named, tagged};
use super::caller::Reader;
use super::forms::{Account, Reads, ReadsList, ReadsOne, ReadsPieces, ReadsText, statuses};
use super::trouble::Trouble;
use crate::documents::document::Uid;
use crate::documents::read;
use crate::documents::read::{
    Cursor, Document, LONGEST_LIST, Page, Piece, STATUSES, Status, task_state,
};
use crate::documents::scope::TenantId;
use crate::http::openapi::yes;

/// Documents of a list, unless more are asked for.
const LISTED: i64 = 50;
/// Pieces of an answer, unless the request says, and at most.
const PIECES: i64 = 50;
const MOST_PIECES: i64 = 200;

/// Tells how far a document is.
#[utoipa::path(
    get, path = "/api/documents/{id}/status", operation_id = "documentStatus",
    params(("id" = String, Path, description = "The document."), ("If-None-Match" = Option<String>, Header, description = "A tag of an earlier answer.")),
    responses(
        (status = 200, description = "How far it is.", body = Status, headers(("ETag" = String))),
        (status = 304, description = "As If-None-Match has it."), ReadsOne,
    ),
    security(("tenant" = []), ("session" = [])),
)]
pub(super) async fn status(
    Held(state): Held<State>,
    Reader(tenant): Reader,
    Named(uid): Named,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let status = ask!(&state, |conn| read::status(conn, tenant, &uid))?;
    let mut status = status.ok_or_else(Trouble::not_found)?;
    status.status = state.told(&status.status);
    Ok(tagged(&headers, &status))
}

/// A document in full.
#[derive(Serialize, ToSchema)]
#[schema(as = FullDocument)]
struct Full {
    #[serde(flatten)]
    document: Document,
    /// The same as `document_id`.
    id: String,
    task_status: &'static str,
    ready: bool,
}

impl Full {
    fn of(mut document: Document, state: &State) -> Self {
        let task_status = task_state(&document.status);
        let ready = document.status == "ready";
        document.status = state.told(&document.status);
        Self {
            id: document.document_id.clone(),
            task_status,
            ready,
            document,
        }
    }
}

/// All that is known of a document.
#[utoipa::path(
    get, path = "/api/documents/{id}", operation_id = "document",
    params(("id" = String, Path, description = "The document."), ("If-None-Match" = Option<String>, Header, description = "A tag of an earlier answer.")),
    responses(
        (status = 200, description = "The document.", body = Full, headers(("ETag" = String))),
        (status = 304, description = "As If-None-Match has it."), ReadsOne,
    ),
    security(("tenant" = []), ("session" = [])),
)]
pub(super) async fn document(
    Held(state): Held<State>,
    Reader(tenant): Reader,
    Named(uid): Named,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let document = ask!(&state, |conn| read::document(conn, tenant, &uid))?;
    let document = document.ok_or_else(Trouble::not_found)?;
    Ok(tagged(&headers, &Full::of(document, &state)))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    #[param(schema_with = statuses)]
    status: String,
    /// Goes on: the `next_cursor` of the answer before.
    cursor: String,
    #[param(schema_with = list_limits)]
    limit: Option<i64>,
}

/// `limit`, as it is described.
fn limits(usual: i64, most: i64) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .default(Some(usual.into()))
        .description(Some(format!(
            "At most so many: 1 to {most}; what is beyond that is taken for it."
        )))
        .build()
}

fn list_limits() -> Object {
    limits(LISTED, LONGEST_LIST)
}

fn piece_limits() -> Object {
    limits(PIECES, MOST_PIECES)
}

/// Documents of a list.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct Listed {
    #[schema(schema_with = yes)]
    success: bool,
    documents: Vec<Full>,
    count: usize,
    /// Where it goes on; null at the end.
    next_cursor: Option<String>,
}

/// Documents, newest first.
#[utoipa::path(
    get, path = "/api/documents", operation_id = "documents",
    params(Listing, ("If-None-Match" = Option<String>, Header, description = "A tag of an earlier answer.")),
    responses(
        (status = 200, description = "Documents, maybe none.", body = Listed, headers(("ETag" = String))),
        (status = 304, description = "As If-None-Match has it."), ReadsList,
    ),
    security(("tenant" = []), ("session" = [])),
)]
pub(super) async fn list(
    Held(state): Held<State>,
    Reader(tenant): Reader,
    Asked(asked): Asked<Listing>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let status = given(&asked.status);
    if status.is_some_and(|status| !STATUSES.contains(&status)) {
        let known = STATUSES.join(", ");
        return Err(Trouble::invalid(format!("status must be one of {known}")));
    }
    let cursor = given(&asked.cursor)
        .map(str::parse::<Cursor>)
        .transpose()
        .map_err(|error| Trouble::invalid(error.to_string()))?;
    let limit = asked.limit.unwrap_or(LISTED).clamp(1, LONGEST_LIST);
    let (documents, next) = ask!(&state, |conn| {
        read::list(conn, tenant, status, cursor.as_ref(), limit)
    })?;
    let documents: Vec<Full> = documents
        .into_iter()
        .map(|document| Full::of(document, &state))
        .collect();
    let answer = json!({
        "success": true,
        "documents": documents,
        "count": documents.len(),
        "next_cursor": next.map(|next| next.to_string()),
    });
    Ok(tagged(&headers, &answer))
}

/// What is given, if it is not empty.
pub(super) fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Pages {
    /// This page alone, from 1.
    page: Option<i32>,
    /// Those behind this page: the `next_after` of the answer before.
    after: Option<i32>,
}

/// What is told of a text.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
enum TextOf {
    One(OnePage),
    Some(SomePages),
}

/// The page that was asked for.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct OnePage {
    #[serde(flatten)]
    page: Page,
    document_id: String,
}

/// Pages, some at a time.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct SomePages {
    #[schema(schema_with = yes)]
    success: bool,
    document_id: String,
    pages: Vec<Page>,
    /// To go on with as `after`; null at the end.
    next_after: Option<i32>,
}

/// The text of a document: a page, pages some at a time, or all of it as text/plain.
#[utoipa::path(
    get, path = "/api/documents/{id}/text", operation_id = "documentText",
    params(("id" = String, Path, description = "The document."), Pages, ("If-None-Match" = Option<String>, Header, description = "A tag of an earlier answer.")),
    responses(
        (status = 200, description = "Text; as text/plain where Accept names that, with a form feed between two pages.",
            content((TextOf = "application/json"), (String = "text/plain"))),
        (status = 304, description = "As If-None-Match has it."), ReadsText,
    ),
    security(("tenant" = []), ("session" = [])),
)]
pub(super) async fn text(
    Held(state): Held<State>,
    Reader(tenant): Reader,
    Named(uid): Named,
    Asked(asked): Asked<Pages>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let is_plain = wants_plain(&headers);
    if let Some(number) = asked.page {
        let page = ask!(&state, |conn| read::page(conn, tenant, &uid, number))?;
        let Some(page) = page else {
            return Err(no_text(&state, tenant, &uid).await?);
        };
        if is_plain {
            return Ok(plain(Body::from(page.text)));
        }
        let mut answer = json!(page);
        note(&mut answer, "document_id", json!(uid.as_str()));
        return Ok(tagged(&headers, &answer));
    }
    let after = asked.after.unwrap_or(0).max(0);
    let pages = ask!(&state, |conn| read::pages(conn, tenant, &uid, after))?;
    let Some(last) = pages.last() else {
        return Err(no_text(&state, tenant, &uid).await?);
    };
    if is_plain {
        return Ok(plain(all_pages(state, tenant, uid, pages)));
    }
    let last = last.page;
    let goes_on = !ask!(&state, |conn| read::pages(conn, tenant, &uid, last))?.is_empty();
    let answer = json!({
        "success": true,
        "document_id": uid.as_str(),
        "pages": pages,
        "next_after": goes_on.then_some(last),
    });
    Ok(tagged(&headers, &answer))
}

fn note(answer: &mut Value, name: &str, value: Value) {
    if let Some(fields) = answer.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// Why there is no such page.
async fn no_text(state: &State, tenant: TenantId, uid: &Uid) -> Result<Trouble, Trouble> {
    Ok(
        match ask!(state, |conn| read::document(conn, tenant, uid))? {
            None => Trouble::not_found(),
            Some(document) if document.status == "ready" => Trouble::new(
                StatusCode::NOT_FOUND,
                "no_such_page",
                "the document has no such page, or it could not be read",
            ),
            Some(document) => Trouble::new(
                StatusCode::CONFLICT,
                "not_ready",
                format!("the document is {}: it has no text yet", document.status),
            ),
        },
    )
}

/// Whether the text itself is asked for, rather than JSON.
fn wants_plain(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/plain") && !accept.contains("application/json"))
}

fn plain(body: Body) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// The text of the document as it is sent: these pages, and those behind them, a form feed between two.
fn all_pages(state: State, tenant: TenantId, uid: Uid, first: Vec<Page>) -> Body {
    struct Sent {
        state: State,
        tenant: TenantId,
        uid: Uid,
        /// Those that are sent next, unless they are still to be looked up behind that page.
        next: Result<Vec<Page>, i32>,
        is_first: bool,
    }
    let sent = Sent {
        state,
        tenant,
        uid,
        next: Ok(first),
        is_first: true,
    };
    let parts = stream::try_unfold(sent, |mut sent| async move {
        let pages = match sent.next {
            Ok(pages) => pages,
            Err(behind) => {
                let pages = ask!(&sent.state, |conn| {
                    read::pages(conn, sent.tenant, &sent.uid, behind)
                });
                pages.map_err(|trouble| std::io::Error::other(trouble.told().2))?
            }
        };
        let Some(last) = pages.last().map(|last| last.page) else {
            return Ok::<_, std::io::Error>(None);
        };
        let mut text = String::new();
        for page in pages {
            if !std::mem::take(&mut sent.is_first) {
                text.push('\u{c}');
            }
            text.push_str(&page.text);
        }
        sent.next = Err(last);
        Ok(Some((text, sent)))
    });
    Body::from_stream(parts)
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Pieces {
    /// Goes on: the `next_cursor` of the answer before.
    cursor: Option<i32>,
    #[param(schema_with = piece_limits)]
    limit: Option<i64>,
}

/// Pieces of a document.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct Chunks {
    #[schema(schema_with = yes)]
    success: bool,
    document_id: String,
    total_chunks: i32,
    /// Where it goes on; null at the end.
    next_cursor: Option<i32>,
    chunks: Vec<Piece>,
}

/// The pieces of a document that the search knows.
#[utoipa::path(
    get, path = "/api/documents/{id}/chunks", operation_id = "documentChunks",
    params(("id" = String, Path, description = "The document."), Pieces, ("If-None-Match" = Option<String>, Header, description = "A tag of an earlier answer.")),
    responses(
        (status = 200, description = "Pieces, maybe none.", body = Chunks, headers(("ETag" = String))),
        (status = 304, description = "As If-None-Match has it."), ReadsPieces,
    ),
    security(("tenant" = []), ("session" = [])),
)]
pub(super) async fn chunks(
    Held(state): Held<State>,
    Reader(tenant): Reader,
    Named(uid): Named,
    Asked(asked): Asked<Pieces>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let limit = asked.limit.unwrap_or(PIECES).clamp(1, MOST_PIECES);
    let behind = asked.cursor.unwrap_or(-1);
    let document = ask!(&state, |conn| read::document(conn, tenant, &uid))?;
    let document = document.ok_or_else(Trouble::not_found)?;
    let mut pieces = ask!(&state, |conn| {
        read::pieces(conn, tenant, &uid, behind, limit + 1)
    })?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let goes_on = pieces.len() > most;
    pieces.truncate(most);
    let answer = json!({
        "success": true,
        "document_id": uid.as_str(),
        "total_chunks": document.total_chunks,
        "next_cursor": pieces.last().filter(|_| goes_on).map(|last| last.seq),
        "chunks": pieces,
    });
    Ok(tagged(&headers, &answer))
}

/// What the tenant has, and may have.
#[utoipa::path(
    get, path = "/api/user/stats", operation_id = "stats",
    responses((status = 200, description = "Its quota and its documents.", body = Account), Reads),
    security(("tenant" = []), ("session" = [])),
)]
pub(super) async fn usage(
    Held(state): Held<State>,
    Reader(tenant): Reader,
) -> Result<Response, Trouble> {
    let usage = ask!(&state, |conn| read::usage(conn, tenant))?;
    // It has been there a moment ago, when the key was looked up.
    let usage = usage.ok_or_else(Trouble::stranger)?;
    let free = (usage.quota_bytes - usage.used_bytes - usage.reserved_bytes).max(0);
    let mut answer = json!(usage);
    note(&mut answer, "success", json!(true));
    note(&mut answer, "free_bytes", json!(free));
    Ok(axum::Json(answer).into_response())
}
