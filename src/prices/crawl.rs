//! What a crawl leaves behind: one row of `crawl_result`, and what follows for its job, its URL and its site.
//!
//! Everything that crawls, bots and our own fetcher, records through [`submit`]; nothing else writes these columns.

pub mod plan;
pub mod read;

use crate::db::statement::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Json, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};

use crate::db::statement::{statement, storable};
use crate::store::stage::{Group, bounded};

/// The stage of the jobs, as requests name it.
pub(crate) const JOBS: Group = Group::new("crawl_job", "crawl");

/// Longest title kept, in characters; the price systems before this one kept as many.
const MAX_TITLE_CHARS: usize = 500;

/// One crawl of one job.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    /// The job that was worked.
    pub job: i64,
    /// The lease it was worked under. With job and attempt it makes a repeated submit the same submit. `None` for our own
    /// fetcher: its lease outlives many runs of a job, and what it records in the transaction of its settle is never repeated.
    pub lease: Option<i64>,
    pub attempt: i16,
    /// The bot that worked it; `None` for our own fetcher.
    pub bot: Option<i64>,
    /// The pattern the page was read with, if any.
    pub pattern: Option<i64>,
    pub seen: Seen<'a>,
    /// What else the crawler says, as it says it.
    pub parsed_data: &'a Value,
    /// How long the crawl took, in milliseconds.
    pub duration_ms: Option<i32>,
}

/// What a crawl saw.
#[derive(Clone, Debug)]
pub enum Seen<'a> {
    /// The page, and on it this.
    Offer(Offer<'a>),
    /// Nothing.
    Failed {
        /// `network`, `http`, `robots`, `extraction`, `validation` …; those of extraction and validation are charged to the
        /// site's pattern.
        class: &'a str,
        error: &'a str,
    },
}

/// An offer as the page shows it. Amounts are plain decimals as PostgreSQL reads them (`-?[0-9]+(\.[0-9]+)?`), below 10^12 and
/// with at most four places: the table refuses others.
#[derive(Clone, Debug, Default)]
pub struct Offer<'a> {
    pub price: Option<&'a str>,
    /// Its currency (ISO 4217, upper case).
    pub currency: Option<&'a str>,
    /// The price before a reduction.
    pub list_price: Option<&'a str>,
    /// `InStock`, `OutOfStock`, `PreOrder`, `LimitedAvailability` or `Discontinued`.
    pub availability: Option<&'a str>,
    /// The same as yes or no.
    pub in_stock: Option<bool>,
    pub title: Option<&'a str>,
    /// Confidence in the price, 0 to 1.
    pub confidence: Option<f32>,
    /// Where the price was found: `jsonld`, `microdata`, …
    pub price_sources: Vec<&'a str>,
}

/// A crawl as it stands recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Recorded {
    #[diesel(sql_type = BigInt)]
    pub job: i64,
    /// The row of `crawl_result`.
    #[diesel(sql_type = BigInt)]
    pub result: i64,
    /// Whether this call stored it; `false` for one that was there already.
    #[diesel(sql_type = Bool)]
    pub is_new: bool,
}

