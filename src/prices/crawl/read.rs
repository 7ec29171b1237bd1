//! What has been recorded, as other programs read it: rows as JSON, amounts as texts so that they stay exact.

use diesel::result::Error;
use diesel::sql_types::{BigInt, Jsonb, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::db::statement::sql_query;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Jsonb)]
    shown: Value,
}

/// A price of a page.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// An exact decimal.
    #[schema(required)]
    pub price: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// The price before a reduction, an exact decimal.
    #[schema(required)]
    pub original_price: Option<String>,
    /// Whether it is to be had.
    #[schema(required)]
    pub is_available: Option<bool>,
    /// The same in the site's word.
    #[schema(required)]
    pub availability: Option<String>,
    /// Who saw it.
    pub source: String,
    /// When it was seen first.
    #[schema(format = DateTime)]
    pub scraped_at: String,
    /// When it was seen last.
    #[schema(format = DateTime)]
    pub last_confirmed_at: String,
}

/// A page that is watched, and the state of its job.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Page)]
pub struct WatchedPage {
    /// SHA-256 of its normalised URL, in hexadecimal.
    #[schema(required)]
    pub url_hash: Option<String>,
    /// Its URL as it was given.
    pub raw_url: String,
    /// Its URL as it is compared.
    #[schema(required)]
    pub normalized_url: Option<String>,
    /// Its site.
    #[schema(required)]
    pub domain: Option<String>,
    /// Whether it is crawled.
    pub is_active: bool,
    /// Why it is not taken, if it is not.
    #[schema(required)]
    pub rejected: Option<String>,
    /// Its title.
    #[schema(required)]
    pub title: Option<String>,
    /// Its last price, an exact decimal.
    #[schema(required)]
    pub price: Option<String>,
    /// ISO 4217.
    #[schema(required)]
    pub currency: Option<String>,
    /// When it was last crawled.
    #[schema(required, format = DateTime)]
    pub last_crawled_at: Option<String>,
    /// Why the last crawl failed, if it did.
    #[schema(required)]
    pub crawl_error: Option<String>,
    /// When it is crawled next.
    #[schema(required, format = DateTime)]
    pub next_run_at: Option<String>,
    /// The state of its job: `pending`, `locked`, `done`, `failed` or `cancelled`.
    #[schema(required)]
    pub job_status: Option<String>,
}

fn shown<T: DeserializeOwned>(rows: Vec<Row>) -> QueryResult<Vec<T>> {
    rows.into_iter()
        .map(|row| serde_json::from_value(row.shown))
        .collect::<Result<_, _>>()
        .map_err(|error| Error::DeserializationError(error.into()))
}

/// Prices of the page with this hash, newest first.
///
/// # Errors
/// Whatever the database answers.
pub async fn history(
    conn: &mut AsyncPgConnection,
    url_hash: &str,
    limit: i64,
) -> QueryResult<Vec<Price>> {
    let rows = sql_query(
        "SELECT jsonb_build_object('price', history.price::text, 'currency', history.currency, 'original_price', original_price::text, \
             'is_available', is_available, 'availability', availability, 'source', source, 'scraped_at', scraped_at, \
             'last_confirmed_at', last_confirmed_at) AS shown \
         FROM price_history AS history JOIN product_url AS page ON page.id = history.product_url_id \
         WHERE page.url_hash = $1 ORDER BY scraped_at DESC, history.id DESC LIMIT $2",
    )
    .bind::<Text, _>(url_hash)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    shown(rows)
}

/// Pages of the site of this domain, or of all for an empty text, newest first; with the state of their jobs by its older name.
///
/// # Errors
/// Whatever the database answers.
pub async fn urls(
    conn: &mut AsyncPgConnection,
    domain: &str,
    limit: i64,
) -> QueryResult<Vec<WatchedPage>> {
    let rows = sql_query(
        "SELECT jsonb_build_object('url_hash', url_hash, 'raw_url', raw_url, 'normalized_url', url, 'domain', domain, 'is_active', is_active, \
             'rejected', rejected, 'title', title, 'price', current_price::text, 'currency', current_currency, 'last_crawled_at', last_crawled_at, \
             'crawl_error', page.crawl_error, 'next_run_at', job.next_run_at, \
             'job_status', CASE crawl_status WHEN 'Queued' THEN 'pending' WHEN 'Processing' THEN 'locked' WHEN 'Completed' THEN 'done' \
                 WHEN 'Filtered' THEN 'done' WHEN 'Error' THEN 'failed' WHEN 'Cancelled' THEN 'cancelled' END) AS shown \
         FROM product_url AS page LEFT JOIN site ON site.id = page.site_id LEFT JOIN crawl_job AS job ON job.product_url_id = page.id \
         WHERE $1 = '' OR domain = lower($1) ORDER BY page.id DESC LIMIT $2",
    )
    .bind::<Text, _>(domain)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    shown(rows)
}
