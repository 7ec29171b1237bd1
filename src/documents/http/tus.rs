//! Resumable uploads: tus 1.0.0 (<https://tus.io/protocols/resumable-upload>), core, creation, expiration and termination.
//!
//! | request | answer |
//! |---|---|
//! | `OPTIONS /api/uploads` | what is understood |
//! | `POST /api/uploads` | an upload of `Upload-Length` bytes is announced, and as much set aside: 201 with its `Location` |
//! | `HEAD /api/uploads/{id}` | how far it is; of one that is done, `Gleaner-Document` |
//! | `PATCH /api/uploads/{id}` | bytes are added at `Upload-Offset`; with the last of them it is a document |
//! | `DELETE /api/uploads/{id}` | it is given up |
//!
//! Of several requests that would write to one, one does. It renews its right every few seconds, with how much is safely stored; so what
//! a broken connection brought is kept, and of a process that died the next takes over. An upload expires when nothing comes for
//! `documents.upload_expiry`.

mod form;
mod store;

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State as Held};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{options, patch, post};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing::warn;

use self::form::{LENGTH, OFFSET, RESUMABLE, VERSION, number};
use self::store::{Found, Written};
use super::State;
use super::body::{Ended, Paced, Step};
use super::bounds::short;
use super::caller::{Reader, Writer};
use super::forms::{Announces, Appends, GivesUp, LooksAtUpload, Public};
use super::receive::{media_type, room, signed, too_large, wish};
use super::trouble::{Trouble, method_not_allowed};
use crate::documents::blob::Key;
use crate::documents::config::Documents;
use crate::documents::document::Uid;
use crate::documents::intake;
use crate::documents::intake::{Aside, Draft, HEAD, Kept};
use crate::documents::metrics;
use crate::documents::quota;
use crate::documents::quota::Refusal;
use crate::documents::scope::TenantId;
use crate::documents::tenant;
use crate::telemetry::chain;

/// How often it is said how much is stored, and that somebody still writes.
const SAVE_EVERY: Duration = Duration::from_secs(4);
/// The same, in bytes.
const SAVE_BYTES: u64 = 16 << 20;
/// For how long a request counts as alive that says nothing.
const HOLDS: Duration = Duration::from_secs(15);
/// The same while it stores the whole file, which may take a while.
const HOLDS_AT_THE_END: Duration = Duration::from_secs(600);

type Answered = Result<Response, Trouble>;

pub(super) fn routes() -> Router<State> {
    let one = "/api/uploads/{id}";
    let told = Router::new()
        .route("/api/uploads", post(create).options(describe))
        .route(one, options(describe).head(look).delete(terminate));
    let received = Router::new().route(one, patch(append));
    short(told)
        .merge(received)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(in_our_version))
}

/// Every request but `OPTIONS` has to be of our version, and every answer says that it is.
async fn in_our_version(request: Request, next: Next) -> Response {
    let version = request.headers().get(RESUMABLE);
    let is_ours = version.is_some_and(|version| version == VERSION);
    let mut response = if is_ours || request.method() == Method::OPTIONS {
        next.run(request).await
    } else {
        let trouble = Trouble::new(
            StatusCode::PRECONDITION_FAILED,
            "wrong_version",
            "the header Tus-Resumable has to be 1.0.0",
        );
        let versions = HeaderName::from_static("tus-version");
        ([(versions, VERSION)], trouble).into_response()
    };
    let version = HeaderValue::from_static(VERSION);
    response.headers_mut().insert(RESUMABLE, version);
    response
}

