//! One fetch: hop after hop to the final response, then its body.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout, timeout_at};
use url::{Host, Position, Url};

use super::config::MAX_DURATION;
use super::decode::{self, Coding, Decoding};
use super::guard::{host_key, shortened};
use super::pace::{Limits, Permit};
use super::sockets::Socket;
use super::{Client, FetchError, Live, Pace, Purpose, RequestOptions, headers, robots, shared};
use crate::fault::{self, Short, Shortage};

/// How much longer than the request itself its place among all processes' requests stands.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

/// The response without its body.
#[derive(Debug, Clone)]
pub struct Head {
    /// The URL that answered, after redirects; without credentials and fragment.
    pub url: Url,
    /// The URL that was asked for.
    pub requested: Url,
    pub status: u16,
    /// All headers of the response.
    pub headers: HeaderMap,
    pub content_type: Option<String>,
    /// `Last-Modified`, as sent; goes back as `If-Modified-Since`.
    pub last_modified: Option<String>,
    /// `ETag`, as sent; goes back as `If-None-Match`.
    pub etag: Option<String>,
    /// `Retry-After`, at most the configured maximum.
    pub retry_after: Option<Duration>,
    /// How many redirects were followed.
    pub redirects: u32,
}

impl Head {
    fn new(requested: &Url, url: Url, redirects: u32, status: u16, headers: HeaderMap) -> Self {
        Self {
            url,
            requested: requested.clone(),
            status,
            content_type: headers::text(&headers, &header::CONTENT_TYPE),
            last_modified: headers::text(&headers, &header::LAST_MODIFIED),
            etag: headers::text(&headers, &header::ETAG),
            retry_after: None,
            redirects,
            headers,
        }
    }

    /// The head itself, unless its status is an error.
    ///
    /// # Errors
    /// [`FetchError::Status`] for 400 and more.
    pub fn error_for_status(self) -> Result<Self, FetchError> {
        check_status(self.status, self.retry_after)?;
        Ok(self)
    }
}

pub(super) fn check_status(status: u16, retry_after: Option<Duration>) -> Result<(), FetchError> {
    if status >= 400 {
        Err(FetchError::Status {
            status,
            retry_after,
        })
    } else {
        Ok(())
    }
}

/// A body that is read piece by piece, decompressed, within a budget of bytes and time.
///
/// It holds one of the host's permits until it is read to its end or dropped; dropping it early
/// closes the connection.
#[derive(Debug)]
pub struct BodyStream {
    response: Option<reqwest::Response>,
    decoding: Option<Decoding>,
    permit: Option<Permit>,
    socket: Option<Socket>,
    left_bytes: u64,
    limit_bytes: u64,
    truncate: bool,
    truncated: bool,
    started_at: Instant,
    deadline: Instant,
}

impl BodyStream {
    /// The next piece, or `None` at the end. Pieces are small (some KiB to some hundred KiB),
    /// whatever the compression does.
    ///
    /// # Errors
    /// [`FetchError::TooLarge`], [`FetchError::Timeout`], [`FetchError::Body`],
    /// [`FetchError::Decompression`]. After an error, and after the end, there is nothing more.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let result = match self.decoded().await {
            Ok(Some(chunk)) => self.within_budget(chunk).map(Some),
            ended => ended,
        };
        if !matches!(result, Ok(Some(_))) || self.truncated {
            self.close();
        }
        result
    }

    /// The next piece without its coding, of which nothing is empty.
    async fn decoded(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let Some(decoding) = &mut self.decoding else {
                return self.received().await;
            };
            if decoding.is_over() {
                return Ok(None);
            }
            if decoding.has_work() {
                // However much has come, others have their turn, and time runs out.
                tokio::task::yield_now().await;
                if Instant::now() >= self.deadline {
                    return Err(FetchError::Timeout {
                        after: self.started_at.elapsed(),
                    });
                }
                let piece = decoding.step()?;
                if !piece.is_empty() {
                    return Ok(Some(piece));
                }
                continue;
            }
            let Some(chunk) = self.received().await? else {
                let rest = self
                    .decoding
                    .take()
                    .map(|mut own| own.finish())
                    .transpose()?;
                return Ok(rest.filter(|rest| !rest.is_empty()));
            };
            if let Some(decoding) = &mut self.decoding {
                decoding.feed(chunk);
            }
        }
    }

    /// The next piece as it comes over the wire.
    async fn received(&mut self) -> Result<Option<Bytes>, FetchError> {
        let Some(response) = self.response.as_mut() else {
            return Ok(None);
        };
        let read = timeout_at(self.deadline, response.chunk()).await;
        let elapsed = self.started_at.elapsed();
        match read {
            Err(_) => Err(FetchError::Timeout { after: elapsed }),
            Ok(received) => received.map_err(|error| FetchError::from_body(error, elapsed)),
        }
    }

    /// Whether the body was cut at the limit, as [`RequestOptions::truncate`] asks for.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    fn within_budget(&mut self, mut chunk: Bytes) -> Result<Bytes, FetchError> {
        let size = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if let Some(left) = self.left_bytes.checked_sub(size) {
            self.left_bytes = left;
            return Ok(chunk);
        }
        if !self.truncate {
            return Err(FetchError::TooLarge {
                limit_bytes: self.limit_bytes,
            });
        }
        self.truncated = true;
        chunk.truncate(usize::try_from(self.left_bytes).unwrap_or(usize::MAX));
        self.left_bytes = 0;
        Ok(chunk)
    }

    fn close(&mut self) {
        self.response = None;
        self.decoding = None;
        self.permit = None;
        self.socket = None;
    }
}

