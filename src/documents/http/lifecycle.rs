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

use super::State;
use super::asked::Named;
use super::bounds::short;
use super::caller::Writer;
use super::trouble::Trouble;
use crate::documents::config::Documents;
use crate::documents::document;
use crate::documents::document::{Document, Obstacle};
use crate::documents::password;

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

async fn remove(Held(state): Held<State>, Writer(tenant): Writer, Named(uid): Named) -> Answered {
    let deleted = within!(&state, tenant, Obstacle, |conn| {
        document::delete(conn, tenant, &uid).await
    });
    let body = json!({ "success": true, "document_id": uid, "deleted": deleted, "message": "document deleted" });
    Ok(Json(body).into_response())
}

#[derive(Deserialize)]
struct Rename {
    new_filename: String,
}

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
    });
    Ok(answer(&state, &renamed, "document renamed"))
}

async fn cancel(Held(state): Held<State>, Writer(tenant): Writer, Named(uid): Named) -> Answered {
    let cancelled = within!(&state, tenant, Obstacle, |conn| {
        document::cancel(conn, tenant, &uid).await
    });
    Ok(answer(&state, &cancelled, "document cancelled"))
}

async fn retry(Held(state): Held<State>, Writer(tenant): Writer, Named(uid): Named) -> Answered {
    let queued = within!(&state, tenant, Obstacle, |conn| {
        document::retry(conn, tenant, &uid).await
    });
    Ok(answer(&state, &queued, "document queued again"))
}

async fn reprocess(
    Held(state): Held<State>,
    Writer(tenant): Writer,
    Named(uid): Named,
) -> Answered {
    let queued = within!(&state, tenant, Obstacle, |conn| {
        document::reprocess(conn, tenant, &uid).await
    });
    Ok(answer(&state, &queued, "document queued again"))
}

#[derive(Deserialize)]
struct Unlock {
    password: Password,
}

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
    let queued = within!(&state, tenant, Obstacle, |conn| {
        let queued = document::unlock(conn, tenant, &uid).await?;
        // Before anybody can claim it.
        password::remember(queued.id, wish.password.clone());
        Ok(queued)
    });
    Ok(answer(
        &state,
        &queued,
        "document queued again, with the password",
    ))
}
