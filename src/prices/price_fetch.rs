//! `crawl_job/crawl`: a product page → what it offers, recorded as a crawl result like any bot's.
//!
//! url → fetch (robots.txt, politeness, guard) → the page's own data and the site's pattern → validation → `crawl_result`, by
//! the function that records for bots too. Every attempt leaves a result, also one that failed; how often and when it is tried
//! again is for the job to say, by the policy that it came from. What becomes of a good result is the recording's business.

mod reading;
mod validate;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, SmallInt, Text};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use self::reading::{KnownSite, Read};
use self::validate::{Limits, Previous};
use crate::live::Live;
use crate::prices::crawl;
use crate::prices::crawl::{KeptPage, Seen, Submission};
use crate::prices::policy;
use crate::prices::queue::Queue;
use crate::settings;
use crate::telemetry::chain;
use crate::web::fetch::{Client, FetchError};
use crate::web::page::{self, Document, Landing, NoPage};
use crate::web::render::{Allowance, Renderer};
use crate::workflow::{
    Configured, Done, ItemId, Services, Settled, Terms, Workflow, WorkflowError,
};
use gleaner_extract::notice::Notice;
use gleaner_extract::offer::Offer;
use gleaner_extract::pattern::Pattern;
use gleaner_extract::price::Currency;

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

impl settings::Options for Options {}

/// The workflow.
pub struct PriceFetch {
    client: Client,
    renderer: Renderer,
    queue: Queue,
    options: Live<Options>,
}

impl Configured for PriceFetch {
    type Options = Options;

    const SAMPLE: &'static str =
        "INSERT INTO site (domain) VALUES ('kettle-example.com');
        INSERT INTO product_url (site_id, raw_url, url, url_hash, title)
            SELECT id, 'https://kettle-example.com/kettle', 'https://kettle-example.com/kettle', 'kettle', 'Kettle' FROM site;
        INSERT INTO crawl_job (product_url_id, site_id, plan) SELECT id, site_id, 1000 FROM product_url";

