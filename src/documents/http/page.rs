//! The tenants' page at `/documents`: files compiled in, that ask the tenants' API.
//!
//! The page holds no data of its own, so it needs no key; whoever it is to serve signs in on it. It loads nothing from elsewhere, and
//! its policy says so.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};

use super::State;
use crate::http::guard;

/// Where it is.
pub(super) const PAGE: &str = "/documents";

/// What the page may do: load its own style, script and picture, ask this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files: address, type, text.
const FILES: [(&str, &str, &str); 5] = [
    (
        PAGE,
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    ),
    (
        "/documents/style.css",
        "text/css; charset=utf-8",
        include_str!("../page/style.css"),
    ),
    (
        "/documents/app.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/app.js"),
    ),
    (
        "/documents/upload.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/upload.js"),
    ),
    (
        "/documents/icon.svg",
        "image/svg+xml",
        include_str!("../page/icon.svg"),
    ),
];

pub(super) fn routes() -> Router<State> {
    let mut router = Router::new();
    for (address, kind, text) in FILES {
        router = router.route(address, get(move || async move { file(kind, text) }));
    }
    router.layer(middleware::from_fn(guard::in_time))
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
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for (file, _, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for foreign in ["http:", "https:", "\"//", "@import", "url("] {
                assert!(!text.contains(foreign), "{file} has {foreign}");
            }
            // The policy allows neither, and texts from outside must never become markup.
            for banned in [
                "style=",
                "onclick",
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "eval(",
                "document.write",
            ] {
                assert!(!text.contains(banned), "{file} has {banned}");
            }
        }
    }
}