/// What is understood of tus.
#[utoipa::path(
    options, path = "/api/uploads", operation_id = "describeUploads",
    responses((status = 204, description = "Versions and extensions.", headers(
        ("Tus-Resumable" = String), ("Tus-Version" = String), ("Tus-Extension" = String),
        ("Tus-Max-Size" = u64, description = "Largest file, in bytes."),
    )), Public),
    security(()),
)]
async fn describe(Held(state): Held<State>) -> Response {
    let most = state
        .shared
        .config
        .get()
        .section::<Documents>()
        .max_file_bytes;
    let headers = [
        ("tus-version", VERSION.to_owned()),
        (
            "tus-extension",
            "creation,expiration,termination".to_owned(),
        ),
        ("tus-max-size", most.to_string()),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn not_found() -> Trouble {
    Trouble::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is no such upload",
    )
}

fn expired() -> Trouble {
    Trouble::new(
        StatusCode::GONE,
        "expired",
        "the upload has expired, or its beginning is gone; begin again",
    )
}

fn id(text: &str) -> Result<Uid, Trouble> {
    Uid::parse(text).ok_or_else(not_found)
}

/// Announces an upload, for which its bytes are set aside.
#[utoipa::path(
    post, path = "/api/uploads", operation_id = "createUpload",
    params(
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Length" = u64, Header, description = "Bytes that will come; 1 at least."),
        ("Upload-Metadata" = Option<String>, Header, description = "tus: filename or name, and duplicate (allow or same), in base64."),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 characters: makes several requests one document."),
        ("duplicate" = Option<String>, Query, description = "allow: bytes that are there already become another document; same: they do not."),
    ),
    responses((status = 201, description = "It waits for its first byte.", headers(
        ("Location" = String, description = "Its path."), ("Upload-Offset" = u64), ("Upload-Expires" = String), ("Tus-Resumable" = String),
    )), Announces),
    security(("tenant" = []), ("session" = [])),
)]
async fn create(Held(state): Held<State>, Writer(tenant): Writer, request: Request) -> Answered {
    let headers = request.headers();
    if headers.contains_key("upload-defer-length") {
        return Err(Trouble::invalid(
            "the length has to be known: send Upload-Length, and no Upload-Defer-Length",
        ));
    }
    let length = number(headers, LENGTH)
        .ok_or_else(|| Trouble::invalid("Upload-Length is the number of bytes that will come"))?;
    let config = state.shared.config.get();
    let settings = config.section::<Documents>();
    if length > settings.max_file_bytes {
        return Err(too_large(settings.max_file_bytes));
    }
    if length == 0 {
        return Err(super::receive::empty());
    }
    let mut wished = wish(headers, request.uri().query())?;
    let metadata = form::metadata(headers)?;
    wished.name = metadata.filename.unwrap_or_default();
    wished.allows_duplicate |= metadata.allows_duplicate;
    let bytes = signed(length)?;
    let made = within!(&state, tenant, Refusal, |conn| {
        quota::announce(conn, tenant, bytes).await?;
        Ok(store::create(conn, tenant, bytes, &wished, settings.upload_expiry).await?)
    })?;
    let place = format!("/api/uploads/{}", made.id);
    let headers = [
        (header::LOCATION, place),
        (form::EXPIRES, form::date(made.expires_at)),
        (OFFSET, "0".to_owned()),
    ];
    Ok((StatusCode::CREATED, headers).into_response())
}

async fn find(state: &State, tenant: TenantId, id: &Uid) -> Result<Found, Trouble> {
    let found = within!(state, tenant, Refusal, |conn| {
        Ok(store::find(conn, tenant, id).await?)
    })?;
    found.ok_or_else(not_found)
}

