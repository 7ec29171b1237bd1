//! `sitemap_file/import`: sitemap → `page`, categorised; indexes → further `sitemap_file`s.
//!
//! Streams: memory does not grow with the file beyond its entries. The uniqueness of (domain, url) is the guard against
//! indexes that name themselves or each other. No entry is dropped: what is of no interest is stored as Filtered, with the
//! rule that says so. Contact, career and legal pages become Selected, which queues their curation.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::db::statement::sql_query;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Float, Integer, Nullable, SmallInt, Text, Timestamptz,
};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::db::connect::{CHECKS_PLANNED_EACH, CHECKS_PLANNED_ONCE};
use crate::db::statement::statement;
use crate::leads::import::PAGES;
use crate::live::Live;
use crate::settings;
use crate::store::stage::Request;
use crate::web::fetch::{Client, RequestOptions};
use crate::workflow::{Configured, Done, ItemId, Services, Workflow, WorkflowError};
use gleaner_extract::category::{self, Disposition, categorize};
use gleaner_extract::domain::registrable;
use gleaner_extract::sitemap::{self, Entry, Kind, Limits, Progress};
use gleaner_extract::url::TrackingParameters;

/// Options of the workflow `sitemap-import`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Whether contact, career and legal pages are fetched by themselves, and sitemaps of an index imported.
    pub advance: bool,
    /// Most bytes of one sitemap, decompressed.
    pub max_bytes: u64,
    /// Most entries of one sitemap.
    pub max_urls: u64,
    /// How deep indexes may nest.
    pub max_depth: i16,
    /// Most sitemaps of one index.
    pub max_children: usize,
}

/// Rows written by one statement.
const INSERT_ROWS: usize = 5_000;

/// Address cannot be longer in the table.
const MAX_URL_BYTES: usize = 2_048;

/// Stores pages; see its file.
static STORE_PAGES: LazyLock<String> = LazyLock::new(|| {
    let requests = [
        Request::Prioritise("CASE WHEN disposition = 'queue' THEN 1 ELSE 0 END"),
        Request::Filter {
            condition: "disposition = 'filter'",
            reason: "rule",
            freed: None,
        },
    ];
    PAGES.ask(include_str!("sitemap_import.sql"), &requests)
});

/// Why an entry that leads to another site is filtered.
const OTHER_SITE: &str = "other_site";

impl settings::Options for Options {}

/// The workflow.
pub struct SitemapImport {
    client: Client,
    tracking: Arc<TrackingParameters>,
    options: Live<Options>,
}

impl Configured for SitemapImport {
    type Options = Options;

    const SAMPLE: &'static str =
        "INSERT INTO domain (domain, registrable_domain) VALUES ('kettle-example.com', 'kettle-example.com');
        INSERT INTO sitemap_file (domain_id, url) SELECT id, 'https://kettle-example.com/sitemap.xml' FROM domain";

    fn new(services: &Services, options: Live<Options>) -> Self {
        Self {
            client: services.fetch.clone(),
            tracking: Arc::clone(&services.tracking),
            options,
        }
    }
}

/// A sitemap to import.
#[derive(Clone, Debug, QueryableByName)]
pub struct Input {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = SmallInt)]
    depth: i16,
    #[diesel(sql_type = BigInt)]
    domain_id: i64,
    #[diesel(sql_type = Text)]
    registrable: String,
}

/// What it held.
#[derive(Clone, Debug)]
pub struct Import {
    domain_id: i64,
    depth: i16,
    kind: &'static str,
    urls: u64,
    bytes: u64,
    is_gzipped: bool,
    is_truncated: bool,
    pages: BTreeMap<String, Listed>,
    children: Vec<String>,
}

/// A page as the sitemap lists it and the rules see it.
#[derive(Clone, Debug)]
struct Listed {
    last_modified: Option<DateTime<Utc>>,
    changefreq: Option<&'static str>,
    priority: Option<f32>,
    page_type: &'static str,
    rule: &'static str,
    confidence: f32,
    path_depth: i16,
    disposition: Disposition,
}