/// Records crawls, in the order given, each at most once.
///
/// Belongs into the transaction that settles their jobs, after the
/// settle. Jobs that are gone are passed over. New good results (`is_new`, not failed) are queued for recording by the table
/// itself; who wants to tell Redis too does so after the commit.
///
/// # Errors
/// Whatever the database answers; a check violation for an amount or word that the table does not take.
pub async fn submit(
    conn: &mut AsyncPgConnection,
    crawls: &[Submission<'_>],
) -> QueryResult<Vec<Recorded>> {
    if crawls.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Value> = crawls.iter().enumerate().map(row).collect();
    statement(include_str!("crawl/submit.sql"))
        .bind::<Json, _>(Value::Array(rows))
        .load(conn)
        .await
}

/// A submission as `submit.sql` reads it.
fn row((place, crawl): (usize, &Submission<'_>)) -> Value {
    let mut row = json!({
        "place": place,
        "job": crawl.job,
        "lease": crawl.lease,
        "attempt": crawl.attempt,
        "bot": crawl.bot,
        "pattern": crawl.pattern,
        "parsed_data": storable(crawl.parsed_data),
        "duration_ms": crawl.duration_ms,
    });
    let seen = match &crawl.seen {
        Seen::Offer(offer) => json!({
            "success": true,
            "price": offer.price,
            "currency": offer.currency,
            "list_price": offer.list_price,
            "availability": offer.availability,
            "in_stock": offer.in_stock,
            "title": offer.title.map(title),
            "confidence": offer.confidence,
            "price_sources": offer.price_sources.iter().copied().map(bounded).collect::<Vec<_>>(),
        }),
        Seen::Failed { class, error } => json!({
            "success": false,
            "price_sources": [],
            "error_class": class,
            "error": bounded(error),
        }),
    };
    if let (Value::Object(row), Value::Object(seen)) = (&mut row, seen) {
        row.extend(seen);
    }
    row
}

fn title(text: &str) -> String {
    bounded(text).chars().take(MAX_TITLE_CHARS).collect()
}

/// A page to be kept for learning and testing patterns.
#[derive(Clone, Debug)]
pub struct KeptPage {
    /// The job it was fetched for.
    pub job: i64,
    /// Where it was in the end; `None` for where it was looked for.
    pub url: Option<String>,
    /// The page as UTF-8 text, gzip.
    pub body: Vec<u8>,
}

/// Keeps the last page of each URL. Jobs that are gone are passed over.
///
/// # Errors
/// Whatever the database answers.
pub async fn keep_pages(conn: &mut AsyncPgConnection, pages: &[KeptPage]) -> QueryResult<usize> {
    if pages.is_empty() {
        return Ok(0);
    }
    let jobs: Vec<i64> = pages.iter().map(|page| page.job).collect();
    let urls: Vec<Option<&str>> = pages.iter().map(|page| page.url.as_deref()).collect();
    let bodies: Vec<&[u8]> = pages.iter().map(|page| page.body.as_slice()).collect();
    sql_query(
        "INSERT INTO product_page (product_url_id, url, body) \
         SELECT DISTINCT ON (known.id) known.id, coalesce(page.url, known.url, known.raw_url), page.body \
         FROM unnest($1, $2, $3) WITH ORDINALITY AS page(job, url, body, place) \
         JOIN crawl_job AS job ON job.id = page.job JOIN product_url AS known ON known.id = job.product_url_id \
         ORDER BY known.id, page.place DESC \
         ON CONFLICT (product_url_id) DO UPDATE SET url = excluded.url, body = excluded.body, fetched_at = now()",
    )
    .bind::<Array<BigInt>, _>(jobs)
    .bind::<Array<diesel::sql_types::Nullable<Text>>, _>(urls)
    .bind::<Array<Binary>, _>(bodies)
    .execute(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_cut_by_characters() {
        assert_eq!(title(&"é".repeat(600)).chars().count(), MAX_TITLE_CHARS);
        assert_eq!(title("a\0b"), "a\u{fffd}b");
    }

    #[test]
    fn a_failure_carries_no_offer() {
        let crawl = Submission {
            job: 7,
            lease: Some(8),
            attempt: 2,
            bot: None,
            pattern: None,
            seen: Seen::Failed {
                class: "network",
                error: "no route",
            },
            parsed_data: &json!([1]),
            duration_ms: Some(5),
        };
        assert_eq!(
            row((3, &crawl)),
            json!({"place": 3, "job": 7, "lease": 8, "attempt": 2, "bot": null, "pattern": null, "parsed_data": [1],
                "duration_ms": 5, "success": false, "price_sources": [], "error_class": "network", "error": "no route"})
        );
    }
}
