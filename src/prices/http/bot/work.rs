//! What bots say about the jobs in their hands, from fields to statements and back.

use std::io::Write as _;

use axum::extract::State as Held;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::State;
use super::fields::{Fields, show_token};
use super::{
    Asked, Body, REPLAYED, Trouble, answer, authenticate, connection, read, refusal_code, show_time,
};
use crate::compute::compute;
use crate::prices::bot;
use crate::prices::bot::{Account, Done, Refusal, Report, Reported};
use crate::prices::crawl::{Offer, Seen};
use crate::prices::metrics;
use crate::prices::uid::Uid;

/// Reports, tokens and releases of one request at most.
pub(super) const MAX_BATCH: usize = 100;
/// Sources of a price that are kept, and the length of each.
const MAX_SOURCES: usize = 20;

type Outcome = Result<Response, Trouble>;

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

/// Reads a request and lets its bot in. No connection is kept while the rest is read.
async fn admit(
    state: &State,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Fields, Account), Trouble> {
    let Asked { fields, login } = read(state, headers, body)?;
    let mut conn = connection(state).await?;
    let account = authenticate(&mut conn, &login).await?;
    Ok((fields, account))
}

/// Stores what a bot reports, and puts what is to be recorded into the queue in Redis, if there is one: the rows are committed.
async fn report(
    state: &State,
    account: &Account,
    reports: &[Report<'_>],
) -> Result<Vec<Result<Reported, Refusal>>, Trouble> {
    let mut conn = connection(state).await?;
    let reported = bot::report(&mut conn, account.id, reports)
        .await
        .map_err(|error| Trouble::database(&error))?;
    drop(conn);
    let fresh: Vec<i64> = reported
        .iter()
        .flatten()
        .filter(|reported| reported.success && !reported.is_repeat)
        .filter_map(|reported| reported.result)
        .collect();
    state.queue.enqueue(&fresh).await;
    for own in &reported {
        metrics::bot_result(outcome(own));
    }
    Ok(reported)
}

/// What became of a report, in one word.
fn outcome(reported: &Result<Reported, Refusal>) -> &'static str {
    match reported {
        Err(refusal) => refusal_code(*refusal),
        Ok(reported) if reported.is_repeat => "repeated",
        Ok(reported) if reported.success => "done",
        Ok(reported) if reported.result.is_none() => "released",
        Ok(reported) if reported.is_retried => "retried",
        Ok(_) => "failed",
    }
}

pub(super) async fn submit(Held(state): Held<State>, headers: HeaderMap, body: Body) -> Outcome {
    let (fields, account) = admit(&state, &headers, body).await?;
    let submit = Submit::read(&fields, state.limits().max_html_bytes).await?;
    let reported = report(&state, &account, &[submit.report()])
        .await?
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

pub(super) async fn submit_batch(
    Held(state): Held<State>,
    headers: HeaderMap,
    body: Body,
) -> Outcome {
    let (fields, account) = admit(&state, &headers, body).await?;
    let max_html_bytes = state.limits().max_html_bytes;
    let mut submits = Vec::new();
    for own in fields.list("results", MAX_BATCH)? {
        submits.push(Submit::read(&own, max_html_bytes).await);
    }
    let reports: Vec<Report<'_>> = submits.iter().flatten().map(Submit::report).collect();
    let mut reported = report(&state, &account, &reports).await?.into_iter();
    let results: Vec<Value> = submits
        .iter()
        .map(|submit| -> Result<Value, Trouble> {
            let submit = submit.as_ref().map_err(|mistake| {
                metrics::bot_result(mistake.code);
                mistake.clone()
            })?;
            let reported = reported.next().unwrap_or(Err(Refusal::NotFound));
            reported
                .map(|reported| submit.answer(&reported).1)
                .map_err(Trouble::refused)
        })
        .map(|outcome| match outcome {
            Ok(data) => json!({ "success": true, "data": data }),
            Err(trouble) => trouble.body(),
        })
        .collect();
    Ok(answer(StatusCode::OK, &json!({ "results": results })))
}

pub(super) async fn heartbeat(Held(state): Held<State>, headers: HeaderMap, body: Body) -> Outcome {
    let (fields, account) = admit(&state, &headers, body).await?;
    let rights = rights(&fields)?;
    let mut leases: Vec<i64> = rights.iter().map(|(_, token)| token.lease.0).collect();
    leases.sort_unstable();
    leases.dedup();
    let mut conn = connection(&state).await?;
    let standing = bot::extend(&mut conn, account.id, &leases)
        .await
        .map_err(|error| Trouble::database(&error))?;
    let jobs: Vec<Value> = rights
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

/// The jobs that a request names, each with the right to it.
fn rights(fields: &Fields) -> Result<Vec<(i64, bot::Token)>, Trouble> {
    fields
        .list("jobs", MAX_BATCH)?
        .iter()
        .map(|own| Ok((own.job()?, required_token(own)?)))
        .collect()
}

fn required_token(fields: &Fields) -> Result<bot::Token, Trouble> {
    fields
        .token()?
        .ok_or_else(|| Trouble::invalid("lease_token: this field is required"))
}

pub(super) async fn release(Held(state): Held<State>, headers: HeaderMap, body: Body) -> Outcome {
    let (fields, account) = admit(&state, &headers, body).await?;
    let reports: Vec<Report<'_>> = rights(&fields)?
        .into_iter()
        .map(|(job, token)| Report {
            job,
            token: Some(token),
            done: Done::Released,
        })
        .collect();
    let reported = report(&state, &account, &reports).await?;
    let jobs: Vec<Value> = reports
        .iter()
        .zip(reported)
        .map(|(report, reported)| {
            let job_id = Uid(report.job).to_string();
            match reported {
                Ok(_) => json!({ "job_id": job_id, "released": true }),
                Err(refusal) => {
                    json!({ "job_id": job_id, "released": false, "error": refusal_code(refusal) })
                }
            }
        })
        .collect();
    Ok(answer(StatusCode::OK, &json!({ "jobs": jobs })))
}