impl Workflow for SitemapImport {
    const NAME: &'static str = "sitemap-import";
    const TABLE: &'static str = "sitemap_file";
    const STAGE: &'static str = "import";
    type Input = Input;
    type Output = Import;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, Input)>> {
        let rows: Vec<Input> = statement(
            "SELECT sitemap_file.id, url, depth, domain_id, registrable_domain AS registrable \
             FROM sitemap_file JOIN domain ON domain.id = domain_id WHERE sitemap_file.id = ANY($1)",
        )
        .bind::<Array<BigInt>, _>(ids)
        .load(conn)
        .await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    async fn run(&self, input: Input) -> Result<Done<Import>, WorkflowError> {
        let options = self.options.get();
        let url =
            Url::parse(&input.url).map_err(|error| WorkflowError::permanent("bad_url", error))?;
        let request = RequestOptions {
            max_body_bytes: Some(options.max_bytes),
            truncate: true,
            ..RequestOptions::default()
        };
        let (head, mut body) = self.client.stream(&url, request).await?;
        let head = head.error_for_status()?;

        let limits = Limits {
            max_bytes: options.max_bytes,
            max_urls: options.max_urls,
        };
        let mut parser =
            sitemap::Parser::with_tracking(&head.url, limits, Arc::clone(&self.tracking));
        let mut collected = Collected::new(&input.registrable);
        while let Some(chunk) = body.next_chunk().await? {
            let progress = parser
                .feed(&chunk, |entry| collected.add(&entry))
                .map_err(|error| WorkflowError::permanent("sitemap", error))?;
            if progress == Progress::Done {
                break;
            }
        }
        let is_cut = body.is_truncated();
        let summary = parser
            .finish(|entry| collected.add(&entry))
            .map_err(|error| WorkflowError::permanent("sitemap", error))?;

        if summary.kind == Kind::None {
            return Ok(Done::Filtered("not a sitemap".to_owned(), None));
        }
        let is_index = summary.kind == Kind::Index;
        let (pages, mut children) = if is_index {
            (BTreeMap::new(), collected.pages.into_keys().collect())
        } else {
            (collected.pages, Vec::new())
        };
        let too_deep = input.depth >= options.max_depth;
        if too_deep {
            children.clear();
        }
        children.truncate(options.max_children);
        let import = Import {
            domain_id: input.domain_id,
            depth: input.depth,
            kind: summary.kind.as_str(),
            urls: summary.urls,
            bytes: summary.bytes,
            is_gzipped: summary.gzip_layers > 0,
            is_truncated: is_cut || summary.truncated.is_some(),
            pages,
            children,
        };
        if is_index && too_deep {
            let reason = format!("an index nested more than {} deep", options.max_depth);
            return Ok(Done::Filtered(reason, Some(import)));
        }
        if summary.urls == 0 {
            return Ok(Done::Filtered("empty".to_owned(), Some(import)));
        }
        Ok(Done::Completed(import))
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Import)],
    ) -> QueryResult<()> {
        let advance = self.options.get().advance;
        let mut ordered: Vec<&(ItemId, &Import)> = outputs.iter().collect();
        ordered.sort_by_key(|(id, import)| (import.domain_id, *id));
        for (id, import) in ordered {
            statement(
                "UPDATE sitemap_file SET sitemap_type = $2, url_count = $3, size_bytes = $4, is_gzipped = $5, \
                 is_truncated = $6, last_processed_at = now() WHERE id = $1",
            )
            .bind::<BigInt, _>(*id)
            .bind::<Text, _>(import.kind)
            .bind::<Integer, _>(i32::try_from(import.urls).unwrap_or(i32::MAX))
            .bind::<BigInt, _>(i64::try_from(import.bytes).unwrap_or(i64::MAX))
            .bind::<Bool, _>(import.is_gzipped)
            .bind::<Bool, _>(import.is_truncated)
            .execute(conn)
            .await?;
            store_children(conn, *id, import, advance).await?;
            let pages: Vec<(&str, &Listed)> = import
                .pages
                .iter()
                .map(|(url, listed)| (url.as_str(), listed))
                .collect();
            conn.batch_execute(CHECKS_PLANNED_ONCE).await?;
            for rows in pages.chunks(INSERT_ROWS) {
                store_pages(conn, *id, import.domain_id, rows, advance).await?;
            }
            conn.batch_execute(CHECKS_PLANNED_EACH).await?;
        }
        let mut domains: Vec<i64> = outputs.iter().map(|(_, import)| import.domain_id).collect();
        domains.sort_unstable();
        domains.dedup();
        sql_query(
            "UPDATE domain SET total_sitemaps = counted.files, sitemap_urls = counted.urls FROM \
             (SELECT domain_id, count(*)::int AS files, coalesce(sum(url_count), 0)::int AS urls \
              FROM sitemap_file WHERE domain_id = ANY ($1) GROUP BY domain_id) AS counted \
             WHERE domain.id = counted.domain_id",
        )
        .bind::<Array<BigInt>, _>(&domains)
        .execute(conn)
        .await?;
        Ok(())
    }
}

