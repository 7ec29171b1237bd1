//! `/api/price-history/` and `/api/product-urls/`: what has been recorded, for programs that used to read it here. Needs the admin
//! token where there is one.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/price-history/?url_hash=&limit=` | prices of one page, newest first; 100 unless more are asked for |
//! | `GET /api/product-urls/?domain=&limit=` | pages of a shop, or of all, newest first, with the state of their jobs |

use axum::Router;
use axum::extract::State as Held;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::State;
use crate::http::listing;
use crate::http::listing::{Asked, Refusal};
use crate::prices::crawl::read;

pub(crate) fn routes() -> Router<State> {
    let mut router = Router::new();
    for slash in ["", "/"] {
        router = router
            .route(&format!("/api/price-history{slash}"), get(history))
            .route(&format!("/api/product-urls{slash}"), get(urls));
    }
    router
}

/// What can be asked; anything else in the query is of no interest.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    url_hash: String,
    domain: String,
    limit: Option<i64>,
}

async fn history(
    Held(state): Held<State>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Refusal> {
    if wanted.url_hash.is_empty() || wanted.url_hash.contains('\0') {
        let message = "name the page: url_hash, the SHA-256 of its normalised URL in hexadecimal";
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "no_url_hash",
            message,
        ));
    }
    let mut conn = listing::connection(&state).await?;
    let limit = listing::limit(wanted.limit);
    let rows = read::history(&mut conn, &wanted.url_hash, limit)
        .await
        .map_err(|error| Refusal::database(&error))?;
    Ok(answer(&rows))
}

async fn urls(Held(state): Held<State>, Asked(wanted): Asked<Wanted>) -> Result<Response, Refusal> {
    let mut conn = listing::connection(&state).await?;
    let domain = listing::text(&wanted.domain).unwrap_or_default();
    let limit = listing::limit(wanted.limit);
    let rows = read::urls(&mut conn, &domain, limit)
        .await
        .map_err(|error| Refusal::database(&error))?;
    Ok(answer(&rows))
}

fn answer(rows: &[Value]) -> Response {
    listing::good(&json!({ "count": rows.len(), "results": rows }))
}
