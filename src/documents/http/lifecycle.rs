//! What tenants do with their documents.
//!
//! | request | answer |
//! |---|---|
//! | `DELETE /api/documents/{id}` | it is gone, its work ends, its bytes are free |
//! | `PUT /api/documents/{id}/rename` | `{"new_filename"}`: its name, with the ending that it had |
//! | `POST /api/documents/{id}/cancel` | its work, or its waiting, ends |
//! | `POST /api/documents/{id}/retry` | what failed or was cancelled is tried again |
//! | `POST /api/documents/{id}/reprocess` | it is worked from the start |
//! | `POST /api/documents/{id}/password` | `{"password"}`: it is tried with this, which is stored nowhere |

use axum::body::Bytes;
use axum::extract::State as Held;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, post, put};
use axum::{Json, Router};
use gleaner_parse::protocol::Password;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::Object;

use super::State;
use super::asked::Named;
use super::bounds::short;
use super::caller::Writer;
use super::forms::{Cancels, Removes, Renames, Retries, Told, Unlocks, Works};
use super::trouble::Trouble;
use crate::documents::config::Documents;
use crate::documents::document;
use crate::documents::document::{Document, Obstacle};
use crate::documents::password;
use crate::documents::processing::DocumentProcessing;
use crate::http::openapi::{text, yes};

/// The longest password, in bytes.
const LONGEST_PASSWORD: usize = 1_000;

type Answered = Result<Response, Trouble>;

pub(super) fn routes() -> Router<State> {
    short(
        Router::new()
            .route("/api/documents/{id}", delete(remove))
            .route("/api/documents/{id}/rename", put(rename))
            .route("/api/documents/{id}/cancel", post(cancel))
            .route("/api/documents/{id}/retry", post(retry))
            .route("/api/documents/{id}/reprocess", post(reprocess))
            .route("/api/documents/{id}/password", post(unlock)),
    )
}

fn answer(state: &State, document: &Document, message: &str) -> Response {
    let config = state.shared.config.get();
    let status = config.section::<Documents>().told(&document.status);
    Json(json!({
        "success": true, "document_id": document.uid, "filename": document.filename, "status": status, "message": message,
        "status_url": format!("/api/documents/{}/status", document.uid),
    }))
    .into_response()
}

/// What the body says, which is a small JSON object.
fn read<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
    form: &str,
) -> Result<T, Trouble> {
    let body = body.map_err(|error| Trouble::invalid(error.body_text()))?;
    serde_json::from_slice(&body)
        .map_err(|_unreadable| Trouble::invalid(format!("the body is {form}")))
}

/// What is told of one that is gone.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct Removed {
    #[schema(schema_with = yes)]
    success: bool,
    document_id: String,
    /// Documents that are gone: this one, and those that were made of what it had attached.
    deleted: usize,
    message: String,
}

/// Deletes a document: its work ends, and its bytes are free.
#[utoipa::path(
    delete, path = "/api/documents/{id}", operation_id = "deleteDocument",
    params(("id" = String, Path, description = "The document.")),
    responses((status = 200, description = "It is gone.", body = Removed), Removes),
    security(("tenant" = []), ("session" = [])),
)]
async fn remove(Held(state): Held<State>, Writer(tenant): Writer, Named(uid): Named) -> Answered {
    let deleted = within!(&state, tenant, Obstacle, |conn| {
        document::delete(conn, tenant, &uid).await
    })?;
    let body = json!({ "success": true, "document_id": uid, "deleted": deleted, "message": "document deleted" });
    Ok(Json(body).into_response())
}

/// The new name.
#[derive(Deserialize, ToSchema)]
struct Rename {
    /// Its ending stays what it was.
    new_filename: String,
}

