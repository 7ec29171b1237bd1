//! Bounds of the requests that are answered at once: their bodies are small, and they end in time.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};

use super::State;
use super::trouble::Trouble;
use crate::http::guard::MAX_BODY;

/// Longest time of one, its body included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Routes within these bounds.
pub(super) fn short(routes: Router<State>) -> Router<State> {
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(in_time))
}

/// Answers within the time, whatever happens.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Trouble::unavailable("no answer could be had in time").into_response(),
    }
}