/// What a fetch may still spend, over all its hops.
struct Budget {
    /// Network time.
    time: Duration,
    /// Waiting for hosts.
    patience: Duration,
}

/// Follows a URL to the response that is not a redirect.
pub(super) async fn open(
    client: &Client,
    live: &Live,
    requested: &Url,
    options: &RequestOptions,
    purpose: Purpose,
) -> Result<(Head, BodyStream), FetchError> {
    let config = &live.config;
    let mut budget = Budget {
        time: options
            .timeout
            .map_or(config.timeout, |time| time.min(MAX_DURATION)),
        patience: config.max_wait,
    };
    let max_redirects = match purpose {
        Purpose::Page => config.max_redirects,
        Purpose::Robots => robots::MAX_REDIRECTS,
    };
    let mut url = live.guard.check_url(requested)?;
    let mut visited: Vec<Url> = Vec::new();
    let mut own_headers = Some(&options.headers);
    loop {
        let spacing = spacing(client, live, &url, options, purpose).await?;
        let is_same_host = visited.last().is_some_and(|last| last.host() == url.host());
        let permit = turn(
            client,
            live,
            &url,
            options,
            spacing,
            is_same_host,
            &mut budget,
        )
        .await?;
        let mut socket = socket(client, budget.patience).await?;
        let started_at = Instant::now();
        let deadline = started_at + budget.time;
        let sent = send(live, &url, options, own_headers, started_at, deadline).await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => return Err(for_want_of_a_port(client, live, &url, error).await),
        };
        socket.answered();
        budget.time = budget.time.saturating_sub(started_at.elapsed());

        let status = response.status().as_u16();
        let retry_after = headers::retry_after(
            response.headers(),
            SystemTime::now(),
            config.max_retry_after,
        );
        if let (429 | 503, Some(rest)) = (status, retry_after) {
            permit.rest(rest);
            if let Some(shared) = client.shared_pace(live) {
                let host = host_key(url.host_str().unwrap_or_default());
                shared::rest(shared, &host, rest).await;
            }
        }
        let followed = u32::try_from(visited.len()).unwrap_or(u32::MAX);
        if options.post.is_none()
            && !options.keep_redirects
            && let Some(target) = redirect_target(&url, status, response.headers())?
        {
            // Without cookies the same URL gives the same redirect: a circle stays one.
            if followed >= max_redirects || target == url || visited.contains(&target) {
                return Err(FetchError::TooManyRedirects { followed });
            }
            let next = live.guard.check_url(&target)?;
            if next.origin() != url.origin() {
                // Keys and conditions were meant for the first origin. Once gone, they stay gone.
                own_headers = None;
            }
            visited.push(std::mem::replace(&mut url, next));
            continue;
        }
        let mut headers = response.headers().clone();
        let coding = coding_of(&headers)?;
        if coding.is_some() {
            // They are not those of the body that is handed out.
            headers.remove(header::CONTENT_ENCODING);
            headers.remove(header::CONTENT_LENGTH);
        }
        let limit_bytes = options.max_body_bytes.unwrap_or(config.max_body_bytes);
        if !options.truncate
            && coding.is_none()
            && response
                .content_length()
                .is_some_and(|length| length > limit_bytes)
        {
            return Err(FetchError::TooLarge { limit_bytes });
        }
        let mut head = Head::new(requested, url, followed, status, headers);
        head.retry_after = retry_after;
        let body = BodyStream {
            response: Some(response),
            decoding: coding.map(Decoding::new),
            permit: Some(permit),
            socket: Some(socket),
            left_bytes: limit_bytes,
            limit_bytes,
            truncate: options.truncate,
            truncated: false,
            started_at,
            deadline,
        };
        return Ok((head, body));
    }
}