/// Entries gathered while a file streams by.
struct Collected {
    registrable: String,
    pages: BTreeMap<String, Listed>,
}

impl Collected {
    fn new(registrable: &str) -> Self {
        Self {
            registrable: registrable.to_owned(),
            pages: BTreeMap::new(),
        }
    }

    fn add(&mut self, entry: &Entry) {
        let text = entry.loc.as_str();
        if text.len() > MAX_URL_BYTES {
            return;
        }
        let is_ours = entry
            .loc
            .host_str()
            .and_then(registrable)
            .is_some_and(|found| found.domain == self.registrable);
        let category = categorize(&entry.loc);
        let listed = Listed {
            last_modified: entry.lastmod,
            changefreq: entry.changefreq.map(|frequency| frequency.as_str()),
            priority: entry.priority,
            page_type: category.page_type.as_str(),
            rule: if is_ours { category.rule } else { OTHER_SITE },
            confidence: category.confidence,
            path_depth: i16::try_from(category.path_depth).unwrap_or(i16::MAX),
            disposition: if is_ours {
                category.disposition
            } else {
                Disposition::Filter
            },
        };
        self.pages.entry(text.to_owned()).or_insert(listed);
    }
}

/// The sitemaps that an index names.
async fn store_children(
    conn: &mut AsyncPgConnection,
    parent: ItemId,
    import: &Import,
    advance: bool,
) -> QueryResult<()> {
    if import.children.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO sitemap_file (domain_id, url, discovery_method, parent_id, depth, status) \
         SELECT $1, url, 'sitemap_index', $2, $3, CASE WHEN $5 THEN 'Selected' ELSE 'New' END \
         FROM (SELECT DISTINCT url FROM unnest($4) AS url ORDER BY url) AS listed \
         ON CONFLICT (domain_id, url) DO NOTHING",
    )
    .bind::<BigInt, _>(import.domain_id)
    .bind::<BigInt, _>(parent)
    .bind::<SmallInt, _>(import.depth + 1)
    .bind::<Array<Text>, _>(&import.children)
    .bind::<Bool, _>(advance)
    .execute(conn)
    .await?;
    Ok(())
}

/// Pages new to the domain; for known ones, only what the sitemap says of them.
async fn store_pages(
    conn: &mut AsyncPgConnection,
    sitemap: ItemId,
    domain_id: i64,
    rows: &[(&str, &Listed)],
    advance: bool,
) -> QueryResult<()> {
    let column = |get: fn(&Listed) -> &'static str| -> Vec<&'static str> {
        rows.iter().map(|(_, listed)| get(listed)).collect()
    };
    sql_query(&*STORE_PAGES)
        .bind::<BigInt, _>(domain_id)
        .bind::<BigInt, _>(sitemap)
        .bind::<Array<Text>, _>(rows.iter().map(|(url, _)| *url).collect::<Vec<_>>())
        .bind::<Array<Nullable<Timestamptz>>, _>(
            rows.iter()
                .map(|(_, listed)| listed.last_modified)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(
            rows.iter()
                .map(|(_, listed)| listed.changefreq)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Float>>, _>(
            rows.iter()
                .map(|(_, listed)| listed.priority)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(column(|listed| listed.page_type))
        .bind::<Array<Text>, _>(column(|listed| listed.rule))
        .bind::<Array<Float>, _>(
            rows.iter()
                .map(|(_, listed)| listed.confidence)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<SmallInt>, _>(
            rows.iter()
                .map(|(_, listed)| listed.path_depth)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(column(|listed| listed.disposition.as_str()))
        .bind::<SmallInt, _>(i16::try_from(category::RULES_VERSION).unwrap_or(i16::MAX))
        .bind::<Bool, _>(advance)
        .execute(conn)
        .await?;
    Ok(())
}
