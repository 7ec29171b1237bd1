//! Outbound HTTP: every request that Gleaner makes to somebody else's server.
//!
//! [`Client`] is the only way out. What it sees to, in this order, for every hop of every request:
//! the URL may be fetched at all ([`mod@guard`]), robots.txt allows it ([`mod@robots`]), the host's
//! turn has come ([`mod@pace`]), the address behind the name is public ([`mod@resolve`]), and the
//! answer keeps to its limits of time and size ([`mod@exchange`]).
//!
//! Invariants:
//! - Redirects are followed by hand, so that each hop passes all of this again.
//! - No `Referer`, no credentials from URLs. Headers of the caller's own go to the origin that was
//!   asked for and are dropped for good at the first redirect that leaves it.
//! - Cookies live as long as one fetch, and go where their site's own rules say ([`mod@cookies`]).
//! - An address is checked where it is resolved, and the connection goes to what was checked.
//!   Proxies from the environment are ignored, because they would resolve names themselves.
//! - Sizes are counted after decompression, while reading. Nothing is buffered beyond its budget. What decompression may cost
//!   is bounded as well ([`mod@decode`]).

mod config;
mod cookies;
mod decode;
mod error;
mod exchange;
mod guard;
mod headers;
mod pace;
mod resolve;
mod robots;
mod service;
mod shared;
mod sockets;
mod trail;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use ipnet::IpNet;
use tokio::time::Instant;
use url::Url;

pub use config::Config;
pub use error::{Cause, Decision, FetchError};
pub use exchange::{BodyStream, Head};
pub use gleaner_extract::charset::{decode as decode_text, encoding as text_encoding};
pub use guard::refusal;
pub use resolve::{Lookup, SystemLookup, Unanswered};
pub use robots::RobotsAnswer;
pub use service::{Service, Terms};
pub use shared::{Ask, Pace, Place, SharedPace, Turn};
pub use trail::Trail;

use crate::{descriptors, tls};
use guard::Guard;
use resolve::GuardedResolver;
use sockets::Sockets;
use trail::Start;

/// How many name lookups may be under way at once.
const MAX_LOOKUPS: usize = 64;
/// Most header lines of one answer: several times what the most talkative servers send.
const MAX_HEADER_LINES: usize = 1_024;
/// How many idle connections to one host are kept.
const IDLE_CONNECTIONS_PER_HOST: usize = 2;

/// What a fetch is for, which decides the rules for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Subject to robots.txt.
    Page,
    /// robots.txt itself, which is not.
    Robots,
}

/// What one request wants beyond the configuration.
#[derive(Debug, Clone, Default)]
pub struct RequestOptions {
    pub accept: Option<String>,
    /// Another size limit than the configured one, in bytes after decompression.
    pub max_body_bytes: Option<u64>,
    /// Cut the body at the limit, instead of failing with [`FetchError::TooLarge`].
    pub truncate: bool,
    /// For APIs, which are called by contract and not crawled.
    pub ignore_robots: bool,
    /// For APIs with a rate limit of their own: no spacing and no limit of concurrency. A
    /// `Retry-After` is respected all the same.
    pub own_pace: bool,
    /// Headers for the origin that is asked: keys, conditions. Never sent to another one.
    pub headers: HeaderMap,
    /// Another limit than the configured one on the whole exchange.
    pub timeout: Option<Duration>,
    /// A body to send by POST, instead of asking by GET. Redirects are not followed then: what is
    /// meant for one receiver is not handed to another.
    pub post: Option<Bytes>,
    /// A redirect is an answer like any other, for a caller that follows it by itself.
    pub keep_redirects: bool,
    /// A body whose end is missing is one all the same; [`Response::cut`] says so.
    pub keep_cut: bool,
}

/// A response with its whole body.
#[derive(Debug, Clone)]
pub struct Response {
    /// The URL that answered, after redirects; without credentials and fragment.
    pub url: Url,
    /// The URL that was asked for.
    pub requested: Url,
    /// The HTTP status; any.
    pub status: u16,
    /// All headers of the response.
    pub headers: HeaderMap,
    pub content_type: Option<String>,
    /// `Last-Modified`, as sent.
    pub last_modified: Option<String>,
    /// `ETag`, as sent.
    pub etag: Option<String>,
    /// `Retry-After`, at most the configured maximum.
    pub retry_after: Option<Duration>,
    /// The body, decompressed.
    pub body: Bytes,
    /// Whether the body was cut; only with [`RequestOptions::truncate`].
    pub truncated: bool,
    /// Why the end of the body is missing, if it is; only with [`RequestOptions::keep_cut`].
    pub cut: Option<FetchError>,
    /// From the call to the last byte, waiting for the host included.
    pub elapsed: Duration,
    /// How many redirects were followed.
    pub redirects: u32,
    /// The way to it, for [`Client::follow`].
    pub trail: Trail,
}

