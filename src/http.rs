//! Health, metrics, API and dashboard over HTTP. Loopback by default; anything else needs the admin token.
//!
//! Every answer comes in time and is JSON unless it is the metrics or a file of the dashboard; every error is
//! `{"error":{"code","message"}}`. The health checks and the dashboard's files need no token: neither holds any data.

mod api;
mod callback;
pub(crate) mod config;
mod dashboard;
pub(crate) mod guard;
pub(crate) mod listing;
pub(crate) mod openapi;
mod patience;
pub(crate) mod places;
pub(crate) mod serve;
pub(crate) mod status;
mod threads;
mod timing;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Held};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

pub use serve::Server;
pub use status::{Entity, NodeSummary, Status, Step};
pub use threads::Threads;

use crate::app::state::Shared;
use crate::health::{self, Probe};
use crate::metrics;
use crate::secret::Secret;

/// The code with which those are turned away for whom there is no place.
pub(crate) const NO_PLACE: &str = "too_many_connections";
/// The same in words.
pub(crate) const NO_PLACE_DETAIL: &str = "there are too many connections, from this address or in all; close those that idle, and try again";
/// When to try again, in seconds.
pub(crate) const NO_PLACE_RETRY: &str = "5";

/// What an area serves.
#[derive(Clone, Default)]
pub struct Routes {
    /// For operators: behind the admin token, where there is one, and the bounds of all requests.
    pub operators: Router<State>,
    /// For outsiders, under rights and bounds of the area's own; also on an address of its own.
    pub outsiders: Router<State>,
    /// What is said in the place of the second when there is no place for a client: that it should come again.
    pub turned_away: Router<State>,
    /// The first in `OpenAPI`.
    pub operators_api: OpenApi,
    /// The second.
    pub outsiders_api: OpenApi,
}

/// What an area adds to the status document, from the same look at the database.
#[derive(Clone, Copy)]
pub struct StatusPart {
    /// The fields, on top of the document.
    pub names: &'static [&'static str],
    /// Their values.
    pub look: for<'a> fn(&'a mut AsyncPgConnection) -> BoxFuture<'a, QueryResult<Vec<Value>>>,
    /// What the command line says of these values, in lines.
    pub tell: fn(&[Value]) -> Vec<String>,
}

/// What the handlers see.
#[derive(Clone)]
pub struct State {
    pub(crate) shared: Arc<Shared>,
    metrics: Option<PrometheusHandle>,
    admin_token: Secret,
    probe: Arc<Probe>,
    surroundings: Arc<status::Surroundings>,
    parts: Arc<Parts>,
}

/// What the areas bring.
struct Parts {
    routes: Vec<Routes>,
    status: Vec<StatusPart>,
    /// The descriptions of all that is served, and of what outsiders may see.
    described: String,
    described_to_outsiders: String,
}

impl State {
    /// `metrics` renders them, where this process collects any; `admin_token` may be empty; `routes` and `status` are what the
    /// areas serve and show.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        metrics: Option<PrometheusHandle>,
        admin_token: Secret,
        routes: Vec<Routes>,
        status: Vec<StatusPart>,
    ) -> Self {
        Self {
            shared,
            metrics,
            admin_token,
            probe: Arc::default(),
            surroundings: Arc::default(),
            parts: Arc::new(Parts {
                described: openapi::document(&routes).to_string(),
                described_to_outsiders: openapi::outsiders_document(&routes).to_string(),
                routes,
                status,
            }),
        }
    }

    async fn readiness(&self) -> health::Readiness {
        health::readiness(&self.shared, &self.probe).await
    }
}

