//! `/api/crawl`: the API of the bots, workers in any language that pull crawl jobs and submit what they saw.
//!
//! | request | answer |
//! |---|---|
//! | `POST /pull/` | jobs, each with its right to it; waits up to `wait_seconds` for one |
//! | `POST /submit/` | what was seen: 201 and the job is done; or that it failed: 200 and it is tried again, or not |
//! | `POST /submit-batch/` | up to 100 of these, each judged by itself |
//! | `POST /heartbeat/` | the jobs in hand are kept for another term |
//! | `POST /release/` | jobs are given back unharmed |
//!
//! With or without the last slash. Every body is a JSON object with `bot_id` and `api_token` (or the token as `Authorization:
//! Bearer`), which stand within the first 64 KiB of a larger one; every answer is `{"success": true, "data": {…}}` or `{"success": false, "error": CODE, "detail": TEXT}`. An
//! answer never quotes the database or the program. `/api/openapi.json` describes all of it.

mod body;
mod desk;
mod fields;
mod forms;
mod free;
mod names;
mod openapi;
mod polls;
mod pull;
mod work;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use chrono::{DateTime, SecondsFormat, Utc};
use diesel_async::AsyncPgConnection;
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};
use tracing::warn;
use utoipa::ToSchema;
use utoipa::openapi::Object;
use utoipa::openapi::schema::Type;

use self::body::Room;
use self::desk::Desk;
use self::fields::Fields;
use self::polls::Polls;

pub(super) use self::openapi::Described;
use crate::app::state::Shared;
use crate::db::PooledConnection;
use crate::http::listing::Good;
use crate::http::openapi::{always, text};
use crate::http::{NO_PLACE, NO_PLACE_DETAIL, NO_PLACE_RETRY, guard};
use crate::prices::bot;
use crate::prices::bot::{Account, Refusal};
use crate::prices::config::Bots;
use crate::prices::metrics;
use crate::prices::price_fetch::PriceFetch;
use crate::prices::queue::Queue;
use crate::telemetry::chain;
use crate::workflow::Workflow;

/// Longest time of one request once its body is there: the longest wait for jobs, and some.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);

/// What a bot may ask for.
const ENDPOINTS: [&str; 5] = ["pull", "submit", "submit-batch", "heartbeat", "release"];

/// What the handlers see.
#[derive(Clone)]
pub(super) struct State {
    shared: Arc<Shared>,
    queue: Queue,
    desk: Arc<Desk>,
    /// Told when jobs may have come due.
    jobs_due: Arc<Notify>,
    polls: Arc<Polls>,
    /// For large bodies.
    room: Arc<Room>,
    /// Those who log in at a time: whoever they are, they take no more than half of the database's connections.
    logins: Arc<Semaphore>,
}

impl State {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let config = shared.config.get();
        Self {
            shared: Arc::clone(shared),
            queue: Queue::new(shared.redis.as_ref()),
            jobs_due: shared.due(&PriceFetch::stage().name()),
            desk: Arc::new(Desk::open(Arc::clone(shared))),
            polls: Arc::default(),
            room: Arc::new(Room::new(config.section::<Bots>().max_bytes_in_flight)),
            logins: Arc::new(Semaphore::new((config.database.pool_size / 2).max(1))),
        }
    }

    /// What the bots' section of the configuration says.
    fn limits(&self) -> Bots {
        self.shared.config.get().section::<Bots>().clone()
    }
}

/// The routes, with their own limits. The bots' tokens are all the protection they have and need.
pub(super) fn routes<S>(state: State) -> Router<S> {
    let mut router = Router::new();
    for slash in ["", "/"] {
        let path = |name: &str| format!("/api/crawl/{name}{slash}");
        router = router
            .route(&path("pull"), post(pull::pull))
            .route(&path("submit"), post(work::submit))
            .route(&path("submit-batch"), post(work::submit_batch))
            .route(&path("heartbeat"), post(work::heartbeat))
            .route(&path("release"), post(work::release));
    }
    router
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(counted))
        .with_state(state)
}

