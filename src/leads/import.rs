//! Bulk import: many rows per statement, each stored once however often it is given.
//!
//! Curation is left to the database: an imported row that is to be queued becomes `Selected`, and the trigger does the rest.
//! What a person has decided about a known row (Maybe, Not a Fit, Archived) stays.

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Float, Integer, Nullable, SmallInt, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};

use crate::db::connect::CHECKS_PLANNED_ONCE;
use crate::store::stage::{Group, Request};

/// The stage of the pages, as requests name it.
pub(crate) const PAGES: Group = Group::new("page", "curation");

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewPlace {
    /// The Places API's identifier.
    pub place_id: String,
    pub name: String,
    /// Address in one line.
    pub formatted_address: Option<String>,
    /// Kind of business.
    pub business_type: Option<String>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Stars.
    pub rating: Option<f64>,
    /// Number of ratings.
    pub user_ratings_total: Option<i32>,
    /// 0 (free) to 4.
    pub price_level: Option<i16>,
    /// The search that found it.
    pub search_query: Option<String>,
    /// Where that search looked.
    pub search_location: Option<String>,
    /// A person's notes.
    pub notes: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewDomain {
    /// Canonical host.
    pub host: String,
    /// Its registrable part.
    pub registrable: String,
}

/// An address on a domain, which is created where it is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewAddress {
    pub domain: NewDomain,
    /// Normalised, as it is fetched.
    pub url: String,
    /// By what it is told from others, if it has a query; else `url` is that.
    pub url_key: Option<String>,
}

impl NewAddress {
    /// By what it is told from others.
    #[must_use]
    pub fn key(&self) -> &str {
        self.url_key.as_deref().unwrap_or(&self.url)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewPage {
    pub address: NewAddress,
    /// What the rules make of it.
    pub page_type: &'static str,
    /// The rule that decided.
    pub rule: &'static str,
    pub rules_version: i16,
    /// How sure it is.
    pub confidence: f32,
    /// Segments in its path.
    pub path_depth: i16,
    /// Order of its curation.
    pub priority: i16,
}

/// Rows of one kind. No key may stand in it twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    Places(Vec<NewPlace>),
    Domains(Vec<NewDomain>),
    Sitemaps(Vec<NewAddress>),
    Pages(Vec<NewPage>),
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName)]
pub struct Stored {
    /// Rows that are new.
    #[diesel(sql_type = BigInt)]
    pub stored: i64,
    /// Rows that were queued: new ones, and known ones that were still New.
    #[diesel(sql_type = BigInt)]
    pub queued: i64,
}

/// Stores a chunk in one transaction.
///
/// # Errors
/// Whatever the database answers; nothing of the chunk is stored then.
pub async fn store(
    conn: &mut AsyncPgConnection,
    chunk: &Chunk,
    queue: bool,
) -> QueryResult<Stored> {
    match chunk {
        Chunk::Places(places) => store_places(conn, places, queue).await,
        Chunk::Domains(domains) => {
            let domains: Vec<&NewDomain> = domains.iter().collect();
            store_domains(conn, &domains, queue).await
        }
        Chunk::Sitemaps(addresses) => {
            let addresses: Vec<&NewAddress> = addresses.iter().collect();
            conn.transaction(async |conn| {
                make_domains(conn, &addresses).await?;
                let columns = Columns::of(&addresses);
                sql_query(include_str!("import/sitemaps.sql"))
                    .bind::<Bool, _>(queue)
                    .bind::<Array<Text>, _>(columns.hosts)
                    .bind::<Array<Text>, _>(columns.registrables)
                    .bind::<Array<Text>, _>(columns.urls)
                    .bind::<Array<Nullable<Text>>, _>(columns.url_keys)
                    .get_result(conn)
                    .await
            })
            .await
        }
        Chunk::Pages(pages) => {
            conn.transaction(async |conn| store_pages(conn, pages, queue).await)
                .await
        }
    }
}

