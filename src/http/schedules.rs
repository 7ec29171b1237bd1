//! `/api/v1/schedules`: what fires by itself, and what can be asked of it.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/schedules` | all schedules, by name |
//! | `GET /api/v1/schedules/{name}` | one, with its next times and its last firings |
//! | `POST /api/v1/schedules/{name}/pause` | does not fire on any node until it is resumed; a firing under way goes on |
//! | `POST /api/v1/schedules/{name}/resume` | fires again, from its next time on |
//! | `POST /api/v1/schedules/{name}/run-now` | fires once, at once, also while it is paused |
//!
//! A POST is answered with 202 when the request is stored, as those of workflows are.

use axum::Json;
use axum::Router;
use axum::extract::{Path, State as Held};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::info;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, Required};
use utoipa::{IntoResponses, Modify, OpenApi as Describe, ToSchema};

use super::listing::{self, Good, Refusal, Rows};
use super::openapi::{Responses, one_of, refusals};
use super::{Routes, State};
use crate::store::schedule::definition::Defined;
use crate::store::schedule::state;
use crate::store::schedule::view::{self, Firing, View};

/// What can be asked of a schedule.
const ACTIONS: [&str; 3] = ["pause", "resume", "run-now"];
/// Firings that are shown of one schedule.
const FIRINGS: i64 = 20;
/// Times to come that are shown of one schedule.
const UPCOMING: usize = 5;
/// Who asks, as far as is known.
const BY: &str = "the API";

/// All routes, and their description.
pub(super) fn routes() -> Routes {
    Routes {
        operators: Router::new()
            .route("/api/v1/schedules", get(list))
            .route("/api/v1/schedules/{name}", get(show))
            .route("/api/v1/schedules/{name}/{action}", post(act)),
        operators_api: described(),
        ..Routes::default()
    }
}

/// The description of the routes.
pub(super) fn described() -> OpenApi {
    Described::openapi()
}

#[derive(Describe)]
#[openapi(info(title = "schedules", description = ""), paths(list, show, act), modifiers(&Admin))]
struct Described;

/// Says how operators are known.
struct Admin;

impl Modify for Admin {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("http.admin_token, where one is set."))
            .build();
        if let Some(components) = &mut document.components {
            components.add_security_scheme("admin", SecurityScheme::Http(scheme));
        }
    }
}

/// The refusals of a look, as they are described.
struct Looks;

impl IntoResponses for Looks {
    fn responses() -> Responses {
        refusals(&[("404", &["unknown_schedule"])])
    }
}

/// The refusals of a request, as they are described.
struct Requests;

impl IntoResponses for Requests {
    fn responses() -> Responses {
        refusals(&[
            ("403", &["cross_site"]),
            ("404", &["unknown_schedule", "unknown_action"]),
            ("409", &["not_enabled"]),
        ])
    }
}

fn text(name: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
}

/// Which schedule is meant, as it is described.
struct OfName;

impl utoipa::IntoParams for OfName {
    fn into_params(_provider: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![text("name").build()]
    }
}

/// What is asked of which schedule, as it is described.
struct Asked;

impl utoipa::IntoParams for Asked {
    fn into_params(_provider: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let action = text("action").schema(Some(one_of(&ACTIONS)));
        let by = ParameterBuilder::new()
            .name("X-Requested-By")
            .parameter_in(ParameterIn::Header)
            .description(Some("Any value; needed unless a token is given."))
            .required(Required::False)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        vec![text("name").build(), action.build(), by.build()]
    }
}

/// A schedule, with what comes and what was.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduleShown)]
struct Shown {
    schedule: View,
    /// Its next times, before any jitter.
    #[schema(value_type = Vec<String>)]
    upcoming: Vec<DateTime<Utc>>,
    /// Its last firings, the newest first.
    firings: Vec<Firing>,
}

/// A request that was stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduleAsked)]
struct Stored {
    schedule: String,
    asked: String,
}

fn defined(state: &State) -> Vec<Defined> {
    state.shared.config.get().schedules.defined()
}

async fn views(state: &State, defined: &[Defined]) -> Result<Vec<View>, Refusal> {
    let all: Vec<&Defined> = defined.iter().collect();
    let mut conn = listing::connection(state).await?;
    view::views(&mut conn, &all)
        .await
        .map_err(|error| Refusal::database(&error))
}

fn unknown(views: &[View]) -> Refusal {
    let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
    let message = if names.is_empty() {
        "there are no schedules".to_owned()
    } else {
        format!("there is no such schedule; there are {}", names.join(", "))
    };
    Refusal::new(StatusCode::NOT_FOUND, "unknown_schedule", message)
}

/// All schedules: those of the configuration, and those that were in one before.
#[utoipa::path(
    get, path = "/api/v1/schedules", operation_id = "schedules",
    responses((status = 200, description = "Schedules, maybe none.", body = Good<Rows<View>>), listing::Refusals),
    security(("admin" = []), ()),
)]
async fn list(Held(state): Held<State>) -> Result<Response, Refusal> {
    Ok(listing::rows(views(&state, &defined(&state)).await?))
}

/// One schedule, with its next times and its last firings.
#[utoipa::path(
    get, path = "/api/v1/schedules/{name}", operation_id = "schedule", params(OfName),
    responses((status = 200, description = "The schedule.", body = Good<Shown>), Looks),
    security(("admin" = []), ()),
)]
async fn show(Held(state): Held<State>, Path(name): Path<String>) -> Result<Response, Refusal> {
    let defined = defined(&state);
    let views = views(&state, &defined).await?;
    let Some(view) = views.iter().find(|view| view.name == name) else {
        return Err(unknown(&views));
    };
    let mut conn = listing::connection(&state).await?;
    let firings = view::firings(&mut conn, &name, FIRINGS)
        .await
        .map_err(|error| Refusal::database(&error))?;
    let now = state::now(&mut conn)
        .await
        .map_err(|error| Refusal::database(&error))?;
    let own = defined.iter().find(|own| own.name == name);
    Ok(listing::good(Shown {
        upcoming: own.map_or_else(Vec::new, |own| view.upcoming(own, now, UPCOMING)),
        schedule: view.clone(),
        firings,
    }))
}

/// Pauses, resumes or fires a schedule, on every node.
#[utoipa::path(
    post, path = "/api/v1/schedules/{name}/{action}", operation_id = "askSchedule", params(Asked),
    responses((status = 202, description = "The request is stored.", body = Stored), Requests),
    security(("admin" = []), ()),
)]
async fn act(
    Held(state): Held<State>,
    Path((name, action)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let defined = defined(&state);
    let views = views(&state, &defined).await?;
    if views.iter().all(|view| view.name != name) {
        return Err(unknown(&views));
    }
    if !ACTIONS.contains(&action.as_str()) {
        let message = "the actions are pause, resume and run-now";
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "unknown_action",
            message,
        ));
    }
    if action == "run-now" && defined.iter().all(|own| own.name != name) {
        let message = "the configuration has no such schedule, or it is not enabled";
        return Err(Refusal::new(StatusCode::CONFLICT, "not_enabled", message));
    }
    let mut conn = listing::connection(&state).await?;
    let stored = match action.as_str() {
        "run-now" => state::request_run(&mut conn, &[&name], BY).await,
        action => state::set_paused(&mut conn, &[&name], action == "pause", BY).await,
    };
    stored.map_err(|error| Refusal::database(&error))?;
    info!(schedule = name, action, "asked for over HTTP");
    let stored = Stored {
        schedule: name,
        asked: action,
    };
    Ok((StatusCode::ACCEPTED, Json(stored)).into_response())
}
