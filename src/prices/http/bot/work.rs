//! What bots say about the jobs in their hands, from fields to statements and back.

use std::io::Write as _;

use axum::extract::State as Held;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::Object;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, Schema, SchemaType};

use super::State;
use super::body::{PREFACE, Sent};
use super::fields::{Fields, amount, lease_tokens, show_token};
use super::forms::{By, Refusals};
use super::free::{Budget, MOST_DEPTH, MOST_VALUES, price_sources};
use super::{REPLAYED, Refusing, Trouble, answer, connection, in_time, refusal_code, show_time};
use crate::http::listing::Good;
use crate::http::openapi::{one_of, text};
use crate::prices::bot;
use crate::prices::bot::{Account, Done, Refusal, Report, Reported};
use crate::prices::crawl::{Offer, Seen};
use crate::prices::metrics;
use crate::prices::uid::Uid;

/// Reports, tokens and releases of one request at most.
const MAX_BATCH: usize = 100;

type Answered = Result<Response, Trouble>;

/// What was seen of a page, or why it was not.
#[derive(ToSchema)]
pub(super) struct Submit {
    /// The job.
    #[schema(rename = "job_id", value_type = String, format = "uuid")]
    job: i64,
    #[schema(rename = "lease_token", schema_with = lease_tokens)]
    token: Option<bot::Token>,
    success: bool,
    /// Needed when success.
    #[schema(schema_with = prices)]
    price: Option<String>,
    /// ISO 4217; needed when success.
    #[schema(nullable = false, pattern = "^[A-Za-z]{3}$")]
    currency: Option<String>,
    #[schema(schema_with = list_prices)]
    list_price: Option<String>,
    #[schema(schema_with = availabilities)]
    availability: Option<String>,
    /// true unless given, or told by availability.
    #[schema(nullable = false)]
    in_stock: Option<bool>,
    #[schema(schema_with = titles)]
    title: Option<String>,
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    confidence: Option<f32>,
    #[schema(required = false, schema_with = parsed_data)]
    parsed_data: Box<RawValue>,
    /// What it says of where the price was found.
    #[schema(ignore)]
    price_sources: Vec<String>,
    #[schema(required = false, schema_with = error_classes)]
    error_class: String,
    #[schema(rename = "error_msg", required = false, schema_with = errors)]
    error: String,
    #[schema(nullable = false, minimum = 0)]
    duration_ms: Option<i32>,
    /// The page.
    #[schema(rename = "raw_html", value_type = Option<String>, nullable = false)]
    page: Option<Vec<u8>>,
}

/// The longest title, in characters.
const MAX_TITLE: usize = 500;
/// The longest reason why a crawl failed, in characters.
const MAX_ERROR: usize = 500;
/// The longest class of such reasons, in characters.
const MAX_CLASS: usize = 50;

fn prices() -> Schema {
    amount("Needed when success.")
}

fn parsed_data() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .description(Some(format!(
            "Any JSON, nested at most {MOST_DEPTH} deep, of at most {MOST_VALUES} names and values in one request. \
             price_sources in it says where the price was found."
        )))
        .build()
}

fn list_prices() -> Schema {
    amount("Before a reduction.")
}

fn availabilities() -> Object {
    one_of(&AVAILABILITIES)
}

fn titles() -> Object {
    text(MAX_TITLE, "Title of the offer.")
}

fn errors() -> Object {
    text(MAX_ERROR, "Why it failed.")
}

fn error_classes() -> Object {
    let mut class = text(MAX_CLASS, "network, http, extraction, …");
    class.pattern = Some("^[a-z_]+$".to_owned());
    class
}

/// The words for availability.
const AVAILABILITIES: [&str; 5] = [
    "InStock",
    "OutOfStock",
    "PreOrder",
    "LimitedAvailability",
    "Discontinued",
];