/// What is said in their place when there is none for a client.
pub(super) fn turned_away<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/api/crawl/{*rest}", any(no_place))
        .layer(middleware::from_fn(counted))
}

async fn no_place() -> Trouble {
    Trouble {
        retry_after: NO_PLACE_RETRY.parse().ok(),
        ..Trouble::new(StatusCode::SERVICE_UNAVAILABLE, NO_PLACE, NO_PLACE_DETAIL)
    }
}

async fn method_not_allowed() -> Response {
    Trouble::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the header Allow names the methods",
    )
    .into_response()
}

/// Answers within the time, from where the body of the request is there.
async fn in_time<T>(answering: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    match tokio::time::timeout(REQUEST_TIMEOUT, answering).await {
        Ok(answered) => answered,
        Err(_elapsed) => Err(Trouble::unavailable()),
    }
}

/// Counts every request, by what became of it.
async fn counted(request: Request, next: Next) -> Response {
    let endpoint = endpoint(request.uri().path());
    let response = next.run(request).await;
    if let Some(endpoint) = endpoint {
        metrics::bot_answered(endpoint, response.status().as_u16());
        if let Some(Refused(code)) = response.extensions().get() {
            metrics::bot_refused(code);
        }
    }
    response
}

/// The code with which a request was refused, for those who count.
#[derive(Clone, Copy, Debug)]
struct Refused(&'static str);

/// The endpoint of this path, with or without the last slash.
fn endpoint(path: &str) -> Option<&'static str> {
    let name = path.strip_prefix("/api/crawl/")?.trim_end_matches('/');
    ENDPOINTS.into_iter().find(|endpoint| *endpoint == name)
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trouble {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<u64>,
}

impl Trouble {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
        }
    }

    fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation_error", detail)
    }

    /// The same for every reason: an answer tells nobody which bots there are.
    fn stranger() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "bot_id and api_token do not belong together, or the bot is switched off",
        )
    }

    fn too_often(wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        Self {
            retry_after: Some(seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                format!("too many pulls; try again in {seconds} s"),
            )
        }
    }

    fn too_large(most: usize) -> Self {
        let detail = format!("the body may have {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    fn too_slow() -> Self {
        let detail = "the body did not come any further; send it again, faster";
        Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail)
    }

    /// Others take up what all large bodies together may.
    fn no_room() -> Self {
        Self {
            retry_after: Some(5),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "too many large bodies are on their way at once; nothing was changed, send it again in 5 s",
            )
        }
    }

    fn unavailable() -> Self {
        Self {
            retry_after: Some(5),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "no answer can be had now; nothing was changed, or the same request tells what was",
            )
        }
    }

    fn database(error: &(dyn std::error::Error + 'static)) -> Self {
        warn!(error = %chain(error), "the bots' API has no database");
        Self::unavailable()
    }

    fn refused(refusal: Refusal) -> Self {
        let (status, detail) = match refusal {
            Refusal::NotFound => (StatusCode::NOT_FOUND, "there is no such job"),
            Refusal::NotLocked => (
                StatusCode::BAD_REQUEST,
                "nobody has this job in hand; pull it first",
            ),
            Refusal::NotAssigned => (StatusCode::FORBIDDEN, "somebody else has this job in hand"),
            Refusal::Expired => (
                StatusCode::BAD_REQUEST,
                "the time for this job was up, and it went on without this result",
            ),
        };
        Self::new(status, refusal_code(refusal), detail)
    }

    fn body(&self) -> Refusing {
        Refusing {
            success: false,
            error: self.code,
            detail: self.detail.clone(),
        }
    }
}

/// Says why, to the bot.
#[derive(Serialize, ToSchema)]
#[schema(as = Refused)]
struct Refusing {
    #[schema(schema_with = no)]
    success: bool,
    error: &'static str,
    detail: String,
}