async fn store_places(
    conn: &mut AsyncPgConnection,
    places: &[NewPlace],
    queue: bool,
) -> QueryResult<Stored> {
    fn texts(places: &[NewPlace], get: fn(&NewPlace) -> &Option<String>) -> Vec<Option<&str>> {
        places.iter().map(|place| get(place).as_deref()).collect()
    }
    fn column<T>(places: &[NewPlace], get: fn(&NewPlace) -> T) -> Vec<T> {
        places.iter().map(get).collect()
    }
    let ids: Vec<&str> = places.iter().map(|place| place.place_id.as_str()).collect();
    let names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    sql_query(include_str!("import/places.sql"))
        .bind::<Bool, _>(queue)
        .bind::<Array<Text>, _>(ids)
        .bind::<Array<Text>, _>(names)
        .bind::<Array<Nullable<Text>>, _>(texts(places, |place| &place.formatted_address))
        .bind::<Array<Nullable<Text>>, _>(texts(places, |place| &place.business_type))
        .bind::<Array<Nullable<Double>>, _>(column(places, |place| place.latitude))
        .bind::<Array<Nullable<Double>>, _>(column(places, |place| place.longitude))
        .bind::<Array<Nullable<Double>>, _>(column(places, |place| place.rating))
        .bind::<Array<Nullable<Integer>>, _>(column(places, |place| place.user_ratings_total))
        .bind::<Array<Nullable<SmallInt>>, _>(column(places, |place| place.price_level))
        .bind::<Array<Nullable<Text>>, _>(texts(places, |place| &place.search_query))
        .bind::<Array<Nullable<Text>>, _>(texts(places, |place| &place.search_location))
        .bind::<Array<Nullable<Text>>, _>(texts(places, |place| &place.notes))
        .get_result(conn)
        .await
}

async fn store_domains(
    conn: &mut AsyncPgConnection,
    domains: &[&NewDomain],
    queue: bool,
) -> QueryResult<Stored> {
    let hosts: Vec<&str> = domains.iter().map(|domain| domain.host.as_str()).collect();
    let registrables: Vec<&str> = domains
        .iter()
        .map(|domain| domain.registrable.as_str())
        .collect();
    sql_query(include_str!("import/domains.sql"))
        .bind::<Bool, _>(queue)
        .bind::<Array<Text>, _>(hosts)
        .bind::<Array<Text>, _>(registrables)
        .get_result(conn)
        .await
}

async fn store_pages(
    conn: &mut AsyncPgConnection,
    pages: &[NewPage],
    queue: bool,
) -> QueryResult<Stored> {
    let addresses: Vec<&NewAddress> = pages.iter().map(|page| &page.address).collect();
    make_domains(conn, &addresses).await?;
    let columns = Columns::of(&addresses);
    let types: Vec<&str> = pages.iter().map(|page| page.page_type).collect();
    let rules: Vec<&str> = pages.iter().map(|page| page.rule).collect();
    let versions: Vec<i16> = pages.iter().map(|page| page.rules_version).collect();
    let confidences: Vec<f32> = pages.iter().map(|page| page.confidence).collect();
    let depths: Vec<i16> = pages.iter().map(|page| page.path_depth).collect();
    let priorities: Vec<i16> = pages.iter().map(|page| page.priority).collect();
    conn.batch_execute(CHECKS_PLANNED_ONCE).await?;
    let request = Request::Prioritise("given.priority");
    sql_query(PAGES.ask(include_str!("import/pages.sql"), &[request]))
        .bind::<Bool, _>(queue)
        .bind::<Array<Text>, _>(columns.hosts)
        .bind::<Array<Text>, _>(columns.registrables)
        .bind::<Array<Text>, _>(columns.urls)
        .bind::<Array<Text>, _>(types)
        .bind::<Array<Text>, _>(rules)
        .bind::<Array<Float>, _>(confidences)
        .bind::<Array<SmallInt>, _>(depths)
        .bind::<Array<SmallInt>, _>(priorities)
        .bind::<Array<SmallInt>, _>(versions)
        .bind::<Array<Nullable<Text>>, _>(columns.url_keys)
        .get_result(conn)
        .await
}

