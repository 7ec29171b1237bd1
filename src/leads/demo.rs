//! The demo's places: selected as a person would, and what comes of them compared with what its web has planted.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, SmallInt, Text};
use diesel_async::AsyncPgConnection;
use serde_json::{Map, Value, json};

use super::deep_scan::DeepScan;
use super::domain_extraction::DomainExtraction;
use super::sitemap_discovery::SitemapDiscovery;
use super::sitemap_import::SitemapImport;
use crate::area::rehearsal::{Plan, Rehearsal, Scored, Step};
use crate::config::Config;
use crate::db::statement::sql_query;
use crate::demo::{
    ContactKind, Found, FoundBusiness, FoundContact, KindScore, PLACES_HOST, PlaceSeed, Score, Web,
    score,
};
use crate::secret::Secret;

/// The part of leads.
struct Part {
    web: Arc<Web>,
}

/// The places of the demo's web.
pub(super) fn rehearse(plan: &Plan) -> Option<Box<dyn Rehearsal>> {
    Some(Box::new(Part {
        web: Arc::clone(&plan.web),
    }))
}

impl Rehearsal for Part {
    /// Every stage asks the next by itself, and the places are the demo's.
    fn tune(&self, config: &mut Config) {
        let workflows = &mut config.workflows;
        let scan = workflows.options_mut::<DeepScan>();
        scan.base_url = format!("http://{PLACES_HOST}");
        scan.api_key = Secret::new("demo");
        scan.quota_rest = Duration::from_millis(500);
        scan.advance = true;
        workflows.options_mut::<DomainExtraction>().advance = true;
        workflows.options_mut::<SitemapDiscovery>().advance = true;
        workflows.options_mut::<SitemapImport>().advance = true;
    }

    fn strangers<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, Option<String>> {
        Box::pin(async move {
            let count = strangers(conn, self.web.places()).await?;
            Ok((count > 0).then(|| format!("{count} places")))
        })
    }

    fn plant<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, ()> {
        Box::pin(insert_places(conn, self.web.places()))
    }

    fn go_on<'a>(&'a self, _conn: &'a mut AsyncPgConnection) -> Step<'a, bool> {
        Box::pin(std::future::ready(Ok(true)))
    }

    fn score<'a>(&'a self, conn: &'a mut AsyncPgConnection) -> Step<'a, Scored> {
        Box::pin(async move { Ok(told(&score(self.web.truth(), &found(conn).await?))) })
    }
}

fn told(score: &Score) -> Scored {
    let row = |name: &str, own: &KindScore| {
        format!(
            "{name:<18} {:>10} {:>10} {:>10} {:>10}",
            own.planted, own.found, own.missed, own.r#false
        )
    };
    let all = KindScore {
        planted: score.planted,
        found: score.found,
        missed: score.missed,
        r#false: score.r#false,
    };
    let mut lines = vec![format!(
        "{:<18} {:>10} {:>10} {:>10} {:>10}",
        "result", "planted", "found", "missed", "false"
    )];
    lines.extend(score.by_kind.iter().map(|(kind, own)| row(kind, own)));
    lines.push(row("all", &all));
    let json: [(&str, Value); 4] = [
        ("planted", json!(score.planted)),
        ("found", json!(score.found)),
        ("missed", json!(score.missed)),
        ("false", json!(score.r#false)),
    ];
    let missed = score.missed_examples.iter();
    let missed = missed.map(|example| format!("missed: {example}"));
    let made_up = score.false_examples.iter();
    let made_up = made_up.map(|example| format!("false: {example}"));
    Scored {
        is_right: score.missed == 0 && score.r#false == 0,
        json: Map::from_iter(json.map(|(key, value)| (key.to_owned(), value))),
        lines,
        examples: missed.chain(made_up).collect(),
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many places the database has that are not the demo's.
async fn strangers(conn: &mut AsyncPgConnection, places: &[PlaceSeed]) -> QueryResult<i64> {
    let ids: Vec<&str> = places.iter().map(|place| place.place_id.as_str()).collect();
    let row: Count = sql_query("SELECT count(*) FROM place WHERE place_id <> ALL ($1)")
        .bind::<Array<Text>, _>(ids)
        .get_result(conn)
        .await?;
    Ok(row.count)
}

/// The places, as a person who found them would have selected them.
async fn insert_places(conn: &mut AsyncPgConnection, places: &[PlaceSeed]) -> QueryResult<()> {
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
async fn found(conn: &mut AsyncPgConnection) -> QueryResult<Found> {
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
