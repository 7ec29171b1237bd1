//! `domain/sitemap`: robots.txt, then well-known paths, then the home page's links → `sitemap_file`.
//!
//! Stops at the first of the three that yields. Only what parses as a sitemap is stored, once per domain and URL. A host
//! that answers 200 to a path that cannot exist is asked for the commonest paths only.
//!
//! A domain that forwards to another site has no sitemaps: those that stand there are that site's. What a path or a link leads
//! to must be on the domain's own site; only robots.txt may name sitemaps that stand elsewhere, and they count for its host.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use tracing::debug;
use url::Url;

use super::address_key::stored_key;
use super::front;
use super::sitemap_budget::{Ledger, Limits, Measure};
use crate::compute::compute;
use crate::fault;
use crate::live::Live;
use crate::settings;
use crate::telemetry::chain;
use crate::web::fetch::{Client, Decision, FetchError, RequestOptions, RobotsAnswer};
use crate::web::page::{Document, Door, Missed, NoPage, PageError, home, is_same_site};
use crate::workflow::{Configured, Done, ItemId, Services, Workflow, WorkflowError};
use gleaner_extract::listing::resolve_listed;
use gleaner_extract::sitemap::{self, Kind};
use gleaner_extract::sitemap_links::sitemap_links;
use gleaner_extract::url::{TrackingParameters, key, normalize};

/// Options of the workflow `sitemap-discovery`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Whether sitemaps are imported by themselves.
    pub advance: bool,
    /// Most sitemaps found per domain, in all discoveries together.
    pub max_sitemaps: usize,
}

/// Where sitemaps stand when nothing says where, the commonest first. Collected from the defaults of the content management
/// systems that write them.
const WELL_KNOWN: [&str; 18] = [
    "/sitemap.xml",
    "/sitemap_index.xml",
    "/sitemap-index.xml",
    "/wp-sitemap.xml",
    "/sitemap.xml.gz",
    "/sitemap/sitemap.xml",
    "/sitemap/index.xml",
    "/sitemapindex.xml",
    "/sitemap1.xml",
    "/sitemap.txt",
    "/sitemap.php",
    "/sitemap/",
    "/post-sitemap.xml",
    "/page-sitemap.xml",
    "/product-sitemap.xml",
    "/category-sitemap.xml",
    "/feed",
    "/rss.xml",
];

/// How many of these a host is asked for that answers 200 to everything.
const SOFT_404_PATHS: usize = 3;

/// A path that no site has.
const PROBE_PATH: &str = "/gleaner-probe-4d1c7f.xml";

/// How much of a file is read to see whether it is a sitemap. Importing it reads it whole.
const SNIFF_BYTES: u64 = 64 * 1024;

/// Address cannot be longer in the table.
const MAX_URL_BYTES: usize = 2_048;

impl settings::Options for Options {}

/// The workflow.
pub struct SitemapDiscovery {
    client: Client,
    tracking: Arc<TrackingParameters>,
    options: Live<Options>,
}

impl Configured for SitemapDiscovery {
    type Options = Options;

    const SAMPLE: &'static str = "INSERT INTO domain (domain, registrable_domain) VALUES ('kettle-example.com', 'kettle-example.com')";

    fn new(services: &Services, options: Live<Options>) -> Self {
        Self {
            client: services.fetch.clone(),
            tracking: Arc::clone(&services.tracking),
            options,
        }
    }
}

/// How a sitemap was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// As it is stored.
    method: &'static str,
    /// The host whose robots.txt names it.
    vouched_by: Option<String>,
}

impl Way {
    fn new(method: &'static str) -> Self {
        Self {
            method,
            vouched_by: None,
        }
    }
}

/// A sitemap that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its address, as it is fetched.
    url: String,
    way: Way,
}

/// What a domain's discovery found, by the keys of the addresses.
pub type Found = BTreeMap<String, Sighting>;

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = Text)]
    registrable: String,
    #[diesel(sql_type = Text)]
    url: String,
}