/// Makes the domains that these addresses lack. They are not queued: somebody asked for an address, not for the site.
async fn make_domains(conn: &mut AsyncPgConnection, addresses: &[&NewAddress]) -> QueryResult<()> {
    let mut domains: Vec<&NewDomain> = addresses.iter().map(|address| &address.domain).collect();
    domains.sort_unstable_by(|left, right| left.host.cmp(&right.host));
    domains.dedup_by(|left, right| left.host == right.host);
    store_domains(conn, &domains, false).await?;
    Ok(())
}

/// Addresses as columns.
struct Columns<'a> {
    hosts: Vec<&'a str>,
    registrables: Vec<&'a str>,
    urls: Vec<&'a str>,
    url_keys: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(addresses: &[&'a NewAddress]) -> Self {
        Self {
            hosts: addresses
                .iter()
                .map(|own| own.domain.host.as_str())
                .collect(),
            registrables: addresses
                .iter()
                .map(|own| own.domain.registrable.as_str())
                .collect(),
            urls: addresses.iter().map(|own| own.url.as_str()).collect(),
            url_keys: addresses.iter().map(|own| own.url_key.as_deref()).collect(),
        }
    }
}

/// Prepares this session for [`preview`].
///
/// # Errors
/// Whatever the database answers.
pub async fn begin_preview(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    conn.batch_execute("CREATE TEMPORARY TABLE gleaner_import_seen (key text PRIMARY KEY)")
        .await
}

/// Says what [`store`] would do with a chunk, given what was previewed before in this session. Writes nothing but notes of its
/// own.
///
/// # Errors
/// Whatever the database answers.
pub async fn preview(
    conn: &mut AsyncPgConnection,
    chunk: &Chunk,
    queue: bool,
) -> QueryResult<Stored> {
    let addresses: Vec<&NewAddress> = match chunk {
        Chunk::Places(_) | Chunk::Domains(_) => Vec::new(),
        Chunk::Sitemaps(addresses) => addresses.iter().collect(),
        Chunk::Pages(pages) => pages.iter().map(|page| &page.address).collect(),
    };
    let columns = Columns::of(&addresses);
    let (keys, known): (Vec<&str>, &str) = match chunk {
        Chunk::Places(places) => (
            places.iter().map(|own| own.place_id.as_str()).collect(),
            "SELECT place.status FROM place WHERE place.place_id = seen.key",
        ),
        Chunk::Domains(domains) => (
            domains.iter().map(|own| own.host.as_str()).collect(),
            "SELECT domain.status FROM domain WHERE domain.domain = seen.key",
        ),
        Chunk::Sitemaps(_) => (
            addresses.iter().map(|own| own.key()).collect(),
            "SELECT own.status FROM domain JOIN sitemap_file AS own ON own.domain_id = domain.id \
             WHERE domain.domain IN (given.host, given.registrable) AND (own.url IN (given.url, seen.key) OR own.url_key = seen.key) LIMIT 1",
        ),
        Chunk::Pages(_) => (
            addresses.iter().map(|own| own.key()).collect(),
            "SELECT own.status FROM domain JOIN page AS own ON own.domain_id = domain.id \
             WHERE domain.domain IN (given.host, given.registrable) AND (own.url IN (given.url, seen.key) OR own.url_key = seen.key) LIMIT 1",
        ),
    };
    sql_query(format!(
        "WITH given AS (SELECT * FROM unnest($2, $3, $4, $5) AS given(key, host, registrable, url)), \
         seen AS (INSERT INTO gleaner_import_seen SELECT key FROM given ON CONFLICT DO NOTHING RETURNING key) \
         SELECT count(*) FILTER (WHERE status IS NULL) AS stored, \
                count(*) FILTER (WHERE $1 AND coalesce(status, 'New') = 'New') AS queued \
         FROM seen JOIN given USING (key) LEFT JOIN LATERAL ({known}) AS known(status) ON true"
    ))
    .bind::<Bool, _>(queue)
    .bind::<Array<Text>, _>(keys)
    .bind::<Array<Text>, _>(columns.hosts)
    .bind::<Array<Text>, _>(columns.registrables)
    .bind::<Array<Text>, _>(columns.urls)
    .get_result(conn)
    .await
}
