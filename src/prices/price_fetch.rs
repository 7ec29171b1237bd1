//! `crawl_job/crawl`: a product page → what it offers, recorded as a crawl result like any bot's.
//!
//! url → fetch (robots.txt, politeness, guard) → the page's own data and the shop's pattern → validation → `crawl_result`, by
//! the function that records for bots too. Every attempt leaves a result, also one that failed; how often and when it is tried
//! again is for the job to say, by the policy that it came from. What becomes of a good result is the recording's business.

mod reading;
mod validate;

use std::io::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, SmallInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use self::reading::{Read, Shop};
use self::validate::{Limits, Previous};
use crate::compute::compute;
use crate::live::Live;
use crate::prices::crawl;
use crate::prices::crawl::{Page, Seen, Submission};
use crate::prices::queue::Queue;
use crate::telemetry::chain;
use crate::web::fetch::{Client, FetchError, Response};
use crate::web::render::{RenderError, Rendered, Renderer};
use crate::workflow::{Done, ItemId, Services, Settled, Workflow, WorkflowError};
use gleaner_extract::domain::registrable;
use gleaner_extract::offer::Offer;
use gleaner_extract::pattern::Pattern;
use gleaner_extract::price::Currency;
use gleaner_extract::{html, media};

/// Doublings of the backoff: 5, 10, 20, 40 minutes from then on.
const MAX_DOUBLINGS: u32 = 3;
/// The longest wait that a policy's backoff can come to.
const MAX_BACKOFF: Duration = Duration::from_secs(7 * 24 * 3600);

/// Options of the workflow `price-fetch`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Least confidence in a price; below it the crawl has failed.
    pub min_confidence: f64,
    /// A change of the price beyond this many percent is noted as a warning.
    pub max_change_percent: f64,
    /// How often a page that was read well is stored anew, for learning and testing patterns.
    #[serde(with = "humantime_serde")]
    pub store_page_every: Duration,
    /// The largest page that is stored, compressed, in bytes.
    pub max_stored_page_bytes: usize,
}

/// The workflow.
pub struct PriceFetch {
    client: Client,
    renderer: Renderer,
    queue: Queue,
    options: Live<Options>,
}

impl PriceFetch {
    /// With these services and options.
    #[must_use]
    pub fn new(services: &Services, options: Live<Options>) -> Self {
        Self {
            client: services.fetch.clone(),
            renderer: services.renderer.clone(),
            queue: services.queue.clone(),
            options,
        }
    }
}

/// A job in hand.
#[derive(Clone, Debug, QueryableByName)]
pub struct Job {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = SmallInt)]
    attempt: i16,
    #[diesel(sql_type = SmallInt)]
    max_retries: i16,
    #[diesel(sql_type = Double)]
    backoff_seconds: f64,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    price: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    availability: Option<String>,
    #[diesel(sql_type = Bool)]
    is_wanted: bool,
    #[diesel(sql_type = Bool)]
    has_product: bool,
    #[diesel(sql_type = Bool)]
    wants_page: bool,
    #[diesel(sql_type = Text)]
    domain: String,
    #[diesel(sql_type = Bool)]
    render: bool,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pattern_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pattern: Option<String>,
}

impl Job {
    /// How long until the next attempt, by the job's policy; none when this was the last.
    fn backoff(&self) -> Option<Duration> {
        if self.attempt >= self.max_retries {
            return None;
        }
        let doublings = u32::try_from(self.attempt.saturating_sub(1)).unwrap_or(0);
        let base =
            Duration::try_from_secs_f64(self.backoff_seconds.max(0.0)).unwrap_or(MAX_BACKOFF);
        Some(
            base.saturating_mul(1 << doublings.min(MAX_DOUBLINGS))
                .min(MAX_BACKOFF),
        )
    }

    /// The same error, to be tried again when the job's policy says so, if it does.
    fn by_policy(&self, error: WorkflowError) -> WorkflowError {
        match (error, self.backoff()) {
            (
                WorkflowError::Retry {
                    class,
                    after,
                    source,
                },
                Some(backoff),
            ) => WorkflowError::Retry {
                class,
                after: Some(backoff.max(after.unwrap_or_default())),
                source,
            },
            (WorkflowError::Retry { class, source, .. }, None) => {
                WorkflowError::Permanent { class, source }
            }
            (error, _) => error,
        }
    }
}

