//! Changes as they happen (server-sent events): `GET /api/documents/{id}/events`, and `GET /api/documents/events` for all of a tenant's.
//!
//! First comes what there is (`document`, or `list`), then each document that changed (`document`) or went (`deleted`), at most four
//! times a second. A client that comes again is told what there is, again; the id of an event is when its document changed. The
//! stream ends when its key does, and when the server stops.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Held;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::State;
use super::asked::Named;
use super::caller::{Reader, still_reads};
use super::forms::{Watches, WatchesOne};
use super::trouble::Trouble;
use crate::documents::document::Uid;
use crate::documents::events::{Change, Crowded, Watcher};
use crate::documents::read;
use crate::documents::read::{Document, LONGEST_LIST, Status};
use crate::documents::scope::TenantId;
use crate::http::places::{Long, Place};
use crate::http::serve::Stopping;

/// Between two looks for the same watcher: what changes meanwhile is told together.
const PACE: Duration = Duration::from_millis(250);
/// After so long without an event there is a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often it is looked up whether the key still holds.
const KEY_CHECK: Duration = Duration::from_secs(60);
/// Documents of a list whose last state is remembered. Of others each change is told, also if it shows in nothing.
const REMEMBERED: usize = 2_000;
/// What a client waits before it comes again, in milliseconds.
const COME_AGAIN: u32 = 2_000;

/// A document as it changes.
#[utoipa::path(
    get, path = "/api/documents/{id}/events", operation_id = "documentEvents",
    params(("id" = String, Path, description = "The document.")),
    responses((status = 200, description = "Events document (as its status) and deleted.", content_type = "text/event-stream", body = String), WatchesOne),
    security(("tenant" = []), ("session" = [])),
)]
pub(super) async fn of_document(
    Held(state): Held<State>,
    Extension(Stopping(stopping)): Extension<Stopping>,
    Reader(tenant): Reader,
    Named(uid): Named,
    parts: Parts,
) -> Result<Response, Trouble> {
    let status = ask!(&state, |conn| read::status(conn, tenant, &uid))?;
    status.ok_or_else(Trouble::not_found)?;
    serve(state, stopping, tenant, Some(uid), parts)
}

/// The tenant's documents as they change.
#[utoipa::path(
    get, path = "/api/documents/events", operation_id = "events",
    responses((status = 200, description = "Events list, document (as its status) and deleted.", content_type = "text/event-stream", body = String), Watches),
    security(("tenant" = []), ("session" = [])),
)]
pub(super) async fn of_tenant(
    Held(state): Held<State>,
    Extension(Stopping(stopping)): Extension<Stopping>,
    Reader(tenant): Reader,
    parts: Parts,
) -> Result<Response, Trouble> {
    serve(state, stopping, tenant, None, parts)
}

fn serve(
    state: State,
    stopping: CancellationToken,
    tenant: TenantId,
    only: Option<Uid>,
    parts: Parts,
) -> Result<Response, Trouble> {
    let place = parts.extensions.get::<Arc<Place>>();
    let long = place.and_then(|place| place.long(state.hub.ceiling()));
    let long = long.ok_or_else(|| {
        Trouble::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_streams",
            "as many watch as can be served; ask for the status instead, and try again later",
        )
        .after(10)
    })?;
    let watcher = state.hub.watch(tenant).map_err(|Crowded| {
        Trouble::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_streams",
            "you have as many event streams as one may have; close some",
        )
        .after(10)
    })?;
    let now = Instant::now();
    let told = Teller {
        state,
        stopping,
        tenant,
        only,
        parts,
        watcher,
        _long: long,
        has_begun: false,
        is_over: false,
        shown: HashMap::new(),
        checked_at: now,
        looked_at: now,
    };
    let events = stream::unfold(told, |mut told| async move {
        let text = told.next().await?;
        Some((Ok::<_, Infallible>(text), told))
    });
    let mut response = Body::from_stream(events).into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that gathers answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// What is to be looked at.
#[derive(Debug, Default)]
struct News {
    documents: BTreeSet<String>,
    keys: bool,
    anything: bool,
}

impl News {
    fn add(&mut self, change: Change) {
        match change {
            Change::Document(uid) => {
                self.documents.insert(uid);
            }
            Change::Keys => self.keys = true,
            Change::Anything => self.anything = true,
        }
    }

    /// Whether any of it is about this document, or about no certain one.
    fn concerns(&self, uid: &Uid) -> bool {
        self.anything || self.documents.contains(uid.as_str())
    }
}

/// Why a stream ends: its client comes again, or is not to.
struct End;

/// Tells one client.
struct Teller {
    state: State,
    stopping: CancellationToken,
    tenant: TenantId,
    /// The document that is watched; none for all.
    only: Option<Uid>,
    /// The request, which holds the key.
    parts: Parts,
    watcher: Watcher,
    /// Leave to take so long.
    _long: Long,
    has_begun: bool,
    /// Whether the document that was watched is gone.
    is_over: bool,
    /// What was last told of a document.
    shown: HashMap<String, String>,
    checked_at: Instant,
    looked_at: Instant,
}

