//! `GET /api/search?q=&document_id=&from=&to=&page=&limit=&cursor=`: where the tenant's documents say what is asked for.

use std::time::Instant;

use axum::extract::State as Held;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::Object;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::State;
use super::asked::Asked;
use super::caller::Reader;
use super::forms::Searches;
use super::reading::given;
use super::trouble::Trouble;
use crate::documents::metrics;
use crate::documents::search;
use crate::documents::search::{Cursor, Filter, Hit, MOST, Query};
use crate::http::openapi::yes;

/// Hits of an answer, unless the request says.
const HITS: i64 = 10;

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Words, "phrases" and -words.
    #[param(required)]
    q: String,
    /// Of this document alone.
    document_id: String,
    /// Of documents uploaded then or later: a time (RFC 3339), or a day.
    from: String,
    /// Of documents uploaded before.
    to: String,
    /// On this page.
    page: Option<i32>,
    #[param(schema_with = limits)]
    limit: Option<i64>,
    /// Goes on: the `next_cursor` of the answer before.
    cursor: String,
}

fn limits() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .default(Some(HITS.into()))
        .description(Some(format!(
            "At most so many: 1 to {MOST}; what is beyond that is taken for it."
        )))
        .build()
}

/// What is found.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct Hits {
    #[schema(schema_with = yes)]
    success: bool,
    /// The best first.
    results: Vec<Hit>,
    count: usize,
    /// Where it goes on; null at the end.
    next_cursor: Option<String>,
    /// Milliseconds.
    took_ms: u64,
}

/// Where the tenant's documents say what is asked for.
#[utoipa::path(
    get, path = "/api/search", operation_id = "search",
    params(Search),
    responses((status = 200, description = "Hits, maybe none.", body = Hits), Searches),
    security(("tenant" = []), ("session" = [])),
)]
pub(super) async fn search(
    Held(state): Held<State>,
    Reader(tenant): Reader,
    Asked(asked): Asked<Search>,
) -> Result<Response, Trouble> {
    let query = Query::parse(&asked.q).map_err(|error| Trouble::invalid(error.to_string()))?;
    let document = match given(&asked.document_id) {
        Some(document) => Some(document.parse().ok().ok_or_else(Trouble::not_found)?),
        None => None,
    };
    let filter = Filter {
        document,
        from: instant("from", &asked.from)?,
        to: instant("to", &asked.to)?,
        page: asked.page,
    };
    let cursor = given(&asked.cursor)
        .map(str::parse::<Cursor>)
        .transpose()
        .map_err(|error| Trouble::invalid(error.to_string()))?;
    let limit = asked.limit.unwrap_or(HITS).clamp(1, MOST);
    let start = Instant::now();
    let found = ask!(&state, |conn| {
        search::search(conn, tenant, &query, &filter, cursor.as_ref(), limit)
    })?;
    metrics::searched(start.elapsed());
    let found = found.ok_or_else(Trouble::not_found)?;
    let answer = json!({
        "success": true,
        "results": found.hits,
        "count": found.hits.len(),
        "next_cursor": found.next.map(|next| next.to_string()),
        "took_ms": u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    Ok(axum::Json(answer).into_response())
}

/// A time (RFC 3339), or a day, which begins at midnight UTC.
fn instant(name: &str, text: &str) -> Result<Option<DateTime<Utc>>, Trouble> {
    let Some(text) = given(text) else {
        return Ok(None);
    };
    let exact = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    let day = || {
        text.parse::<NaiveDate>()
            .map(|day| day.and_time(NaiveTime::MIN).and_utc())
    };
    let known = exact.ok().or_else(|| day().ok());
    // PostgreSQL knows no others.
    known
        .filter(|time| (1..=9_999).contains(&chrono::Datelike::year(time)))
        .map(Some)
        .ok_or_else(|| {
            Trouble::invalid(format!(
                "{name} is no time: say 2026-11-30, or 2026-11-30T12:00:00Z"
            ))
        })
}