/// A crawl on its way to the database.
#[derive(Debug)]
pub struct Crawl {
    attempt: i16,
    pattern: Option<i64>,
    duration_ms: i32,
    outcome: Outcome,
    details: Value,
    page: Option<Page>,
    /// Whether the page shows a product that somebody tracks.
    has_product: bool,
    /// The row of a good result, once that is written; zero before.
    result: AtomicI64,
}

impl Crawl {
    /// The row to be recorded, if there is one.
    fn result(&self) -> Option<i64> {
        Some(AtomicI64::load(&self.result, Ordering::Relaxed)).filter(|&result| result != 0)
    }
}

#[derive(Debug)]
enum Outcome {
    Offer {
        offer: Box<Offer>,
        price: Option<String>,
        list_price: Option<String>,
        sources: Vec<&'static str>,
    },
    Failed {
        class: &'static str,
        error: String,
    },
}

/// A page, and where it came from.
struct Fetched {
    url: Url,
    html: String,
}

/// Why there is no page to read.
enum NoPage {
    Fetch(FetchError),
    Render(RenderError),
    /// Leads to another site, or is not HTML.
    Other(String),
}

impl From<FetchError> for NoPage {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl From<RenderError> for NoPage {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Fetch(error) => Self::Fetch(error),
            error => Self::Render(error),
        }
    }
}

impl NoPage {
    /// The class of the failure in `crawl_result`, what happened in words, and what to do about it.
    fn judged(self) -> (&'static str, String, WorkflowError) {
        match self {
            Self::Fetch(error) => (class_of(&error), chain(&error), error.into()),
            Self::Render(error) => ("render", chain(&error), error.into()),
            Self::Other(reason) => {
                let error = WorkflowError::permanent("http", reason.clone());
                ("http", reason, error)
            }
        }
    }
}

impl Workflow for PriceFetch {
    const NAME: &'static str = "price-fetch";
    const TABLE: &'static str = "crawl_job";
    const STAGE: &'static str = "crawl";
    const LIMIT: Option<&'static str> = Some("max_retries");
    type Input = Job;
    type Output = Crawl;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, Job)>> {
        let jobs: Vec<Job> = sql_query(include_str!("price_fetch/load.sql"))
            .bind::<Array<BigInt>, _>(ids)
            .bind::<Double, _>(self.options.get().store_page_every.as_secs_f64())
            .load(conn)
            .await?;
        Ok(jobs.into_iter().map(|job| (job.id, job)).collect())
    }

    async fn run(&self, job: Job) -> Result<Done<Crawl>, WorkflowError> {
        if !job.is_wanted {
            return Ok(Done::Filtered(
                "its page or shop is switched off".to_owned(),
                None,
            ));
        }
        if job.attempt > job.max_retries {
            // Attempts that left no result: the process died, or ran out of time.
            let reason = "attempts used up without an answer";
            return Err(WorkflowError::permanent("attempts", reason));
        }
        let started_at = tokio::time::Instant::now();
        let crawl = |class: &'static str, error: String, details: Value| Crawl {
            attempt: job.attempt,
            pattern: job.pattern_id,
            duration_ms: i32::try_from(started_at.elapsed().as_millis()).unwrap_or(i32::MAX),
            outcome: Outcome::Failed { class, error },
            details,
            page: None,
            has_product: job.has_product,
            result: AtomicI64::new(0),
        };
        let fetched = match self.fetch(&job).await {
            Ok(fetched) => fetched,
            Err(error) => {
                let (class, text, error) = error.judged();
                let error = match error {
                    snooze @ WorkflowError::Snooze { .. } => return Err(snooze),
                    other => job.by_policy(other),
                };
                return Ok(Done::Failed(error, crawl(class, text, json!({}))));
            }
        };
        let options = self.options.get();
        let (reader, limits) = (job.clone(), limits(&options));
        let max_stored = options.max_stored_page_bytes;
        let (read, url, page) = compute(move || {
            let read = read_page(&reader, &fetched, limits);
            let page = (reader.wants_page || !read.validation.valid)
                .then(|| stored(reader.id, &fetched, max_stored))
                .flatten();
            (read, fetched.url, page)
        })
        .await;
        let details = read.details(&url);
        if read.validation.valid {
            let outcome = Outcome::Offer {
                sources: read.price_sources(),
                price: read.offer.price.map(|price| price.to_string()),
                list_price: list_price(&read),
                offer: Box::new(read.offer),
            };
            return Ok(Done::Completed(Crawl {
                outcome,
                page,
                ..crawl("", String::new(), details)
            }));
        }
        let class = if read.offer.price.is_some() {
            "validation"
        } else {
            "extraction"
        };
        let reason = read.validation.errors.join("; ");
        let error = job.by_policy(WorkflowError::retry(class, reason.clone()));
        let failed = Crawl {
            page,
            ..crawl(class, reason, details)
        };
        Ok(Done::Failed(error, failed))
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Crawl)],
    ) -> QueryResult<()> {
        let crawls: Vec<Submission<'_>> = outputs
            .iter()
            .map(|(id, crawl)| submission(*id, crawl))
            .collect();
        let recorded = crawl::submit(conn, &crawls).await?;
        note_results(outputs, &recorded);
        let pages: Vec<Page> = outputs
            .iter()
            .filter_map(|(_, crawl)| crawl.page.clone())
            .collect();
        crawl::keep_pages(conn, &pages).await?;
        name_products(conn, outputs).await
    }

    /// The table has queued the good results for recording; Redis is told of them too, as of those of bots.
    async fn committed(&self, settled: &[Settled<'_, Crawl>]) {
        let results: Vec<i64> = settled
            .iter()
            .filter_map(|row| row.output?.result())
            .collect();
        self.queue.enqueue(&results).await;
    }
}

