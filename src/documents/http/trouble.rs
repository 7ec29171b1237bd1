//! Why a request of a tenant's is refused.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::warn;

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

    /// To be tried again after so many seconds.
    pub(in crate::documents) fn after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}

impl From<diesel::result::Error> for Trouble {
    fn from(error: diesel::result::Error) -> Self {
        Self::database(&error)
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