/// Renames a document.
#[utoipa::path(
    put, path = "/api/documents/{id}/rename", operation_id = "renameDocument",
    params(("id" = String, Path, description = "The document.")), request_body = Rename,
    responses((status = 200, description = "The document as it is now.", body = Told), Renames),
    security(("tenant" = []), ("session" = [])),
)]
async fn rename(
    Held(state): Held<State>,
    Writer(tenant): Writer,
    Named(uid): Named,
    body: Result<Bytes, BytesRejection>,
) -> Answered {
    let wish: Rename = read(body, r#"{"new_filename": TEXT}"#)?;
    if wish.new_filename.trim().is_empty() {
        return Err(Trouble::invalid("new_filename is empty"));
    }
    let renamed = within!(&state, tenant, Obstacle, |conn| {
        document::rename(conn, tenant, &uid, &wish.new_filename).await
    })?;
    Ok(answer(&state, &renamed, "document renamed"))
}

/// Ends the work on a document, or its waiting.
#[utoipa::path(
    post, path = "/api/documents/{id}/cancel", operation_id = "cancelDocument",
    params(("id" = String, Path, description = "The document.")),
    responses((status = 200, description = "The document as it is now.", body = Told), Cancels),
    security(("tenant" = []), ("session" = [])),
)]
async fn cancel(Held(state): Held<State>, Writer(tenant): Writer, Named(uid): Named) -> Answered {
    let cancelled = within!(&state, tenant, Obstacle, |conn| {
        document::cancel(conn, tenant, &uid).await
    })?;
    Ok(answer(&state, &cancelled, "document cancelled"))
}

/// Has a document that failed, or was cancelled, tried again.
#[utoipa::path(
    post, path = "/api/documents/{id}/retry", operation_id = "retryDocument",
    params(("id" = String, Path, description = "The document.")),
    responses((status = 200, description = "The document as it is now.", body = Told), Retries),
    security(("tenant" = []), ("session" = [])),
)]
async fn retry(Held(state): Held<State>, Writer(tenant): Writer, Named(uid): Named) -> Answered {
    let queued = within!(&state, tenant, Obstacle, |conn| {
        document::retry(conn, tenant, &uid).await
    })?;
    Ok(answer(&state, &queued, "document queued again"))
}

/// Has a document worked from the start.
#[utoipa::path(
    post, path = "/api/documents/{id}/reprocess", operation_id = "reprocessDocument",
    params(("id" = String, Path, description = "The document.")),
    responses((status = 200, description = "The document as it is now.", body = Told), Works),
    security(("tenant" = []), ("session" = [])),
)]
async fn reprocess(
    Held(state): Held<State>,
    Writer(tenant): Writer,
    Named(uid): Named,
) -> Answered {
    let queued = within!(&state, tenant, Obstacle, |conn| {
        document::reprocess(conn, tenant, &uid).await
    })?;
    Ok(answer(&state, &queued, "document queued again"))
}

/// A password, which is stored nowhere.
#[derive(Deserialize, ToSchema)]
struct Unlock {
    #[schema(schema_with = passwords)]
    password: Password,
}

fn passwords() -> Object {
    let most = format!("Of at most {LONGEST_PASSWORD} bytes.");
    text(LONGEST_PASSWORD, &most)
}

/// Has a document tried again with this password.
#[utoipa::path(
    post, path = "/api/documents/{id}/password", operation_id = "unlockDocument",
    params(("id" = String, Path, description = "The document.")), request_body = Unlock,
    responses((status = 200, description = "The document as it is now.", body = Told), Unlocks),
    security(("tenant" = []), ("session" = [])),
)]
async fn unlock(
    Held(state): Held<State>,
    Writer(tenant): Writer,
    Named(uid): Named,
    body: Result<Bytes, BytesRejection>,
) -> Answered {
    let wish: Unlock = read(body, r#"{"password": TEXT}"#)?;
    if wish.password.0.len() > LONGEST_PASSWORD {
        return Err(Trouble::invalid(format!(
            "a password has at most {LONGEST_PASSWORD} bytes"
        )));
    }
    let config = state.shared.config.get();
    let reads = config.workflows.of::<DocumentProcessing>().enabled;
    let queued = within!(&state, tenant, Obstacle, |conn| {
        let queued = document::unlock(conn, tenant, &uid).await?;
        if !reads {
            return Err(Obstacle::Elsewhere(
                "this process reads no documents, and no other learns the password; send it to one that does",
            ));
        }
        // Before anybody can claim it.
        password::remember(queued.id, wish.password.clone());
        Ok(queued)
    })?;
    Ok(answer(
        &state,
        &queued,
        "document queued again, with the password",
    ))
}