/// Takes down which rows the good results have become. The transaction may be tried again: the last one counts.
fn note_results(outputs: &[(ItemId, &Crawl)], recorded: &[crawl::Recorded]) {
    for (job, crawl) in outputs {
        let row = recorded.iter().find(|row| row.job == *job);
        if let (Outcome::Offer { .. }, Some(row)) = (&crawl.outcome, row) {
            AtomicI64::store(&crawl.result, row.result, Ordering::Relaxed);
        }
    }
}

impl PriceFetch {
    async fn fetch(&self, job: &Job) -> Result<Fetched, NoPage> {
        let url = Url::parse(&job.url).map_err(|error| NoPage::Other(error.to_string()))?;
        let tab = if job.render {
            Some(self.renderer.tab().await?)
        } else {
            None
        };
        let response = self.client.get(&url).await?.error_for_status()?;
        check(&response, &job.domain)?;
        let Some(tab) = tab else {
            return Ok(decoded(response).await);
        };
        let Rendered { response, html } = tab.render(response).await?;
        // A script may have led on to another page.
        check(&response, &job.domain)?;
        Ok(Fetched {
            url: response.url,
            html,
        })
    }
}

/// Whether a response is a page of this shop.
fn check(response: &Response, domain: &str) -> Result<(), NoPage> {
    let host = response.url.host_str().unwrap_or_default();
    let site = registrable(host).map_or_else(|| host.to_owned(), |own| own.domain);
    if site != domain {
        return Err(NoPage::Other(format!("leads to another site ({host})")));
    }
    if !media::is_html(response.content_type.as_deref(), &response.body) {
        let kind = response.content_type.as_deref().unwrap_or_default();
        return Err(NoPage::Other(format!("not HTML ({kind})")));
    }
    Ok(())
}

async fn decoded(response: Response) -> Fetched {
    let url = response.url.clone();
    let html = compute(move || {
        html::decode_from(
            response.url.host_str(),
            &response.body,
            response.content_type.as_deref(),
        )
        .text
    })
    .await;
    Fetched { url, html }
}

fn limits(options: &Options) -> Limits {
    Limits {
        min_confidence: options.min_confidence,
        max_change_percent: options.max_change_percent,
    }
}

fn read_page(job: &Job, fetched: &Fetched, limits: Limits) -> Read {
    // Checked before it was stored; a pattern of another version of the program is passed over.
    let pattern = job
        .pattern
        .as_deref()
        .and_then(|json| Pattern::parse(json).ok());
    let shop = Shop {
        pattern: pattern.as_ref(),
        currency: job.currency.as_deref().and_then(Currency::from_code),
    };
    let previous = Previous {
        price: job.price.as_deref().and_then(|price| price.parse().ok()),
        title: job.title.as_deref(),
        availability: job.availability.as_deref(),
    };
    let page = html::Page::parse(&fetched.html);
    reading::read(&page, &fetched.url, shop, &previous, limits)
}

/// The page as it is kept, unless it is too large even so.
fn stored(job: i64, fetched: &Fetched, max_bytes: usize) -> Option<Page> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(fetched.html.as_bytes()).ok()?;
    let body = encoder.finish().ok()?;
    (body.len() <= max_bytes).then(|| Page {
        job,
        url: Some(fetched.url.to_string()),
        body,
    })
}