impl Submit {
    fn read(
        fields: &Fields<'_>,
        max_html_bytes: usize,
        budget: &mut Budget,
    ) -> Result<Self, Trouble> {
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
        let error_class = fields.text("error_class", MAX_CLASS)?;
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
        let page = html.filter(|_| success);
        let page = page.and_then(|html| gzip(html.as_bytes()));
        let parsed_data = fields.json("parsed_data", budget)?;
        Ok(Self {
            job,
            token: fields.token()?,
            success,
            price,
            currency,
            list_price: fields.amount("list_price")?,
            availability,
            in_stock,
            title: fields.text("title", MAX_TITLE)?,
            confidence: fields.share("confidence")?,
            price_sources: parsed_data.map(price_sources).unwrap_or_default(),
            parsed_data: parsed_data.unwrap_or(RawValue::NULL).to_owned(),
            error_class: error_class.unwrap_or_else(|| "bot".to_owned()),
            error: fields
                .text("error_msg", MAX_ERROR)?
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
                price_sources: self.price_sources.iter().map(String::as_str).collect(),
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
    fn answer(&self, reported: &Reported) -> (StatusCode, Taken) {
        let job_id = Uid(self.job).to_string();
        let result_id = reported.result.map(|id| Uid(id).to_string());
        if reported.success {
            let done = Crawled {
                result_id,
                job_id,
                status: Stored::Done,
                price: reported.price.clone(),
                currency: reported.currency.clone(),
                next_reset_at: reported.next_run_at.map(show_time),
            };
            return (StatusCode::CREATED, Taken::Done(done));
        }
        let (status, message) = if reported.is_retried {
            (Unstored::Pending, "marked for retry")
        } else {
            (Unstored::Failed, "retries exhausted")
        };
        let failed = Failed {
            job_id,
            result_id,
            status,
            retry_count: reported.failures,
            max_retries: reported.max_retries,
            message,
            error: reported.error.clone().filter(|_| !reported.is_retried),
        };
        (StatusCode::OK, Taken::Failed(failed))
    }
}

/// What became of a submit.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Taken {
    Done(Crawled),
    Failed(Failed),
}

/// A good crawl is stored, and the job done.
#[derive(Serialize, ToSchema)]
#[schema(as = Done)]
pub(super) struct Crawled {
    #[schema(required, nullable = false)]
    result_id: Option<String>,
    #[schema(format = "uuid")]
    job_id: String,
    #[schema(inline)]
    status: Stored,
    #[schema(required)]
    price: Option<String>,
    #[schema(required)]
    currency: Option<String>,
    #[schema(required, format = DateTime)]
    next_reset_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Done,
}

/// A failed crawl is stored; the job is tried again later, or has failed.
#[derive(Serialize, ToSchema)]
pub(super) struct Failed {
    #[schema(format = "uuid")]
    job_id: String,
    #[schema(required, nullable = false)]
    result_id: Option<String>,
    #[schema(inline)]
    status: Unstored,
    retry_count: i16,
    max_retries: i16,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Unstored {
    Pending,
    Failed,
}

/// The page as it is kept; `None` if it cannot be packed, which memory alone could cause.
fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).ok()?;
    packed.finish().ok()
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

/// Takes what was seen. A repeat gets the first answer.
#[utoipa::path(
    post, path = "/api/crawl/submit/", operation_id = "submit", request_body = inline(By<Submit>),
    responses(
        (status = 201, description = "A good crawl is stored, and the job done.", body = Good<Crawled>),
        (status = 200, description = "A failed crawl is stored; the job is tried again later, or has failed.", body = Good<Failed>),
        Refusals,
    ),
    security(("bearer" = []), ()),
)]
pub(super) async fn submit(Held(state): Held<State>, sent: Sent) -> Answered {
    let limits = state.limits();
    let admitted = sent.admitted(&state, limits.max_body_bytes).await?;
    in_time(Box::pin(async {
        let account = admitted.account.clone();
        let read = move |fields: &Fields<'_>| {
            Submit::read(fields, limits.max_html_bytes, &mut Budget::new())
        };
        let (submit, _room) = admitted.make(read).await?;
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
    }))
    .await
}

/// What one request may bring several of.
fn batch<T: utoipa::PartialSchema>() -> Array {
    ArrayBuilder::new()
        .items(T::schema())
        .min_items(Some(1))
        .max_items(Some(MAX_BATCH))
        .build()
}

/// Several submits.
#[derive(ToSchema)]
#[schema(as = SubmitBatch)]
pub(super) struct Submits {
    #[schema(schema_with = batch::<Submit>)]
    results: Vec<Result<Submit, Trouble>>,
}

impl Submits {
    fn read(fields: &Fields<'_>, max_html_bytes: usize) -> Result<Self, Trouble> {
        let mut budget = Budget::new();
        let results = fields.list("results", MAX_BATCH)?;
        let mut read = |own: &Fields<'_>| Submit::read(own, max_html_bytes, &mut budget);
        Ok(Self {
            results: results.iter().map(&mut read).collect(),
        })
    }
}

/// What became of several submits, in their order.
#[derive(Serialize, ToSchema)]
pub(super) struct Batched {
    results: Vec<Judged>,
}

/// What became of one of them.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Judged {
    Good(Good<Taken>),
    Refused(Refusing),
}

/// Takes several, each judged by itself.
#[utoipa::path(
    post, path = "/api/crawl/submit-batch/", operation_id = "submitBatch", request_body = inline(By<Submits>),
    responses((status = 200, description = "One answer each, in order.", body = Good<Batched>), Refusals),
    security(("bearer" = []), ()),
)]
pub(super) async fn submit_batch(Held(state): Held<State>, sent: Sent) -> Answered {
    let limits = state.limits();
    let admitted = sent.admitted(&state, limits.max_body_bytes).await?;
    in_time(async {
        let account = admitted.account.clone();
        let read = move |fields: &Fields<'_>| Submits::read(fields, limits.max_html_bytes);
        let (submits, _room) = admitted.make(read).await?;
        let submits = submits.results;
        let reports: Vec<Report<'_>> = submits.iter().flatten().map(Submit::report).collect();
        let mut reported = Box::pin(report(&state, &account, &reports))
            .await?
            .into_iter();
        let results = submits
            .iter()
            .map(|submit| -> Result<Taken, Trouble> {
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
                Ok(taken) => Judged::Good(Good::new(taken)),
                Err(trouble) => Judged::Refused(trouble.body()),
            })
            .collect();
        Ok(answer(StatusCode::OK, &Batched { results }))
    })
    .await
}

