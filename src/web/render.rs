//! Pages that need JavaScript: a local Chromium runs their scripts, and has no way out of its own.
//!
//! The page itself is fetched as any page is, by [`crate::web::fetch::Client`]: robots.txt, politeness, limits, guard. Only then a tab is
//! given its address and, as the answer to its first request, that very response. Whatever its scripts ask for after that is
//! stopped in the browser (the protocol's `Fetch` domain), fetched by the same client and handed in; what is not stopped there fails,
//! because every connection of the browser leads to a proxy that does not exist. So each request of a page passes the guard and
//! keeps the limits of outbound HTTP, and the answer's status, headers and final URL are those that a plain fetch would have had.
//!
//! A page is written by strangers, and whatever it asks for is asked in our name. So what it may ask for is little ([`Allowance`]):
//! of its own shop by GET, and by POST where an operator said so; robots.txt and the hosts' pace are for pages, not for what these
//! consist of. Of everybody else scripts and style sheets only, a bounded number from a bounded number of hosts, by their
//! robots.txt and at their pace. Of a page's headers only a few harmless ones go along (`request.rs`).
//!
//! One browser at most runs in a process, started for the first page that needs it. Each page has a context of its own: no
//! cookie, no storage, no cache outlives it. A browser is replaced when it crashes, hangs, takes too much memory or has
//! rendered its share of pages, and closed when nobody needs it.

mod browser;
mod config;
mod error;
mod page;
mod process;
mod program;
mod request;
mod wire;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tracing::warn;

pub use self::config::Config;
pub use self::error::{End, RenderError};
pub use self::program::{PROGRAMS, find as find_program};
pub use self::request::Allowance;

use self::browser::{Running, Visit};
use crate::metrics;
use crate::web::fetch::{Client, Response};

/// How long an item that found no tab stays away.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// A page as its scripts have left it.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The response that the page came with. Another one than was handed in if a script led on to another page.
    pub response: Response,
    /// The document, from `<html>` to `</html>`.
    pub html: String,
}

/// The browser, if there is one. Clones are the same.
#[derive(Clone)]
pub struct Renderer {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    live: RwLock<Arc<Live>>,
    running: Mutex<Option<Running>>,
}

/// One configuration, and the tabs it allows.
struct Live {
    config: Config,
    tabs: Arc<Semaphore>,
}

impl Live {
    fn new(config: Config) -> Arc<Self> {
        let tabs = Arc::new(Semaphore::new(config.max_pages.get()));
        Arc::new(Self { config, tabs })
    }
}

/// The right to render one page; given back when dropped.
pub struct Tab {
    inner: Arc<Inner>,
    live: Arc<Live>,
    allowance: Allowance,
    _permit: OwnedSemaphorePermit,
}

impl Renderer {
    /// With this configuration; what pages ask for is fetched by `client`. Nothing is started yet.
    ///
    /// # Errors
    /// [`RenderError::NoProgram`] when rendering is switched on and there is no browser.
    pub fn new(config: Config, client: Client) -> Result<Self, RenderError> {
        check(&config)?;
        if config.enabled && nix::unistd::geteuid().is_root() {
            warn!(
                "running as root: the browser runs strangers' scripts without its own sandbox; run gleaner as another user"
            );
        }
        let inner = Inner {
            client,
            live: RwLock::new(Live::new(config)),
            running: Mutex::new(None),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Changes the configuration. Pages in a tab end under the old one.
    pub fn reconfigure(&self, config: Config) {
        let mut live = self
            .inner
            .live
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if live.config != config {
            *live = Live::new(config);
        }
    }

    /// Whether pages are rendered at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.live().config.enabled
    }

    fn live(&self) -> Arc<Live> {
        let live = self.inner.live.read();
        Arc::clone(&live.unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a free tab. To be had before the page is fetched, so that none is fetched in vain.
    ///
    /// # Errors
    /// [`RenderError::Off`]; [`RenderError::Busy`] when none comes free in `render.timeout`.
    pub async fn tab(&self) -> Result<Tab, RenderError> {
        let live = self.live();
        if !live.config.enabled {
            return Err(RenderError::Off);
        }
        let busy = RenderError::Busy {
            retry_after: BUSY_RETRY_AFTER,
        };
        let free = Arc::clone(&live.tabs).acquire_owned();
        match timeout(live.config.timeout, free).await {
            Ok(Ok(permit)) => Ok(Tab {
                inner: Arc::clone(&self.inner),
                live,
                allowance: Allowance::default(),
                _permit: permit,
            }),
            _ => Err(busy),
        }
    }

    /// The most that the running browser has taken in memory so far, in bytes; 0 while there is none.
    pub async fn peak_memory(&self) -> u64 {
        let running = self.inner.running.lock().await;
        running
            .as_ref()
            .map_or(0, |running| running.browser.peak_memory())
    }

    /// Ends the browser, with whatever is in it, and waits until nothing is left of it. A page that comes later starts another.
    pub async fn close(&self) {
        if let Some(running) = self.inner.running.lock().await.take() {
            drop(running.end(End::Drained).await);
        }
    }
}

/// Whether there is a browser, if there is to be one.
///
/// # Errors
/// [`RenderError::NoProgram`].
pub fn check(config: &Config) -> Result<(), RenderError> {
    if config.enabled {
        find_program(config)?;
    }
    Ok(())
}

impl Tab {
    /// With more leave than every page has.
    #[must_use]
    pub fn allowing(self, allowance: Allowance) -> Self {
        Self { allowance, ..self }
    }

    /// Runs the scripts of a page that has been fetched.
    ///
    /// # Errors
    /// Any [`RenderError`] but `Off` and `Busy`.
    ///
    /// # Cancel safety
    /// Dropping the future closes the tab.
    pub async fn render(self, response: Response) -> Result<Rendered, RenderError> {
        let started_at = Instant::now();
        let rendered = self.render_in_browser(response).await;
        match &rendered {
            Ok(_) => metrics::page_rendered(started_at.elapsed()),
            Err(error) => metrics::render_failed(error.class()),
        }
        rendered
    }

    async fn render_in_browser(&self, response: Response) -> Result<Rendered, RenderError> {
        let visit = self.visit().await?;
        let config = &self.live.config;
        let allowance = self.allowance.clone();
        let client = &self.inner.client;
        Box::pin(page::render(&visit, client, config, allowance, response)).await
    }

    /// Enters the browser, which is started or replaced if need be.
    async fn visit(&self) -> Result<Visit, RenderError> {
        let config = &self.live.config;
        let mut running = self.inner.running.lock().await;
        if let Some(current) = running.as_mut() {
            if let Some(visit) = current.browser.enter(config) {
                return Ok(visit);
            }
            current.retire(current.browser.closed_for(config)).await;
            *running = None;
        }
        let program = find_program(config)?;
        let (started, visit) = Running::start(config.clone(), &program)?;
        // In its place before it answers: whoever closes finds it there.
        match running.insert(started).answers().await {
            Ok(()) => Ok(visit),
            Err(why) => {
                let complaint = match running.take() {
                    Some(failed) => failed.end(why).await,
                    None => String::new(),
                };
                Err(RenderError::Start {
                    reason: format!("{} ({complaint})", why.as_str()),
                })
            }
        }
    }
}