fn no() -> Object {
    always(Type::Boolean, false)
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        response.extensions_mut().insert(Refused(self.code));
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The code by which bots know a refusal.
fn refusal_code(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotFound => "job_not_found",
        Refusal::NotLocked => "job_not_locked",
        Refusal::NotAssigned => "not_assigned",
        Refusal::Expired => "lock_expired",
    }
}

/// A good answer.
fn answer(status: StatusCode, data: &impl Serialize) -> Response {
    (status, axum::Json(Good::new(data))).into_response()
}

/// Who a request says it comes from.
#[derive(Clone, Debug, ToSchema)]
struct Login {
    #[schema(schema_with = bot_ids)]
    bot_id: String,
    /// SHA-256 of the token.
    #[schema(rename = "api_token", schema_with = api_tokens, required = false)]
    token_hash: Vec<u8>,
}

/// The longest name of a bot, in characters.
const MAX_NAME: usize = 100;
/// The longest token of a bot, in characters.
const MAX_TOKEN: usize = 255;

fn bot_ids() -> Object {
    text(MAX_NAME, "The bot's name.")
}

fn api_tokens() -> Object {
    let description = "The bot's token; may stand in the header Authorization: Bearer instead.";
    text(MAX_TOKEN, description)
}

impl Login {
    /// Who these fields and headers say it is.
    fn of(fields: &Fields<'_>, headers: &HeaderMap) -> Result<Self, Trouble> {
        let bot_id = fields.text("bot_id", MAX_NAME)?;
        let api_token = fields.text("api_token", MAX_TOKEN)?;
        if bot_id.is_none() {
            return Err(Trouble::invalid("bot_id: this field is required"));
        }
        Self::new(bot_id, api_token, headers).ok_or_else(|| {
            Trouble::invalid(
                "api_token: this field is required, or the header Authorization: Bearer",
            )
        })
    }

    /// The token in the body comes before that in the header.
    fn new(bot_id: Option<String>, api_token: Option<String>, headers: &HeaderMap) -> Option<Self> {
        let token_hash = match api_token {
            Some(token) => hash(token.trim()).as_ref().to_vec(),
            None => Self::token_of(headers)?,
        };
        Some(Self {
            bot_id: bot_id?.trim().to_owned(),
            token_hash,
        })
    }

    /// SHA-256 of the token in the header.
    fn token_of(headers: &HeaderMap) -> Option<Vec<u8>> {
        guard::bearer(headers).map(|token| hash(token.trim()).as_ref().to_vec())
    }
}

/// The account of the bot that logs in, if this is its, and it is switched on.
fn let_in<'a>(login: &Login, account: Option<&'a Account>) -> Option<&'a Account> {
    // A bot that there is not is compared with as well.
    let expected = account.map_or(&[0; 32][..], |account| &account.token_hash);
    let is_known = guard::is_same(&login.token_hash, expected);
    account.filter(|account| is_known && account.enabled)
}

/// Looks who it is, and lets them in or not.
async fn authenticate(conn: &mut AsyncPgConnection, login: &Login) -> Result<Account, Trouble> {
    let account = bot::find(conn, &login.bot_id)
        .await
        .map_err(|error| Trouble::database(&error))?;
    let_in(login, account.as_ref())
        .cloned()
        .ok_or_else(Trouble::stranger)
}

/// The same on a connection of the pool's, of which strangers get no more than half.
async fn log_in(state: &State, login: &Login) -> Result<Account, Trouble> {
    let _turn = state.logins.acquire().await;
    let mut conn = connection(state).await?;
    authenticate(&mut conn, login).await
}

async fn connection(state: &State) -> Result<PooledConnection, Trouble> {
    state
        .shared
        .pool
        .get()
        .await
        .map_err(|error| Trouble::database(&error))
}

fn show_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// SHA-256 of a token, as it is stored.
pub(crate) fn hash(token: &str) -> impl AsRef<[u8]> + use<> {
    ring::digest::digest(&ring::digest::SHA256, token.as_bytes())
}

/// Says "this was answered before".
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