/// Asks robots.txt whether we may, and how far apart requests to this host have to be.
async fn spacing(
    client: &Client,
    live: &Live,
    url: &Url,
    options: &RequestOptions,
    purpose: Purpose,
) -> Result<Duration, FetchError> {
    let config = &live.config;
    if purpose == Purpose::Robots || options.ignore_robots || !config.robots {
        return Ok(config.per_host_delay);
    }
    // Boxed: fetching robots.txt is a fetch, so this future would contain itself.
    let answer = Box::pin(robots::answer(client, live, url)).await?;
    let token = config.product_token();
    answer.check(token, url)?;
    let asked = answer
        .crawl_delay(token)
        .unwrap_or_default()
        .min(config.max_crawl_delay);
    Ok(config.per_host_delay.max(asked))
}

/// Waits for the host's turn.
async fn turn(
    client: &Client,
    live: &Live,
    url: &Url,
    options: &RequestOptions,
    spacing: Duration,
    is_same_host: bool,
    budget: &mut Budget,
) -> Result<Permit, FetchError> {
    let config = &live.config;
    let limits = Limits {
        concurrency: config.per_host_concurrency.get(),
        max_hosts: config.max_hosts_tracked.get(),
        lease: budget.time + LEASE_MARGIN,
    };
    let key = host_key(url.host_str().unwrap_or_default());
    let shared = client.shared_pace(live);
    if options.own_pace {
        return client.inner.hosts.pass(&key, limits, shared).await;
    }
    let pace = if is_same_host {
        Pace::Redirect {
            delay: config.per_host_delay,
            spacing,
        }
    } else {
        Pace::Request { spacing }
    };
    client
        .inner
        .hosts
        .acquire(&key, pace, limits, shared, &mut budget.patience)
        .await
}

/// Waits until descriptors are left for one more socket.
async fn socket(client: &Client, patience: Duration) -> Result<Socket, FetchError> {
    /// However long one has waited for the host, a moment's want of sockets puts nothing back.
    const LEAST: Duration = Duration::from_secs(1);
    let opened = client.inner.sockets.open(patience.max(LEAST)).await;
    opened.map_err(|short| FetchError::Connect(Arc::new(short)))
}

/// Sorts out whose fault it is that the system had no local address to connect from. A host that has IPv6 addresses may be out
/// of reach for want of IPv6 here; with IPv4 alone, it is our ports that are used up.
async fn for_want_of_a_port(
    client: &Client,
    live: &Live,
    url: &Url,
    error: FetchError,
) -> FetchError {
    if !fault::is_no_port(&error) {
        return error;
    }
    let addresses: Vec<IpAddr> = match (url.host(), live.guard.proxy()) {
        (Some(Host::Domain(_)), Some(proxy)) => vec![proxy.ip()],
        (Some(Host::Domain(name)), None) => {
            let lookup = client.inner.lookup.lookup(name.to_owned());
            let found = timeout(live.config.connect_timeout, lookup).await;
            found.ok().and_then(Result::ok).unwrap_or_default()
        }
        (Some(Host::Ipv4(address)), _) => vec![address.into()],
        (Some(Host::Ipv6(_)) | None, _) => Vec::new(),
    };
    if !addresses.is_empty() && addresses.iter().all(IpAddr::is_ipv4) {
        FetchError::Connect(Arc::new(Short(Shortage::Ports)))
    } else {
        error
    }
}

