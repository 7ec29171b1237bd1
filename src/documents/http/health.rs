//! `GET /api/health`: whether the service can do what it is there for. Needs no key; looks at most once in some seconds, whoever asks.

use std::time::Duration;

use axum::extract::State as Held;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;
use utoipa::ToSchema;
use utoipa::openapi::Object;

use super::State;
use super::forms::Public;
use crate::documents::read;
use crate::http::openapi::one_of;
use crate::telemetry::chain;

/// How long what was seen holds.
const HOLDS: Duration = Duration::from_secs(3);
/// How long a check may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// What was last seen.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Option<(Instant, bool, Value)>>);

/// Whether all is well.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct Healthy {
    #[schema(schema_with = words)]
    status: String,
    service: String,
    version: String,
    checks: Checks,
}

/// What was looked at.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct Checks {
    #[schema(schema_with = outcomes)]
    database: String,
    #[schema(schema_with = outcomes)]
    storage: String,
    /// How long the document has waited that has waited longest; null if none waits.
    oldest_queued_seconds: Option<f64>,
}

fn words() -> Object {
    one_of(&["healthy", "unhealthy"])
}

fn outcomes() -> Object {
    one_of(&["ok", "failed"])
}

/// Whether the service can do what it is there for.
#[utoipa::path(
    get, path = "/api/health", operation_id = "health",
    responses(
        (status = 200, description = "It can.", body = Healthy),
        (status = 503, description = "It cannot.", body = Healthy), Public,
    ),
    security(()),
)]
pub(super) async fn health(Held(state): Held<State>) -> Response {
    // Whoever comes meanwhile waits for the look that is under way.
    let mut seen = state.health.0.lock().await;
    let (is_healthy, checks) = match &*seen {
        Some((at, is_healthy, checks)) if at.elapsed() < HOLDS => (*is_healthy, checks.clone()),
        _ => {
            let (is_healthy, checks) = look(&state).await;
            *seen = Some((Instant::now(), is_healthy, checks.clone()));
            (is_healthy, checks)
        }
    };
    drop(seen);
    let (status, word) = if is_healthy {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    };
    let answer = json!({
        "status": word,
        "service": "Gleaner",
        "version": env!("CARGO_PKG_VERSION"),
        "checks": checks,
    });
    (status, axum::Json(answer)).into_response()
}

async fn look(state: &State) -> (bool, Value) {
    let (database, storage) = tokio::join!(
        timeout(PATIENCE, oldest_wait(state)),
        timeout(PATIENCE, state.blobs.check())
    );
    let oldest = database.unwrap_or_else(|elapsed| Err(elapsed.to_string()));
    let storage = match storage {
        Ok(checked) => checked.map_err(|error| chain(&error)),
        Err(elapsed) => Err(elapsed.to_string()),
    };
    for (what, reason) in [
        ("database", oldest.as_ref().err()),
        ("storage", storage.as_ref().err()),
    ] {
        if let Some(reason) = reason {
            warn!(what, error = %reason, "the tenants' service is not healthy");
        }
    }
    let word = |is_well: bool| if is_well { "ok" } else { "failed" };
    let checks = json!({
        "database": word(oldest.is_ok()),
        "storage": word(storage.is_ok()),
        "oldest_queued_seconds": oldest.as_ref().ok().copied().flatten().map(f64::round),
    });
    (oldest.is_ok() && storage.is_ok(), checks)
}

async fn oldest_wait(state: &State) -> Result<Option<f64>, String> {
    let mut conn = state
        .shared
        .pool
        .get()
        .await
        .map_err(|error| chain(&error))?;
    read::oldest_wait(&mut conn)
        .await
        .map_err(|error| chain(&error))
}