impl Workflow for SitemapDiscovery {
    const NAME: &'static str = "sitemap-discovery";
    const TABLE: &'static str = "domain";
    const STAGE: &'static str = "sitemap";
    type Input = Door;
    type Output = Found;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, Door)>> {
        front::doors(conn, ids).await
    }

    async fn run(&self, door: Door) -> Result<Done<Found>, WorkflowError> {
        let limit = self.options.get().max_sitemaps;
        // The home page says where the site really is: which scheme, with www or without.
        let (origin, links) = match self.come_to(&door).await {
            Ok(home) => home,
            Err(NoPage::Page(elsewhere @ PageError::OtherSite { .. })) => {
                return Ok(Done::Filtered(elsewhere.to_string(), Some(Found::new())));
            }
            Err(error) => return Err(error.into()),
        };
        let mut found = Found::new();
        let landed = origin.host_str().unwrap_or_default();
        let looked = Looked {
            site: landed.to_owned(),
            limit,
        };

        let robots = self.client.robots(&origin).await;
        if let RobotsAnswer::Failed { error, .. } = &robots
            && fault::shortage(error).is_some()
        {
            // The site may well name sitemaps: nothing is known of it yet.
            return Err(error.clone().into());
        }
        let named: Vec<Url> = robots
            .sitemaps()
            .iter()
            .filter_map(|text| resolve_listed(&self.tracking, &origin, text))
            .collect();
        let by_robots = Way {
            method: "robots_txt",
            vouched_by: Some(landed.to_owned()),
        };
        self.keep_sitemaps(named, &by_robots, &looked, &mut found)
            .await?;

        if found.is_empty() {
            let probe = self
                .client
                .get_with(&at(&origin, PROBE_PATH)?, sniff())
                .await;
            let is_soft = tolerate(probe)?.is_some_and(|response| response.status < 400);
            let paths = if is_soft {
                &WELL_KNOWN[..SOFT_404_PATHS]
            } else {
                &WELL_KNOWN[..]
            };
            for path in paths {
                let way = Way::new("common_path");
                self.keep_sitemaps(vec![at(&origin, path)?], &way, &looked, &mut found)
                    .await?;
                if !found.is_empty() {
                    break;
                }
            }
        }

        if found.is_empty() {
            self.keep_sitemaps(links, &Way::new("html_link"), &looked, &mut found)
                .await?;
        }

        if found.is_empty() {
            return Ok(Done::Filtered("no sitemap".to_owned(), Some(found)));
        }
        Ok(Done::Completed(found))
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Found)],
    ) -> QueryResult<()> {
        let scanned: Vec<i64> = outputs.iter().map(|(id, _)| *id).collect();
        let named: Vec<Named> =
            sql_query("SELECT registrable_domain AS name FROM domain WHERE id = ANY ($1)")
                .bind::<Array<BigInt>, _>(&scanned)
                .load(conn)
                .await?;
        let charged: Vec<(&str, Option<i64>)> =
            named.iter().map(|own| (own.name.as_str(), None)).collect();
        // What is found is counted; how much may be found says `max_sitemaps`.
        let mut ledger = Ledger::open(conn, &charged, [Limits::NONE; 2]).await?;
        let (mut domains, mut urls, mut methods) = (Vec::new(), Vec::new(), Vec::new());
        let (mut vouching, mut url_keys) = (Vec::new(), Vec::new());
        for (id, found) in outputs {
            for (key, Sighting { url, way }) in *found {
                domains.push(*id);
                urls.push(url.as_str());
                url_keys.push(stored_key(key));
                methods.push(way.method);
                vouching.push(way.vouched_by.as_deref());
            }
        }
        let options = self.options.get();
        let stored: Vec<Stored> = sql_query(include_str!("sitemap_discovery.sql"))
            .bind::<Array<BigInt>, _>(&domains)
            .bind::<Array<Text>, _>(&urls)
            .bind::<Array<Text>, _>(&methods)
            .bind::<Array<Nullable<Text>>, _>(&vouching)
            .bind::<Bool, _>(options.advance)
            .bind::<BigInt, _>(i64::try_from(options.max_sitemaps).unwrap_or(i64::MAX))
            .bind::<Array<Nullable<Text>>, _>(&url_keys)
            .load(conn)
            .await?;
        for own in &stored {
            let mut purse = ledger.of(&own.registrable, None);
            purse.add(Measure::Files, 1);
            let url = Url::parse(&own.url).ok();
            let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
            // There is room for any number.
            let (Ok(()) | Err(_)) = purse.take_host(host);
        }
        ledger.close(conn).await?;
        sql_query(
            "UPDATE domain SET last_scan = now(), total_sitemaps = \
             (SELECT count(*) FROM sitemap_file WHERE sitemap_file.domain_id = domain.id) \
             WHERE id = ANY ($1)",
        )
        .bind::<Array<BigInt>, _>(&scanned)
        .execute(conn)
        .await?;
        Ok(())
    }
}

