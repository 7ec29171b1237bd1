//! `POST /api/documents/upload` and `/api/documents/upload-batch`: files as forms send them.
//!
//! The first takes one file, in the field `file`; the second up to a hundred, in `files[]`, each judged by itself. Both are received as
//! they come and never held. `Idempotency-Key` makes two requests one; `?duplicate=allow` makes a new document of bytes that the
//! tenant has already.

use axum::extract::{Request, State as Held};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{IntoResponses, ToSchema};

use super::State;
use super::body::Paced;
use super::caller::Writer;
use super::forms::{Told, Uploads, no};
use super::multipart::{Multipart, Part, boundary};
use super::receive::{Received, Receiver, declared, room, too_large, wish};
use super::trouble::Trouble;
use crate::documents::config::Documents;
use crate::documents::intake::{Accepted, Wish, clean_name};
use crate::documents::scope::TenantId;
use crate::http::openapi::Responses;

/// What a form may have beside its file, in bytes.
const SLACK: u64 = 1 << 20;
/// Files of one request.
const MOST_FILES: usize = 100;
/// Fields of one request that are no files.
const MOST_FIELDS: usize = 100;

type Answered = Result<Response, Trouble>;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/api/documents/upload", post(upload))
        .route("/api/documents/upload-batch", post(upload_batch))
}

/// A form with one file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: forms are read as they come")]
struct OneFile {
    #[schema(format = Binary)]
    file: String,
}

/// A form with up to a hundred files.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: forms are read as they come")]
struct Files {
    #[schema(rename = "files[]", schema_with = several_files)]
    files: Vec<String>,
}

fn several_files() -> Array {
    let file = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
    ArrayBuilder::new()
        .items(file)
        .max_items(Some(MOST_FILES))
        .build()
}

/// What became of several files.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct Batch {
    /// Whether all were accepted.
    success: bool,
    accepted: usize,
    refused: usize,
    /// In the order of the files.
    results: Vec<JudgedFile>,
}

/// What became of one of several.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
enum JudgedFile {
    Accepted(Told),
    Refused(RefusedFile),
}

/// A file that was not taken.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct RefusedFile {
    #[schema(schema_with = no)]
    success: bool,
    filename: String,
    error: String,
    /// As of a request with this file alone.
    code: String,
}

/// Takes a file, which is a document from then on.
#[utoipa::path(
    post, path = "/api/documents/upload", operation_id = "upload",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 characters: makes several requests one."),
        ("duplicate" = Option<String>, Query, description = "allow: bytes that are there already become another document; same: they do not."),
    ),
    request_body(content = OneFile, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "It waits to be read.", body = Told),
        (status = 200, description = "It was there already.", body = Told), Uploads,
    ),
    security(("tenant" = []), ("session" = [])),
)]
async fn upload(Held(state): Held<State>, Writer(tenant): Writer, request: Request) -> Answered {
    receiving(state, tenant, request, Kind::One).await
}

/// Why several files are refused: the whole request, or each by itself.
struct BatchRefused;

impl IntoResponses for BatchRefused {
    fn responses() -> Responses {
        let mut described = Uploads::responses();
        for (_, response) in described
            .iter_mut()
            .filter(|(status, _)| matches!(status.as_str(), "400" | "413" | "415" | "429" | "503"))
        {
            let RefOr::T(response) = response else {
                continue;
            };
            for content in response.content.values_mut() {
                let both = OneOfBuilder::new().item(Ref::from_schema_name("Batch"));
                let refusal = content.schema.take();
                let both = refusal.into_iter().fold(both, |both, form| both.item(form));
                content.schema = Some(both.into());
            }
        }
        described
    }
}

/// Takes up to a hundred files, each judged by itself. If none is accepted, the status is that of the first refusal.
#[utoipa::path(
    post, path = "/api/documents/upload-batch", operation_id = "uploadBatch",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 characters: makes several requests one."),
        ("duplicate" = Option<String>, Query, description = "allow: bytes that are there already become another document; same: they do not."),
    ),
    request_body(content = Files, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "At least one is new.", body = Batch),
        (status = 200, description = "Those that were accepted were there already.", body = Batch),
        BatchRefused,
    ),
    security(("tenant" = []), ("session" = [])),
)]
async fn upload_batch(
    Held(state): Held<State>,
    Writer(tenant): Writer,
    request: Request,
) -> Answered {
    receiving(state, tenant, request, Kind::Several).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    One,
    Several,
}

/// What a request says of the form that it sends.
struct Sent {
    boundary: String,
    wish: Wish,
    declared: Option<u64>,
}

impl Sent {
    fn of(state: &State, parts: &Parts, kind: Kind) -> Result<Self, Trouble> {
        let sent = Self {
            boundary: boundary(&parts.headers).ok_or_else(|| {
                Trouble::invalid("Content-Type is multipart/form-data with a boundary")
            })?,
            wish: wish(&parts.headers, parts.uri.query())?,
            declared: declared(&parts.headers),
        };
        let config = state.shared.config.get();
        let most = config.section::<Documents>().max_file_bytes;
        if kind == Kind::One && sent.declared.is_some_and(|bytes| bytes > most + SLACK) {
            return Err(too_large(most));
        }
        Ok(sent)
    }
}

