//! One page in one tab: opened, fed with what it asks for, read when it has come to rest, closed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;
use url::Url;

use super::browser::Visit;
use super::request::{self, Allowance, Asked, Paused, Shop, Verdict};
use super::wire::{Event, Session, WireError};
use super::{Config, RenderError, Rendered};
use crate::fault;
use crate::web::fetch::{Client, FetchError, Response};

/// A loaded page that has asked for nothing for so long has come to rest.
const REST: Duration = Duration::from_millis(500);
/// How many requests of one page are fetched at once: what browsers allow themselves at one host.
const REQUESTS_AT_ONCE: usize = 6;
/// How many times scripts may lead on to another page, redirects included.
const MAX_NAVIGATIONS: u32 = 8;

/// A browser context: what one page may keep while it is open. Closed when dropped.
struct Context<'a> {
    visit: &'a Visit,
    id: String,
    is_open: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContextMade {
    browser_context_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetMade {
    target_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attached {
    session_id: String,
}

impl<'a> Context<'a> {
    async fn open(visit: &'a Visit) -> Result<Self, RenderError> {
        let params = json!({ "disposeOnDetach": true });
        let made: ContextMade = visit.ask("Target.createBrowserContext", params).await?;
        let context = Self {
            visit,
            id: made.browser_context_id,
            is_open: true,
        };
        let params = json!({ "behavior": "deny", "browserContextId": context.id });
        visit
            .ask::<Value>("Browser.setDownloadBehavior", params)
            .await?;
        Ok(context)
    }

    /// A tab in it, without a page.
    async fn tab(&self) -> Result<(String, Session), RenderError> {
        let params = json!({ "url": "about:blank", "browserContextId": self.id });
        let made: TargetMade = self.visit.ask("Target.createTarget", params).await?;
        let params = json!({ "targetId": made.target_id, "flatten": true });
        let attached: Attached = self.visit.ask("Target.attachToTarget", params).await?;
        Ok((
            made.target_id,
            self.visit.wire().session(attached.session_id),
        ))
    }

    async fn close(mut self) {
        let params = json!({ "browserContextId": self.id });
        let closed = self
            .visit
            .ask::<Value>("Target.disposeBrowserContext", params)
            .await;
        self.is_open = false;
        if let Err(error) = closed {
            debug!(%error, "a tab was not closed");
        }
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        if self.is_open {
            let params = json!({ "browserContextId": self.id });
            // A browser that cannot be told is ending, or ends in its time.
            self.visit
                .wire()
                .tell("Target.disposeBrowserContext", params);
        }
    }
}

/// Runs the scripts of a page that came with `response`.
///
/// # Errors
/// Any [`RenderError`] but `Off` and `Busy`.
pub(super) async fn render(
    visit: &Visit,
    client: &Client,
    config: &Config,
    allowance: Allowance,
    response: Response,
) -> Result<Rendered, RenderError> {
    let context = Context::open(visit).await?;
    let (target, session) = context.tab().await?;
    let page = Page {
        visit,
        client,
        config,
        session: session.id.as_str().into(),
        target,
        shop: Shop::of(&response.url, allowance),
        main: response,
        stage: Stage::Asked,
        navigations: 0,
        requests_left: config.max_requests,
        foreign_left: config.max_foreign_requests,
        foreign_hosts: BTreeSet::new(),
        bytes_left: Arc::new(AtomicU64::new(config.max_bytes)),
        slots: Arc::new(Semaphore::new(REQUESTS_AT_ONCE)),
        foreign_slots: Arc::new(Semaphore::new(REQUESTS_AT_ONCE)),
        under_way: 0,
        changed_at: Instant::now(),
        shown_at: Instant::now(),
        work: FuturesUnordered::new(),
    };
    let rendered = timeout(config.timeout, page.run(session)).await;
    context.close().await;
    rendered.unwrap_or(Err(RenderError::Timeout {
        after: config.timeout,
    }))
}

/// How far a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The tab has been given its address.
    Asked,
    /// A script has led on to another page, which is being fetched.
    Led,
    /// The page has been handed over; what is shown is still the one before it.
    Coming,
    /// The page is shown, and not all that belongs to it is there.
    Loading,
    /// It is complete; its scripts may go on.
    Loaded,
    /// It is being read.
    Reading,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Shop,
    Others,
}

/// What comes of work that goes on beside the events.
enum Work {
    /// A request was answered.
    Answered,
    /// One could not be made for want of something that is this process' own to have: the page would be another without it.
    Lacking(Box<FetchError>),
    /// The browser has taken the address, or says why not.
    Opened(Result<Opened, WireError>),
    /// The page that a script led on to, as the how manieth.
    Led {
        number: u32,
        request: String,
        fetched: Box<Result<Response, FetchError>>,
    },
    /// The document as it stands; `None` if it is too large.
    Read(Result<Option<String>, WireError>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    error_text: Option<String>,
}

/// `Page.frameNavigated`: a document is shown.
#[derive(Deserialize)]
struct Shown {
    frame: Frame,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    parent_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct World {
    execution_context_id: i64,
}

#[derive(Deserialize)]
struct Evaluated {
    result: Evaluation,
}

#[derive(Deserialize)]
struct Evaluation {
    value: Option<String>,
}

struct Page<'a> {
    visit: &'a Visit,
    client: &'a Client,
    config: &'a Config,
    session: Arc<str>,
    /// The tab, and its main frame, which has the same name.
    target: String,
    shop: Shop,
    main: Response,
    stage: Stage,
    navigations: u32,
    requests_left: u32,
    /// Of these, how many may still go to others than the shop.
    foreign_left: u32,
    /// Those others that have been asked.
    foreign_hosts: BTreeSet<String>,
    bytes_left: Arc<AtomicU64>,
    slots: Arc<Semaphore>,
    /// Their own, so that the shop does not wait for the turns of others.
    foreign_slots: Arc<Semaphore>,
    /// Requests that are being answered.
    under_way: usize,
    /// When something last happened.
    changed_at: Instant,
    /// Since when the page is shown.
    shown_at: Instant,
    work: FuturesUnordered<BoxFuture<'a, Work>>,
}

impl Page<'_> {
    /// Events are heard and requests answered to the very end, also while the page is read: a script may wait for them.
    async fn run(mut self, mut session: Session) -> Result<Rendered, RenderError> {
        self.prepare().await?;
        self.open();
        loop {
            let is_at_rest = self.stage == Stage::Loaded && self.under_way == 0;
            let is_readable = matches!(self.stage, Stage::Loading | Stage::Loaded);
            tokio::select! {
                event = session.events.recv() => match event {
                    Some(event) => self.hear(&event)?,
                    None => return Err(self.lost()),
                },
                Some(work) = self.work.next() => {
                    if let Some(html) = self.take(work)? {
                        return Ok(Rendered { response: self.main, html });
                    }
                }
                () = sleep_until(self.changed_at + REST), if is_at_rest => self.read(),
                () = sleep_until(self.shown_at + self.config.wait), if is_readable => self.read(),
            }
        }
    }

    /// Has the tab stop its requests for us before there are any.
    async fn prepare(&mut self) -> Result<(), RenderError> {
        let commands = [
            (
                "Fetch.enable",
                json!({ "patterns": [{ "urlPattern": "*" }] }),
            ),
            ("Page.enable", json!({})),
            ("Inspector.enable", json!({})),
            (
                "Emulation.setUserAgentOverride",
                json!({ "userAgent": self.client.user_agent() }),
            ),
        ];
        let wire = self.visit.wire();
        let calls = commands
            .into_iter()
            .map(|(method, params)| wire.call::<Value>(Some(&self.session), method, params));
        let done = try_join_all(calls).await;
        done.map(drop).map_err(|error| self.visit.explain(error))
    }

    /// Why there are no more events.
    fn lost(&self) -> RenderError {
        if self.visit.wire().is_closed() {
            self.visit.gone()
        } else {
            RenderError::Refused("the page floods the browser with events".to_owned())
        }
    }

    fn open(&mut self) {
        let (visit, session) = (self.visit, Arc::clone(&self.session));
        let params = json!({ "url": self.main.url.as_str() });
        self.work.push(Box::pin(async move {
            Work::Opened(
                visit
                    .wire()
                    .call(Some(&session), "Page.navigate", params)
                    .await,
            )
        }));
    }

    /// In a world of its own, where no script of the page has changed what these words mean.
    fn read(&mut self) {
        self.stage = Stage::Reading;
        let expression = format!(
            "(() => {{ const html = document.documentElement?.outerHTML ?? ''; \
             return html.length > {} ? null : html.toWellFormed(); }})()",
            self.config.max_html_bytes
        );
        let world = json!({ "frameId": self.target, "worldName": "gleaner" });
        let (visit, session) = (self.visit, Arc::clone(&self.session));
        self.work.push(Box::pin(async move {
            let read = async {
                let wire = visit.wire();
                let world: World = wire
                    .call(Some(&session), "Page.createIsolatedWorld", world)
                    .await?;
                let params = json!({
                    "expression": expression,
                    "contextId": world.execution_context_id,
                    "returnByValue": true,
                });
                let evaluated: Evaluated = wire
                    .call(Some(&session), "Runtime.evaluate", params)
                    .await?;
                Ok(evaluated.result.value)
            };
            Work::Read(read.await)
        }));
    }

    fn hear(&mut self, event: &Event) -> Result<(), RenderError> {
        match event.method.as_str() {
            "Fetch.requestPaused" => {
                self.changed_at = Instant::now();
                let paused = event.params::<Paused>().ok_or_else(|| {
                    RenderError::Refused("a request that cannot be read".to_owned())
                })?;
                self.answer(paused)?;
            }
            "Page.frameNavigated" => {
                let is_page = event
                    .params::<Shown>()
                    .is_some_and(|shown| shown.frame.parent_id.is_none());
                if is_page && self.stage == Stage::Coming {
                    self.stage = Stage::Loading;
                    self.shown_at = Instant::now();
                }
            }
            "Page.loadEventFired" => {
                self.changed_at = Instant::now();
                if self.stage == Stage::Loading {
                    self.stage = Stage::Loaded;
                }
            }
            // alert(), confirm(), prompt(): nobody is there to answer.
            "Page.javascriptDialogOpening" => {
                self.reply(
                    "Page.handleJavaScriptDialog",
                    json!({ "accept": false }),
                    None,
                );
            }
            "Inspector.targetCrashed" => return Err(RenderError::TabCrashed),
            _ => {}
        }
        Ok(())
    }

    fn answer(&mut self, paused: Paused) -> Result<(), RenderError> {
        let verdict = paused.verdict(&self.target, &self.shop);
        match verdict {
            Verdict::Page if self.stage == Stage::Asked => {
                self.stage = Stage::Coming;
                let answer = request::fulfilled(&paused.request_id, &self.main);
                self.hand_over(paused.request_id, answer);
            }
            Verdict::Page if self.stage != Stage::Reading => self.lead_on(paused)?,
            Verdict::Own if self.requests_left > 0 => {
                self.requests_left -= 1;
                self.fetch(paused, Whose::Shop);
            }
            Verdict::Foreign if self.requests_left > 0 && self.may_ask_others(&paused) => {
                self.requests_left -= 1;
                self.foreign_left -= 1;
                self.fetch(paused, Whose::Others);
            }
            Verdict::Allow => {
                let answer = request::allowed(&paused);
                self.hand_over(paused.request_id, answer);
            }
            // Also what comes too late, or is too much.
            Verdict::Page | Verdict::Own | Verdict::Foreign | Verdict::Refuse => {
                self.reply(
                    "Fetch.failRequest",
                    request::failed(&paused.request_id),
                    None,
                );
            }
        }
        Ok(())
    }

    /// Whether somebody else may be asked once more, and whether it is one too many of them.
    fn may_ask_others(&mut self, paused: &Paused) -> bool {
        let Some(host) = parse(&paused.request.url)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
        else {
            return false;
        };
        let limit = usize::try_from(self.config.max_foreign_hosts).unwrap_or(usize::MAX);
        let is_welcome = self.foreign_hosts.contains(&host) || self.foreign_hosts.len() < limit;
        let may = is_welcome && self.foreign_left > 0;
        if may {
            self.foreign_hosts.insert(host);
        }
        may
    }

    /// A script sends the tab elsewhere. That is a page as any: robots.txt, the host's pace, limits. One of another site would not
    /// be read, so it is not asked for either.
    fn lead_on(&mut self, paused: Paused) -> Result<(), RenderError> {
        if self.navigations >= MAX_NAVIGATIONS {
            let followed = self.navigations;
            return Err(RenderError::Fetch(FetchError::TooManyRedirects {
                followed,
            }));
        }
        let url = parse(&paused.request.url).map_err(RenderError::Fetch)?;
        if !self.shop.is_site(&url) {
            self.client.permits(&url).map_err(RenderError::Fetch)?;
            let host = url.host_str().unwrap_or_default().to_owned();
            return Err(RenderError::LedAway { host });
        }
        self.navigations += 1;
        self.stage = Stage::Led;
        let (client, number) = (self.client, self.navigations);
        self.work.push(Box::pin(async move {
            let fetched = client.get_with(&url, Asked::page_options()).await;
            Work::Led {
                number,
                request: paused.request_id,
                fetched: Box::new(fetched),
            }
        }));
        Ok(())
    }

    fn fetch(&mut self, paused: Paused, whose: Whose) {
        let (visit, client, session) = (self.visit, self.client, Arc::clone(&self.session));
        let bytes_left = Arc::clone(&self.bytes_left);
        let slots = Arc::clone(match whose {
            Whose::Shop => &self.slots,
            Whose::Others => &self.foreign_slots,
        });
        self.under_way += 1;
        self.work.push(Box::pin(async move {
            let _slot = slots.acquire_owned().await;
            let id = &paused.request_id;
            match fetch(client, &paused.request, whose, &bytes_left).await {
                Ok(response) => {
                    let answer = request::fulfilled(id, &response);
                    send(visit, &session, "Fetch.fulfillRequest", answer, Some(id)).await;
                }
                Err(error) => {
                    debug!(
                        class = error.class(),
                        "a page did not get what it asked for"
                    );
                    let answer = request::failed(id);
                    send(visit, &session, "Fetch.failRequest", answer, None).await;
                    if fault::shortage(&error).is_some() {
                        return Work::Lacking(Box::new(error));
                    }
                }
            }
            Work::Answered
        }));
    }

    fn hand_over(&mut self, request: String, answer: Value) {
        self.reply("Fetch.fulfillRequest", answer, Some(request));
    }

    /// Sends a command whose answer is of no interest, except that a `request` whose answer is refused must fail.
    fn reply(&mut self, method: &'static str, params: Value, request: Option<String>) {
        let (visit, session) = (self.visit, Arc::clone(&self.session));
        self.under_way += 1;
        self.work.push(Box::pin(async move {
            send(visit, &session, method, params, request.as_deref()).await;
            Work::Answered
        }));
    }

    /// The document, once it has been read.
    fn take(&mut self, work: Work) -> Result<Option<String>, RenderError> {
        match work {
            Work::Answered => {
                self.under_way -= 1;
                self.changed_at = Instant::now();
            }
            Work::Lacking(error) => return Err(RenderError::Fetch(*error)),
            Work::Opened(opened) => {
                let opened = opened.map_err(|error| self.visit.explain(error))?;
                if let Some(error) = opened.error_text.filter(|_| self.navigations == 0) {
                    return Err(RenderError::Refused(error));
                }
            }
            // The browser has been led elsewhere in the meantime.
            Work::Led { number, .. } if number < self.navigations => {}
            Work::Led {
                request, fetched, ..
            } => {
                let response = (*fetched).and_then(Response::error_for_status);
                let response = response.map_err(RenderError::Fetch)?;
                self.stage = Stage::Coming;
                let answer = request::fulfilled(&request, &response);
                if !(300..400).contains(&response.status) {
                    self.main = response;
                }
                self.hand_over(request, answer);
            }
            Work::Read(read) => {
                let limit_bytes = self.config.max_html_bytes;
                let html = read
                    .map_err(|error| self.visit.explain(error))?
                    .filter(|html| html.len() <= limit_bytes);
                return html.map(Some).ok_or(RenderError::TooLarge { limit_bytes });
            }
        }
        Ok(None)
    }
}

fn parse(url: &str) -> Result<Url, FetchError> {
    Url::parse(url).map_err(|error| FetchError::BadUrl {
        reason: error.to_string(),
    })
}

/// Fetches what a page asks for, as long as it has not had its share.
async fn fetch(
    client: &Client,
    asked: &Asked,
    whose: Whose,
    bytes_left: &AtomicU64,
) -> Result<Response, FetchError> {
    let left = bytes_left.load(Ordering::Relaxed);
    let options = match whose {
        Whose::Shop => asked.own_options(left).ok_or_else(|| FetchError::BadUrl {
            reason: "what it posts is not known".to_owned(),
        })?,
        Whose::Others => asked.foreign_options(left),
    };
    let response = client.get_with(&parse(&asked.url)?, options).await?;
    let size = u64::try_from(response.body.len()).unwrap_or(u64::MAX);
    // All requests of a page are in one task, so nothing comes in between. Those under way at once may together take a little
    // more than is left.
    let left = bytes_left.load(Ordering::Relaxed);
    bytes_left.store(left.saturating_sub(size), Ordering::Relaxed);
    Ok(response)
}

/// Sends a command; a `request` whose answer the browser refuses is made to fail, so that nothing waits for it. What was
/// called off in the meantime is refused too, rightly.
async fn send(
    visit: &Visit,
    session: &str,
    method: &'static str,
    params: Value,
    request: Option<&str>,
) {
    let wire = visit.wire();
    let sent = wire.call::<Value>(Some(session), method, params).await;
    if let (Err(WireError::Refused { message, .. }), Some(request)) = (&sent, request) {
        debug!(message, "the browser refused an answer");
        let failed = request::failed(request);
        let failed = wire.call::<Value>(Some(session), "Fetch.failRequest", failed);
        if let Err(error) = failed.await {
            debug!(%error, "a request was called off");
        }
    }
}
