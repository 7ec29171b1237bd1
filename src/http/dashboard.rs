//! The dashboard at `/`: three files, compiled in, that read `/api/v1/status`.
//!
//! The page holds no data of its own, so it needs no token; it asks for one when the API does. It loads nothing from
//! elsewhere, and its policy says so.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::State;

/// What the page may do: load its own style, script and picture, ask this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/", get(page))
        .route("/dashboard.css", get(style))
        .route("/dashboard.js", get(script))
        .route("/favicon.svg", get(icon))
}

async fn page() -> Response {
    file(
        "text/html; charset=utf-8",
        include_str!("dashboard/index.html"),
    )
}

async fn style() -> Response {
    file(
        "text/css; charset=utf-8",
        include_str!("dashboard/dashboard.css"),
    )
}

async fn script() -> Response {
    file(
        "text/javascript; charset=utf-8",
        include_str!("dashboard/dashboard.js"),
    )
}

async fn icon() -> Response {
    file("image/svg+xml", include_str!("dashboard/favicon.svg"))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            // A new version of the program brings new files under the same names.
            (header::CACHE_CONTROL, "no-cache"),
        ],
        text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for (file, text) in [
            ("index.html", include_str!("dashboard/index.html")),
            ("dashboard.css", include_str!("dashboard/dashboard.css")),
            ("dashboard.js", include_str!("dashboard/dashboard.js")),
            ("favicon.svg", include_str!("dashboard/favicon.svg")),
        ] {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for foreign in ["http:", "https:", "\"//", "@import", "url("] {
                assert!(!text.contains(foreign), "{file} has {foreign}");
            }
            // The policy allows neither, and texts from outside must never become markup.
            for banned in ["style=", "onclick", "innerHTML", "insertAdjacent", "eval("] {
                assert!(!text.contains(banned), "{file} has {banned}");
            }
        }
    }
}
