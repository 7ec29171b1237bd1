//! Signing in and out: what the page is told about whoever is in front of it.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/session` | who is signed in, with quota and limits; or the ways to sign in |
//! | `POST /api/session` `{"key"}` | a session that may do what the key may |
//! | `DELETE /api/session` | the session is forgotten |
//! | `POST /api/auth/telegram` | a session for whomever Telegram's fields speak of |
//! | `GET /api/auth/telegram?…` | the same, by redirect to the page |

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State as Held};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use chrono::DateTime;
use diesel::result::Error as DieselError;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::State;
use super::bounds::in_time;
use super::caller::{is_key, known, own_pages_only};
use super::cookie;
use super::forms::{Comes, ComesBack, Forgotten, Reads, SignsIn, SignsOut, no};
use super::page::PAGE;
use super::trouble::Trouble;
use crate::documents::config::Documents;
use crate::documents::identity::{Disbelief, Entry, Fields, IdentityProvider};
use crate::documents::key::{Holder, Scope};
use crate::documents::session::{Origin, Session};
use crate::documents::{identity, key, session, tenant};
use crate::http::openapi::yes;

/// Largest body, in bytes: a key, or what a provider says of somebody.
const MAX_BODY: usize = 16 * 1024;

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/api/session", get(look).post(sign_in).delete(sign_out))
        .route("/api/auth/{provider}", get(come_back).post(come))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(in_time))
}

/// What signs somebody in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyExchange)]
struct Exchange {
    /// An API key.
    key: String,
}

/// Who is in front of the page.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
enum Front {
    SignedIn(SignedIn),
    SignedOut(SignedOut),
}

/// Who is signed in.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct SignedIn {
    #[schema(schema_with = yes)]
    success: bool,
    #[schema(schema_with = yes)]
    signed_in: bool,
    tenant: TenantNamed,
    scope: Scope,
    /// Null for a key, which is no session.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    quota_bytes: i64,
    used_bytes: i64,
    reserved_bytes: i64,
    /// Largest file.
    max_file_bytes: u64,
}

/// A tenant by its names.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct TenantNamed {
    id: String,
    name: String,
}

/// Nobody is signed in.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the answer is put together field by field"
)]
struct SignedOut {
    #[schema(schema_with = yes)]
    success: bool,
    #[schema(schema_with = no)]
    signed_in: bool,
    /// The addresses to sign in at, by provider.
    #[schema(value_type = Object)]
    login: Value,
}

/// Who is signed in, or how to.
#[utoipa::path(
    get, path = "/api/session", operation_id = "session",
    responses((status = 200, description = "Who is signed in, or the ways to.", body = Front), Reads),
    security((), ("tenant" = []), ("session" = [])),
)]
async fn look(Held(state): Held<State>, headers: HeaderMap) -> Result<Response, Trouble> {
    let Some((holder, current)) = known(&headers, &state).await? else {
        let body = json!({ "success": true, "signed_in": false, "login": ways(&state, &headers) });
        return Ok(Json(body).into_response());
    };
    let now = session::now();
    let renewed = current
        .as_ref()
        .filter(|current| current.is_old(now))
        .map(|current| Session {
            since: now,
            ..current.clone()
        });
    let mut response =
        Json(told(&state, holder, renewed.as_ref().or(current.as_ref())).await?).into_response();
    if let Some(session) = &renewed {
        keep(&state, &headers, session, &mut response)?;
    }
    Ok(response)
}

/// Begins a session by a key.
#[utoipa::path(
    post, path = "/api/session", operation_id = "signIn",
    request_body = Exchange,
    responses((status = 200, description = "A session.", body = SignedIn, headers(("Set-Cookie" = String))), SignsIn),
    security(()),
)]
async fn sign_in(
    Held(state): Held<State>,
    headers: HeaderMap,
    body: Result<Json<Exchange>, JsonRejection>,
) -> Result<Response, Trouble> {
    own_pages_only(&Method::POST, &headers)?;
    let Json(Exchange { key }) = body
        .map_err(|_rejection| Trouble::invalid("the body must be JSON: {\"key\": an API key}"))?;
    let found = match key.trim() {
        key if is_key(key) => ask!(&state, |conn| key::find_named(conn, key))?,
        _ => None,
    };
    let (holder, uid) = found.ok_or_else(|| {
        Trouble::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "this key is unknown, revoked or expired",
        )
    })?;
    begin(&state, &headers, holder, Origin::Key(uid)).await
}

/// Ends the session.
#[utoipa::path(
    delete, path = "/api/session", operation_id = "signOut",
    responses((status = 200, description = "The cookie is taken back.", body = Forgotten, headers(("Set-Cookie" = String))), SignsOut),
    security(()),
)]
async fn sign_out(headers: HeaderMap) -> Result<Response, Trouble> {
    own_pages_only(&Method::DELETE, &headers)?;
    let mut response = Json(json!({ "success": true })).into_response();
    if let Some(line) = cookie::clear(&headers) {
        response.headers_mut().insert(header::SET_COOKIE, line);
    }
    Ok(response)
}

/// Begins a session by what a provider says of somebody.
#[utoipa::path(
    post, path = "/api/auth/{provider}", operation_id = "signInWith",
    params(("provider" = String, Path, description = "telegram, where its bot is set.")),
    request_body(content = Object, description = "The provider's fields: texts and numbers."),
    responses((status = 200, description = "A session.", body = SignedIn, headers(("Set-Cookie" = String))), Comes),
    security(()),
)]
async fn come(
    Held(state): Held<State>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Result<Response, Trouble> {
    let provider = of_name(&state, &provider)?;
    own_pages_only(&Method::POST, &headers)?;
    let malformed = || Trouble::invalid("the body must be a JSON object of texts and numbers");
    let Json(body) = body.map_err(|_rejection| malformed())?;
    let mut fields = Fields::new();
    for (name, value) in body {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return Err(malformed()),
        };
        fields.insert(name, text);
    }
    enter(&state, &headers, provider, &fields).await
}

