//! Answers for every host of the demo's web on one loopback port, and keeps account of who asked for what.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use encoding_rs::WINDOWS_1252;
use http::header::{ALLOW, CONTENT_TYPE, COOKIE, HOST, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::debug;

use super::folder::{self, SavedHosts};
use super::model::{Behaviour, PageKind, Site, SitemapForm};
use super::places::{self, PLACES_HOST, PLACES_PATH, Place};
use super::{DemoError, Hosts, render, sitemaps};

/// How many violations [`Stats`] keeps; more are only counted by host.
const KEPT_VIOLATIONS: usize = 100;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What there is to serve.
#[derive(Debug)]
pub(crate) struct Content {
    places: HashMap<String, Place>,
    sites: Sites,
    /// Positions in [`Sites::Generated`] by registrable host.
    site_of_host: HashMap<String, usize>,
}

#[derive(Debug)]
pub(crate) enum Sites {
    Generated(Vec<Site>),
    Saved(SavedHosts),
}

impl Content {
    pub(crate) fn new(places: Vec<Place>, sites: Sites) -> Self {
        let site_of_host = match &sites {
            Sites::Generated(sites) => sites
                .iter()
                .enumerate()
                .map(|(position, site)| (site.host.clone(), position))
                .collect(),
            Sites::Saved(_) => HashMap::new(),
        };
        let places = places
            .into_iter()
            .map(|place| (place.place_id.clone(), place))
            .collect();
        Self {
            places,
            sites,
            site_of_host,
        }
    }

    pub(crate) fn is_generated(&self) -> bool {
        matches!(self.sites, Sites::Generated(_))
    }

    pub(crate) fn host_kinds(&self) -> Vec<(&str, Behaviour, SitemapForm)> {
        match &self.sites {
            Sites::Generated(sites) => sites
                .iter()
                .map(|site| (site.host.as_str(), site.behaviour, site.sitemap_form))
                .collect(),
            Sites::Saved(_) => Vec::new(),
        }
    }

    fn site(&self, host: &str) -> Option<&Site> {
        let Sites::Generated(sites) = &self.sites else {
            return None;
        };
        let bare = host.strip_prefix("www.").unwrap_or(host);
        self.site_of_host
            .get(bare)
            .and_then(|position| sites.get(*position))
    }

    fn saved_folder(&self, host: &str) -> Option<&Path> {
        match &self.sites {
            Sites::Saved(hosts) => folder::folder_of(hosts, host),
            Sites::Generated(_) => None,
        }
    }
}

/// What a host was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HostStats {
    /// All requests, the refused ones included.
    pub requests: u64,
    /// The most requests that were open at once.
    pub max_concurrent: u32,
    /// The shortest time between the beginnings of two requests, `robots.txt` aside because it is what tells the delay;
    /// `None` with fewer than two.
    pub shortest_gap: Option<Duration>,
    /// Requests for a path that `robots.txt` disallows.
    pub violations: u64,
}

/// A request for a path that the host's `robots.txt` disallows. Counted for generated hosts only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The host as asked for.
    pub host: String,
    /// The path.
    pub path: String,
}

/// The account of all requests so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests to hosts of the web; those to the Places API and to unknown hosts not included.
    pub requests: u64,
    /// Requests to the Places API.
    pub places_requests: u64,
    /// Requests for hosts that this web does not have.
    pub unknown_host_requests: u64,
    /// By host as asked for, with or without `www.`.
    pub hosts: BTreeMap<String, HostStats>,
    /// The first violations of `robots.txt`.
    pub violations: Vec<Violation>,
}

#[derive(Debug, Default)]
struct Account {
    stats: Stats,
    open: HashMap<String, Open>,
    /// Requests so far by flaky host and path.
    flaky_requests: HashMap<(String, String), u32>,
}

#[derive(Debug, Default)]
struct Open {
    requests: u32,
    last_begin: Option<Instant>,
}

#[derive(Debug)]
struct State {
    content: Arc<Content>,
    /// Hosts that others planted.
    others: Vec<Arc<dyn Hosts>>,
    account: Mutex<Account>,
}

impl State {
    fn account(&self) -> MutexGuard<'_, Account> {
        // Counters are whole at every step, so a panic elsewhere spoils nothing.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running web; stops answering when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where every host of the web is found.
    pub address: SocketAddr,
    state: Arc<State>,
    tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(
        content: Arc<Content>,
        others: Vec<Arc<dyn Hosts>>,
    ) -> Result<Self, DemoError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(DemoError::Listen)?;
        let address = listener.local_addr().map_err(DemoError::Listen)?;
        let state = Arc::new(State {
            content,
            others,
            account: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            tasks,
        })
    }

    /// The account of all requests so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state.account().stats.clone()
    }

    /// Stops answering, cuts open connections, and waits until all is down.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Owned by this task, so that aborting it cuts every connection.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                connections.spawn(serve_connection(stream, Arc::clone(&state)));
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must close first.
                debug!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, state: Arc<State>) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "set_nodelay failed");
    }
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { respond(&state, &request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "connection ended early");
    }
}

