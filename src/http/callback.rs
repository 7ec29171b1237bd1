//! `POST /api/v1/callback/TOKEN`: answers that come later. The token is all the protection there is and needed; whoever has none is
//! turned away before a byte of the body is read.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State as Held};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::warn;

use super::{State, problem};
use crate::callback::{CallbackError, MAX_ANSWER_BYTES, Verdict};
use crate::handlers::http::read_callback;
use crate::telemetry::chain;

/// Bodies that are read at a time: memory holds them.
static READERS: Semaphore = Semaphore::const_new(32);
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How much is heard of one that is too large, in bytes.
const MOST_HEARD: usize = 8 * MAX_ANSWER_BYTES;
/// How long the database may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Router<State> {
    Router::new().route("/api/v1/callback/{token}", post(take))
}

async fn take(Held(state): Held<State>, Path(token): Path<String>, request: Request) -> Response {
    let callbacks = &state.shared.callbacks;
    let id = match timeout(ANSWER_TIMEOUT, callbacks.recognise(&token)).await {
        Ok(Ok(Some(id))) => id,
        Ok(Ok(None)) => {
            return problem(
                StatusCode::NOT_FOUND,
                "unknown_token",
                "there is no such callback",
            );
        }
        Ok(Err(error)) => return unavailable(Some(&error)),
        Err(_elapsed) => return unavailable(None),
    };
    let Ok(Ok(_reading)) = timeout(PATIENCE, READERS.acquire()).await else {
        return unavailable(None);
    };
    let body = match timeout(BODY_TIMEOUT, read(request.into_body())).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            return problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                &format!(
                    "an answer has at most {MAX_ANSWER_BYTES} bytes, and all of them have to arrive"
                ),
            );
        }
        Err(_elapsed) => {
            return problem(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "the body did not arrive in time",
            );
        }
    };
    // As where the handler answers at once, nothing means that it is done.
    let body = body.trim_ascii();
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    if let Err(error) = read_callback(body) {
        return problem(StatusCode::BAD_REQUEST, "bad_answer", &chain(&error));
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return problem(
            StatusCode::BAD_REQUEST,
            "bad_answer",
            "the answer is not UTF-8",
        );
    };
    match timeout(ANSWER_TIMEOUT, callbacks.answer(&id, text)).await {
        Ok(Ok(Verdict::Taken)) => good("taken"),
        Ok(Ok(Verdict::Repeated)) => good("repeated"),
        Ok(Ok(Verdict::Another)) => problem(
            StatusCode::CONFLICT,
            "answered",
            "another answer was taken before this one",
        ),
        Ok(Ok(Verdict::Over)) => problem(
            StatusCode::GONE,
            "over",
            "nobody waits for this answer any more: the attempt is over",
        ),
        Ok(Err(error)) => unavailable(Some(&error)),
        Err(_elapsed) => unavailable(None),
    }
}

/// A body, if all of it comes and it is not too large. One that is, is heard out for a while: its sender would not read why otherwise.
async fn read(body: Body) -> Option<Vec<u8>> {
    let mut pieces = body.into_data_stream();
    let (mut kept, mut heard) = (Vec::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.ok()?;
        heard += piece.len();
        if heard <= MAX_ANSWER_BYTES {
            kept.extend_from_slice(&piece);
        } else if heard > MOST_HEARD {
            return None;
        }
    }
    (heard <= MAX_ANSWER_BYTES).then_some(kept)
}

fn good(status: &str) -> Response {
    axum::Json(json!({ "status": status })).into_response()
}

/// It is to come again.
fn unavailable(error: Option<&CallbackError>) -> Response {
    if let Some(error) = error {
        warn!(error = %chain(error), "a callback cannot be taken in");
    }
    let refused = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "the answer cannot be taken in now; send it again",
    );
    ([(header::RETRY_AFTER, "5")], refused).into_response()
}
