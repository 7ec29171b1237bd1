//! One fetch: hop after hop to the final response, then its body.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use percent_encoding::percent_encode_byte;
use tokio::time::{Instant, timeout, timeout_at};
use url::{Host, Position, Url};

use super::config::MAX_DURATION;
use super::decode::{self, Coding, Decoding};
use super::guard::{host_key, shortened};
use super::pace::{Limits, Permit};
use super::sockets::Socket;
use super::trail::{Budget, Start, Trail};
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
    /// The way to it, for going on from there.
    pub(super) trail: Trail,
}

impl Head {
    fn new(requested: Url, url: Url, trail: Trail, status: u16, headers: HeaderMap) -> Self {
        Self {
            url,
            requested,
            status,
            content_type: headers::text(&headers, &header::CONTENT_TYPE),
            last_modified: headers::text(&headers, &header::LAST_MODIFIED),
            etag: headers::text(&headers, &header::ETAG),
            retry_after: None,
            redirects: trail.followed(),
            trail,
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
    /// Whether what came counts, though the end is missing; and then why it is.
    keep_cut: bool,
    cut: Option<FetchError>,
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
            let received = self.received().await?;
            let Some(decoding) = &mut self.decoding else {
                return Ok(received);
            };
            match received {
                Some(chunk) => decoding.feed(chunk)?,
                None => {
                    decoding.end()?;
                    if !decoding.has_work() {
                        return self.finished();
                    }
                }
            }
        }
    }

    /// What the coding has held back to the end.
    fn finished(&mut self) -> Result<Option<Bytes>, FetchError> {
        let Some(mut decoding) = self.decoding.take() else {
            return Ok(None);
        };
        let (rest, is_cut) = decoding.finish()?;
        if is_cut {
            self.end_early(decode::cut())?;
        }
        Ok(Some(rest).filter(|rest| !rest.is_empty()))
    }

    /// The end is missing, for this reason.
    fn end_early(&mut self, why: FetchError) -> Result<(), FetchError> {
        if !self.keep_cut {
            return Err(why);
        }
        self.response = None;
        self.cut.get_or_insert(why);
        Ok(())
    }

    /// The next piece as it comes over the wire.
    async fn received(&mut self) -> Result<Option<Bytes>, FetchError> {
        let Some(response) = self.response.as_mut() else {
            return Ok(None);
        };
        let read = timeout_at(self.deadline, response.chunk()).await;
        let elapsed = self.started_at.elapsed();
        let received = match read {
            Err(_) => Err(FetchError::Timeout { after: elapsed }),
            Ok(received) => received.map_err(|error| FetchError::from_body(error, elapsed)),
        };
        match received {
            Err(why) => self.end_early(why).map(|()| None),
            Ok(None) => {
                self.response = None;
                Ok(None)
            }
            received => received,
        }
    }

    /// Why the end of the body is missing, if it is, where [`RequestOptions::keep_cut`] asks for what came.
    pub(super) fn cut(&mut self) -> Option<FetchError> {
        self.cut.take()
    }