/// The right to a job.
#[derive(ToSchema)]
struct Right {
    /// The job.
    #[schema(rename = "job_id", value_type = String, format = "uuid")]
    job: i64,
    #[schema(rename = "lease_token", schema_with = lease_tokens)]
    token: bot::Token,
}

/// The jobs that a request names, each with the right to it.
#[derive(ToSchema)]
#[schema(as = Jobs)]
pub(super) struct Rights {
    #[schema(schema_with = batch::<Right>)]
    jobs: Vec<Right>,
}

/// Which jobs are kept.
#[derive(Serialize, ToSchema)]
pub(super) struct Beaten {
    jobs: Vec<Kept>,
}

/// Whether a job is kept, and until when.
#[derive(Serialize, ToSchema)]
struct Kept {
    #[schema(format = "uuid")]
    job_id: String,
    #[schema(schema_with = lease_tokens)]
    lease_token: String,
    held: bool,
    #[schema(required, format = DateTime)]
    locked_until: Option<String>,
}

/// Which jobs are given back.
#[derive(Serialize, ToSchema)]
pub(super) struct Released {
    jobs: Vec<GivenBack>,
}

/// Whether a job is given back, and why not.
#[derive(Serialize, ToSchema)]
struct GivenBack {
    #[schema(format = "uuid")]
    job_id: String,
    released: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<&'static str>,
}

/// Keeps jobs for another term.
#[utoipa::path(
    post, path = "/api/crawl/heartbeat/", operation_id = "heartbeat", request_body = inline(By<Rights>),
    responses((status = 200, description = "Which are kept.", body = Good<Beaten>), Refusals),
    security(("bearer" = []), ()),
)]
pub(super) async fn heartbeat(Held(state): Held<State>, sent: Sent) -> Answered {
    let admitted = sent.admitted(&state, PREFACE).await?;
    in_time(async {
        let account = admitted.account.clone();
        let (rights, _room) = admitted.make(Rights::read).await?;
        let rights = rights.jobs;
        let mut leases: Vec<i64> = rights.iter().map(|own| own.token.lease.0).collect();
        leases.sort_unstable();
        leases.dedup();
        let mut conn = connection(&state).await?;
        let standing = bot::extend(&mut conn, account.id, &leases)
            .await
            .map_err(|error| Trouble::database(&error))?;
        let jobs = rights
            .iter()
            .map(|own| {
                let locked_until = standing
                    .iter()
                    .find(|(lease, _)| *lease == own.token.lease)
                    .map(|(_, until)| show_time(*until));
                Kept {
                    job_id: Uid(own.job).to_string(),
                    lease_token: show_token(own.token),
                    held: locked_until.is_some(),
                    locked_until,
                }
            })
            .collect();
        Ok(answer(StatusCode::OK, &Beaten { jobs }))
    })
    .await
}

impl Rights {
    fn read(fields: &Fields<'_>) -> Result<Self, Trouble> {
        let read = |own: Fields<'_>| -> Result<Right, Trouble> {
            Ok(Right {
                job: own.job()?,
                token: required_token(&own)?,
            })
        };
        let jobs = fields.list("jobs", MAX_BATCH)?.into_iter().map(read);
        Ok(Self {
            jobs: jobs.collect::<Result<_, _>>()?,
        })
    }
}

fn required_token(fields: &Fields<'_>) -> Result<bot::Token, Trouble> {
    fields
        .token()?
        .ok_or_else(|| Trouble::invalid("lease_token: this field is required"))
}

/// Gives jobs back unharmed.
#[utoipa::path(
    post, path = "/api/crawl/release/", operation_id = "release", request_body = inline(By<Rights>),
    responses((status = 200, description = "Which are given back.", body = Good<Released>), Refusals),
    security(("bearer" = []), ()),
)]
pub(super) async fn release(Held(state): Held<State>, sent: Sent) -> Answered {
    let admitted = sent.admitted(&state, PREFACE).await?;
    in_time(async {
        let account = admitted.account.clone();
        let (rights, _room) = admitted.make(Rights::read).await?;
        let reports: Vec<Report<'_>> = rights
            .jobs
            .into_iter()
            .map(|own| Report {
                job: own.job,
                token: Some(own.token),
                done: Done::Released,
            })
            .collect();
        let reported = report(&state, &account, &reports).await?;
        let jobs = reports
            .iter()
            .zip(reported)
            .map(|(report, reported)| GivenBack {
                job_id: Uid(report.job).to_string(),
                released: reported.is_ok(),
                error: reported.err().map(refusal_code),
            })
            .collect();
        Ok(answer(StatusCode::OK, &Released { jobs }))
    })
    .await
}