    const JOURNALS: &'static [&'static str] = &["crawl_result"];

    fn new(services: &Services, options: Live<Options>) -> Self {
        Self {
            client: services.fetch.clone(),
            renderer: services.renderer.clone(),
            queue: Queue::new(services.redis.as_ref()),
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
    #[diesel(sql_type = Bool)]
    render_post: bool,
    #[diesel(sql_type = Array<Text>)]
    render_hosts: Vec<String>,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pattern_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pattern: Option<String>,
}

impl Job {
    /// What the job's policy says on the attempt after this one.
    fn terms(&self) -> Terms {
        Terms {
            attempts: self.max_retries,
            backoff: policy::backoff(self.backoff_seconds, self.attempt),
        }
    }
}

/// A crawl on its way to the database.
#[derive(Debug)]
pub struct Crawl {
    attempt: i16,
    terms: Terms,
    pattern: Option<i64>,
    duration_ms: i32,
    outcome: Sighting,
    details: Value,
    page: Option<KeptPage>,
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

/// What was seen of a page, for as long as it is on its way: [`Seen`] borrows from it.
#[derive(Debug)]
enum Sighting {
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

/// The class of the failure in `crawl_result`, what happened in words, and what to do about it.
fn judged(error: NoPage) -> (&'static str, String, WorkflowError) {
    let (class, text) = match &error {
        NoPage::Fetch(error) => (class_of(error), chain(error)),
        NoPage::Render(error) => ("render", chain(error)),
        NoPage::Page(error) => ("http", error.to_string()),
    };
    (class, text, error.into())
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
                "its page or site is switched off".to_owned(),
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
            terms: job.terms(),
            pattern: job.pattern_id,
            duration_ms: i32::try_from(started_at.elapsed().as_millis()).unwrap_or(i32::MAX),
            outcome: Sighting::Failed { class, error },
            details,
            page: None,
            has_product: job.has_product,
            result: AtomicI64::new(0),
        };
        let landing = match self.fetch(&job).await {
            Ok(landing) => landing,
            Err(error) => {
                let (class, text, error) = judged(error);
                if matches!(error, WorkflowError::Snooze { .. }) {
                    return Err(error);
                }
                return Ok(Done::Failed(error, crawl(class, text, json!({}))));
            }
        };
        let options = self.options.get();
        let (reader, limits) = (job.clone(), limits(&options));
        let max_stored = options.max_stored_page_bytes;
        let (read, url, page) = landing
            .read(move |document| {
                let read = read_page(&reader, document, limits);
                let page = (reader.wants_page || !read.validation.valid)
                    .then(|| stored(reader.id, document, max_stored))
                    .flatten();
                (read, document.url.clone(), page)
            })
            .await;
        let details = read.details(&url);
        if read.validation.valid {
            let outcome = Sighting::Offer {
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
        let class = match (read.offer.price, read.notice) {
            (Some(_), _) => "validation",
            // It says nothing about what finds prices on this site.
            (None, Some(_)) => "render",
            (None, None) => "extraction",
        };
        let mut reason = read.validation.errors.join("; ");
        if read.notice.is_some_and(Notice::needs_browser) && !job.render {
            let domain = &job.domain;
            reason +=
                &format!("; `gleaner site set {domain} --render on` has a browser run its scripts");
        }
        let error = WorkflowError::retry(class, reason.clone());
        let failed = Crawl {
            page,
            ..crawl(class, reason, details)
        };
        Ok(Done::Failed(error, failed))
    }

    fn terms(crawl: &Crawl) -> Option<Terms> {
        Some(crawl.terms)
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
        let pages: Vec<KeptPage> = outputs
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
        if let (Sighting::Offer { .. }, Some(row)) = (&crawl.outcome, row) {
            AtomicI64::store(&crawl.result, row.result, Ordering::Relaxed);
        }
    }
}

impl PriceFetch {
    async fn fetch(&self, job: &Job) -> Result<Landing, NoPage> {
        let url = Url::parse(&job.url).map_err(|error| FetchError::BadUrl {
            reason: error.to_string(),
        })?;
        let tab = if job.render {
            Some(self.renderer.tab().await?.allowing(Allowance {
                post: job.render_post,
                hosts: job.render_hosts.clone(),
            }))
        } else {
            None
        };
        // Where the page breaks off, the price that counts may be missing, and another stand in its place.
        let landing = page::get(&self.client, &url, &job.domain).await?.whole()?;
        match tab {
            Some(tab) => landing.render(tab, &job.domain).await,
            None => Ok(landing),
        }
    }
}

fn limits(options: &Options) -> Limits {
    Limits {
        min_confidence: options.min_confidence,
        max_change_percent: options.max_change_percent,
    }
}

fn read_page(job: &Job, document: &Document, limits: Limits) -> Read {
    // Checked before it was stored; a pattern of another version of the program is passed over.
    let pattern = job
        .pattern
        .as_deref()
        .and_then(|json| Pattern::parse(json).ok());
    let site = KnownSite {
        pattern: pattern.as_ref(),
        currency: job.currency.as_deref().and_then(Currency::from_code),
    };
    let previous = Previous {
        price: job.price.as_deref().and_then(|price| price.parse().ok()),
        title: job.title.as_deref(),
        availability: job.availability.as_deref(),
    };
    reading::read(document, site, &previous, limits)
}

/// The page as it is kept, unless it is too large even so.
fn stored(job: i64, document: &Document, max_bytes: usize) -> Option<KeptPage> {
    document.packed(max_bytes).map(|body| KeptPage {
        job,
        url: Some(document.url.to_string()),
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
            Sighting::Failed { class, error } => Seen::Failed { class, error },
            Sighting::Offer {
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
        parsed_data: crawl::written(&crawl.details),
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
            Sighting::Offer { offer, .. } => Some((*id, offer.as_ref())),
            Sighting::Failed { .. } => None,
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
        FetchError::TooLarge { .. }
        | FetchError::Decompression { .. }
        | FetchError::ContentCoding { .. } => "http",
        FetchError::BadUrl { .. } | FetchError::Blocked { .. } => "blocked",
        _ => "network",
    }
}
