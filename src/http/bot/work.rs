//! The requests of bots, from fields to statements and back.

use std::io::Write as _;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State as Held;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::State;
use super::fields::{Fields, show_token};
use super::{Asked, REPLAYED, Trouble, admit, answer};
use crate::db::bot::{self, Done, Job, Pull, Pulled, Refusal, Report, Reported};
use crate::db::crawl::{Offer, Seen};
use crate::db::uid::Uid;
use crate::workflow::compute;

/// Jobs of one pull at most, whatever the bot's own cap.
pub(super) const MAX_JOBS: i64 = 100;
/// Jobs of a pull that does not say.
pub(super) const DEFAULT_JOBS: i64 = 10;
/// Longest wait for jobs, in seconds.
pub(super) const MAX_WAIT: i64 = 30;
/// While a request waits for jobs and no notification comes, it looks this often: jobs also come due by time.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Reports, tokens and releases of one request at most.
pub(super) const MAX_BATCH: usize = 100;
/// Sources of a price that are kept, and the length of each.
const MAX_SOURCES: usize = 20;

type Body = Result<Bytes, BytesRejection>;
type Outcome = Result<Response, Trouble>;

pub(super) async fn pull(Held(state): Held<State>, headers: HeaderMap, body: Body) -> Outcome {
    let Asked {
        fields,
        account,
        mut conn,
    } = admit(&state, &headers, body).await?;
    let jobs = fields
        .integer("max_jobs", 1..=MAX_JOBS)?
        .unwrap_or(DEFAULT_JOBS);
    let domain = fields
        .text("domain", 255)?
        .map(|domain| domain.trim().trim_end_matches('.').to_lowercase());
    let wait = fields.integer("wait_seconds", 0..=MAX_WAIT)?.unwrap_or(0);
    let wait = Duration::from_secs(u64::try_from(wait).unwrap_or(0));
    let deadline = Instant::now() + wait;
    let mut ask = Pull {
        jobs,
        domain: domain.as_deref().filter(|domain| !domain.is_empty()),
        pace: state.shared.config.get().fetch.per_host_delay,
        counts: true,
    };
    loop {
        // Asked for before the look, so that what comes due between the two is not missed.
        let news = state.shared.jobs_due.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        let pulled = bot::pull(&mut conn, &account, &ask)
            .await
            .map_err(|error| Trouble::database(&error))?;
        let jobs = match pulled {
            Pulled::Jobs(jobs) => jobs,
            Pulled::TooOften(wait) => return Err(Trouble::too_often(wait)),
            Pulled::Gone => return Err(Trouble::stranger()),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if !jobs.is_empty() || left.is_zero() {
            let jobs: Vec<Value> = jobs.iter().map(show_job).collect();
            let data = json!({ "jobs": jobs, "count": jobs.len(), "skipped": 0 });
            return Ok(answer(StatusCode::OK, &data));
        }
        drop(conn);
        ask.counts = false;
        // Either way it looks again.
        drop(tokio::time::timeout(left.min(LOOK_AGAIN), news).await);
        conn = state
            .shared
            .pool
            .get()
            .await
            .map_err(|error| Trouble::database(&error))?;
    }
}

fn show_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn show_job(job: &Job) -> Value {
    json!({
        "job_id": Uid(job.id).to_string(),
        "url": job.url,
        "priority": job.priority,
        "max_retries": job.max_retries,
        "timeout_seconds": job.timeout_seconds,
        "retry_count": job.token.attempt.saturating_sub(1),
        "locked_until": show_time(job.locked_until),
        "lease_token": show_token(job.token),
    })
}

/// A submit as it was read; owns what its [`Report`] borrows.
struct Submit {
    job: i64,
    token: Option<bot::Token>,
    success: bool,
    price: Option<String>,
    currency: Option<String>,
    list_price: Option<String>,
    availability: Option<String>,
    in_stock: Option<bool>,
    title: Option<String>,
    confidence: Option<f32>,
    parsed_data: Value,
    error_class: String,
    error: String,
    duration_ms: Option<i32>,
    page: Option<Vec<u8>>,
}

/// The words for availability.
pub(super) const AVAILABILITIES: [&str; 5] = [
    "InStock",
    "OutOfStock",
    "PreOrder",
    "LimitedAvailability",
    "Discontinued",
];

impl Submit {
    async fn read(fields: &Fields, max_html_bytes: usize) -> Result<Self, Trouble> {
        let job = fields.job()?;
        let success = fields
            .boolean("success")?
            .ok_or_else(|| Trouble::invalid("success: this field is required"))?;
        let price = fields.amount("price")?;
        let currency = fields
            .text("currency", 3)?
            .map(|currency| currency.to_uppercase());
        if currency.as_ref().is_some_and(|code| {
            code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase())
        }) && success
        {
            return Err(Trouble::invalid(
                "currency: must be three letters (ISO 4217)",
            ));
        }
        for (name, is_missing) in [("price", price.is_none()), ("currency", currency.is_none())] {
            if success && is_missing {
                return Err(Trouble::invalid(format!(
                    "{name}: this field is required when success is true"
                )));
            }
        }
        let availability = fields.text("availability", 50)?;
        if availability
            .as_ref()
            .is_some_and(|word| !AVAILABILITIES.contains(&word.as_str()))
        {
            return Err(Trouble::invalid(format!(
                "availability: must be one of {}",
                AVAILABILITIES.join(", ")
            )));
        }
        // Bots that do not say have always meant that it is.
        let is_gone = matches!(availability.as_deref(), Some("OutOfStock" | "Discontinued"));
        let in_stock = fields.boolean("in_stock")?.or(Some(!is_gone));
        let error_class = fields.text("error_class", 50)?;
        let is_word = |class: &str| {
            class
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        if error_class.as_ref().is_some_and(|class| !is_word(class)) {
            return Err(Trouble::invalid(
                "error_class: must be lower-case letters and underscores",
            ));
        }
        let html = fields.text("raw_html", usize::MAX)?;
        if html
            .as_ref()
            .is_some_and(|html| html.len() > max_html_bytes)
        {
            return Err(Trouble::invalid(format!(
                "raw_html: must have at most {max_html_bytes} bytes"
            )));
        }
        let duration_ms = fields.integer("duration_ms", 0..=i64::from(i32::MAX))?;
        let page = match html.filter(|_| success) {
            Some(html) => compute(move || gzip(html.as_bytes())).await,
            None => None,
        };
        Ok(Self {
            job,
            token: fields.token()?,
            success,
            price,
            currency,
            list_price: fields.amount("list_price")?,
            availability,
            in_stock,
            title: fields.text("title", 500)?,
            confidence: fields.share("confidence")?,
            parsed_data: fields.json("parsed_data")?.unwrap_or_else(|| json!({})),
            error_class: error_class.unwrap_or_else(|| "bot".to_owned()),
            error: fields
                .text("error_msg", 500)?
                .unwrap_or_else(|| "the bot gave no reason".to_owned()),
            duration_ms: duration_ms.and_then(|ms| i32::try_from(ms).ok()),
            page,
        })
    }

    fn report(&self) -> Report<'_> {
        let seen = if self.success {
            Seen::Offer(Offer {
                price: self.price.as_deref(),
                currency: self.currency.as_deref(),
                list_price: self.list_price.as_deref(),
                availability: self.availability.as_deref(),
                in_stock: self.in_stock,
                title: self.title.as_deref(),
                confidence: self.confidence,
                price_sources: price_sources(&self.parsed_data),
            })
        } else {
            Seen::Failed {
                class: &self.error_class,
                error: &self.error,
            }
        };
        Report {
            job: self.job,
            token: self.token,
            done: Done::Crawled {
                seen,
                parsed_data: &self.parsed_data,
                duration_ms: self.duration_ms,
                page: self.page.clone(),
            },
        }
    }

    /// Status and data of the answer.
    fn answer(&self, reported: &Reported) -> (StatusCode, Value) {
        let job_id = Uid(self.job).to_string();
        let result_id = reported.result.map(|id| Uid(id).to_string());
        if reported.success {
            let data = json!({
                "result_id": result_id,
                "job_id": job_id,
                "status": "done",
                "price": self.price,
                "currency": self.currency,
                "next_reset_at": reported.next_run_at.map(show_time),
            });
            return (StatusCode::CREATED, data);
        }
        let mut data = json!({
            "job_id": job_id,
            "result_id": result_id,
            "status": if reported.is_retried { "pending" } else { "failed" },
            "retry_count": reported.failures,
            "max_retries": reported.max_retries,
            "message": if reported.is_retried { "marked for retry" } else { "retries exhausted" },
        });
        if !reported.is_retried
            && let Some(data) = data.as_object_mut()
        {
            data.insert("error".to_owned(), json!(self.error));
        }
        (StatusCode::OK, data)
    }
}

