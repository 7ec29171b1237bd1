//! Why a request of a tenant's is refused.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::warn;

use crate::db::locks;
use crate::documents::document::Obstacle;
use crate::documents::metrics;
use crate::documents::quota::Refusal;
use crate::fault;
use crate::fault::Shortage;
use crate::telemetry::chain;

/// The refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::documents) struct Trouble {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<u32>,
}

impl Trouble {
    pub(in crate::documents) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// A request that cannot be meant.
    pub(in crate::documents) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// There is none; or it is somebody else's, which is the same.
    pub(in crate::documents) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such document",
        )
    }

    /// The same for every reason.
    pub(in crate::documents) fn stranger() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "an API key is needed, as Authorization: Bearer KEY",
        )
    }

    /// The key may look, and no more.
    pub(in crate::documents) fn read_only() -> Self {
        Self::new(StatusCode::FORBIDDEN, "read_only", "this key may only read")
    }

    /// Nothing was changed, and it may go well soon.
    pub(in crate::documents) fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(5),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
        }
    }

    pub(in crate::documents) fn database(error: &(dyn std::error::Error + 'static)) -> Self {
        warn!(error = %chain(error), "the tenants' API has no database");
        Self::unavailable(
            "the database does not answer; nothing was changed, or the same request tells what was",
        )
    }

    /// A statement was refused: for a lock that somebody else holds too long, or since the database does not answer.
    fn statement(error: &diesel::result::Error) -> Self {
        if locks::is_locked(error) {
            warn!(error = %chain(error), "somebody keeps locked what a tenant asks for");
            return Self::unavailable(
                "it is being written by somebody else, and that takes long; nothing was changed",
            )
            .after(2);
        }
        Self::database(error)
    }

    /// The place for files does not do what it is asked.
    pub(in crate::documents) fn storage(error: &(dyn std::error::Error + 'static)) -> Self {
        warn!(error = %chain(error), "the tenants' API cannot store a file");
        Self::unavailable(if fault::shortage(error) == Some(Shortage::Disk) {
            "the storage is full; nothing was kept"
        } else {
            "the storage does not answer; nothing was kept"
        })
    }

    /// As many uploads are received as can be.
    pub(in crate::documents) fn busy() -> Self {
        Self {
            code: "too_many_uploads",
            ..Self::unavailable("as many uploads are received as can be; try again")
        }
    }

    /// What a list of results tells of it.
    pub(in crate::documents) fn told(&self) -> (StatusCode, &'static str, &str) {
        (self.status, self.code, &self.detail)
    }

    /// To be tried again after so many seconds.
    pub(in crate::documents) fn after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}

/// What is said of a method that an address does not know.
pub(in crate::documents) async fn method_not_allowed() -> Trouble {
    Trouble::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the header Allow names the methods",
    )
}

impl From<diesel::result::Error> for Trouble {
    fn from(error: diesel::result::Error) -> Self {
        Self::statement(&error)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Quota { .. } => {
                metrics::quota_refused();
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "quota_exceeded", detail)
            }
            Refusal::Queue(_) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_queued", detail).after(30)
            }
            Refusal::Lapsed | Refusal::Vanished => Self::unavailable(detail),
            Refusal::Storage(error) => Self::storage(&error),
            Refusal::Database(error) => Self::statement(&error),
        }
    }
}

impl From<Obstacle> for Trouble {
    fn from(obstacle: Obstacle) -> Self {
        let detail = obstacle.to_string();
        match obstacle {
            Obstacle::NotFound => Self::not_found(),
            Obstacle::Status { .. } => Self::new(StatusCode::CONFLICT, "wrong_status", detail),
            Obstacle::Hopeless(_) => Self::new(StatusCode::CONFLICT, "not_retryable", detail),
            Obstacle::Elsewhere(what) => Self::unavailable(what),
            Obstacle::Refused(refusal) => refusal.into(),
            Obstacle::Database(error) => Self::statement(&error),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let body = json!({ "success": false, "error": self.detail, "code": self.code });
        let mut response = (self.status, axum::Json(body)).into_response();
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
