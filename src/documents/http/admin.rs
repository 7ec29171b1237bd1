//! `/api/v1/tenants`: tenants and their keys, for operators. Needs the admin token where there is one.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/tenants` | all of them, with what they use |
//! | `POST /api/v1/tenants` | `{"name", "quota_bytes"?}`: a new one, and its first key, which is shown this once |
//! | `PATCH /api/v1/tenants/{tenant}` | `{"quota_bytes"?, "tier"?, "max_running"?, "max_queued"?, "disabled"?}`: changed |
//! | `GET /api/v1/tenants/{tenant}/keys` | its keys, without the secret of any |
//! | `POST /api/v1/tenants/{tenant}/keys` | `{"name"?, "scope"?, "expires_in_days"?}`: another key, shown this once |
//! | `DELETE /api/v1/tenants/{tenant}/keys/{key}` | it is revoked |
//!
//! A tenant goes by its uid or its name.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State as Held};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, patch};
use axum::{Json, Router};
use diesel_async::AsyncPgConnection;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::info;

use crate::documents::config::Documents;
use crate::documents::key;
use crate::documents::key::Scope;
use crate::documents::tenant;
use crate::documents::tenant::{Change, Tenant};
use crate::http::State;
use crate::http::listing;
use crate::http::listing::Refusal;

type Answered = Result<Response, Refusal>;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/api/v1/tenants", get(list).post(create))
        .route("/api/v1/tenants/{tenant}", patch(change))
        .route("/api/v1/tenants/{tenant}/keys", get(keys).post(make_key))
        .route("/api/v1/tenants/{tenant}/keys/{key}", delete(revoke_key))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message)
}

fn not_found(what: &str) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is no such {what}"),
    )
}

fn database(error: diesel::result::Error) -> Refusal {
    Refusal::database(&error)
}

/// What the body says; nothing at all, of one that is empty.
fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let body = body.map_err(|error| invalid(error.body_text()))?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text)
        .map_err(|error| invalid(format!("the body cannot be read: {error}")))
}

async fn find(conn: &mut AsyncPgConnection, name: &str) -> Result<Tenant, Refusal> {
    let found = tenant::find(conn, name).await.map_err(database)?;
    found.ok_or_else(|| not_found("tenant"))
}

async fn list(Held(state): Held<State>) -> Answered {
    let mut conn = listing::connection(&state).await?;
    let tenants = tenant::list(&mut conn).await.map_err(database)?;
    Ok(Json(json!({ "success": true, "tenants": tenants })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    quota_bytes: Option<i64>,
}

async fn create(Held(state): Held<State>, body: Result<Bytes, BytesRejection>) -> Answered {
    let wish: Create = read(body)?;
    let name = tenant::name(&wish.name).ok_or_else(|| invalid(tenant::NAMES))?;
    let quota = match wish.quota_bytes {
        Some(quota) if tenant::QUOTAS.contains(&quota) => quota,
        Some(_) => return Err(invalid("quota_bytes is 0 to 1 PiB")),
        None => {
            let config = state.shared.config.get();
            i64::try_from(config.section::<Documents>().quota_bytes).unwrap_or(i64::MAX)
        }
    };
    let secret = key::generate().map_err(|error| Refusal::database(&error))?;
    let mut conn = listing::connection(&state).await?;
    let created = tenant::create_with_key(&mut conn, name, quota, &secret)
        .await
        .map_err(database)?;
    let Some(created) = created else {
        let message = "there is a tenant of this name";
        return Err(Refusal::new(StatusCode::CONFLICT, "exists", message));
    };
    info!(tenant = %created.uid, "a tenant was created");
    let body = json!({ "success": true, "tenant": created, "key": secret.expose() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn change(
    Held(state): Held<State>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answered {
    let wish: Change = read(body)?;
    wish.check().map_err(invalid)?;
    let mut conn = listing::connection(&state).await?;
    let found = find(&mut conn, &name).await?;
    let changed = tenant::change(&mut conn, found.id, &wish)
        .await
        .map_err(database)?;
    info!(tenant = %changed.uid, "a tenant was changed");
    Ok(Json(json!({ "success": true, "tenant": changed })).into_response())
}

async fn keys(Held(state): Held<State>, Path(name): Path<String>) -> Answered {
    let mut conn = listing::connection(&state).await?;
    let found = find(&mut conn, &name).await?;
    let keys = key::list(&mut conn, found.id).await.map_err(database)?;
    Ok(Json(json!({ "success": true, "keys": keys })).into_response())
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MakeKey {
    name: String,
    scope: Option<Scope>,
    expires_in_days: Option<u32>,
}

async fn make_key(
    Held(state): Held<State>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answered {
    let wish: MakeKey = read(body)?;
    if wish.name.chars().count() > key::LONGEST_NAME {
        return Err(invalid("the name of a key has at most 100 characters"));
    }
    if wish
        .expires_in_days
        .is_some_and(|days| !key::TERMS.contains(&days))
    {
        return Err(invalid("expires_in_days is 1 to 36500"));
    }
    let secret = key::generate().map_err(|error| Refusal::database(&error))?;
    let mut conn = listing::connection(&state).await?;
    let found = find(&mut conn, &name).await?;
    let scope = wish.scope.unwrap_or(Scope::Write);
    let label = wish.name.replace('\0', "");
    let made = key::store_for(
        &mut conn,
        found.id,
        &secret,
        &label,
        scope,
        wish.expires_in_days,
    )
    .await
    .map_err(database)?;
    info!(tenant = %found.uid, key = %made, "a key was made");
    let body = json!({ "success": true, "id": made, "scope": scope, "key": secret.expose() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn revoke_key(
    Held(state): Held<State>,
    Path((name, id)): Path<(String, String)>,
) -> Answered {
    let mut conn = listing::connection(&state).await?;
    let found = find(&mut conn, &name).await?;
    let is_revoked = key::revoke(&mut conn, found.id, &id)
        .await
        .map_err(database)?;
    if !is_revoked {
        return Err(not_found("key"));
    }
    info!(tenant = %found.uid, key = %id, "a key was revoked");
    Ok(Json(json!({ "success": true })).into_response())
}
