//! `/api/v1`: the status of this process, and what can be asked of a workflow.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`super::Status`] |
//! | `POST /workflows/{name}/pause` | stops the claims of a workflow on every node, until it is resumed |
//! | `POST /workflows/{name}/resume` | lets it claim again |
//! | `POST /workflows/{name}/run-now` | has every node claim now, without waiting for the interval |
//! | `POST /workflows/{name}/unpark` | starts the workflow again wherever it is parked |
//!
//! A POST is answered with 202 when the request is stored; every node carries it out as it hears of it, within milliseconds
//! as a rule. It needs the header `X-Requested-By` (any value), `Content-Type: application/json` or the admin token.

use axum::extract::{Path, State as Held};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use serde_json::json;
use tracing::{info, warn};

use super::{State, problem, status};
use crate::store::control;
use crate::telemetry::chain;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/status", get(show_status))
        .route("/workflows/{name}/{action}", post(act))
}

async fn show_status(Held(state): Held<State>) -> Response {
    Json(status::gather(&state).await).into_response()
}

/// What can be asked of a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Pause,
    Resume,
    RunNow,
    Unpark,
}

impl Action {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "pause" => Some(Self::Pause),
            "resume" => Some(Self::Resume),
            "run-now" => Some(Self::RunNow),
            "unpark" => Some(Self::Unpark),
            _ => None,
        }
    }

    /// A row, so that it reaches every node.
    async fn store(self, conn: &mut AsyncPgConnection, workflow: &str) -> QueryResult<()> {
        match self {
            Self::Pause => control::set_paused(conn, &[workflow], true).await,
            Self::Resume => control::set_paused(conn, &[workflow], false).await,
            Self::RunNow => control::request_run(conn, &[workflow]).await,
            Self::Unpark => control::request_unpark(conn, &[workflow]).await,
        }
    }
}

/// Fault injection: the workflow's actor of this process panics. Refused unless the configuration asks for rehearsals.
fn crash(state: &State, name: &str) -> Response {
    if !state.shared.config.get().engine.fault_injection {
        let message = "crashes are for rehearsals: set engine.fault_injection = true first";
        return problem(StatusCode::FORBIDDEN, "fault_injection_off", message);
    }
    let Some(tree) = state.shared.tree() else {
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "starting",
            "the actors are not up yet",
        );
    };
    warn!(workflow = name, "crash requested by the API");
    tree.crash(name);
    (
        StatusCode::ACCEPTED,
        Json(json!({ "workflow": name, "asked": "crash" })),
    )
        .into_response()
}

async fn act(Held(state): Held<State>, Path((name, action)): Path<(String, String)>) -> Response {
    let workflows = state.shared.workflows.get();
    let Some(known) = workflows.find(&name) else {
        let message = format!("there is no such workflow; there are {}", workflows.names());
        return problem(StatusCode::NOT_FOUND, "unknown_workflow", &message);
    };
    if action == "crash" {
        return crash(&state, &known.name);
    }
    let Some(action) = Action::parse(&action) else {
        let message = "the actions are pause, resume, run-now and unpark";
        return problem(StatusCode::NOT_FOUND, "unknown_action", message);
    };
    let stored = match state.shared.pool.get().await {
        Ok(mut connection) => action
            .store(&mut connection, &known.name)
            .await
            .map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    match stored {
        Ok(()) => {
            info!(workflow = &*known.name, ?action, "asked for over HTTP");
            let body = json!({ "workflow": &*known.name, "asked": name_of(action) });
            (StatusCode::ACCEPTED, Json(body)).into_response()
        }
        Err(error) => {
            warn!(
                workflow = &*known.name,
                ?action,
                error,
                "cannot store a request"
            );
            problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "database",
                "the database does not take the request; nothing was changed",
            )
        }
    }
}

fn name_of(action: Action) -> &'static str {
    match action {
        Action::Pause => "pause",
        Action::Resume => "resume",
        Action::RunNow => "run-now",
        Action::Unpark => "unpark",
    }
}
