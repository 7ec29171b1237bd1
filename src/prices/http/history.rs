//! `/api/price-history/` and `/api/product-urls/`: what has been recorded, for programs that used to read it here. Needs the admin
//! token where there is one.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/price-history/?url_hash=&limit=` | prices of one page, newest first; 100 unless more are asked for |
//! | `GET /api/product-urls/?domain=&limit=` | pages of a site, or of all, newest first, with the state of their jobs |

use axum::Router;
use axum::extract::State as Held;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use utoipa::IntoResponses;

use crate::http::State;
use crate::http::listing;
use crate::http::listing::{Asked, Good, Refusal, Refusals, Rows};
use crate::http::openapi::{Responses, refusals};
use crate::prices::crawl::read;
use crate::prices::crawl::read::{Price, WatchedPage};

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
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct OfPage {
    /// SHA-256, in hexadecimal, of the page's normalised URL with its parameters in the order of their names.
    #[param(required)]
    url_hash: String,
    #[param(schema_with = listing::described_limit)]
    limit: Option<i64>,
}

/// What can be asked; anything else in the query is of no interest.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct OfSite {
    /// Of this site, by its registrable domain.
    domain: String,
    #[param(schema_with = listing::described_limit)]
    limit: Option<i64>,
}

/// Why there is no history.
struct NoHistory;

impl IntoResponses for NoHistory {
    fn responses() -> Responses {
        refusals(&[("400", &["bad_query", "no_url_hash"])])
    }
}

/// Prices of one page, newest first.
#[utoipa::path(
    get, path = "/api/price-history/", operation_id = "priceHistory", params(OfPage),
    responses((status = 200, description = "Rows, maybe none.", body = Good<Rows<Price>>), NoHistory),
    security(("admin" = []), ()),
)]
async fn history(
    Held(state): Held<State>,
    Asked(wanted): Asked<OfPage>,
) -> Result<Response, Refusal> {
    if wanted.url_hash.is_empty() || wanted.url_hash.contains('\0') {
        let message = "name the page: its url_hash, as GET /api/product-urls/ tells it";
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
    Ok(listing::rows(rows))
}

/// Pages, newest first, with the state of their jobs.
#[utoipa::path(
    get, path = "/api/product-urls/", operation_id = "productUrls", params(OfSite),
    responses((status = 200, description = "Rows, maybe none.", body = Good<Rows<WatchedPage>>), Refusals),
    security(("admin" = []), ()),
)]
async fn urls(Held(state): Held<State>, Asked(wanted): Asked<OfSite>) -> Result<Response, Refusal> {
    let mut conn = listing::connection(&state).await?;
    let domain = listing::text(&wanted.domain).unwrap_or_default();
    let limit = listing::limit(wanted.limit);
    let rows = read::urls(&mut conn, &domain, limit)
        .await
        .map_err(|error| Refusal::database(&error))?;
    Ok(listing::rows(rows))
}
