//! Pulls: jobs at once, or as soon as there are some.

use std::time::Duration;

use axum::extract::State as Held;
use axum::http::StatusCode;
use axum::{Extension, response::Response};
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa::openapi::Object;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::State;
use super::body::Sent;
use super::desk::Ask;
use super::fields::{Fields, lease_tokens, show_token};
use super::forms::{By, Refusals};
use super::{Login, Trouble, answer, in_time, log_in, show_time};
use crate::http::listing::Good;
use crate::http::openapi::{always, text};
use crate::http::serve::Stopping;
use crate::prices::bot::Job;
use crate::prices::metrics;
use crate::prices::uid::Uid;

/// Jobs of one pull at most, whatever the bot's own cap.
const MAX_JOBS: i64 = 100;
/// Jobs of a pull that does not say.
const DEFAULT_JOBS: i64 = 10;
/// Longest wait for jobs, in seconds.
const MAX_WAIT: i64 = 30;
/// The longest domain, in characters.
const MAX_DOMAIN: usize = 255;
/// While a request waits for jobs and no notification comes, it looks this often: jobs also come due by time.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What a pull asks for.
#[derive(ToSchema)]
#[schema(as = Pull)]
pub(super) struct Wish {
    #[schema(rename = "max_jobs", schema_with = max_jobs, required = false)]
    jobs: i64,
    #[schema(schema_with = domains)]
    domain: Option<String>,
    #[schema(rename = "wait_seconds", schema_with = waits, required = false)]
    wait: Duration,
}

fn max_jobs() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(MAX_JOBS))
        .default(Some(DEFAULT_JOBS.into()))
        .build()
}

fn domains() -> Object {
    text(MAX_DOMAIN, "Only this domain and what is below it.")
}

fn waits() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(MAX_WAIT))
        .default(Some(0.into()))
        .description(Some("Wait so long for a job."))
        .build()
}

impl Wish {
    fn read(fields: &Fields<'_>) -> Result<Self, Trouble> {
        let jobs = fields.integer("max_jobs", 1..=MAX_JOBS)?;
        let domain = fields
            .text("domain", MAX_DOMAIN)?
            .map(|domain| domain.trim().trim_end_matches('.').to_lowercase())
            .filter(|domain| !domain.is_empty());
        let wait = fields.integer("wait_seconds", 0..=MAX_WAIT)?.unwrap_or(0);
        Ok(Self {
            jobs: jobs.unwrap_or(DEFAULT_JOBS),
            domain,
            wait: Duration::from_secs(u64::try_from(wait).unwrap_or(0)),
        })
    }
}

/// Hands out due jobs, most urgent first, each to one bot only.
#[utoipa::path(
    post, path = "/api/crawl/pull/", operation_id = "pull", request_body = inline(By<Wish>),
    responses((status = 200, description = "Jobs, maybe none.", body = Good<HandOut<'static>>), Refusals),
    security(("bearer" = []), ()),
)]
pub(super) async fn pull(
    Held(state): Held<State>,
    Extension(Stopping(stopping)): Extension<Stopping>,
    sent: Sent,
) -> Result<Response, Trouble> {
    let asked = sent.whole().await?;
    let fields = Fields::parse(&asked.bytes)?;
    let login = Login::of(&fields, &asked.headers)?;
    in_time(async {
        match Wish::read(&fields) {
            Ok(wish) => serve(&state, &stopping, login, wish).await,
            // A stranger learns nothing about the fields.
            Err(mistake) => Err(log_in(&state, &login).await.err().unwrap_or(mistake)),
        }
    })
    .await
}

/// Waits for jobs as long as it is wished.
async fn serve(
    state: &State,
    stopping: &CancellationToken,
    login: Login,
    wish: Wish,
) -> Result<Response, Trouble> {
    let deadline = Instant::now() + wish.wait;
    let mut ask = Ask {
        login,
        jobs: wish.jobs,
        domain: wish.domain,
        counts: true,
    };
    let mut place = None;
    loop {
        // Asked for before the look, so that what comes due between the two is not missed.
        let news = state.jobs_due.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        let start = Instant::now();
        let jobs = state.desk.pull(&ask).await?;
        metrics::bot_pulled(jobs.len(), start.elapsed());
        let left = deadline.saturating_duration_since(Instant::now());
        if !jobs.is_empty() || left.is_zero() {
            return Ok(hand_out(&jobs));
        }
        ask.counts = false;
        if place.is_none() {
            let limits = &state.limits();
            place = Some(state.polls.enter(&ask.login.bot_id, limits)?);
        }
        tokio::select! {
            // Either way it looks again.
            _ = tokio::time::timeout(left.min(LOOK_AGAIN), news) => {}
            () = stopping.cancelled() => return Ok(hand_out(&[])),
        }
    }
}

/// The jobs that a pull gets.
#[derive(Serialize, ToSchema)]
#[schema(as = Pulled)]
struct HandOut<'a> {
    jobs: Vec<Shown<'a>>,
    count: usize,
    #[schema(schema_with = none)]
    skipped: usize,
}

fn none() -> Object {
    always(Type::Integer, 0)
}

fn hand_out(jobs: &[Job]) -> Response {
    let hand_out = HandOut {
        jobs: jobs.iter().map(Shown::new).collect(),
        count: jobs.len(),
        skipped: 0,
    };
    answer(StatusCode::OK, &hand_out)
}

/// A job as bots know it.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
struct Shown<'a> {
    #[schema(format = "uuid")]
    job_id: String,
    url: &'a str,
    priority: i16,
    max_retries: i16,
    timeout_seconds: i64,
    retry_count: i16,
    #[schema(format = DateTime)]
    locked_until: String,
    #[schema(schema_with = lease_tokens)]
    lease_token: String,
}

impl<'a> Shown<'a> {
    fn new(job: &'a Job) -> Self {
        Self {
            job_id: Uid(job.id).to_string(),
            url: &job.url,
            priority: job.priority,
            max_retries: job.max_retries,
            timeout_seconds: job.timeout_seconds,
            retry_count: job.token.attempt.saturating_sub(1),
            locked_until: show_time(job.locked_until),
            lease_token: show_token(job.token),
        }
    }
}
