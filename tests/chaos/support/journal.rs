//! A web on loopback that writes down every request: who asked, for what, and when.
//!
//! The journal is the tests' own witness: what the program did outside is read here, never from its tables.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use http::{HeaderName, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// When it arrived.
    pub(crate) at: Instant,
    /// What the client calls itself; every process of a test has a name of its own.
    pub(crate) agent: String,
    /// The host asked for.
    pub(crate) host: String,
    /// Path and query.
    pub(crate) path: String,
}

/// Which requests wait until the test lets them go.
pub(crate) type Gate = Arc<dyn Fn(&Entry) -> bool + Send + Sync>;

/// What stands behind the journal.
enum Behind {
    /// Small sites: every host answers every path with a page that carries one address, after this long.
    Sites(Duration),
    /// Another web; its answers are passed on as they are.
    Web(SocketAddr, reqwest::Client),
}

struct State {
    behind: Behind,
    entries: Mutex<Vec<Entry>>,
    gate: watch::Sender<Option<Gate>>,
}

/// The running web; stops answering when it is dropped.
pub(crate) struct Journal {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl Journal {
    /// Small sites of its own, each answer after `delay`.
    pub(crate) async fn sites(delay: Duration) -> Self {
        Self::start(Behind::Sites(delay)).await
    }

    /// A journal before another web.
    pub(crate) async fn before(web: SocketAddr) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_gzip()
            .no_brotli()
            .no_proxy()
            .build()
            .unwrap();
        Self::start(Behind::Web(web, client)).await
    }

    async fn start(behind: Behind) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            behind,
            entries: Mutex::default(),
            gate: watch::Sender::new(None),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }

    /// Requests for which `gate` is true wait from now on, until it is replaced by one that lets them go.
    pub(crate) fn hold(&self, gate: impl Fn(&Entry) -> bool + Send + Sync + 'static) {
        self.state.gate.send_replace(Some(Arc::new(gate)));
    }

    /// Nothing waits any longer.
    pub(crate) fn open(&self) {
        self.state.gate.send_replace(None);
    }

    /// The requests so far for which `wanted` is true.
    pub(crate) fn entries(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let entries = self.state.entries.lock().unwrap();
        entries
            .iter()
            .filter(|entry| wanted(entry))
            .cloned()
            .collect()
    }

    /// How many requests there were so far for which `wanted` is true.
    pub(crate) fn count(&self, wanted: impl Fn(&Entry) -> bool) -> usize {
        self.entries(wanted).len()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Owned by this task, so that its end cuts every connection.
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _peer)) = listener.accept().await {
            let state = Arc::clone(&state);
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { respond(&state, request).await }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            connections.spawn(async move { drop(connection.await) });
        }
        while connections.try_join_next().is_some() {}
    }
}

/// The answer; an error closes the connection without one, as a dead host behind the journal does.
async fn respond(
    state: &State,
    request: Request<Incoming>,
) -> Result<Response<Body>, reqwest::Error> {
    let text = |name: HeaderName| {
        let value = request.headers().get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let path = request.uri().path_and_query();
    let entry = Entry {
        at: Instant::now(),
        agent: text(USER_AGENT),
        host: text(HOST),
        path: path.map_or("/", |path| path.as_str()).to_owned(),
    };
    state.entries.lock().unwrap().push(entry.clone());
    let mut gate = state.gate.subscribe();
    // An error means that the journal is gone.
    drop(
        gate.wait_for(|gate| !gate.as_ref().is_some_and(|holds| holds(&entry)))
            .await,
    );
    match &state.behind {
        Behind::Sites(delay) => {
            tokio::time::sleep(*delay).await;
            Ok(page(&entry))
        }
        Behind::Web(address, client) => pass_on(client, *address, &entry, &text(COOKIE)).await,
    }
}

fn page(entry: &Entry) -> Response<Body> {
    let (status, content_type, text) = if entry.path == "/robots.txt" {
        (
            StatusCode::NOT_FOUND,
            "text/plain",
            "not found\n".to_owned(),
        )
    } else {
        let host = &entry.host;
        let text = format!(
            "<html><head><title>{host}</title></head><body><p>Write to \
             <a href=\"mailto:office@{host}\">office@{host}</a>.</p></body></html>"
        );
        (StatusCode::OK, "text/html; charset=utf-8", text)
    };
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .body(Body::from(text))
        .unwrap()
}

async fn pass_on(
    client: &reqwest::Client,
    web: SocketAddr,
    entry: &Entry,
    cookies: &str,
) -> Result<Response<Body>, reqwest::Error> {
    loop {
        let url = format!("http://{web}{}", entry.path);
        let mut request = client.get(url).header(HOST, &entry.host);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        let answer = request.send().await?;
        let mut response = Response::builder().status(answer.status());
        for name in [
            "content-type",
            "content-encoding",
            "location",
            "refresh",
            "retry-after",
            "set-cookie",
        ] {
            if let Some(value) = answer.headers().get(name) {
                response = response.header(name, value);
            }
        }
        let body = answer.bytes().await?;
        // The quota's rest of a minute has tests of its own; here it would only make everybody wait.
        if !body.windows(16).any(|part| part == b"OVER_QUERY_LIMIT") {
            return Ok(response.body(Body::from(body)).unwrap());
        }
    }
}