/// Makes the connection close without an answer.
#[derive(Debug, Error)]
#[error("dead host")]
struct Dead;

async fn respond(state: &State, request: &Request<Incoming>) -> Result<Response<Body>, Dead> {
    let host = requested_host(request);
    let path = request.uri().path();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let is_direct = host.is_empty() || host == "localhost" || host.parse::<IpAddr>().is_ok();
    if path == PLACES_PATH && (host == PLACES_HOST || is_direct) {
        let number = {
            let stats = &mut state.account().stats;
            stats.places_requests += 1;
            stats.places_requests
        };
        let answer = places::answer(&state.content.places, request.uri().query(), number);
        return Ok(body(
            StatusCode::OK,
            "application/json; charset=UTF-8",
            answer.to_string(),
        ));
    }
    if let Some(own) = state.others.iter().find(|hosts| hosts.has(&host)) {
        let _visit = Visit::begin(state, &host, path, false);
        return Ok(match own.page(&host, path) {
            Some(page) => body(StatusCode::OK, "text/html; charset=utf-8", page),
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        });
    }
    if let Some(site) = state.content.site(&host) {
        let key = request
            .uri()
            .path_and_query()
            .map_or(path, |whole| whole.as_str());
        let is_violation = path != "/robots.txt" && site.is_disallowed(path);
        let _visit = Visit::begin(state, &host, path, is_violation);
        let cookie = request.headers().get(COOKIE);
        let has_cookie = cookie.is_some_and(|cookie| !cookie.is_empty());
        return answer_for_site(state, site, &host, key, has_cookie).await;
    }
    if let Some(root) = state.content.saved_folder(&host) {
        let _visit = Visit::begin(state, &host, path, false);
        return Ok(answer_from_folder(root, path).await);
    }
    state.account().stats.unknown_host_requests += 1;
    Ok(text(
        StatusCode::MISDIRECTED_REQUEST,
        "this web has no such host\n",
    ))
}

/// The host a request is meant for, in lower case and without a port.
fn requested_host(request: &Request<Incoming>) -> String {
    let from_header = || {
        request
            .headers()
            .get(HOST)
            .and_then(|value| value.to_str().ok())
    };
    let text = request
        .uri()
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(from_header);
    let text = text.unwrap_or_default();
    let host = match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => text,
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// One request in the account; ends when dropped, also when the client goes away.
struct Visit<'a> {
    state: &'a State,
    host: &'a str,
}

impl<'a> Visit<'a> {
    fn begin(state: &'a State, host: &'a str, path: &str, is_violation: bool) -> Self {
        let now = Instant::now();
        let mut account = state.account();
        let open = account.open.entry(host.to_owned()).or_default();
        open.requests += 1;
        let concurrent = open.requests;
        let last = if path == "/robots.txt" {
            None
        } else {
            open.last_begin.replace(now)
        };
        let gap = last.map(|last| now.duration_since(last));
        let stats = &mut account.stats;
        stats.requests += 1;
        if is_violation && stats.violations.len() < KEPT_VIOLATIONS {
            stats.violations.push(Violation {
                host: host.to_owned(),
                path: path.to_owned(),
            });
        }
        let of_host = stats.hosts.entry(host.to_owned()).or_default();
        of_host.requests += 1;
        of_host.max_concurrent = of_host.max_concurrent.max(concurrent);
        of_host.violations += u64::from(is_violation);
        of_host.shortest_gap = match (of_host.shortest_gap, gap) {
            (Some(shortest), Some(gap)) => Some(shortest.min(gap)),
            (shortest, gap) => shortest.or(gap),
        };
        drop(account);
        Self { state, host }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if let Some(open) = self.state.account().open.get_mut(self.host) {
            open.requests = open.requests.saturating_sub(1);
        }
    }
}