/// Tells how far an upload is.
#[utoipa::path(
    head, path = "/api/uploads/{id}", operation_id = "lookAtUpload",
    params(("id" = String, Path, description = "The upload."), ("Tus-Resumable" = String, Header, description = "1.0.0")),
    responses((status = 200, description = "What is there of it; no body.", headers(
        ("Upload-Offset" = u64), ("Upload-Length" = u64), ("Upload-Expires" = String, description = "Unless it is complete."),
        ("Gleaner-Document" = String, description = "The document that it became."), ("Tus-Resumable" = String),
    )), LooksAtUpload),
    security(("tenant" = []), ("session" = [])),
)]
async fn look(
    Held(state): Held<State>,
    Reader(tenant): Reader,
    Path(text): Path<String>,
) -> Answered {
    let found = find(&state, tenant, &id(&text)?).await?;
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(OFFSET, HeaderValue::from(found.received));
    headers.insert(LENGTH, HeaderValue::from(found.length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match found.document {
        Some(document) => {
            if let Ok(document) = HeaderValue::try_from(document) {
                headers.insert(form::DOCUMENT, document);
            }
        }
        None if found.is_expired => return Err(expired()),
        None => {
            if let Ok(date) = HeaderValue::try_from(form::date(found.expires_at)) {
                headers.insert(form::EXPIRES, date);
            }
        }
    }
    Ok(response)
}

/// Gives an upload up.
#[utoipa::path(
    delete, path = "/api/uploads/{id}", operation_id = "endUpload",
    params(("id" = String, Path, description = "The upload."), ("Tus-Resumable" = String, Header, description = "1.0.0")),
    responses((status = 204, description = "It is gone.", headers(("Tus-Resumable" = String))), GivesUp),
    security(("tenant" = []), ("session" = [])),
)]
async fn terminate(
    Held(state): Held<State>,
    Writer(tenant): Writer,
    Path(text): Path<String>,
) -> Answered {
    let id = id(&text)?;
    let was_there = within!(&state, tenant, Refusal, |conn| {
        Ok(store::give_up(conn, tenant, &id, None).await?)
    })?;
    if !was_there {
        return Err(not_found());
    }
    discard(&state, &id).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Takes away what was received. What cannot be is swept later.
async fn discard(state: &State, id: &Uid) {
    match state.blobs.drafts().await {
        Ok(drafts) => drop(tokio::fs::remove_file(drafts.join(id.as_str())).await),
        Err(error) => warn!(error = %chain(&error), "cannot remove what came of an upload"),
    }
}

/// Adds bytes to an upload; with the last of them it is a document.
#[utoipa::path(
    patch, path = "/api/uploads/{id}", operation_id = "appendToUpload",
    params(
        ("id" = String, Path, description = "The upload."), ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Offset" = u64, Header, description = "Bytes that are there."),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "They are stored.", headers(
        ("Upload-Offset" = u64), ("Upload-Expires" = String, description = "Unless it is complete."),
        ("Gleaner-Document" = String, description = "The document that it became."), ("Tus-Resumable" = String),
    )), Appends),
    security(("tenant" = []), ("session" = [])),
)]
async fn append(
    Held(state): Held<State>,
    Writer(tenant): Writer,
    Path(text): Path<String>,
    request: Request,
) -> Answered {
    let id = id(&text)?;
    let (parts, body) = request.into_parts();
    form::check_media(&parts.headers)?;
    let offset = number(&parts.headers, OFFSET)
        .ok_or_else(|| Trouble::invalid("Upload-Offset is the number of bytes that are there"))?;
    let long = room(&state, &parts.extensions)?;
    let work = {
        let state = state.clone();
        async move {
            let mut body = Paced::new(body);
            let appended = appended(&state, tenant, &id, offset, &mut body).await;
            if appended.is_err() {
                body.hear_out().await;
            }
            drop(long);
            appended
        }
    };
    match state.receiving.spawn(work).await {
        Ok(answered) => answered,
        Err(_ended) => Err(Trouble::unavailable("the upload was not finished")),
    }
}

async fn appended(
    state: &State,
    tenant: TenantId,
    id: &Uid,
    offset: u64,
    body: &mut Paced,
) -> Answered {
    let expiry = state
        .shared
        .config
        .get()
        .section::<Documents>()
        .upload_expiry;
    let at = signed(offset)?;
    let begun = within!(state, tenant, Refusal, |conn| {
        Ok(store::begin(conn, tenant, id, at, expiry).await?)
    })?;
    let Some(written) = begun else {
        return Err(why_not(state, tenant, id, offset).await?);
    };
    let mut writing = Writing {
        state,
        tenant,
        id,
        written,
        expiry,
    };
    writing.append(offset, body).await
}

/// Why nothing can be written to an upload at this place.
async fn why_not(
    state: &State,
    tenant: TenantId,
    id: &Uid,
    offset: u64,
) -> Result<Trouble, Trouble> {
    let found = find(state, tenant, id).await?;
    Ok(if found.document.is_some() {
        Trouble::new(StatusCode::CONFLICT, "complete", "the upload is complete")
    } else if found.is_expired {
        expired()
    } else if signed(offset)? != found.received {
        Trouble::new(
            StatusCode::CONFLICT,
            "wrong_offset",
            format!("{} bytes are there", found.received),
        )
    } else {
        Trouble::new(
            StatusCode::LOCKED,
            "locked",
            "another request writes to the upload",
        )
        .after(5)
    })
}