/// Sends one request and waits for its headers.
async fn send(
    live: &Live,
    url: &Url,
    options: &RequestOptions,
    own_headers: Option<&HeaderMap>,
    started_at: Instant,
    deadline: Instant,
) -> Result<reqwest::Response, FetchError> {
    let (wire_url, host) = on_the_wire(live, url);
    let mut sent = own_headers.cloned().unwrap_or_default();
    if let Some(accept) = &options.accept {
        let accept = HeaderValue::from_str(accept);
        let accept = accept.map_err(|_invalid| FetchError::BadUrl {
            reason: "accept is no header value".to_owned(),
        })?;
        sent.insert(header::ACCEPT, accept);
    }
    if let Some(host) = host {
        sent.insert(header::HOST, host);
    }
    sent.insert(header::ACCEPT_ENCODING, decode::OFFERED);
    let request = match &options.post {
        Some(body) => live.http.post(wire_url).body(body.clone()),
        None => live.http.get(wire_url),
    };
    match timeout_at(deadline, request.headers(sent).send()).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(FetchError::from_request(error, started_at.elapsed())),
        Err(_) => Err(FetchError::Timeout {
            after: started_at.elapsed(),
        }),
    }
}

/// The URL that the HTTP library gets, and the `Host` header if it cannot be told from it: with
/// `proxy_hosts_to`, all names are sent for in plain HTTP, without a port, which leaves the port
/// to the resolver.
fn on_the_wire(live: &Live, url: &Url) -> (Url, Option<HeaderValue>) {
    if live.guard.proxy().is_none() || url.domain().is_none() {
        return (url.clone(), None);
    }
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    let host = HeaderValue::from_str(authority).ok();
    let mut wire = url.clone();
    // Both can only fail for URLs without a host.
    if wire.set_scheme("http").is_err() || wire.set_port(None).is_err() {
        return (url.clone(), None);
    }
    (wire, host)
}

/// The coding of a body, if it has one.
///
/// # Errors
/// [`FetchError::ContentCoding`] for one that was not offered, and for more than one.
fn coding_of(headers: &HeaderMap) -> Result<Option<Coding>, FetchError> {
    let named = headers.get_all(header::CONTENT_ENCODING);
    let named: Vec<&HeaderValue> = named.iter().filter(|own| !is_identity(own)).collect();
    match named.as_slice() {
        [] => Ok(None),
        [one] if Coding::named(one).is_some() => Ok(Coding::named(one)),
        [first, ..] => Err(FetchError::ContentCoding {
            coding: shortened(&String::from_utf8_lossy(first.as_bytes())),
        }),
    }
}

fn is_identity(coding: &HeaderValue) -> bool {
    coding.as_bytes().trim_ascii().is_empty() || coding.as_bytes().eq_ignore_ascii_case(b"identity")
}

/// Where a response redirects to, if it does. A redirect without a usable `Location` is an
/// ordinary response.
///
/// # Errors
/// [`FetchError::BadUrl`] if the `Location` is no URL.
fn redirect_target(url: &Url, status: u16, headers: &HeaderMap) -> Result<Option<Url>, FetchError> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(header::LOCATION) else {
        return Ok(None);
    };
    // Servers send raw UTF-8 here; the URL parser escapes it.
    let location = String::from_utf8_lossy(location.as_bytes());
    let bad = |_| FetchError::BadUrl {
        reason: format!("redirect to {:?}", shortened(&location)),
    };
    let mut target = url.join(&location).map_err(bad)?;
    target.set_fragment(None);
    Ok(Some(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_resolved_against_the_url_that_sent_them() {
        for (status, location, expected) in [
            (301, Some("/b"), Ok(Some("https://a.example/b"))),
            (302, Some("c?d=e#f"), Ok(Some("https://a.example/x/c?d=e"))),
            (303, Some("//b.example/"), Ok(Some("https://b.example/"))),
            (
                307,
                Some("http://b.example:81/"),
                Ok(Some("http://b.example:81/")),
            ),
            (308, Some("/käse"), Ok(Some("https://a.example/k%C3%A4se"))),
            (
                302,
                Some("file:///etc/passwd"),
                Ok(Some("file:///etc/passwd")),
            ),
            (302, Some("https://[::1/"), Err(())),
            (302, None, Ok(None)),
            (300, Some("/b"), Ok(None)),
            (304, Some("/b"), Ok(None)),
            (200, Some("/b"), Ok(None)),
        ] {
            let url = Url::parse("https://a.example/x/y").unwrap();
            let mut headers = HeaderMap::new();
            if let Some(location) = location {
                headers.insert(
                    header::LOCATION,
                    HeaderValue::from_bytes(location.as_bytes()).unwrap(),
                );
            }
            let target = redirect_target(&url, status, &headers).map_err(drop);
            let target = target.map(|t| t.map(String::from));
            assert_eq!(
                target,
                expected.map(|t| t.map(str::to_owned)),
                "{status} {location:?}"
            );
        }
    }
}
