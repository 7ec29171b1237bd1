//! `/api/price-history/` and `/api/product-urls/`: what has been recorded, for programs that used to read it here. Needs the admin
//! token where there is one.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/price-history/?url_hash=&limit=` | prices of one page, newest first; 100 unless more are asked for |
//! | `GET /api/product-urls/?domain=&limit=` | pages of a shop, or of all, newest first, with the state of their jobs |

use axum::Router;
use axum::extract::{Query, State as Held};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::warn;

use super::{State, problem};
use crate::db::crawl::read;
use crate::telemetry::chain;

/// Rows of one answer, unless the request says; and at most.
const LIMIT: i64 = 100;
const MOST: i64 = 1_000;

pub(super) fn routes() -> Router<State> {
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
struct Asked {
    url_hash: String,
    domain: String,
    limit: Option<i64>,
}

impl Asked {
    fn limit(&self) -> i64 {
        self.limit.unwrap_or(LIMIT).clamp(1, MOST)
    }
}

async fn history(Held(state): Held<State>, Query(asked): Query<Asked>) -> Response {
    if asked.url_hash.is_empty() || asked.url_hash.contains('\0') {
        let message = "name the page: url_hash, the SHA-256 of its normalised URL in hexadecimal";
        return problem(StatusCode::BAD_REQUEST, "no_url_hash", message);
    }
    let rows = match state.shared.pool.get().await {
        Ok(mut conn) => read::history(&mut conn, &asked.url_hash, asked.limit())
            .await
            .map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    answer(rows)
}

async fn urls(Held(state): Held<State>, Query(asked): Query<Asked>) -> Response {
    let rows = match state.shared.pool.get().await {
        Ok(mut conn) => read::urls(&mut conn, &asked.domain.replace('\0', "?"), asked.limit())
            .await
            .map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    answer(rows)
}

fn answer(rows: Result<Vec<Value>, String>) -> Response {
    match rows {
        Ok(rows) => {
            let data = json!({ "count": rows.len(), "results": rows });
            axum::Json(json!({ "success": true, "data": data })).into_response()
        }
        Err(error) => {
            warn!(error, "cannot read prices");
            let message = "the database does not answer";
            problem(StatusCode::SERVICE_UNAVAILABLE, "database", message)
        }
    }
}
