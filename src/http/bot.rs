//! `/api/crawl`: the API of the bots, workers in any language that pull crawl jobs and submit what they saw.
//!
//! | request | answer |
//! |---|---|
//! | `POST /pull/` | jobs, each with its right to it; waits up to `wait_seconds` for one |
//! | `POST /submit/` | what was seen: 201 and the job is done; or that it failed: 200 and it is tried again, or not |
//! | `POST /submit-batch/` | up to 100 of these, each judged by itself |
//! | `POST /heartbeat/` | the jobs in hand are kept for another term |
//! | `POST /release/` | jobs are given back unharmed |
//!
//! With or without the last slash. Every body is a JSON object with `bot_id` and `api_token` (or the token as `Authorization:
//! Bearer`); every answer is `{"success": true, "data": {…}}` or `{"success": false, "error": CODE, "detail": TEXT}`. An
//! answer never quotes the database or the program. `/api/openapi.json` describes all of it.

mod fields;
mod openapi;
mod work;

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tracing::warn;

use self::fields::Fields;
#[cfg(test)]
pub(super) use self::openapi::tests as openapi_tests;
pub(super) use self::openapi::{DOCUMENT, document};
use super::{State, guard};
use crate::db::PooledConnection;
use crate::db::bot::{self, Account, Refusal};
use crate::telemetry::chain;

/// Longest time of one request: the longest wait for jobs, and some.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);

/// The routes, with their own limits, and the description of all that is served with them. The bots' tokens are all the
/// protection they have and need.
pub(super) fn routes(state: &State, description: &'static str) -> Router<State> {
    let mut router = Router::new();
    for slash in ["", "/"] {
        let path = |name: &str| format!("/api/crawl/{name}{slash}");
        router = router
            .route(&path("pull"), post(work::pull))
            .route(&path("submit"), post(work::submit))
            .route(&path("submit-batch"), post(work::submit_batch))
            .route(&path("heartbeat"), post(work::heartbeat))
            .route(&path("release"), post(work::release));
    }
    let limit = state.shared.config.get().bots.max_body_bytes;
    router
        .route(
            "/api/openapi.json",
            get(async move || describe(description)),
        )
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(limit))
        .layer(middleware::from_fn(in_time))
}

fn describe(description: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], description).into_response()
}

async fn method_not_allowed() -> Response {
    Trouble::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the header Allow names the methods",
    )
    .into_response()
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Trouble::unavailable().into_response(),
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trouble {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<u64>,
}

impl Trouble {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
        }
    }

    fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation_error", detail)
    }

    /// The same for every reason: an answer tells nobody which bots there are.
    fn stranger() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "bot_id and api_token do not belong together, or the bot is switched off",
        )
    }

    fn too_often(wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        Self {
            retry_after: Some(seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                format!("too many pulls; try again in {seconds} s"),
            )
        }
    }

    fn unavailable() -> Self {
        Self {
            retry_after: Some(5),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "no answer can be had now; nothing was changed, or the same request tells what was",
            )
        }
    }

    fn database(error: &(dyn std::error::Error + 'static)) -> Self {
        warn!(error = %chain(error), "the bots' API has no database");
        Self::unavailable()
    }

    fn refused(refusal: Refusal) -> Self {
        let (status, code, detail) = match refusal {
            Refusal::NotFound => (
                StatusCode::NOT_FOUND,
                "job_not_found",
                "there is no such job",
            ),
            Refusal::NotLocked => (
                StatusCode::BAD_REQUEST,
                "job_not_locked",
                "nobody has this job in hand; pull it first",
            ),
            Refusal::NotAssigned => (
                StatusCode::FORBIDDEN,
                "not_assigned",
                "somebody else has this job in hand",
            ),
            Refusal::Expired => (
                StatusCode::BAD_REQUEST,
                "lock_expired",
                "the time for this job was up, and it went on without this result",
            ),
        };
        Self::new(status, code, detail)
    }

    fn body(&self) -> Value {
        json!({ "success": false, "error": self.code, "detail": self.detail })
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A good answer.
fn answer(status: StatusCode, data: &Value) -> Response {
    let body = json!({ "success": true, "data": data });
    (status, axum::Json(body)).into_response()
}

/// What every request brings.
struct Asked {
    fields: Fields,
    account: Account,
    conn: PooledConnection,
}

/// Reads a request and lets its bot in.
async fn admit(
    state: &State,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Asked, Trouble> {
    let body = body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let limit = state.shared.config.get().bots.max_body_bytes;
            let detail = format!("the body may have {limit} bytes");
            Trouble::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
        } else {
            Trouble::invalid("the body cannot be read")
        }
    })?;
    let fields = Fields::parse(&body)?;
    let bot_id = fields.text("bot_id", 100)?;
    let token = match fields.text("api_token", 255)? {
        Some(token) => Some(token),
        None => guard::bearer(headers).map(str::to_owned),
    };
    let bot_id = bot_id.ok_or_else(|| Trouble::invalid("bot_id: this field is required"))?;
    let token = token.ok_or_else(|| {
        Trouble::invalid("api_token: this field is required, or the header Authorization: Bearer")
    })?;
    let mut conn = state
        .shared
        .pool
        .get()
        .await
        .map_err(|error| Trouble::database(&error))?;
    let account = bot::find(&mut conn, bot_id.trim())
        .await
        .map_err(|error| Trouble::database(&error))?;
    // A bot that there is not is compared with as well.
    let expected = account
        .as_ref()
        .map_or(&[0; 32][..], |account| &account.token_hash);
    let is_known = guard::is_same(hash(token.trim()).as_ref(), expected);
    match account {
        Some(account) if is_known && account.enabled => Ok(Asked {
            fields,
            account,
            conn,
        }),
        _ => Err(Trouble::stranger()),
    }
}

/// SHA-256 of a token, as it is stored.
pub(crate) fn hash(token: &str) -> impl AsRef<[u8]> + use<> {
    ring::digest::digest(&ring::digest::SHA256, token.as_bytes())
}

/// Says "this was answered before".
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