impl Response {
    /// The response itself, unless its status is an error.
    ///
    /// # Errors
    /// [`FetchError::Status`] for 400 and more.
    pub fn error_for_status(self) -> Result<Self, FetchError> {
        exchange::check_status(self.status, self.retry_after)?;
        Ok(self)
    }

    /// The body as text, in whatever encoding it is ([`decode_text`]).
    pub fn text(&self) -> Cow<'_, str> {
        decode_text(
            &self.body,
            self.content_type.as_deref(),
            self.url.host_str(),
        )
    }
}

/// The way out. Clones share everything: connections, turns, robots.txt files, configuration.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    live: RwLock<Arc<Live>>,
    lookup: Arc<dyn Lookup>,
    hosts: pace::Hosts,
    robots: robots::Cache,
    shared_pace: OnceLock<Box<dyn SharedPace>>,
    sockets: Arc<Sockets>,
    /// How many idle connections to one host are kept.
    idle: usize,
}

/// One configuration, and what is built from it. A fetch keeps the one it started with.
struct Live {
    config: Config,
    guard: Guard,
    http: reqwest::Client,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl Live {
    fn new(config: Config, lookup: &Arc<dyn Lookup>, idle: usize) -> Result<Self, FetchError> {
        config.validate()?;
        tls::install();
        let guard = Guard::new(&config);
        let resolver = GuardedResolver {
            guard: guard.clone(),
            lookup: Arc::clone(lookup),
            timeout: config.connect_timeout,
        };
        let http = reqwest::Client::builder()
            .user_agent(&config.user_agent)
            .connect_timeout(config.connect_timeout)
            .read_timeout(config.read_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            // Real servers send such headers, and browsers read past them.
            .http1_max_headers(MAX_HEADER_LINES)
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .pool_max_idle_per_host(idle)
            .pool_idle_timeout(sockets::kept_for(descriptors::limit().soft))
            .dns_resolver(resolver)
            .build()
            .map_err(|error| FetchError::Build(Arc::new(error)))?;
        Ok(Self {
            config,
            guard,
            http,
        })
    }
}

impl Client {
    /// A client that resolves names as the system does.
    ///
    /// # Errors
    /// [`FetchError::BadConfig`], or [`FetchError::Build`] if there are no trust roots.
    pub fn new(config: Config) -> Result<Self, FetchError> {
        Self::with_lookup(config, Arc::new(SystemLookup::new(MAX_LOOKUPS)))
    }

    /// A client that resolves names by `lookup`. The guard stands behind it all the same.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_lookup(config: Config, lookup: Arc<dyn Lookup>) -> Result<Self, FetchError> {
        Self::keeping(config, lookup, IDLE_CONNECTIONS_PER_HOST)
    }

    /// A client that keeps so many idle connections to one host.
    fn keeping(config: Config, lookup: Arc<dyn Lookup>, idle: usize) -> Result<Self, FetchError> {
        let live = Arc::new(Live::new(config, &lookup, idle)?);
        let inner = Inner {
            live: RwLock::new(live),
            lookup,
            hosts: pace::Hosts::default(),
            robots: robots::Cache::new(),
            shared_pace: OnceLock::new(),
            sockets: Sockets::new(descriptors::limit().soft),
            idle,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Changes the configuration. Fetches under way end under the old one; connections are opened
    /// anew, so that none outlives the permission it was opened with. Turns, rests and robots.txt
    /// files are kept.
    ///
    /// # Errors
    /// As [`Client::new`]; then nothing is changed.
    pub fn reconfigure(&self, config: Config) -> Result<(), FetchError> {
        if self.live().config == config {
            return Ok(());
        }
        let live = Arc::new(Live::new(config, &self.inner.lookup, self.inner.idle)?);
        *self
            .inner
            .live
            .write()
            .unwrap_or_else(PoisonError::into_inner) = live;
        Ok(())
    }

    /// Another client of the same configuration and names, which may reach these networks too. For a server of the operator's own;
    /// pages are none of its business.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn reaching(&self, networks: &[IpNet]) -> Result<Self, FetchError> {
        let mut config = self.live().config.clone();
        config.allow_networks.extend_from_slice(networks);
        Self::with_lookup(config, Arc::clone(&self.inner.lookup))
    }

    /// Shares the hosts' timetables with other processes, while [`Config::shared_pace`] says so. To be called once, before
    /// the first fetch; later calls change nothing.
    pub fn share_pace(&self, pace: Box<dyn SharedPace>) {
        // The one that came first stays.
        drop(self.inner.shared_pace.set(pace));
    }

    /// The timetables that all processes share, if there are any and they are to be heeded.
    fn shared_pace(&self, live: &Live) -> Option<&dyn SharedPace> {
        let shared = self.inner.shared_pace.get()?;
        live.config.shared_pace.then_some(shared.as_ref())
    }

    /// The `User-Agent` in force.
    pub fn user_agent(&self) -> String {
        self.live().config.user_agent.clone()
    }

    fn live(&self) -> Arc<Live> {
        Arc::clone(
            &self
                .inner
                .live
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Fetches a page. Any HTTP status is `Ok`; see [`Response::error_for_status`].
    ///
    /// # Errors
    /// Any [`FetchError`] except `Status`.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection and gives the host's turn back.
    pub async fn get(&self, url: &Url) -> Result<Response, FetchError> {
        self.get_with(url, RequestOptions::default()).await
    }

    /// As [`Client::get`], with options.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_with(
        &self,
        url: &Url,
        options: RequestOptions,
    ) -> Result<Response, FetchError> {
        let live = self.live();
        let start = Start::at(url);
        self.collect(&live, start, options, Purpose::Page).await
    }

    /// Goes on from a response to an address that it leads to by other means than a redirect.
    ///
    /// It is one fetch all the same: redirects, time and patience are what is left of the first one's, and its cookies go along.
    ///
    /// # Errors
    /// As [`Client::get`]; [`FetchError::TooManyRedirects`] also where the way leads back to itself.
    pub async fn follow(
        &self,
        from: &Response,
        url: &Url,
        options: RequestOptions,
    ) -> Result<Response, FetchError> {
        let live = self.live();
        let start = Start::from(&from.requested, from.trail.clone(), url);
        self.collect(&live, start, options, Purpose::Page).await
    }

    /// Whether a URL may be fetched at all, by what it says itself: its scheme, port and host. What a name resolves to is seen
    /// when it is fetched.
    ///
    /// # Errors
    /// [`FetchError::BadUrl`] and [`FetchError::Blocked`].
    pub fn permits(&self, url: &Url) -> Result<(), FetchError> {
        self.live().guard.check_url(url).map(drop)
    }

    /// As [`Client::permits`], and where a name leads now. That is seen again when it is fetched: names change their mind.
    ///
    /// # Errors
    /// As [`Client::permits`]; [`FetchError::Dns`] where nobody knows the name.
    pub async fn permits_now(&self, url: &Url) -> Result<(), FetchError> {
        let live = self.live();
        live.guard.check_url(url)?;
        let (Some(name), None) = (url.domain(), live.guard.proxy()) else {
            return Ok(());
        };
        let lookup = self.inner.lookup.lookup(name.to_owned());
        let found = tokio::time::timeout(live.config.connect_timeout, lookup)
            .await
            .unwrap_or_else(|elapsed| Err(elapsed.into()))
            .map_err(|error| FetchError::Dns(Arc::new(error)))?;
        let kept = live.guard.filter(found);
        kept.map(drop).map_err(|refused| FetchError::Blocked {
            address: refused.address,
            reason: refused.reason,
        })
    }

    /// Fetches a page whose body is read piece by piece, in flat memory.
    ///
    /// The limit on the whole exchange runs on while the caller works on a piece.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn stream(
        &self,
        url: &Url,
        options: RequestOptions,
    ) -> Result<(Head, BodyStream), FetchError> {
        let live = self.live();
        let start = Start::at(url);
        Box::pin(exchange::open(self, &live, start, &options, Purpose::Page)).await
    }

    /// What is known of the robots.txt that governs this URL; fetched if need be. It answers even
    /// if the configuration says not to obey it.
    pub async fn robots(&self, url: &Url) -> RobotsAnswer {
        let live = self.live();
        let answer = match live.guard.check_url(url) {
            Ok(url) => Box::pin(robots::answer(self, &live, &url)).await,
            Err(error) => Err(error),
        };
        answer.unwrap_or_else(|error| {
            let retry_after = match error.decision() {
                Decision::Snooze { after } => after,
                _ => live.config.robots_error_ttl,
            };
            RobotsAnswer::Failed { retry_after, error }
        })
    }

    /// Opens and reads to the end.
    async fn collect(
        &self,
        live: &Live,
        start: Start<'_>,
        options: RequestOptions,
        purpose: Purpose,
    ) -> Result<Response, FetchError> {
        let started_at = Instant::now();
        let (mut head, mut stream) =
            Box::pin(exchange::open(self, live, start, &options, purpose)).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = stream.next_chunk().await? {
            body.extend_from_slice(&chunk);
        }
        head.trail.spend(stream.left());
        Ok(Response {
            url: head.url,
            requested: head.requested,
            status: head.status,
            headers: head.headers,
            content_type: head.content_type,
            last_modified: head.last_modified,
            etag: head.etag,
            retry_after: head.retry_after,
            body: body.freeze(),
            truncated: stream.is_truncated(),
            cut: stream.cut(),
            elapsed: started_at.elapsed(),
            redirects: head.redirects,
            trail: head.trail,
        })
    }
}
