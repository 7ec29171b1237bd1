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
use tracing::warn;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{KnownFormat, Required, SchemaFormat};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::openapi::{Responses, refusals, yes};
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
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Good<T> {
    #[schema(schema_with = yes)]
    success: bool,
    data: T,
}

impl<T> Good<T> {
    /// With this to tell.
    pub(crate) fn new(data: T) -> Self {
        Self {
            success: true,
            data,
        }
    }
}

/// Rows, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rows<T> {
    count: usize,
    results: Vec<T>,
}

/// A page of rows, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    count: usize,
    /// Where older rows begin; null when there are none.
    #[schema(required)]
    next: Option<i64>,
    results: Vec<T>,
}

/// A good answer.
pub(crate) fn good<T: Serialize>(data: T) -> Response {
    Json(Good::new(data)).into_response()
}

/// All there is.
pub(crate) fn rows<T: Serialize>(rows: Vec<T>) -> Response {
    good(Rows {
        count: rows.len(),
        results: rows,
    })
}

/// A page of at most `limit` rows, and where the next begins.
pub(crate) fn page<T: Serialize>(rows: Vec<T>, limit: i64, number: impl Fn(&T) -> i64) -> Response {
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
    good(Page {
        count: rows.len(),
        next: rows.last().filter(|_| is_full).map(number),
        results: rows,
    })
}

/// `limit`, as it is described.
pub(crate) fn described_limit() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .default(Some(LIMIT.into()))
        .description(Some(format!(
            "Rows of the answer: 1 to {MOST}; what is beyond that is taken for it."
        )))
        .build()
}

/// The refusals of a list, as they are described.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> Responses {
        refusals(&[("400", &["bad_query"])])
    }
}

/// What a request brings that changes one row, as it is described.
pub(crate) struct Numbered;

impl IntoParams for Numbered {
    fn into_params(_provider: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
        let id = ParameterBuilder::new()
            .name("id")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(number));
        let by = ParameterBuilder::new()
            .name("X-Requested-By")
            .parameter_in(ParameterIn::Header)
            .description(Some(
                "Any value; needed unless the body is JSON or a token is given.",
            ))
            .required(Required::False)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        vec![id.build(), by.build()]
    }
}

/// The refusals of a change to one row, as they are described: `unknown` if it is not, `conflict` if it is not in the state for it.
pub(crate) fn change_refusals(unknown: &'static str, conflict: &'static str) -> Responses {
    refusals(&[
        ("400", &["bad_body"]),
        ("403", &["cross_site"]),
        ("404", &[unknown]),
        ("409", &[conflict]),
        ("413", &["too_large", "bad_body"]),
    ])
}