    /// What is left of the time for the whole exchange.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
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

/// Follows a URL to the response that is not a redirect.
pub(super) async fn open(
    client: &Client,
    live: &Live,
    start: Start<'_>,
    options: &RequestOptions,
    purpose: Purpose,
) -> Result<(Head, BodyStream), FetchError> {
    let config = &live.config;
    let Start {
        requested,
        url,
        mut trail,
    } = start;
    let time = options.timeout.unwrap_or(config.timeout);
    let mut budget = trail.budget.unwrap_or(Budget {
        time: time.min(MAX_DURATION),
        patience: config.max_wait,
    });
    let max_redirects = match purpose {
        Purpose::Page => config.max_redirects,
        Purpose::Robots => robots::MAX_REDIRECTS,
    };
    let mut url = live.guard.check_url(url)?;
    let mut own_headers = Some(&options.headers);
    loop {
        let last = trail.asked.last();
        let is_same_host = last.is_some_and(|(last, _)| last.host() == url.host());
        let cookies = trail.go_on(&url, max_redirects)?;
        let spacing = spacing(client, live, &url, options, purpose).await?;
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
        let own = OwnHeaders {
            of_caller: own_headers,
            cookies,
        };
        let sent = send(live, &url, options, own, started_at, deadline).await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => return Err(for_want_of_a_port(client, live, &url, error).await),
        };
        socket.answered();
        budget.time = budget.time.saturating_sub(started_at.elapsed());

        let status = response.status().as_u16();
        let now = SystemTime::now();
        let retry_after = headers::retry_after(response.headers(), now, config.max_retry_after);
        if let (429 | 503, Some(rest)) = (status, retry_after) {
            permit.rest(rest);
            if let Some(shared) = client.shared_pace(live) {
                let host = host_key(url.host_str().unwrap_or_default());
                shared::rest(shared, &host, rest).await;
            }
        }
        trail.jar.take(&url, response.headers(), now);
        if options.post.is_none()
            && !options.keep_redirects
            && let Some(target) = redirect_target(&url, status, response.headers())?
        {
            let next = live.guard.check_url(&target)?;
            if next.origin() != url.origin() {
                // Keys and conditions were meant for the first origin. Once gone, they stay gone.
                own_headers = None;
            }
            url = next;
            continue;
        }
        let mut headers = response.headers().clone();
        let coding = Coding::of(&headers)?;
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
        trail.budget = Some(budget);
        let mut head = Head::new(requested.clone(), url, trail, status, headers);
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
            keep_cut: options.keep_cut,
            cut: None,
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

/// Headers that go with one hop and not with every one.
struct OwnHeaders<'a> {
    /// The caller's, while they are for this origin.
    of_caller: Option<&'a HeaderMap>,
    cookies: Option<HeaderValue>,
}

/// Sends one request and waits for its headers.
async fn send(
    live: &Live,
    url: &Url,
    options: &RequestOptions,
    own: OwnHeaders<'_>,
    started_at: Instant,
    deadline: Instant,
) -> Result<reqwest::Response, FetchError> {
    let (wire_url, host) = on_the_wire(live, url);
    let mut sent = own.of_caller.cloned().unwrap_or_default();
    if let Some(cookies) = own.cookies {
        sent.insert(header::COOKIE, cookies);
    }
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
    let mut target = resolved(url, location.as_bytes()).map_err(|error| {
        let location = String::from_utf8_lossy(location.as_bytes());
        FetchError::BadUrl {
            reason: format!("redirect to {:?}: {error}", shortened(&location)),
        }
    })?;
    target.set_fragment(None);
    Ok(Some(target))
}

/// A `Location` as an address. What is not ASCII in it is sent back as it came, escaped byte by byte, as browsers do: only the
/// server knows its charset. In the name of a host, which is no server's to spell, it is UTF-8 or else Latin-1.
fn resolved(url: &Url, location: &[u8]) -> Result<Url, url::ParseError> {
    let escaped: String = location
        .iter()
        .map(|byte| match byte {
            0x80.. => percent_encode_byte(*byte).to_owned(),
            _ => char::from(*byte).to_string(),
        })
        .collect();
    url.join(&escaped).or_else(|_| {
        let latin: String = location.iter().map(|byte| char::from(*byte)).collect();
        url.join(&latin)
    })
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
                Some("https://käse.example/ä?ö=ü"),
                Ok(Some("https://xn--kse-qla.example/%C3%A4?%C3%B6=%C3%BC")),
            ),
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
    #[test]
    fn what_is_no_utf_8_goes_back_as_it_came() {
        let url = Url::parse("https://a.example/x/y").unwrap();
        for (location, expected) in [
            (&b"/caf\xe9"[..], "https://a.example/caf%E9"),
            (
                b"caf\xe9/?q=\xfc#\xe4",
                "https://a.example/x/caf%E9/?q=%FC#%E4",
            ),
            (b"//b.example/\xcf\xf0\xe8", "https://b.example/%CF%F0%E8"),
            (
                b"https://k\xe4se.example/\xe4",
                "https://xn--kse-qla.example/%C3%A4",
            ),
            (b"/a%20b\xe9", "https://a.example/a%20b%E9"),
        ] {
            assert_eq!(resolved(&url, location).unwrap().as_str(), expected);
        }
    }
}
