//! The demo's shops: tracked for some days of theirs, and the history compared with the prices they had.

mod shop;

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel_async::AsyncPgConnection;
use serde_json::{Map, json};

use self::shop::{DAYS, PlantedPrice, PriceScore, Shops, score_prices};
use super::auto_record::AutoRecord;
use super::config::Crawl;
use super::crawl::JOBS;
use super::price_fetch::PriceFetch;
use crate::area::rehearsal::{Plan, Rehearsal, Scored, Step};
use crate::config::Config;
use crate::db::statement::sql_query;
use crate::demo::Hosts;
use crate::store::stage::Request;

/// The part of prices.
struct Part {
    shops: Arc<Shops>,
    urls: Vec<String>,
}

/// Shops beside the places of a generated web; none beside saved sites, of which nobody knows the prices.
pub(super) fn rehearse(plan: &Plan) -> Option<Box<dyn Rehearsal>> {
    if !plan.web.is_generated() {
        return None;
    }
    let shops = Arc::new(Shops::generate(plan.seed));
    let urls = shops.urls();
    Some(Box::new(Part { shops, urls }))
}

impl Rehearsal for Part {
    /// The demo's shops tell their prices in text alone, too, and change them every few seconds.
    fn tune(&self, config: &mut Config) {
        let workflows = &mut config.workflows;
        let min_confidence = workflows.options::<PriceFetch>().min_confidence;
        workflows.options_mut::<AutoRecord>().min_confidence = min_confidence;
        config.section_mut::<Crawl>().interval = Duration::from_secs(1);
    }

    fn hosts(&self) -> Option<Arc<dyn Hosts>> {
        Some(Arc::clone(&self.shops) as Arc<dyn Hosts>)
    }

    fn strangers<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, Option<String>> {
        Box::pin(async move {
            let row: Count =
                sql_query("SELECT count(*) FROM product_url WHERE raw_url <> ALL ($1)")
                    .bind::<Array<Text>, _>(&self.urls)
                    .get_result(conn)
                    .await?;
            Ok((row.count > 0).then(|| format!("{} product pages", row.count)))
        })
    }

    fn plant<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, ()> {
        Box::pin(insert_shops(conn, &self.urls))
    }

    /// Every page is crawled once a day.
    fn go_on<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, bool> {
        Box::pin(async move {
            let day = self.shops.day();
            if !is_day_over(conn, self.urls.len(), day).await? {
                return Ok(false);
            }
            if day == DAYS {
                return Ok(true);
            }
            self.shops.set_day(day + 1);
            recrawl(conn).await?;
            Ok(false)
        })
    }

    fn score<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, Scored> {
        Box::pin(async move {
            let (history, duplicates) = prices(conn).await?;
            Ok(told(score_prices(
                &self.shops.truth(),
                &history,
                duplicates,
            )))
        })
    }
}

fn told(score: PriceScore) -> Scored {
    Scored {
        is_right: score.wrong == 0 && score.missed == 0,
        json: Map::from_iter([("prices".to_owned(), json!(score))]),
        lines: vec![format!(
            "prices: {} recorded, {} confirmed, {} wrong, {} missed",
            score.recorded, score.duplicates, score.wrong, score.missed
        )],
        examples: score.examples,
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How the demo's shops are crawled: once a day of theirs, and what fails stays failed.
async fn insert_shops(conn: &mut AsyncPgConnection, urls: &[String]) -> QueryResult<()> {
    if urls.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO crawl_policy (name, selection, max_retries) VALUES ('demo', 'all', 1) ON CONFLICT (name) DO NOTHING",
    )
    .execute(conn)
    .await?;
    sql_query(
        "INSERT INTO product_url (raw_url) SELECT url FROM unnest($1) AS url \
         WHERE NOT EXISTS (SELECT 1 FROM product_url WHERE raw_url = url)",
    )
    .bind::<Array<Text>, _>(urls)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether every shop page has been crawled so many times, and nothing of it is under way.
async fn is_day_over(conn: &mut AsyncPgConnection, pages: usize, day: u32) -> QueryResult<bool> {
    let row: Count = sql_query(
        "SELECT count(*) FROM (SELECT FROM crawl_result GROUP BY product_url_id HAVING count(*) >= $1 \
         AND bool_and(coalesce(auto_record_status, '') NOT IN ('Queued', 'Processing'))) AS done \
         WHERE NOT EXISTS (SELECT 1 FROM crawl_job WHERE crawl_status IN ('Queued', 'Processing'))",
    )
    .bind::<BigInt, _>(i64::from(day))
    .get_result(conn)
    .await?;
    Ok(usize::try_from(row.count).is_ok_and(|done| done >= pages))
}

/// Has every shop page crawled again.
async fn recrawl(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    sql_query(JOBS.ask("UPDATE {table} AS item SET {set}", &[Request::Queue]))
        .execute(conn)
        .await
        .map(drop)
}

/// The price history, and how many results confirmed what stood there.
async fn prices(conn: &mut AsyncPgConnection) -> QueryResult<(Vec<PlantedPrice>, usize)> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        url: String,
        #[diesel(sql_type = Text)]
        price: String,
        #[diesel(sql_type = Text)]
        currency: String,
        #[diesel(sql_type = Bool)]
        is_available: bool,
    }
    let rows: Vec<Row> = sql_query(
        "SELECT raw_url AS url, trim_scale(price)::text AS price, currency, coalesce(is_available, false) AS is_available \
         FROM price_history JOIN product_url ON product_url.id = product_url_id",
    )
    .load(conn)
    .await?;
    let duplicates: Count =
        sql_query("SELECT count(*) FROM crawl_result WHERE history_record_status = 'duplicate'")
            .get_result(conn)
            .await?;
    let found = rows.into_iter().map(|row| PlantedPrice {
        url: row.url,
        price: row.price,
        currency: row.currency,
        is_available: row.is_available,
    });
    Ok((
        found.collect(),
        usize::try_from(duplicates.count).unwrap_or(0),
    ))
}