/// Receives it in a task of its own, which ends as it should also when the client is gone.
async fn receiving(state: State, tenant: TenantId, request: Request, kind: Kind) -> Answered {
    let (parts, body) = request.into_parts();
    let long = room(&state, &parts.extensions)?;
    let mut body = Paced::new(body);
    let Sent {
        boundary,
        wish,
        declared,
    } = match Sent::of(&state, &parts, kind) {
        Ok(sent) => sent,
        Err(trouble) => {
            body.hear_out().await;
            return Err(trouble);
        }
    };
    let work = {
        let state = state.clone();
        async move {
            let receiver = Receiver::new(&state, tenant);
            let mut form = Multipart::new(body, &boundary);
            let answered = match kind {
                Kind::One => one(&state, &receiver, &mut form, declared, wish).await,
                Kind::Several => several(&state, &receiver, &mut form, &wish).await,
            };
            if answered.is_err() {
                form.hear_out().await;
            }
            drop(long);
            answered
        }
    };
    match state.receiving.spawn(work).await {
        Ok(answered) => answered,
        Err(_ended) => Err(Trouble::unavailable("the upload was not finished")),
    }
}

fn is_file(part: &Part) -> bool {
    part.filename.is_some() || matches!(part.name.as_str(), "file" | "files" | "files[]")
}

async fn one(
    state: &State,
    receiver: &Receiver,
    form: &mut Multipart,
    declared: Option<u64>,
    wish: Wish,
) -> Answered {
    if let Some(key) = &wish.idempotency_key
        && let Some(known) = receiver.known(key).await?
    {
        form.hear_out().await;
        return Ok(answer(state, &known));
    }
    let received = only_file(receiver, form, declared).await?;
    let accepted = receiver.settle(received, wish).await?;
    Ok(answer(state, &accepted))
}

/// The one file of a form, whose other fields are passed over.
async fn only_file(
    receiver: &Receiver,
    form: &mut Multipart,
    declared: Option<u64>,
) -> Result<Received, Trouble> {
    let (mut received, mut fields) = (None, 0);
    loop {
        let part = match form.next_part().await {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(bad) => return Err(dropped(receiver, received, bad.into()).await),
        };
        let is_second = is_file(&part) && received.is_some();
        fields += 1;
        if is_second || fields > MOST_FIELDS {
            let trouble = Trouble::invalid(if is_second {
                "one file is taken at a time; for several, see /api/documents/upload-batch"
            } else {
                "the form has too many fields"
            });
            return Err(dropped(receiver, received, trouble).await);
        }
        if is_file(&part) {
            let name = part.filename.unwrap_or_default();
            let expected = declared.and_then(|declared| form.rest_of(declared));
            received = Some(receiver.receive(form, &name, expected).await?);
        }
    }
    received.ok_or_else(|| {
        Trouble::new(
            StatusCode::BAD_REQUEST,
            "no_file",
            "no file provided: send it as the field \"file\"",
        )
    })
}

/// Gives up what was received before the trouble.
async fn dropped(receiver: &Receiver, received: Option<Received>, trouble: Trouble) -> Trouble {
    if let Some(received) = received {
        receiver.drop(received).await;
    }
    trouble
}

async fn several(
    state: &State,
    receiver: &Receiver,
    form: &mut Multipart,
    wish: &Wish,
) -> Answered {
    let (mut results, mut refused, mut fields) = (Vec::new(), None, 0);
    let (mut accepted, mut is_new) = (0_usize, false);
    while let Some(part) = form.next_part().await? {
        if !is_file(&part) {
            fields += 1;
            if fields > MOST_FIELDS {
                return Err(Trouble::invalid("the form has too many fields"));
            }
            continue;
        }
        if results.len() >= MOST_FILES {
            return Err(Trouble::invalid(format!(
                "at most {MOST_FILES} files are taken at a time; those before are there"
            )));
        }
        let name = part.filename.unwrap_or_default();
        let wish = Wish {
            // Of each file its own.
            idempotency_key: wish
                .idempotency_key
                .as_ref()
                .map(|key| format!("{key}#{}", results.len())),
            ..wish.clone()
        };
        let judged = match receiver.receive(form, &name, None).await {
            Ok(received) => receiver.settle(received, wish).await,
            Err(trouble) => Err(trouble),
        };
        match judged {
            Ok(one) => {
                accepted += 1;
                is_new |= !one.is_duplicate;
                results.push(told(state, &one));
            }
            Err(trouble) => {
                let (status, code, detail) = trouble.told();
                // Of these there is no next part.
                if matches!(status, StatusCode::REQUEST_TIMEOUT) {
                    return Err(trouble);
                }
                refused = refused.or(Some(status));
                results.push(json!({
                    "success": false, "filename": clean_name(&name), "error": detail, "code": code,
                }));
            }
        }
    }
    let status = match refused {
        _ if is_new => StatusCode::CREATED,
        _ if accepted > 0 => StatusCode::OK,
        Some(status) => status,
        None => {
            let detail = "no file provided: send them as fields \"files[]\"";
            return Err(Trouble::new(StatusCode::BAD_REQUEST, "no_file", detail));
        }
    };
    let body = json!({
        "success": accepted == results.len(), "accepted": accepted, "refused": results.len() - accepted, "results": results,
    });
    Ok((status, Json(body)).into_response())
}

/// What is told of a document that was sent.
fn told(state: &State, accepted: &Accepted) -> Value {
    let config = state.shared.config.get();
    let message = if accepted.is_duplicate {
        "this document is there already"
    } else {
        "document uploaded, and queued for processing"
    };
    let mut told = json!({
        "success": true, "document_id": accepted.uid, "filename": accepted.filename,
        "status": config.section::<Documents>().told(&accepted.status), "message": message,
        "status_url": format!("/api/documents/{}/status", accepted.uid),
    });
    if accepted.is_duplicate {
        told["duplicate"] = true.into();
    }
    told
}

fn answer(state: &State, accepted: &Accepted) -> Response {
    let status = if accepted.is_duplicate {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    (status, Json(told(state, accepted))).into_response()
}
