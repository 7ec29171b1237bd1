//! What has been recorded, as other programs read it: rows as JSON, amounts as texts so that they stay exact.

use crate::db::statement::sql_query;
use diesel::sql_types::{BigInt, Jsonb, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde_json::Value;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Jsonb)]
    shown: Value,
}

fn shown(rows: Vec<Row>) -> Vec<Value> {
    rows.into_iter().map(|row| row.shown).collect()
}

/// Prices of the page with this hash, newest first.
///
/// # Errors
/// Whatever the database answers.
pub async fn history(
    conn: &mut AsyncPgConnection,
    url_hash: &str,
    limit: i64,
) -> QueryResult<Vec<Value>> {
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
    Ok(shown(rows))
}

/// Pages of the shop of this domain, or of all for an empty text, newest first; with the state of their jobs by its older name.
///
/// # Errors
/// Whatever the database answers.
pub async fn urls(
    conn: &mut AsyncPgConnection,
    domain: &str,
    limit: i64,
) -> QueryResult<Vec<Value>> {
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
    Ok(shown(rows))
}