impl SitemapDiscovery {
    /// Where the site is, and what its home page says of sitemaps: nothing where that is no page, or an error. It may have sitemaps
    /// all the same.
    async fn come_to(&self, door: &Door) -> Result<(Url, Vec<Url>), NoPage> {
        let tracking = Arc::clone(&self.tracking);
        let work =
            move |document: &Document| sitemap_links(&tracking, &document.tree, &document.url);
        match home(&self.client, None, door, work, |links| !links.is_empty()).await {
            Ok(seen) => Ok((seen.url, seen.told)),
            Err(Missed {
                url: Some(url),
                why:
                    NoPage::Fetch(FetchError::Status { .. }) | NoPage::Page(PageError::NotHtml { .. }),
            }) => Ok((url, Vec::new())),
            Err(missed) => Err(missed.why),
        }
    }

    /// Adds those of the URLs that answer with a sitemap.
    async fn keep_sitemaps(
        &self,
        candidates: Vec<Url>,
        way: &Way,
        looked: &Looked,
        found: &mut Found,
    ) -> Result<(), WorkflowError> {
        for url in candidates {
            if found.len() >= looked.limit {
                break;
            }
            let key = key(&url);
            if url.as_str().len() > MAX_URL_BYTES || found.contains_key(key.as_ref()) {
                continue;
            }
            let is_ours = |url: &Url| {
                let host = url.host_str().unwrap_or_default();
                way.vouched_by.is_some() || is_same_site(host, &looked.site)
            };
            if is_ours(&url) && self.is_sitemap(&url, is_ours).await? {
                let sighting = Sighting {
                    url: url.to_string(),
                    way: way.clone(),
                };
                found.insert(key.into_owned(), sighting);
            }
        }
        Ok(())
    }

    /// Whether a sitemap answers, where that is for the site to have.
    async fn is_sitemap(
        &self,
        url: &Url,
        is_ours: impl Fn(&Url) -> bool,
    ) -> Result<bool, WorkflowError> {
        let Some(response) = tolerate(self.client.get_with(url, sniff()).await)? else {
            return Ok(false);
        };
        if response.status >= 500 {
            // The file may well be there: not knowing is not the same as not having.
            response.error_for_status()?;
            return Ok(false);
        }
        if response.status >= 400 || !is_ours(&response.url) {
            return Ok(false);
        }
        let url = url.clone();
        Ok(compute(move || {
            let mut parser = sitemap::Parser::new(&url, sitemap::Limits::default());
            let fed = parser.feed(&response.body, |_| ());
            match fed.and_then(|_| parser.finish(|_| ())) {
                Ok(summary) => is_worth(&summary.kind, summary.urls),
                Err(error) => {
                    debug!(%url, error = %chain(&error), "not a sitemap");
                    false
                }
            }
        })
        .await)
    }
}

/// For whom sitemaps are looked for, and how many.
struct Looked {
    /// A host of the site.
    site: String,
    limit: usize,
}

/// A form that could be anything (text, feeds) counts only with addresses in it.
fn is_worth(kind: &Kind, urls: u64) -> bool {
    match kind {
        Kind::UrlSet | Kind::Index => true,
        Kind::Text | Kind::Rss | Kind::Atom => urls > 0,
        Kind::None => false,
    }
}

fn at(origin: &Url, path: &str) -> Result<Url, WorkflowError> {
    let url = origin
        .join(path)
        .map_err(|error| WorkflowError::permanent("bad_url", error))?;
    normalize(url.as_str()).map_err(|error| WorkflowError::permanent("bad_url", error))
}

fn sniff() -> RequestOptions {
    RequestOptions {
        max_body_bytes: Some(SNIFF_BYTES),
        truncate: true,
        ..RequestOptions::default()
    }
}

/// A candidate that we may not or cannot fetch is no sitemap of ours; trouble that may pass is the whole discovery's.
fn tolerate<T>(result: Result<T, FetchError>) -> Result<Option<T>, WorkflowError> {
    match result {
        Ok(response) => Ok(Some(response)),
        Err(error) if error.decision() == Decision::Permanent => Ok(None),
        Err(error) => Err(error.into()),
    }
}