/// The former price, where it is one that can be stored and is worth telling.
fn list_price(read: &Read) -> Option<String> {
    const MAX_SCALE: u8 = 4;
    read.offer
        .list_price
        .filter(|list| Some(*list) > read.offer.price)
        .filter(|list| list.rounded(MAX_SCALE) == *list && list.approximate() < 1e12)
        .map(|list| list.to_string())
}

fn submission(job: ItemId, crawl: &Crawl) -> Submission<'_> {
    Submission {
        job,
        lease: None,
        attempt: crawl.attempt,
        bot: None,
        pattern: crawl.pattern,
        seen: match &crawl.outcome {
            Outcome::Failed { class, error } => Seen::Failed { class, error },
            Outcome::Offer {
                offer,
                price,
                list_price,
                sources,
            } => Seen::Offer(crawl::Offer {
                price: price.as_deref(),
                currency: offer.currency.map(Currency::code),
                list_price: list_price.as_deref(),
                availability: offer.availability.map(|own| own.as_str()),
                in_stock: offer.availability.map(|own| own.is_available()),
                title: offer.title.as_deref(),
                confidence: Some(offer.confidence),
                price_sources: sources.clone(),
            }),
        },
        parsed_data: &crawl.details,
        duration_ms: Some(crawl.duration_ms),
    }
}

/// Tells products apart that nobody has named yet.
async fn name_products(
    conn: &mut AsyncPgConnection,
    outputs: &[(ItemId, &Crawl)],
) -> QueryResult<()> {
    let told: Vec<(ItemId, &Offer)> = outputs
        .iter()
        .filter(|(_, crawl)| crawl.has_product)
        .filter_map(|(id, crawl)| match &crawl.outcome {
            Outcome::Offer { offer, .. } => Some((*id, offer.as_ref())),
            Outcome::Failed { .. } => None,
        })
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&Offer) -> Option<&str>| -> Vec<Option<&str>> {
        told.iter().map(|(_, offer)| of(offer)).collect()
    };
    sql_query(include_str!("price_fetch/product.sql"))
        .bind::<Array<BigInt>, _>(told.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(column(|offer| offer.title.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|offer| offer.brand.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|offer| offer.sku.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|offer| offer.gtin.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|offer| offer.mpn.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column(|offer| offer.image.as_deref()))
        .execute(conn)
        .await?;
    Ok(())
}

/// The class of a failed fetch in `crawl_result`: whose business it is, in a word.
fn class_of(error: &FetchError) -> &'static str {
    match error {
        FetchError::RobotsDisallowed | FetchError::RobotsUnreachable { .. } => "robots",
        FetchError::Status { .. } | FetchError::TooManyRedirects { .. } => "http",
        FetchError::TooLarge { .. } | FetchError::ContentCoding { .. } => "http",
        FetchError::BadUrl { .. } | FetchError::Blocked { .. } => "blocked",
        _ => "network",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(attempt: i16, max_retries: i16) -> Job {
        Job {
            id: 1,
            attempt,
            max_retries,
            backoff_seconds: 300.0,
            url: String::new(),
            title: None,
            price: None,
            availability: None,
            is_wanted: true,
            has_product: false,
            wants_page: false,
            domain: String::new(),
            render: false,
            currency: None,
            pattern_id: None,
            pattern: None,
        }
    }

    /// PT-16: 5, 10, 20, 40 minutes, and an end.
    #[test]
    fn attempts_are_spaced_by_the_job_s_policy() {
        for (attempt, max_retries, minutes) in [
            (1, 3, Some(5)),
            (2, 3, Some(10)),
            (3, 3, None),
            (3, 9, Some(20)),
            (4, 9, Some(40)),
            (8, 9, Some(40)),
            (9, 9, None),
            (i16::MAX, 9, None),
        ] {
            assert_eq!(
                job(attempt, max_retries).backoff(),
                minutes.map(|minutes| Duration::from_secs(minutes * 60)),
                "{attempt} of {max_retries}"
            );
        }
    }

    #[test]
    fn a_later_time_that_the_server_names_is_kept() {
        let asked = |seconds| WorkflowError::Retry {
            class: "http",
            after: Some(Duration::from_secs(seconds)),
            source: "429".into(),
        };
        for (seconds, expected) in [(10, 300), (3_000, 3_000)] {
            match job(1, 3).by_policy(asked(seconds)) {
                WorkflowError::Retry { after, .. } => {
                    assert_eq!(after, Some(Duration::from_secs(expected)));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(
            job(3, 3).by_policy(asked(10)),
            WorkflowError::Permanent { class: "http", .. }
        ));
    }
}