async fn answer_for_site(
    state: &State,
    site: &Site,
    host: &str,
    key: &str,
    has_cookie: bool,
) -> Result<Response<Body>, Dead> {
    match site.behaviour {
        Behaviour::Dead => return Err(Dead),
        Behaviour::ApexToWww if !host.starts_with("www.") => {
            return Ok(redirect(301, &format!("http://www.{}{key}", site.host)));
        }
        Behaviour::WwwToApex if host.starts_with("www.") => {
            return Ok(redirect(301, &format!("http://{}{key}", site.host)));
        }
        Behaviour::WwwOnly if !host.starts_with("www.") => {
            return Ok(text(StatusCode::NOT_FOUND, "no site here\n"));
        }
        Behaviour::LeadsOn if key == "/" => {
            let home = render::leading_on(site, "/index.html");
            return Ok(html(site, StatusCode::OK, &home));
        }
        Behaviour::CookieCheck if !has_cookie => {
            let mut response = redirect(302, &format!("http://{host}{key}"));
            let cookie = HeaderValue::from_static("visited=1; Path=/; HttpOnly");
            response.headers_mut().insert(SET_COOKIE, cookie);
            return Ok(response);
        }
        Behaviour::Slow => tokio::time::sleep(delay(key)).await,
        Behaviour::Flaky if key != "/robots.txt" && knows(site, key) => {
            let earlier = {
                let mut account = state.account();
                let count = account
                    .flaky_requests
                    .entry((site.host.clone(), key.to_owned()))
                    .or_default();
                *count += 1;
                *count - 1
            };
            if let Some(refusal) = flaky_refusal(key, earlier) {
                return Ok(refusal);
            }
        }
        Behaviour::Normal
        | Behaviour::ApexToWww
        | Behaviour::WwwToApex
        | Behaviour::Flaky
        | Behaviour::SoftNotFound
        | Behaviour::RobotsDisallow
        | Behaviour::MovedPage
        | Behaviour::PrivateRedirect
        | Behaviour::WwwOnly
        | Behaviour::LeadsOn
        | Behaviour::CookieCheck => {}
    }
    Ok(answer(site, key))
}

fn knows(site: &Site, key: &str) -> bool {
    site.pages.contains_key(key) || site.sitemaps.contains_key(key)
}

/// How long a slow host takes: 200 to 799 ms, always the same for a path.
fn delay(key: &str) -> Duration {
    Duration::from_millis(200 + path_number(key) % 600)
}

/// What a flaky host says to the first requests for a path; `None` when it answers.
fn flaky_refusal(key: &str, earlier_requests: u32) -> Option<Response<Body>> {
    let number = path_number(key);
    let refused = if number.is_multiple_of(4) { 2 } else { 1 };
    if earlier_requests >= refused {
        return None;
    }
    if number % 3 == 1 {
        return Some(text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "something went wrong\n",
        ));
    }
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "back in a moment\n");
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Some(response)
}

/// FNV-1a, so that a path's behaviour is the same on every machine.
fn path_number(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What a generated site says to a path with its query, apart from its moods.
fn answer(site: &Site, key: &str) -> Response<Body> {
    // A query the site does not know changes nothing, as on most sites.
    let bare = key.split_once('?').map_or(key, |(path, _query)| path);
    if bare == "/robots.txt"
        && let Some(robots) = &site.robots
    {
        return body(StatusCode::OK, "text/plain; charset=utf-8", robots.clone());
    }
    if let Some(sitemap) = site.sitemaps.get(bare) {
        return match sitemaps::write(site, sitemap) {
            Ok((bytes, content_type)) => body(StatusCode::OK, content_type, bytes),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        };
    }
    let path = if bare == "/index.html" { "/" } else { bare };
    let page = site
        .pages
        .get_key_value(key)
        .or_else(|| site.pages.get_key_value(path));
    match page {
        Some((path, page)) => match &page.kind {
            PageKind::Redirect { status, to } => {
                let target = if to.starts_with('/') {
                    site.url(to)
                } else {
                    to.clone()
                };
                match status {
                    200 => html(site, StatusCode::OK, &render::leading_on(site, &target)),
                    status => redirect(*status, &target),
                }
            }
            PageKind::Pdf => body(StatusCode::OK, "application/pdf", render::BLANK_PDF),
            _ => html(site, StatusCode::OK, &render::page(site, path, page)),
        },
        None if site.answers_everything() => {
            html(site, StatusCode::OK, &render::soft_not_found(site))
        }
        None => html(site, StatusCode::NOT_FOUND, &render::soft_not_found(site)),
    }
}

async fn answer_from_folder(root: &Path, path: &str) -> Response<Body> {
    let (root, path) = (root.to_owned(), path.to_owned());
    let found = tokio::task::spawn_blocking(move || {
        let file = folder::find_file(&root, &path)?;
        let content_type = folder::content_type(&file);
        std::fs::read(&file).ok().map(|bytes| (bytes, content_type))
    })
    .await;
    match found {
        Ok(Some((bytes, content_type))) => body(StatusCode::OK, content_type, bytes),
        Ok(None) => text(StatusCode::NOT_FOUND, "not found\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn html(site: &Site, status: StatusCode, text: &str) -> Response<Body> {
    if site.is_windows_1252 {
        let (bytes, _, _) = WINDOWS_1252.encode(text);
        // Some of these servers leave the character set to the page's `meta`.
        let content_type = if site.index.is_multiple_of(2) {
            "text/html; charset=windows-1252"
        } else {
            "text/html"
        };
        return body(status, content_type, bytes.into_owned());
    }
    body(status, "text/html; charset=utf-8", text.to_owned())
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    body(status, "text/plain; charset=utf-8", text.to_owned())
}

fn redirect(status: u16, target: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
    let mut response = text(status, "moved\n");
    if let Ok(target) = HeaderValue::from_str(target) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}

fn body(
    status: StatusCode,
    content_type: &'static str,
    content: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