impl Teller {
    /// The next that is told; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        let told = if self.has_begun {
            self.changes().await
        } else {
            self.has_begun = true;
            self.all().await
        };
        told.ok()
    }

    /// What there is.
    async fn all(&mut self) -> Result<String, End> {
        self.looked_at = Instant::now();
        let mut text = format!("retry: {COME_AGAIN}\n\n");
        match self.only.clone() {
            Some(uid) => {
                let status = self.status(&uid).await?.ok_or(End)?;
                self.show(&status, &mut text);
            }
            None => {
                let documents = self.list().await?;
                let statuses: Vec<Status> = documents.iter().map(|own| self.told(own)).collect();
                for status in &statuses {
                    // Told in one, right below.
                    self.show(status, &mut String::new());
                }
                let newest = statuses.iter().map(|status| status.updated_at).max();
                let id = newest.map_or(0, |at| at.timestamp_micros());
                text.push_str(&event("list", id, &json!({ "documents": statuses })));
            }
        }
        Ok(text)
    }

    /// Waits for changes that show, or until it is time for a sign of life.
    async fn changes(&mut self) -> Result<String, End> {
        let quiet_until = Instant::now() + HEARTBEAT;
        loop {
            let mut news = News::default();
            let stopping = self.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => return Err(End),
                change = self.watcher.next() => news.add(change),
                () = sleep_until(quiet_until) => {}
            }
            if news.keys || self.checked_at.elapsed() >= KEY_CHECK {
                self.check_key().await?;
            }
            if Instant::now() >= quiet_until {
                self.gather(&mut news);
                let text = self.look(&news).await?;
                return Ok(if text.is_empty() {
                    ":\n\n".to_owned()
                } else {
                    text
                });
            }
            let next_look = self.looked_at + PACE;
            tokio::select! {
                () = stopping.cancelled() => return Err(End),
                () = sleep_until(next_look) => {}
            }
            self.gather(&mut news);
            if news.keys {
                self.check_key().await?;
            }
            let text = self.look(&news).await?;
            if !text.is_empty() {
                return Ok(text);
            }
        }
    }

    fn gather(&mut self, news: &mut News) {
        while let Some(change) = self.watcher.known() {
            news.add(change);
        }
    }

    async fn check_key(&mut self) -> Result<(), End> {
        self.checked_at = Instant::now();
        match still_reads(&mut self.parts, &self.state).await {
            Ok(tenant) if tenant == self.tenant => Ok(()),
            Ok(_) | Err(_) => Err(End),
        }
    }

    /// Tells what of the news shows.
    async fn look(&mut self, news: &News) -> Result<String, End> {
        let mut text = String::new();
        if let Some(uid) = self.only.clone() {
            if news.concerns(&uid) {
                self.looked_at = Instant::now();
                match self.status(&uid).await? {
                    Some(status) => self.show(&status, &mut text),
                    None => {
                        self.gone(uid.as_str(), &mut text);
                        self.is_over = true;
                    }
                }
            }
            return Ok(text);
        }
        if news.documents.is_empty() && !news.anything {
            return Ok(text);
        }
        self.looked_at = Instant::now();
        let mut seen = Vec::new();
        let mut wanted = news.documents.clone();
        if news.anything {
            seen = self.list().await?;
            wanted.extend(self.shown.keys().cloned());
            for document in &seen {
                wanted.remove(&document.document_id);
            }
        }
        let uids: Vec<String> = wanted.iter().cloned().collect();
        if !uids.is_empty() {
            let some = ask!(&self.state, |conn| read::some(conn, self.tenant, &uids));
            seen.extend(some.map_err(|_trouble| End)?);
        }
        for document in &seen {
            wanted.remove(&document.document_id);
            let status = self.told(document);
            self.show(&status, &mut text);
        }
        for uid in wanted {
            self.gone(&uid, &mut text);
        }
        if self.shown.len() > REMEMBERED {
            self.shown.clear();
        }
        Ok(text)
    }

    async fn status(&self, uid: &Uid) -> Result<Option<Status>, End> {
        let status = ask!(&self.state, |conn| read::status(conn, self.tenant, uid));
        let mut status = status.map_err(|_trouble| End)?;
        if let Some(status) = &mut status {
            status.status = self.state.told(&status.status);
        }
        Ok(status)
    }

    /// How far a document is, as it is told.
    fn told(&self, document: &Document) -> Status {
        let mut status = Status::of(document);
        status.status = self.state.told(&status.status);
        status
    }

    async fn list(&self) -> Result<Vec<Document>, End> {
        let listed = ask!(&self.state, |conn| {
            read::list(conn, self.tenant, None, None, LONGEST_LIST)
        });
        listed
            .map(|(documents, _)| documents)
            .map_err(|_trouble| End)
    }

    /// Tells how far a document is, unless that is what was last told of it.
    fn show(&mut self, status: &Status, text: &mut String) {
        let id = status.updated_at.timestamp_micros();
        let told = event("document", id, status);
        if self.shown.get(&status.document_id) != Some(&told) {
            text.push_str(&told);
            self.shown.insert(status.document_id.clone(), told);
        }
    }

    /// Tells that a document is gone.
    fn gone(&mut self, uid: &str, text: &mut String) {
        let told = event("deleted", 0, &json!({ "document_id": uid }));
        // Of one that was never shown nobody asks; but it may have been forgotten.
        text.push_str(told.trim_start_matches("id: 0\n"));
        self.shown.remove(uid);
    }
}

/// One event. JSON has no line breaks of its own.
fn event(name: &str, id: i64, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}