/// The same by redirect: the provider's fields are the query.
#[utoipa::path(
    get, path = "/api/auth/{provider}", operation_id = "comeBackFrom",
    params(("provider" = String, Path, description = "telegram, where its bot is set.")),
    responses((status = 303, description = "A session; on to the page.", headers(("Set-Cookie" = String), ("Location" = String))), ComesBack),
    security(()),
)]
async fn come_back(
    Held(state): Held<State>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Trouble> {
    let provider = of_name(&state, &provider)?;
    let malformed = || Trouble::invalid("the query cannot be read");
    let Query(pairs) = query.map_err(|_rejection| malformed())?;
    let mut fields = Fields::new();
    for (name, value) in pairs {
        if fields.insert(name, value).is_some() {
            return Err(malformed());
        }
    }
    let mut response = enter(&state, &headers, provider, &fields).await?;
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_static(PAGE));
    Ok(response)
}

fn of_name<'a>(state: &'a State, name: &str) -> Result<&'a dyn IdentityProvider, Trouble> {
    let found = state.providers.iter().find(|known| known.name() == name);
    found.map(AsRef::as_ref).ok_or_else(|| {
        Trouble::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such way to sign in here",
        )
    })
}

/// A session for whomever these fields speak of.
async fn enter(
    state: &State,
    headers: &HeaderMap,
    provider: &dyn IdentityProvider,
    fields: &Fields,
) -> Result<Response, Trouble> {
    let refused = |status, code, detail| Err(Trouble::new(status, code, detail));
    let person = match provider.judge(fields, session::now()) {
        Ok(person) => person,
        Err(Disbelief::Malformed) => {
            return Err(Trouble::invalid(
                "these are not the fields of a login, or not as they were sent",
            ));
        }
        Err(Disbelief::Unsigned) => {
            return refused(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "the login is not signed by whom it should be",
            );
        }
        Err(Disbelief::Stale) => {
            return refused(
                StatusCode::UNAUTHORIZED,
                "login_expired",
                "the login is too old, or of a time yet to come; sign in again",
            );
        }
    };
    let config = state.shared.config.get();
    let section = config.section::<Documents>();
    let quota = i64::try_from(section.quota_bytes).unwrap_or(i64::MAX);
    let entry = ask!(state, |conn| {
        identity::enter(
            conn,
            provider.name(),
            &person,
            section.telegram_sign_up,
            quota,
        )
    })?;
    match entry {
        Entry::Disabled => refused(
            StatusCode::FORBIDDEN,
            "disabled",
            "this account is shut out",
        ),
        Entry::Unknown => refused(
            StatusCode::FORBIDDEN,
            "no_account",
            "you have no account here; ask whoever runs this server for one",
        ),
        Entry::Tenant(tenant) => {
            let holder = Holder {
                tenant,
                scope: Scope::Write,
            };
            let origin = Origin::Identity {
                provider: provider.name().to_owned(),
                subject: person.subject,
            };
            begin(state, headers, holder, origin).await
        }
    }
}

/// Answers with a new session.
async fn begin(
    state: &State,
    headers: &HeaderMap,
    holder: Holder,
    origin: Origin,
) -> Result<Response, Trouble> {
    let since = session::now();
    let session = Session { origin, since };
    let mut response = Json(told(state, holder, Some(&session)).await?).into_response();
    keep(state, headers, &session, &mut response)?;
    Ok(response)
}

/// Has the browser keep a session.
fn keep(
    state: &State,
    headers: &HeaderMap,
    session: &Session,
    response: &mut Response,
) -> Result<(), Trouble> {
    let sealed = state.sessions.seal(session);
    let line = sealed.and_then(|text| cookie::set(headers, &text));
    let line = line.ok_or_else(|| Trouble::unavailable("no session can be made here"))?;
    response.headers_mut().insert(header::SET_COOKIE, line);
    Ok(())
}

/// What the page shows of whoever is signed in.
async fn told(state: &State, holder: Holder, session: Option<&Session>) -> Result<Value, Trouble> {
    let found = within!(state, holder.tenant, DieselError, |conn| {
        tenant::by_id(conn, holder.tenant).await
    })?;
    let tenant = found.ok_or_else(Trouble::stranger)?;
    let config = state.shared.config.get();
    let expires = session.and_then(|session| DateTime::from_timestamp(session.expires(), 0));
    Ok(json!({
        "success": true,
        "signed_in": true,
        "tenant": { "id": tenant.uid, "name": tenant.name },
        "scope": holder.scope,
        "expires_at": expires,
        "quota_bytes": tenant.quota_bytes,
        "used_bytes": tenant.used_bytes,
        "reserved_bytes": tenant.reserved_bytes,
        "max_file_bytes": config.section::<Documents>().max_file_bytes,
    }))
}

/// The addresses at which a browser can be told who is in front of it, by provider.
fn ways(state: &State, headers: &HeaderMap) -> Value {
    let Some(host) = cookie::host(headers) else {
        return json!({});
    };
    let scheme = if cookie::is_secure(headers) {
        "https"
    } else {
        "http"
    };
    let origin = format!("{scheme}://{host}");
    let back = format!("{origin}{PAGE}");
    let ways = state.providers.iter().map(|provider| {
        let address = provider.address(&origin, &back);
        (provider.name().to_owned(), Value::from(address))
    });
    Value::Object(ways.collect())
}
