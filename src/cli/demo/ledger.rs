//! What the demo writes to and reads from its database: places in, results out.

use crate::db::statement::sql_query;
use anyhow::Context;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, SmallInt, Text};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};

use crate::areas;
use crate::demo::{ContactKind, Found, FoundBusiness, FoundContact, PlaceSeed, PlantedPrice};
use crate::prices::crawl::JOBS;
use crate::store::stage::Request;

/// How the demo's shops are crawled: once a day of theirs, and what fails stays failed.
pub(super) async fn insert_shops(conn: &mut AsyncPgConnection, urls: &[String]) -> QueryResult<()> {
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
pub(super) async fn is_day_over(
    conn: &mut AsyncPgConnection,
    pages: usize,
    day: u32,
) -> QueryResult<bool> {
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
pub(super) async fn recrawl(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    sql_query(JOBS.ask("UPDATE {table} AS item SET {set}", &[Request::Queue]))
        .execute(conn)
        .await
        .map(drop)
}

/// The price history, and how many results confirmed what stood there.
pub(super) async fn prices(
    conn: &mut AsyncPgConnection,
) -> QueryResult<(Vec<PlantedPrice>, usize)> {
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

/// Drops a database, if it is there, and makes it anew.
pub(super) async fn recreate_database(
    conn: &mut AsyncPgConnection,
    name: &'static str,
) -> anyhow::Result<()> {
    conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        .await
        .context("cannot drop the database of the last demo")?;
    conn.batch_execute(&format!("CREATE DATABASE {name}"))
        .await
        .context("cannot create the demo's database")
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many places the database has that are not the demo's.
pub(super) async fn strangers(
    conn: &mut AsyncPgConnection,
    places: &[PlaceSeed],
) -> QueryResult<i64> {
    let ids: Vec<&str> = places.iter().map(|place| place.place_id.as_str()).collect();
    let row: Count = sql_query("SELECT count(*) FROM place WHERE place_id <> ALL ($1)")
        .bind::<Array<Text>, _>(ids)
        .get_result(conn)
        .await?;
    Ok(row.count)
}

/// The places, as a person who found them would have selected them.
pub(super) async fn insert_places(
    conn: &mut AsyncPgConnection,
    places: &[PlaceSeed],
) -> QueryResult<()> {
    for part in places.chunks(5_000) {
        sql_query(
            "INSERT INTO place (place_id, name, business_type, search_location, formatted_address, \
             latitude, longitude, rating, user_ratings_total, price_level, status) \
             SELECT *, 'Selected' FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (place_id) DO NOTHING",
        )
        .bind::<Array<Text>, _>(part.iter().map(|p| p.place_id.as_str()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(part.iter().map(|p| p.name.as_str()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(texts(part, |p| p.business_type.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(texts(part, |p| p.location.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(texts(part, |p| p.formatted_address.as_deref()))
        .bind::<Array<Nullable<Double>>, _>(part.iter().map(|p| p.latitude).collect::<Vec<_>>())
        .bind::<Array<Nullable<Double>>, _>(part.iter().map(|p| p.longitude).collect::<Vec<_>>())
        .bind::<Array<Nullable<Double>>, _>(part.iter().map(|p| p.rating).collect::<Vec<_>>())
        .bind::<Array<Nullable<Integer>>, _>(
            part.iter()
                .map(|p| p.user_ratings_total)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<SmallInt>>, _>(
            part.iter().map(|p| p.price_level).collect::<Vec<_>>(),
        )
        .execute(conn)
        .await?;
    }
    Ok(())
}

fn texts(places: &[PlaceSeed], get: fn(&PlaceSeed) -> Option<&str>) -> Vec<Option<&str>> {
    places.iter().map(get).collect()
}

/// One workflow's rows by status, and its attempts.
#[derive(Clone, Copy, Debug, QueryableByName)]
struct StageCounts {
    #[diesel(sql_type = BigInt)]
    queued: i64,
    #[diesel(sql_type = BigInt)]
    processing: i64,
    #[diesel(sql_type = BigInt)]
    completed: i64,
    #[diesel(sql_type = BigInt)]
    filtered: i64,
    #[diesel(sql_type = BigInt)]
    error: i64,
    #[diesel(sql_type = BigInt)]
    attempts: i64,
}

/// One workflow's rows by status.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// Which workflow.
    pub(super) workflow: &'static str,
    /// Waiting, due or not.
    pub(super) queued: i64,
    /// In hand.
    pub(super) processing: i64,
    /// Done.
    pub(super) completed: i64,
    /// Rightly nothing to do.
    pub(super) filtered: i64,
    /// Given up.
    pub(super) error: i64,
    /// Attempts made, snoozes and returned items not counted.
    pub(super) attempts: i64,
}

impl Counts {
    /// Rows still to be worked.
    pub(super) fn waiting(&self) -> i64 {
        self.queued + self.processing
    }

    /// Rows that are through.
    pub(super) fn settled(&self) -> i64 {
        self.completed + self.filtered + self.error
    }
}

/// Every workflow's rows by status, in the order of the pipeline and as of one moment: nothing hides between two stages.
pub(super) async fn counts(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Counts>> {
    let known = areas::workflows();
    let parts: Vec<String> = known
        .iter()
        .map(|workflow| {
            let (table, stage) = (workflow.stage.table(), workflow.stage.column_group());
            let name = workflow.stage.name();
            format!(
                "SELECT count(*) FILTER (WHERE {stage}_status = 'Queued') AS queued, \
                 count(*) FILTER (WHERE {stage}_status = 'Processing') AS processing, \
                 count(*) FILTER (WHERE {stage}_status = 'Completed') AS completed, \
                 count(*) FILTER (WHERE {stage}_status = 'Filtered' AND {stage}_attempts > 0) AS filtered, \
                 count(*) FILTER (WHERE {stage}_status = 'Error') AS error, \
                 (SELECT count(*) FROM attempt WHERE attempt.stage = '{name}' \
                  AND outcome NOT IN ('snoozed', 'released')) AS attempts FROM {table}"
            )
        })
        .collect();
    let rows: Vec<StageCounts> = sql_query(parts.join(" UNION ALL ")).load(conn).await?;
    Ok(known
        .iter()
        .zip(rows)
        .map(|(workflow, row)| Counts {
            workflow: workflow.name,
            queued: row.queued,
            processing: row.processing,
            completed: row.completed,
            filtered: row.filtered,
            error: row.error,
            attempts: row.attempts,
        })
        .collect())
}

#[derive(QueryableByName)]
struct Pair {
    #[diesel(sql_type = Text)]
    one: String,
    #[diesel(sql_type = Nullable<Text>)]
    two: Option<String>,
}

#[derive(QueryableByName)]
struct ContactRow {
    #[diesel(sql_type = Text)]
    host: String,
    #[diesel(sql_type = Text)]
    page_url: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    value: String,
}

/// Everything the pipeline stored.
pub(super) async fn found(conn: &mut AsyncPgConnection) -> QueryResult<Found> {
    let businesses: Vec<Pair> =
        sql_query("SELECT coalesce(place_id, '') AS one, website AS two FROM local_business")
            .load(conn)
            .await?;
    let domains: Vec<Pair> = sql_query("SELECT domain AS one, NULL::text AS two FROM domain")
        .load(conn)
        .await?;
    let sitemaps: Vec<Pair> = sql_query(
        "SELECT domain AS one, url AS two FROM sitemap_file JOIN domain ON domain.id = domain_id \
         WHERE sitemap_type IS NOT NULL",
    )
    .load(conn)
    .await?;
    let pages: Vec<Pair> = sql_query(
        "SELECT domain AS one, url AS two FROM page JOIN domain ON domain.id = domain_id",
    )
    .load(conn)
    .await?;
    let contacts: Vec<ContactRow> = sql_query(
        "SELECT domain AS host, source_url AS page_url, kind, value \
         FROM contact JOIN domain ON domain.id = domain_id",
    )
    .load(conn)
    .await?;
    let pairs = |rows: Vec<Pair>| {
        rows.into_iter()
            .map(|row| (row.one, row.two.unwrap_or_default()))
            .collect()
    };
    Ok(Found {
        businesses: businesses
            .into_iter()
            .map(|row| FoundBusiness {
                place_id: row.one,
                website: row.two,
            })
            .collect(),
        domains: domains.into_iter().map(|row| row.one).collect(),
        sitemaps: pairs(sitemaps),
        pages: pairs(pages),
        contacts: contacts
            .into_iter()
            .map(|row| FoundContact {
                host: row.host,
                page_url: row.page_url,
                kind: match row.kind.as_str() {
                    "email" => ContactKind::Email,
                    "phone" => ContactKind::Phone,
                    _ => ContactKind::Social,
                },
                value: row.value,
            })
            .collect(),
    })
}