/// A request that writes.
struct Writing<'a> {
    state: &'a State,
    tenant: TenantId,
    id: &'a Uid,
    written: Written,
    expiry: Duration,
}

impl Writing<'_> {
    async fn append(&mut self, offset: u64, body: &mut Paced) -> Answered {
        let length = u64::try_from(self.written.length).unwrap_or_default();
        if let Some(kept) = self.kept_before().await? {
            return self.settle(&kept).await;
        }
        let opened = Draft::resumed(&*self.state.blobs, self.id.as_str(), offset).await;
        let mut draft = match opened {
            Ok(draft) => draft,
            Err(error) => {
                self.save(offset, None).await?;
                return Err(match error.kind() {
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof => expired(),
                    _ => Trouble::storage(&error),
                });
            }
        };
        let ended = self.write(&mut draft, length, body).await;
        match ended {
            Ok(()) if draft.bytes() == length => self.finish(draft).await,
            Ok(()) | Err(Stop::Ended(_) | Stop::TooMuch) => {
                let stored = draft.sync().await;
                // The bytes before the last that are safe.
                stored.map_err(|error| Trouble::storage(&error))?;
                let expires_at = self.save(draft.bytes(), None).await?;
                match ended {
                    Err(Stop::Ended(ended)) => Err(ended.into()),
                    Err(Stop::TooMuch) => Err(Trouble::invalid(format!(
                        "more came than the {length} bytes that were announced"
                    ))),
                    _ => Ok(progress(draft.bytes(), Some(expires_at), None)),
                }
            }
            Err(Stop::Refused(trouble)) => {
                let given_up = within!(self.state, self.tenant, Refusal, |conn| {
                    Ok(
                        store::give_up(conn, self.tenant, self.id, Some(&self.written.writer))
                            .await?,
                    )
                })?;
                if given_up {
                    draft.discard();
                }
                Err(trouble)
            }
            Err(Stop::Trouble(trouble)) => Err(trouble),
        }
    }

    /// The file that this is already, if everything came before but could not be settled.
    async fn kept_before(&self) -> Result<Option<Kept>, Trouble> {
        let Some(kept) = self.written.kept() else {
            return Ok(None);
        };
        let key = self.key(&kept).await?;
        let holds = self.state.blobs.holds(&key).await;
        let holds = holds.map_err(|error| Trouble::storage(&error))?;
        Ok(holds.then_some(kept))
    }

    async fn key(&self, kept: &Kept) -> Result<Key, Trouble> {
        Ok(Key {
            tenant: ask!(self.state, |conn| tenant::uid(conn, self.tenant))?,
            sha256: kept.sha256,
        })
    }

    async fn write(&self, draft: &mut Draft, length: u64, body: &mut Paced) -> Result<(), Stop> {
        let (mut saved, mut saved_at) = (draft.bytes(), Instant::now());
        let begins = draft.bytes() == 0;
        let mut is_looked_at = !begins;
        loop {
            let step = body.next_within(SAVE_EVERY).await.map_err(Stop::Ended)?;
            let mut is_too_much = false;
            // This process was held up for so long that another request may write by now.
            if saved_at.elapsed() >= HOLDS {
                self.save(saved, Some(HOLDS)).await.map_err(Stop::Trouble)?;
                saved_at = Instant::now();
            }
            match step {
                Step::End => return Ok(()),
                Step::Nothing => {}
                Step::Bytes(mut bytes) => {
                    let room = usize::try_from(length - draft.bytes()).unwrap_or(usize::MAX);
                    is_too_much = bytes.len() > room;
                    let fitting: Bytes = bytes.split_to(bytes.len().min(room));
                    let written = draft.write(fitting).await;
                    written.map_err(|error| Stop::Trouble(Trouble::storage(&error)))?;
                }
            }
            if !is_looked_at && draft.head().len() >= HEAD {
                media_type(draft.head(), &self.written.filename).map_err(Stop::Refused)?;
                is_looked_at = true;
            }
            if is_too_much {
                return Err(Stop::TooMuch);
            }
            if saved_at.elapsed() >= SAVE_EVERY || draft.bytes() - saved >= SAVE_BYTES {
                let synced = draft.sync().await;
                synced.map_err(|error| Stop::Trouble(Trouble::storage(&error)))?;
                self.save(draft.bytes(), Some(HOLDS))
                    .await
                    .map_err(Stop::Trouble)?;
                (saved, saved_at) = (draft.bytes(), Instant::now());
            }
        }
    }

    /// Says how much is stored, and that this request goes on, or is done.
    async fn save(&self, received: u64, holds: Option<Duration>) -> Result<DateTime<Utc>, Trouble> {
        let received = signed(received)?;
        let saved = within!(self.state, self.tenant, Refusal, |conn| {
            let saving = store::Saving {
                writer: &self.written.writer,
                received,
                expiry: self.expiry,
                holds,
            };
            Ok(store::save(conn, self.tenant, self.id, &saving).await?)
        })?;
        saved.ok_or_else(|| {
            Trouble::new(
                StatusCode::CONFLICT,
                "lost",
                "the upload was given up, or another request writes to it",
            )
        })
    }

    /// All of it is there.
    async fn finish(&mut self, mut draft: Draft) -> Answered {
        let storage = |error: std::io::Error| Trouble::storage(&error);
        draft.sync().await.map_err(storage)?;
        self.save(draft.bytes(), Some(HOLDS_AT_THE_END)).await?;
        let whole = draft.finish().await.map_err(storage)?;
        let head = whole.head().await.map_err(storage)?;
        let mime = match media_type(&head, &self.written.filename) {
            Ok(mime) => mime,
            Err(trouble) => {
                let given_up = within!(self.state, self.tenant, Refusal, |conn| {
                    Ok(
                        store::give_up(conn, self.tenant, self.id, Some(&self.written.writer))
                            .await?,
                    )
                })?;
                if given_up {
                    whole.discard();
                }
                return Err(trouble);
            }
        };
        // Before the draft is one no more: who comes again is to find what became of it.
        let kept = Kept {
            sha256: whole.sha256,
            bytes: signed(whole.bytes)?,
            mime: mime.to_owned(),
        };
        let is_ours = within!(self.state, self.tenant, Refusal, |conn| {
            let (id, writer) = (self.id, &self.written.writer);
            Ok(store::note(conn, self.tenant, id, writer, &kept).await?)
        })?;
        if !is_ours {
            return Err(not_found());
        }
        let key = self.key(&kept).await?;
        let stored = whole.keep(&*self.state.blobs, &key).await;
        if let Err(error) = stored {
            self.save(u64::try_from(kept.bytes).unwrap_or_default(), None)
                .await?;
            return Err(Trouble::storage(&error));
        }
        self.settle(&kept).await
    }

    async fn settle(&self, kept: &Kept) -> Answered {
        let settled = self.settled(kept).await;
        match settled {
            Ok(document) => Ok(progress(
                u64::try_from(self.written.length).unwrap_or_default(),
                None,
                Some(&document),
            )),
            Err(trouble) => {
                // It can be tried again at once.
                let received = u64::try_from(self.written.length).unwrap_or_default();
                drop(self.save(received, None).await);
                Err(trouble)
            }
        }
    }

    async fn settled(&self, kept: &Kept) -> Result<String, Trouble> {
        let key = self.key(kept).await?;
        let wish = self.written.wish();
        let aside = Aside::Upload {
            id: self.id.as_str().to_owned(),
            writer: self.written.writer.clone(),
        };
        let blobs = &*self.state.blobs;
        let accepted = ask!(self.state, |conn| {
            intake::settle(conn, blobs, self.tenant, &key.tenant, kept, &wish, &aside)
        })?;
        metrics::received(accepted.is_duplicate);
        Ok(accepted.uid)
    }
}

/// What is told of a part that is stored.
fn progress(received: u64, expires_at: Option<DateTime<Utc>>, document: Option<&str>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(OFFSET, HeaderValue::from(received));
    if let Some(date) = expires_at.and_then(|at| HeaderValue::try_from(form::date(at)).ok()) {
        headers.insert(form::EXPIRES, date);
    }
    if let Some(document) = document.and_then(|uid| HeaderValue::try_from(uid).ok()) {
        headers.insert(form::DOCUMENT, document);
    }
    response
}

/// Why a request writes no more.
enum Stop {
    Ended(Ended),
    TooMuch,
    /// The file is none that is read here.
    Refused(Trouble),
    /// Nothing more can be stored, or is to be.
    Trouble(Trouble),
}
