//! What the lists of the API have in common: how they are asked, paged and answered.
//!
//! `limit` says how many rows, `before` (a number that an answer gave as `next`) goes on with older ones. A good answer is
//! `{"success": true, "data": {"count", "next", "results"}}`; `next` is null on the last page.

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::warn;

use super::{State, problem};
use crate::db::PooledConnection;
use crate::telemetry::chain;

/// Rows of one answer, unless the request says.
pub(crate) const LIMIT: i64 = 100;
/// Rows of one answer, at most.
pub(crate) const MOST: i64 = 1_000;

/// How many rows are answered.
pub(crate) fn limit(asked: Option<i64>) -> i64 {
    asked.unwrap_or(LIMIT).clamp(1, MOST)
}

/// Why a request is not answered as it was meant, in the API's form.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    /// With this status, code and message.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// A query that cannot be meant.
    fn query(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_query", message)
    }

    /// The database does not answer, which is logged.
    pub(crate) fn database(error: &(dyn std::error::Error + 'static)) -> Self {
        warn!(error = %chain(error), "the API cannot reach its rows");
        let message = "the database does not answer";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "database", message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        problem(self.status, self.code, &self.message)
    }
}

/// What the query asks for; a value that cannot be read is refused in the API's own form.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => Err(Refusal::query(error.body_text())),
        }
    }
}

/// A value that must be one of these, if it is given at all.
///
/// # Errors
/// The refusal, which names them.
pub(crate) fn one_of<'a>(
    name: &str,
    given: &'a str,
    known: &[&str],
) -> Result<Option<&'a str>, Refusal> {
    if given.is_empty() {
        return Ok(None);
    }
    if known.contains(&given) {
        return Ok(Some(given));
    }
    Err(Refusal::query(format!(
        "{name} must be one of {}",
        known.join(", ")
    )))
}

/// A text to look for, if it is given at all. PostgreSQL knows no NUL, so nothing has one.
pub(crate) fn text(given: &str) -> Option<String> {
    (!given.is_empty()).then(|| given.replace('\0', "\u{fffd}"))
}

/// A connection.
///
/// # Errors
/// The refusal.
pub(crate) async fn connection(state: &State) -> Result<PooledConnection, Refusal> {
    state
        .shared
        .pool
        .get()
        .await
        .map_err(|error| Refusal::database(&error))
}

/// A good answer.
pub(crate) fn good(data: &impl Serialize) -> Response {
    Json(json!({ "success": true, "data": data })).into_response()
}

/// A page of at most `limit` rows, and where the next begins.
pub(crate) fn page<T: Serialize>(rows: &[T], limit: i64, number: impl Fn(&T) -> i64) -> Response {
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
    let next = rows.last().filter(|_| is_full).map(number);
    good(&json!({ "count": rows.len(), "next": next, "results": rows }))
}
