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
use utoipa::{IntoResponses, ToSchema};

use crate::documents::config::Documents;
use crate::documents::key;
use crate::documents::key::{Known, Scope};
use crate::documents::tenant;
use crate::documents::tenant::{Change, Tenant};
use crate::http::State;
use crate::http::listing;
use crate::http::listing::Refusal;
use crate::http::openapi::{Responses, refusals, yes};

type Answered = Result<Response, Refusal>;

/// Why a change is refused, as it is described: codes by status.
macro_rules! refusing {
    ($($(#[$about:meta])* $name:ident { $($status:literal: $codes:expr),* $(,)? })+) => {$(
        $(#[$about])*
        struct $name;

        impl IntoResponses for $name {
            fn responses() -> Responses {
                refusals(&[$(($status, &$codes)),*])
            }
        }
    )+};
}

refusing! {
    /// A list of all.
    Lists {}
    /// A list of one tenant's.
    ListsOf { "404": ["not_found"] }
    /// What makes a tenant.
    Makes { "400": ["bad_request"], "403": ["cross_site"], "409": ["exists"], "413": ["too_large"] }
    /// What changes one.
    Changes { "400": ["bad_request"], "403": ["cross_site"], "404": ["not_found"], "413": ["too_large"] }
    /// What takes a key away.
    Revokes { "403": ["cross_site"], "404": ["not_found"] }
}

/// Tenants.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct TenantList {
    #[schema(schema_with = yes)]
    success: bool,
    tenants: Vec<Tenant>,
}

/// A tenant that is new.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct TenantMade {
    #[schema(schema_with = yes)]
    success: bool,
    tenant: Tenant,
    /// Its first key, shown this once.
    key: String,
}

/// A tenant as it is now.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct TenantChanged {
    #[schema(schema_with = yes)]
    success: bool,
    tenant: Tenant,
}

/// Keys of a tenant.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct KeyList {
    #[schema(schema_with = yes)]
    success: bool,
    keys: Vec<Known>,
}

/// A key that is new.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct KeyMade {
    #[schema(schema_with = yes)]
    success: bool,
    id: String,
    scope: Scope,
    /// Shown this once.
    key: String,
}

/// It is done.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct Revoked {
    #[schema(schema_with = yes)]
    success: bool,
}

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

fn database(error: &diesel::result::Error) -> Refusal {
    Refusal::database(error)
}

/// What the body says; nothing at all, of one that is empty.
fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let body = body.map_err(|error| invalid(error.body_text()))?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text)
        .map_err(|error| invalid(format!("the body cannot be read: {error}")))
}

async fn find(conn: &mut AsyncPgConnection, name: &str) -> Result<Tenant, Refusal> {
    let found = tenant::find(conn, name)
        .await
        .map_err(|error| database(&error))?;
    found.ok_or_else(|| not_found("tenant"))
}

/// All tenants, with what they use.
#[utoipa::path(
    get, path = "/api/v1/tenants", operation_id = "tenants",
    responses((status = 200, description = "Tenants, maybe none.", body = TenantList), Lists),
    security(("admin" = []), ()),
)]
async fn list(Held(state): Held<State>) -> Answered {
    let mut conn = listing::connection(&state).await?;
    let tenants = tenant::list(&mut conn)
        .await
        .map_err(|error| database(&error))?;
    Ok(Json(json!({ "success": true, "tenants": tenants })).into_response())
}

/// A new tenant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantNew)]
struct Create {
    /// 1 to 100 characters.
    name: String,
    /// 0 to 1 PiB; `documents.quota_bytes` unless given.
    quota_bytes: Option<i64>,
}

/// Makes a tenant, and its first key.
#[utoipa::path(
    post, path = "/api/v1/tenants", operation_id = "createTenant",
    params(("X-Requested-By" = Option<String>, Header, description = "Any value; needed unless the body is JSON or a token is given.")),
    request_body = Create,
    responses((status = 201, description = "The tenant, and its key.", body = TenantMade), Makes),
    security(("admin" = []), ()),
)]
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
        .map_err(|error| database(&error))?;
    let Some(created) = created else {
        let message = "there is a tenant of this name";
        return Err(Refusal::new(StatusCode::CONFLICT, "exists", message));
    };
    info!(tenant = %created.uid, "a tenant was created");
    let body = json!({ "success": true, "tenant": created, "key": secret.expose() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Changes a tenant.
#[utoipa::path(
    patch, path = "/api/v1/tenants/{tenant}", operation_id = "changeTenant",
    params(
        ("tenant" = String, Path, description = "Its uid or its name."),
        ("X-Requested-By" = Option<String>, Header, description = "Any value; needed unless the body is JSON or a token is given."),
    ),
    request_body = Change,
    responses((status = 200, description = "The tenant as it is now.", body = TenantChanged), Changes),
    security(("admin" = []), ()),
)]
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
        .map_err(|error| database(&error))?;
    info!(tenant = %changed.uid, "a tenant was changed");
    Ok(Json(json!({ "success": true, "tenant": changed })).into_response())
}

/// The keys of a tenant, without the secret of any.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/keys", operation_id = "tenantKeys",
    params(("tenant" = String, Path, description = "Its uid or its name.")),
    responses((status = 200, description = "Keys, oldest first.", body = KeyList), ListsOf),
    security(("admin" = []), ()),
)]
async fn keys(Held(state): Held<State>, Path(name): Path<String>) -> Answered {
    let mut conn = listing::connection(&state).await?;
    let found = find(&mut conn, &name).await?;
    let keys = key::list(&mut conn, found.id)
        .await
        .map_err(|error| database(&error))?;
    Ok(Json(json!({ "success": true, "keys": keys })).into_response())
}

/// A new key.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = TenantKeyNew)]
struct MakeKey {
    /// At most 100 characters.
    name: String,
    /// Write unless given.
    scope: Option<Scope>,
    /// 1 to 36500; never unless given.
    expires_in_days: Option<u32>,
}

/// Makes a key.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/keys", operation_id = "createTenantKey",
    params(
        ("tenant" = String, Path, description = "Its uid or its name."),
        ("X-Requested-By" = Option<String>, Header, description = "Any value; needed unless the body is JSON or a token is given."),
    ),
    request_body = MakeKey,
    responses((status = 201, description = "The key.", body = KeyMade), Changes),
    security(("admin" = []), ()),
)]
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
    .map_err(|error| database(&error))?;
    info!(tenant = %found.uid, key = %made, "a key was made");
    let body = json!({ "success": true, "id": made, "scope": scope, "key": secret.expose() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Revokes a key.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{tenant}/keys/{key}", operation_id = "revokeTenantKey",
    params(
        ("tenant" = String, Path, description = "Its uid or its name."), ("key" = String, Path, description = "Its id."),
        ("X-Requested-By" = Option<String>, Header, description = "Any value; needed unless the body is JSON or a token is given."),
    ),
    responses((status = 200, description = "It works no more.", body = Revoked), Revokes),
    security(("admin" = []), ()),
)]
async fn revoke_key(
    Held(state): Held<State>,
    Path((name, id)): Path<(String, String)>,
) -> Answered {
    let mut conn = listing::connection(&state).await?;
    let found = find(&mut conn, &name).await?;
    let is_revoked = key::revoke(&mut conn, found.id, &id)
        .await
        .map_err(|error| database(&error))?;
    if !is_revoked {
        return Err(not_found("key"));
    }
    info!(tenant = %found.uid, key = %id, "a key was revoked");
    Ok(Json(json!({ "success": true })).into_response())
}
