//! How long requests take until they are answered: the body of the request included, that of the answer not.
//!
//! Told by class of route, so that there are as many series as the program has resources, whatever is asked for.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use crate::metrics;

/// Segments of a path that make a class, at most: `/api`, an area, a resource.
const SEGMENTS: usize = 3;

/// Times a request. One that nobody waits for any more counts too, or the slowest would not be seen.
pub(super) async fn timed(request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let timing = Timing {
        route: matched.map_or_else(|| "none".to_owned(), |path| class(path.as_str())),
        method: known(request.method()),
        began: Instant::now(),
        status: "gone",
    };
    let response = next.run(request).await;
    timing.answered(response.status());
    response
}

/// What a route is about: its path up to what varies, without the slash that it may end with.
fn class(route: &str) -> String {
    let fixed = route
        .split('/')
        .filter(|segment| !segment.is_empty())
        .take_while(|segment| !segment.starts_with('{'))
        .take(SEGMENTS);
    let fixed: Vec<&str> = fixed.collect();
    format!("/{}", fixed.join("/"))
}

/// The method, if it is one of those that are served: clients make up others.
fn known(method: &Method) -> &'static str {
    let served = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let names = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let mut all = served.iter().zip(names);
    all.find_map(|(served, name)| (served == method).then_some(name))
        .unwrap_or("other")
}

/// The class of a status.
fn of_status(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// A request under way. Counted when it is dropped, which is also what becomes of one whose client hangs up.
struct Timing {
    route: String,
    method: &'static str,
    began: Instant,
    status: &'static str,
}

impl Timing {
    fn answered(mut self, status: StatusCode) {
        self.status = of_status(status);
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        let route = std::mem::take(&mut self.route);
        metrics::http_answered(route, self.method, self.status, self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::{any, get};
    use futures_util::FutureExt as _;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::Service as _;

    use super::*;

    #[test]
    fn a_class_is_what_does_not_vary() {
        for (route, expected) in [
            ("/", "/"),
            ("/health", "/health"),
            ("/api/documents", "/api/documents"),
            ("/api/documents/{id}", "/api/documents"),
            ("/api/documents/{id}/text", "/api/documents"),
            ("/api/documents/upload-batch", "/api/documents/upload-batch"),
            ("/api/flags/{id}/close/", "/api/flags"),
            ("/api/crawl/{*rest}", "/api/crawl"),
            ("/api/crawl/pull/", "/api/crawl/pull"),
            ("/api/v1/workflows/{name}/{action}", "/api/v1/workflows"),
            ("/a/b/c/d/e", "/a/b/c"),
        ] {
            assert_eq!(class(route), expected, "{route}");
        }
    }

    fn request(method: &str, path: &str) -> Request {
        let request = Request::builder().method(method).uri(path);
        request.body(Body::empty()).expect("a request")
    }

    #[test]
    fn whatever_is_asked_the_series_are_few() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        ::metrics::with_local_recorder(&recorder, || {
            runtime.block_on(async {
                let inner = Router::new().route("/{id}/never", get(std::future::pending::<()>));
                let mut router = Router::new()
                    .route("/things/{id}", any(async || StatusCode::CONFLICT))
                    .nest("/things", inner)
                    .layer(from_fn(timed));
                for (method, path) in [
                    ("GET", "/things/1"),
                    ("GET", "/things/2?a=b"),
                    ("BREW", "/things/3"),
                    ("STIR", "/things/4"),
                    ("GET", "/nothing/of/ours"),
                ] {
                    router.call(request(method, path)).await.expect("answered");
                }
                let hung_up = router.call(request("GET", "/things/5/never"));
                assert!(hung_up.now_or_never().is_none());
            });
        });
        let shown = handle.render();
        let mut counts: Vec<&str> = shown
            .lines()
            .filter_map(|line| line.strip_prefix("gleaner_http_request_seconds_count"))
            .collect();
        counts.sort_unstable();
        assert_eq!(
            counts,
            [
                r#"{route="/things",method="GET",status="4xx"} 2"#,
                r#"{route="/things",method="GET",status="gone"} 1"#,
                r#"{route="/things",method="other",status="4xx"} 2"#,
                r#"{route="none",method="GET",status="4xx"} 1"#,
            ]
        );
    }
}