/// The page as it is kept; `None` if it cannot be packed, which memory alone could cause.
fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).ok()?;
    packed.finish().ok()
}

/// The words under `price_sources`, as far as they are words.
fn price_sources(parsed_data: &Value) -> Vec<&str> {
    let listed = parsed_data.get("price_sources").and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|word| !word.is_empty() && word.len() <= 100)
        .take(MAX_SOURCES)
        .collect()
}

pub(super) async fn submit(Held(state): Held<State>, headers: HeaderMap, body: Body) -> Outcome {
    let Asked {
        fields,
        account,
        conn,
    } = admit(&state, &headers, body).await?;
    // Not while the page is packed.
    drop(conn);
    let submit = Submit::read(&fields, state.shared.config.get().bots.max_html_bytes).await?;
    let mut conn = connection(&state).await?;
    let reported = bot::report(&mut conn, account.id, &[submit.report()])
        .await
        .map_err(|error| Trouble::database(&error))?;
    drop(conn);
    enqueue(&state, &reported).await;
    let reported = reported
        .into_iter()
        .next()
        .unwrap_or(Err(Refusal::NotFound))
        .map_err(Trouble::refused)?;
    let (status, data) = submit.answer(&reported);
    let mut response = answer(status, &data);
    if reported.is_repeat {
        response
            .headers_mut()
            .insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Puts what is to be recorded into the queue in Redis, if there is one: the rows are committed.
async fn enqueue(state: &State, reported: &[Result<Reported, Refusal>]) {
    let fresh: Vec<i64> = reported
        .iter()
        .flatten()
        .filter(|reported| reported.success && !reported.is_repeat)
        .filter_map(|reported| reported.result)
        .collect();
    state.shared.queue.enqueue(&fresh).await;
}

async fn connection(state: &State) -> Result<crate::db::PooledConnection, Trouble> {
    state
        .shared
        .pool
        .get()
        .await
        .map_err(|error| Trouble::database(&error))
}

pub(super) async fn submit_batch(
    Held(state): Held<State>,
    headers: HeaderMap,
    body: Body,
) -> Outcome {
    let Asked {
        fields,
        account,
        conn,
    } = admit(&state, &headers, body).await?;
    drop(conn);
    let max_html_bytes = state.shared.config.get().bots.max_html_bytes;
    let mut submits = Vec::new();
    for own in fields.list("results", MAX_BATCH)? {
        submits.push(Submit::read(&own, max_html_bytes).await);
    }
    let reports: Vec<Report<'_>> = submits.iter().flatten().map(Submit::report).collect();
    let mut conn = connection(&state).await?;
    let reported = bot::report(&mut conn, account.id, &reports)
        .await
        .map_err(|error| Trouble::database(&error))?;
    drop(conn);
    enqueue(&state, &reported).await;
    let mut reported = reported.into_iter();
    let results: Vec<Value> = submits
        .iter()
        .map(|submit| {
            let outcome = submit.as_ref().map_err(Clone::clone).and_then(|submit| {
                let reported = reported.next().unwrap_or(Err(Refusal::NotFound));
                reported
                    .map(|reported| submit.answer(&reported).1)
                    .map_err(Trouble::refused)
            });
            match outcome {
                Ok(data) => json!({ "success": true, "data": data }),
                Err(trouble) => trouble.body(),
            }
        })
        .collect();
    Ok(answer(StatusCode::OK, &json!({ "results": results })))
}

pub(super) async fn heartbeat(Held(state): Held<State>, headers: HeaderMap, body: Body) -> Outcome {
    let Asked {
        fields,
        account,
        mut conn,
    } = admit(&state, &headers, body).await?;
    let mut asked = Vec::new();
    for own in fields.list("jobs", MAX_BATCH)? {
        asked.push((own.job()?, required_token(&own)?));
    }
    let mut leases: Vec<i64> = asked.iter().map(|(_, token)| token.lease.0).collect();
    leases.sort_unstable();
    leases.dedup();
    let standing = bot::extend(&mut conn, account.id, &leases)
        .await
        .map_err(|error| Trouble::database(&error))?;
    let jobs: Vec<Value> = asked
        .iter()
        .map(|(job, token)| {
            let until = standing
                .iter()
                .find(|(lease, _)| *lease == token.lease)
                .map(|(_, until)| show_time(*until));
            json!({
                "job_id": Uid(*job).to_string(),
                "lease_token": show_token(*token),
                "held": until.is_some(),
                "locked_until": until,
            })
        })
        .collect();
    Ok(answer(StatusCode::OK, &json!({ "jobs": jobs })))
}

fn required_token(fields: &Fields) -> Result<bot::Token, Trouble> {
    fields
        .token()?
        .ok_or_else(|| Trouble::invalid("lease_token: this field is required"))
}

pub(super) async fn release(Held(state): Held<State>, headers: HeaderMap, body: Body) -> Outcome {
    let Asked {
        fields,
        account,
        mut conn,
    } = admit(&state, &headers, body).await?;
    let mut reports = Vec::new();
    for own in fields.list("jobs", MAX_BATCH)? {
        reports.push(Report {
            job: own.job()?,
            token: Some(required_token(&own)?),
            done: Done::Released,
        });
    }
    let reported = bot::report(&mut conn, account.id, &reports)
        .await
        .map_err(|error| Trouble::database(&error))?;
    let jobs: Vec<Value> = reports
        .iter()
        .zip(reported)
        .map(|(report, reported)| {
            let job_id = Uid(report.job).to_string();
            match reported {
                Ok(_) => json!({ "job_id": job_id, "released": true }),
                Err(refusal) => {
                    json!({ "job_id": job_id, "released": false, "error": Trouble::refused(refusal).code })
                }
            }
        })
        .collect();
    Ok(answer(StatusCode::OK, &json!({ "jobs": jobs })).into_response())
}
