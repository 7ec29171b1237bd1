//! A small web on loopback: pages by host and path, with a script of answers where they change.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode, header};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// More than any test sends.
const MAX_BODY_BYTES: usize = 1 << 20;

/// What a path answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// 200 with this content.
    pub(crate) fn of(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
        }
    }

    /// A page.
    pub(crate) fn html(body: &str) -> Self {
        Self::of("text/html; charset=utf-8", body)
    }

    /// An XML file.
    pub(crate) fn xml(body: impl Into<Vec<u8>>) -> Self {
        Self::of("application/xml", body)
    }

    /// JSON.
    pub(crate) fn json(body: &str) -> Self {
        Self::of("application/json", body)
    }

    /// Nothing but a status.
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A redirect.
    pub(crate) fn redirect(to: &str) -> Self {
        Self::status(302).with("location", to)
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) at: Instant,
    /// Host and path with query, as `shop.com/contact?x=1`.
    pub(crate) place: String,
    pub(crate) headers: header::HeaderMap,
    pub(crate) body: String,
}

#[derive(Default)]
struct Content {
    /// By host and path without query; the last answer of a script stays.
    answers: HashMap<String, Vec<Answer>>,
    /// For whatever of a host is not named.
    fallbacks: HashMap<String, Answer>,
    /// For whatever is named nowhere: what a place (with its query) answers.
    maker: Option<Maker>,
    hits: Vec<Hit>,
}

type Maker = Box<dyn Fn(&str) -> Option<Answer> + Send>;

/// The web; stops when dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    content: Arc<Mutex<Content>>,
    serving: JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Site {
    /// An empty web: 404 everywhere.
    #[expect(
        clippy::disallowed_methods,
        reason = "the server's own task, ended with it"
    )]
    pub(crate) async fn start() -> Self {
        let content = Arc::new(Mutex::new(Content::default()));
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&content));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            content,
            serving,
        }
    }

    /// What `place` (host and path) answers.
    pub(crate) fn put(&self, place: &str, answer: Answer) {
        self.script(place, vec![answer]);
    }

    /// What it answers one after the other; the last one for good.
    pub(crate) fn script(&self, place: &str, mut answers: Vec<Answer>) {
        answers.reverse();
        self.content
            .lock()
            .unwrap()
            .answers
            .insert(place.to_owned(), answers);
    }

    /// What every other path of a host answers.
    pub(crate) fn fallback(&self, host: &str, answer: Answer) {
        self.content
            .lock()
            .unwrap()
            .fallbacks
            .insert(host.to_owned(), answer);
    }

    /// What a web without end answers: asked for every place (host, path and query) that is named nowhere.
    pub(crate) fn make(&self, maker: impl Fn(&str) -> Option<Answer> + Send + 'static) {
        self.content.lock().unwrap().maker = Some(Box::new(maker));
    }

    /// The requests so far whose place starts with this.
    pub(crate) fn hits(&self, prefix: &str) -> Vec<Hit> {
        self.content
            .lock()
            .unwrap()
            .hits
            .iter()
            .filter(|hit| hit.place.starts_with(prefix))
            .cloned()
            .collect()
    }
}

async fn answer(State(content): State<Arc<Mutex<Content>>>, request: Request) -> Response<Body> {
    let (request, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await.unwrap();
    let host = request
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let place = format!("{host}{}", request.uri.path());
    let mut content = content.lock().unwrap();
    let query = request
        .uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    content.hits.push(Hit {
        at: Instant::now(),
        place: format!("{place}{query}"),
        headers: request.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let answer = match content.answers.get_mut(&place) {
        Some(script) if script.len() > 1 => script.pop(),
        Some(script) => script.last().cloned(),
        None => content.fallbacks.get(&host).cloned().or_else(|| {
            let made = content.maker.as_ref()?;
            made(&format!("{place}{query}"))
        }),
    };
    let answer = answer.unwrap_or_else(|| Answer::status(404));
    let mut response = Response::builder().status(StatusCode::from_u16(answer.status).unwrap());
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}