/// All routes. `is_on_loopback` where only this machine can connect.
pub fn router(state: &State, is_on_loopback: bool) -> Router {
    let mut guarded = Router::new()
        .route("/metrics", get(render_metrics))
        .nest("/api/v1", api::routes());
    for area in &state.parts.routes {
        guarded = guarded.merge(area.operators.clone());
    }
    let guarded = guarded
        .layer(middleware::from_fn(guard::own_pages_only))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            guard::require_token,
        ));
    let mut router = Router::new()
        .route("/health", get(health_plain))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/api/openapi.json", get(describe))
        .merge(dashboard::routes())
        .merge(guarded)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(guard::small_body))
        .layer(DefaultBodyLimit::max(guard::MAX_BODY))
        .layer(middleware::from_fn(guard::in_time));
    // With bounds of their own.
    router = router.merge(callback::routes());
    for area in &state.parts.routes {
        router = router.merge(area.outsiders.clone());
    }
    if is_on_loopback && state.admin_token.is_empty() {
        router = router.layer(middleware::from_fn(guard::loopback_host_only));
    }
    finished(router, state)
}

/// What outsiders need, for an address of their own: what is served to them, and the plain health check.
pub fn outside_router(state: &State) -> Router {
    let mut router = Router::new()
        .route("/health", get(health_plain))
        .route("/api/openapi.json", get(describe_to_outsiders))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(guard::in_time));
    for area in &state.parts.routes {
        router = router.merge(area.outsiders.clone());
    }
    finished(router, state)
}

/// What is answered to those for whom there is no place: the health checks. All else is to come again.
fn spare_router(state: &State, is_outside: bool, is_on_loopback: bool) -> Router {
    let mut router = Router::new().route("/health", get(health_plain));
    if !is_outside {
        router = router
            .route("/health/live", get(live))
            .route("/health/ready", get(ready));
    }
    router = router
        .fallback(no_place)
        .layer(middleware::from_fn(guard::in_time));
    for area in &state.parts.routes {
        router = router.merge(area.turned_away.clone());
    }
    if is_on_loopback && state.admin_token.is_empty() {
        router = router.layer(middleware::from_fn(guard::loopback_host_only));
    }
    finished(router, state)
}

/// What holds for every request, on whichever address.
fn finished(router: Router<State>, state: &State) -> Router {
    router
        .layer(middleware::from_fn(guard::with_headers))
        .layer(middleware::from_fn(timing::timed))
        .with_state(state.clone())
}

async fn describe(Held(state): Held<State>) -> Response {
    json_text(state.parts.described.clone())
}

async fn describe_to_outsiders(Held(state): Held<State>) -> Response {
    json_text(state.parts.described_to_outsiders.clone())
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// The process answers. This exact body is what operators' checks compare with.
async fn health_plain() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        r#"{"status":"ok"}"#,
    )
        .into_response()
}

/// Fails when only a new start can help: the actors have stopped, or the one that answers for them all does not.
async fn live(Held(state): Held<State>) -> Response {
    match health::liveness(&state.shared).await {
        Ok(()) => health_plain().await,
        Err(reason) => {
            let body = json!({ "status": "error", "reason": reason });
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response()
        }
    }
}

async fn ready(Held(state): Held<State>, headers: HeaderMap) -> Response {
    let mut readiness = state.readiness().await;
    if readiness.reload_failure.is_some() && !guard::is_trusted(&state, &headers) {
        // The text may quote the value that is wrong, which may be a secret.
        readiness.reload_failure = Some("refused; the log and /api/v1/status say why".to_owned());
    }
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, axum::Json(readiness)).into_response()
}

async fn render_metrics(Held(state): Held<State>) -> Response {
    let Some(handle) = &state.metrics else {
        return problem(
            StatusCode::NOT_FOUND,
            "no_metrics",
            "this process collects no metrics",
        );
    };
    // Judged now, not when a ticker last did: that ticker may be what is broken.
    let readiness = state.readiness().await;
    metrics::ready(readiness.ready);
    for workflow in &readiness.workflows {
        metrics::workflow_healthy(&workflow.name, workflow.is_healthy());
    }
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        handle.render(),
    )
        .into_response()
}

async fn not_found() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is no such resource",
    )
}

async fn no_place() -> Response {
    let refused = problem(StatusCode::SERVICE_UNAVAILABLE, NO_PLACE, NO_PLACE_DETAIL);
    ([(header::RETRY_AFTER, NO_PLACE_RETRY)], refused).into_response()
}

async fn method_not_allowed() -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the resource does not know this method; see the header Allow",
    )
}

/// An error as the API words it.
pub(crate) fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": message } });
    (status, axum::Json(body)).into_response()
}
