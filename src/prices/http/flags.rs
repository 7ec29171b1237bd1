//! `/api/flags/`: what needs a person's eye, to be looked through and closed from other programs. Needs the admin token where
//! there is one.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/flags/?status=&kind=&domain=&limit=&before=` | flags, newest first: the open ones, those of one status, or `all` |
//! | `POST /api/flags/{id}/close/` | closes it: `{"as": "resolved"}` or `"wont_fix"`, and `"by"` whom; the flag |
//! | `POST /api/flags/{id}/reopen/` | opens it again; the flag |

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State as Held};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use tracing::info;
use utoipa::openapi::Object;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoResponses, ToSchema};

use crate::db::PooledConnection;
use crate::http::State;
use crate::http::listing;
use crate::http::listing::{Asked, Good, Numbered, Page, Refusal, Refusals};
use crate::http::openapi::{Responses, one_of};
use crate::prices::flag;
use crate::prices::flag::{Filter, Flag, KINDS, OPEN, STATUSES, kinds};

/// The states in which a flag may be closed.
const ENDS: [&str; 2] = ["resolved", "wont_fix"];
/// The longest name of who closes one, in characters.
const MAX_NAME: usize = 100;

pub(crate) fn routes() -> Router<State> {
    let mut router = Router::new();
    for slash in ["", "/"] {
        router = router
            .route(&format!("/api/flags{slash}"), get(list))
            .route(&format!("/api/flags/{{id}}/close{slash}"), post(close))
            .route(&format!("/api/flags/{{id}}/reopen{slash}"), post(reopen));
    }
    router
}

/// What can be asked; anything else in the query is of no interest.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Wanted {
    #[param(schema_with = known_statuses)]
    status: String,
    #[param(schema_with = kinds)]
    kind: String,
    /// Of this site, by its registrable domain.
    domain: String,
    #[param(schema_with = listing::described_limit)]
    limit: Option<i64>,
    /// Goes on with older rows: the next of the answer before.
    before: Option<i64>,
}

/// What may be asked of the status.
fn statuses() -> Vec<&'static str> {
    ["open", "all"].into_iter().chain(STATUSES).collect()
}

fn known_statuses() -> Object {
    one_of(&statuses())
}

/// What needs a person's eye, newest first; the open ones unless a status is given.
#[utoipa::path(
    get, path = "/api/flags/", operation_id = "flags", params(Wanted),
    responses((status = 200, description = "Rows, maybe none.", body = Good<Page<Flag>>), Refusals),
    security(("admin" = []), ()),
)]
async fn list(Held(state): Held<State>, Asked(wanted): Asked<Wanted>) -> Result<Response, Refusal> {
    let status = listing::one_of("status", &wanted.status, &statuses())?;
    let one = [status.unwrap_or_default()];
    let domain = listing::text(&wanted.domain);
    let filter = Filter {
        statuses: match status {
            None | Some("open") => &OPEN,
            Some("all") => &[],
            Some(_) => &one,
        },
        kind: listing::one_of("kind", &wanted.kind, &KINDS)?,
        domain: domain.as_deref(),
        before: wanted.before,
        ..Filter::default()
    };
    let limit = listing::limit(wanted.limit);
    let mut conn = listing::connection(&state).await?;
    let flags = flag::list(&mut conn, &filter, limit)
        .await
        .map_err(|error| Refusal::database(&error))?;
    Ok(listing::page(flags, limit, |flag| flag.id))
}

/// How a flag is closed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Close)]
struct End {
    #[schema(schema_with = ends)]
    r#as: String,
    #[schema(schema_with = names)]
    by: String,
}

fn ends() -> Object {
    let mut ends = one_of(&ENDS);
    ends.default = Some(End::default().r#as.into());
    ends
}

fn names() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(MAX_NAME))
        .default(Some(End::default().by.into()))
        .build()
}

impl Default for End {
    fn default() -> Self {
        Self {
            r#as: "resolved".to_owned(),
            by: "operator".to_owned(),
        }
    }
}

impl End {
    /// Reads a body, which may be empty.
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let refuse = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, "bad_body", message);
        if body.is_empty() {
            return Ok(Self::default());
        }
        let end: Self = serde_json::from_slice(body)
            .map_err(|error| refuse(&format!("the body is not what it should be: {error}")))?;
        if !ENDS.contains(&end.r#as.as_str()) {
            return Err(refuse("as must be one of resolved, wont_fix"));
        }
        if end.by.is_empty() || end.by.chars().count() > MAX_NAME || end.by.contains('\0') {
            return Err(refuse("by must be a name of 1 to 100 characters"));
        }
        Ok(end)
    }
}

/// Why a flag is not closed.
struct NotClosed;

impl IntoResponses for NotClosed {
    fn responses() -> Responses {
        listing::change_refusals("no_flag", "not_open")
    }
}

/// Closes a flag.
#[utoipa::path(
    post, path = "/api/flags/{id}/close/", operation_id = "closeFlag", params(Numbered), request_body = End,
    responses((status = 200, description = "The row as it is now.", body = Good<Flag>), NotClosed),
    security(("admin" = []), ()),
)]
async fn close(
    Held(state): Held<State>,
    Path(number): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body = body.map_err(|error| Refusal::new(error.status(), "bad_body", error.body_text()))?;
    let end = End::read(&body)?;
    let mut conn = listing::connection(&state).await?;
    let id = known(&mut conn, &number).await?.id;
    let closed = flag::resolve(&mut conn, &[id], &end.r#as, &end.by)
        .await
        .map_err(|error| Refusal::database(&error))?;
    if closed == 0 {
        let message = "the flag is closed already";
        return Err(Refusal::new(StatusCode::CONFLICT, "not_open", message));
    }
    info!(flag = id, status = end.r#as, by = end.by, "flag closed");
    Ok(listing::good(known(&mut conn, &number).await?))
}

/// Why a flag is not opened again.
struct NotReopened;

impl IntoResponses for NotReopened {
    fn responses() -> Responses {
        listing::change_refusals("no_flag", "not_closed")
    }
}

/// Opens a closed flag again.
#[utoipa::path(
    post, path = "/api/flags/{id}/reopen/", operation_id = "reopenFlag", params(Numbered),
    responses((status = 200, description = "The row as it is now.", body = Good<Flag>), NotReopened),
    security(("admin" = []), ()),
)]
async fn reopen(Held(state): Held<State>, Path(number): Path<String>) -> Result<Response, Refusal> {
    let mut conn = listing::connection(&state).await?;
    let id = known(&mut conn, &number).await?.id;
    let is_open = flag::reopen(&mut conn, id)
        .await
        .map_err(|error| Refusal::database(&error))?;
    if !is_open {
        let message = "the flag is open already, or another of its kind is about the same";
        return Err(Refusal::new(StatusCode::CONFLICT, "not_closed", message));
    }
    info!(flag = id, "flag opened again");
    Ok(listing::good(known(&mut conn, &number).await?))
}

/// The flag of this number, as it is now.
async fn known(conn: &mut PooledConnection, number: &str) -> Result<Flag, Refusal> {
    let filter = Filter {
        // No flag has the number 0.
        ids: &[number.parse().unwrap_or(0)],
        ..Filter::default()
    };
    let found = flag::list(conn, &filter, 1)
        .await
        .map_err(|error| Refusal::database(&error))?;
    let none = || Refusal::new(StatusCode::NOT_FOUND, "no_flag", "there is no such flag");
    found.into_iter().next().ok_or_else(none)
}
