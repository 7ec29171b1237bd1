//! `sitemap_file/import`: sitemap → `page`, categorised; indexes → further `sitemap_file`s.
//!
//! Streams: memory does not grow with the file beyond its entries, and these are bounded for the process as a whole. Files are
//! parsed beside the runtime's threads, in bounded time. The uniqueness of (domain, url) is the guard against indexes that name
//! themselves or each other; against sites without end there are budgets (`sitemap_budget.rs`). No entry is dropped within
//! them: what is of no interest is stored as Filtered, with the rule that says so. Contact, career and legal pages become
//! Selected, which queues their curation.
//!
//! Whose a sitemap is follows the protocol: an index lists sitemaps of its own site. One that stands on another site counts for
//! the host whose robots.txt names it (or an operator), and lists pages for that host alone.

mod reading;
mod store;

use std::collections::{BTreeMap, HashSet};
use std::mem;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, SmallInt, Text};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use tracing::warn;
use url::Url;

use self::reading::{Collected, Held, Hosts, Listed, Memory, Pages, Reading, read};
use super::metrics;
use super::sitemap_budget::{self, Ended, Ledger, Measure, Scope, Stop};
use crate::compute::compute;
use crate::db::statement::statement;
use crate::leads::import::PAGES;
use crate::live::Live;
use crate::settings;
use crate::store::stage::Request;
use crate::web::fetch::{Client, RequestOptions};
use crate::web::page::is_same_site;
use crate::workflow::{Configured, Done, ItemId, Services, Settled, Workflow, WorkflowError};
use gleaner_extract::listing::resolve_listed;
use gleaner_extract::sitemap::{self, Kind, Limits, Summary};
use gleaner_extract::url::{TrackingParameters, key};

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
    /// Most processor time for the parsing of one sitemap.
    #[serde(with = "humantime_serde")]
    pub max_parse_time: Duration,
    /// Most bytes of addresses that are read and not yet stored, of all imports of the process together. An import beyond it
    /// waits for its turn; one sitemap has a quarter of it.
    pub max_memory: u64,
    /// How deep indexes may nest.
    pub max_depth: i16,
    /// Most sitemaps of one index.
    pub max_children: usize,
    /// Most sitemaps below one that no index lists, itself included.
    pub max_root_files: u64,
    /// Most pages stored from these.
    pub max_root_pages: u64,
    /// Most bytes of these, decompressed.
    pub max_root_bytes: u64,
    /// Most hosts that they stand on.
    pub max_root_hosts: usize,
    /// Most sitemaps of a registrable domain, all its hosts together.
    pub max_domain_files: u64,
    /// Most pages stored from these.
    pub max_domain_pages: u64,
    /// Most bytes of these, decompressed.
    pub max_domain_bytes: u64,
    /// Most hosts that they stand on.
    pub max_domain_hosts: usize,
}

/// The most entries of one sitemap that can be asked for: twenty times what the protocol allows.
const MOST_URLS: u64 = 1_000_000;

/// The least memory for addresses that can be asked for: a sitemap has a quarter of it.
const LEAST_MEMORY: u64 = 16 * 1024 * 1024;

/// How long an import waits that has no memory for its addresses.
const MEMORY_REST: Duration = Duration::from_secs(5);

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

/// How the limits are named that are not a budget and not the parser's.
const MAX_MEMORY: &str = "max_memory";
const MAX_CHILDREN: &str = "max_children";

impl settings::Options for Options {
    fn check(&self) -> Result<(), settings::Problem> {
        let wrong = |key: &str, problem: String| Err((key.to_owned(), problem));
        if self.max_urls > MOST_URLS {
            return wrong("max_urls", format!("must not be more than {MOST_URLS}"));
        }
        if self.max_memory < LEAST_MEMORY {
            return wrong(
                "max_memory",
                format!("must not be less than {LEAST_MEMORY}"),
            );
        }
        if self.max_parse_time.is_zero() {
            return wrong("max_parse_time", "must not be zero".to_owned());
        }
        let pairs = [
            ("files", self.max_root_files, self.max_domain_files),
            ("pages", self.max_root_pages, self.max_domain_pages),
            ("bytes", self.max_root_bytes, self.max_domain_bytes),
            (
                "hosts",
                settings_count(self.max_root_hosts),
                settings_count(self.max_domain_hosts),
            ),
        ];
        for (name, of_root, _) in pairs {
            if of_root == 0 {
                return wrong(
                    &format!("max_root_{name}"),
                    "must not be zero: nothing could be imported".to_owned(),
                );
            }
        }
        for (name, of_root, of_domain) in pairs {
            if of_root > of_domain {
                let key = format!("max_domain_{name}");
                let problem = format!(
                    "must not be less than max_root_{name} ({of_root}), which is part of it"
                );
                return wrong(&key, problem);
            }
        }
        Ok(())
    }
}

fn settings_count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Options {
    /// The budgets of a domain, then those of a root.
    fn budgets(&self) -> [sitemap_budget::Limits; 2] {
        [
            sitemap_budget::Limits {
                files: signed(self.max_domain_files),
                pages: signed(self.max_domain_pages),
                bytes: signed(self.max_domain_bytes),
                hosts: self.max_domain_hosts,
            },
            sitemap_budget::Limits {
                files: signed(self.max_root_files),
                pages: signed(self.max_root_pages),
                bytes: signed(self.max_root_bytes),
                hosts: self.max_root_hosts,
            },
        ]
    }
}

/// The workflow.
pub struct SitemapImport {
    client: Client,
    tracking: Arc<TrackingParameters>,
    options: Live<Options>,
    memory: Memory,
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
            memory: Memory::default(),
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
    /// Whether it was imported before.
    #[diesel(sql_type = Bool)]
    is_known: bool,
    #[diesel(sql_type = Text)]
    host: String,
    #[diesel(sql_type = Text)]
    registrable: String,
    /// The sitemap above all indexes that it lies below; itself, if none lists it.
    #[diesel(sql_type = BigInt)]
    root: i64,
    /// The host that speaks for it where it is not on its domain's own site.
    #[diesel(sql_type = Nullable<Text>)]
    vouched_by: Option<String>,
    #[diesel(sql_type = BigInt)]
    root_pages: i64,
    #[diesel(sql_type = BigInt)]
    root_bytes: i64,
    #[diesel(sql_type = BigInt)]
    domain_pages: i64,
    #[diesel(sql_type = BigInt)]
    domain_bytes: i64,
}

impl Input {
    /// What of its budgets was left when it was loaded, the tightest first.
    fn room(&self, measure: Measure, options: &Options) -> (i64, Stop) {
        let (root, domain) = match measure {
            Measure::Bytes => (
                signed(options.max_root_bytes).saturating_sub(self.root_bytes),
                signed(options.max_domain_bytes).saturating_sub(self.domain_bytes),
            ),
            _ => (
                signed(options.max_root_pages).saturating_sub(self.root_pages),
                signed(options.max_domain_pages).saturating_sub(self.domain_pages),
            ),
        };
        let (room, scope) = if domain < root {
            (domain, Scope::Domain)
        } else {
            (root, Scope::Root)
        };
        (room.max(0), Stop { scope, measure })
    }
}

/// What it held.
#[derive(Debug, Default)]
pub struct Import {
    domain_id: i64,
    registrable: String,
    root: i64,
    depth: i16,
    /// This and what follows is `None` where it was not seen, and then stays as it is stored.
    kind: Option<&'static str>,
    urls: Option<u64>,
    bytes: Option<u64>,
    is_gzipped: Option<bool>,
    /// Sitemaps of other sites that it lists.
    foreign: Option<usize>,
    /// Whether it was read, if only in part.
    was_read: bool,
    is_truncated: bool,
    /// The limit of the file itself that ended the reading.
    limit: Option<&'static str>,
    /// The budget that did.
    stop: Option<Stop>,
    /// By their keys.
    pages: BTreeMap<String, Listed>,
    children: Vec<Child>,
    /// Given back when it is stored.
    held: Held,
    /// Budgets that ended when the batch was stored in which it is the first.
    ended: Mutex<Vec<Ended>>,
}

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = BigInt)]
    stored: i64,
}

#[derive(QueryableByName)]
struct SizeBefore {
    #[diesel(sql_type = BigInt)]
    size_before: i64,
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Text)]
    key: String,
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
        let rows: Vec<Input> = statement(include_str!("sitemap_import/load.sql"))
            .bind::<Array<BigInt>, _>(ids)
            .load(conn)
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    async fn run(&self, input: Input) -> Result<Done<Import>, WorkflowError> {
        let options = self.options.get();
        let url =
            Url::parse(&input.url).map_err(|error| WorkflowError::permanent("bad_url", error))?;
        let is_vouched = input.vouched_by.is_some();
        if !is_vouched && !is_same_site(host_of(&url), &input.host) {
            let reason = format!("on another site ({})", host_of(&url));
            return Ok(Done::Filtered(reason, Some(Import::of(&input))));
        }
        let (bytes, of_bytes) = input.room(Measure::Bytes, &options);
        let (pages, of_pages) = input.room(Measure::Pages, &options);
        // One that was read before is counted already, and may well be smaller now.
        if !input.is_known {
            for (room, stop) in [(bytes, of_bytes), (pages, of_pages)] {
                if room == 0 {
                    return Ok(Import::unread(&input, stop));
                }
            }
        }
        let own_bytes = if input.is_known { i64::MAX } else { bytes };
        let limit = options
            .max_bytes
            .min(u64::try_from(own_bytes).unwrap_or(u64::MAX));
        let request = RequestOptions {
            max_body_bytes: Some(limit),
            truncate: true,
            ..RequestOptions::default()
        };
        let (head, body) = self.client.stream(&url, request).await?;
        let head = head.error_for_status()?;
        let Some(scope) = Pages::of(&input, &url, &head.url) else {
            let reason = format!("leads to another site ({})", host_of(&head.url));
            return Ok(Done::Filtered(reason, Some(Import::of(&input))));
        };

        let limits = Limits {
            max_bytes: limit,
            max_urls: options.max_urls,
        };
        let reading = Reading {
            parser: sitemap::Parser::with_tracking(&head.url, limits, Arc::clone(&self.tracking)),
            collected: Collected::new(scope.clone(), self.memory.hold(), options.max_memory),
            max_time: options.max_parse_time,
            spent: Duration::ZERO,
            failed: None,
        };
        let (reading, is_cut) = read(reading, body).await?;
        if reading.collected.is_memory_full {
            return Err(WorkflowError::Snooze {
                after: MEMORY_REST,
                reason: "the addresses of other sitemaps are to be stored first (max_memory)"
                    .to_owned(),
                whole_workflow: false,
            });
        }
        let mut import = Import::of(&input);
        import.was_read = true;
        let (summary, collected) = match compute(move || reading.finish()).await {
            Ok(read) => read,
            Err((error, bytes)) => {
                // What it cost is counted all the same, and which limit it met is told.
                import.bytes = Some(bytes);
                import.limit = error.limit();
                import.is_truncated = import.limit.is_some();
                let error = WorkflowError::permanent("sitemap", error);
                return Ok(Done::Failed(error, import));
            }
        };
        import.take(&summary, &collected, is_cut);
        if import.limit == Some(sitemap::Reason::MaxBytes.as_str()) && limit < options.max_bytes {
            (import.limit, import.stop) = (None, Some(of_bytes));
        }
        if summary.kind == Kind::None {
            return Ok(Done::Filtered("not a sitemap".to_owned(), Some(import)));
        }
        if summary.kind != Kind::Index {
            (import.pages, import.held) = (collected.pages, collected.held);
        } else if input.depth >= options.max_depth {
            import.stop = Some(Stop {
                scope: Scope::Root,
                measure: Measure::Depth,
            });
            let reason = format!("an index nested more than {} deep", options.max_depth);
            return Ok(Done::Filtered(reason, Some(import)));
        } else {
            self.take_children(&mut import, &input, &head.url, collected, &options)
                .await;
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
        let options = self.options.get();
        let mut ordered: Vec<&(ItemId, &Import)> = outputs.iter().collect();
        ordered.sort_by_key(|(id, import)| (import.domain_id, *id));
        let charged: Vec<(&str, Option<i64>)> = ordered
            .iter()
            .map(|(_, import)| (import.registrable.as_str(), Some(import.root)))
            .collect();
        let mut ledger = Ledger::open(conn, &charged, options.budgets()).await?;
        for (id, import) in &ordered {
            let mut purse = ledger.of(&import.registrable, Some(import.root));
            store::import(conn, *id, import, &mut purse, options.advance).await?;
        }
        let ended = ledger.close(conn).await?;
        if let Some((_, first)) = ordered.first() {
            *first.ended.lock().unwrap_or_else(PoisonError::into_inner) = ended;
        }
        let mut domains: Vec<i64> = outputs.iter().map(|(_, import)| import.domain_id).collect();
        domains.sort_unstable();
        domains.dedup();
        sql_query(
            "UPDATE domain SET total_sitemaps = counted.files, sitemap_urls = counted.urls FROM \
             (SELECT domain_id, count(*)::int AS files, least(coalesce(sum(url_count), 0), 2147483647)::int AS urls \
              FROM sitemap_file WHERE domain_id = ANY ($1) GROUP BY domain_id) AS counted \
             WHERE domain.id = counted.domain_id",
        )
        .bind::<Array<BigInt>, _>(&domains)
        .execute(conn)
        .await?;
        Ok(())
    }

    /// Tells of the budgets that have ended, once that is committed.
    async fn committed(&self, settled: &[Settled<'_, Import>]) {
        for import in settled.iter().filter_map(|own| own.output) {
            let ended =
                mem::take(&mut *import.ended.lock().unwrap_or_else(PoisonError::into_inner));
            for own in ended {
                metrics::sitemap_budget_ended(own.stop.scope.as_str(), own.stop.measure.as_str());
                warn!(
                    domain = own.domain,
                    root = own.root,
                    budget = own.stop.name(),
                    files = own.files,
                    pages = own.pages,
                    bytes = own.bytes,
                    hosts = own.hosts,
                    "a budget of sitemaps has ended: the rest of the site is left out"
                );
            }
        }
    }
}

/// A sitemap that an index lists.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Child {
    /// Its place in the index.
    place: u32,
    /// Its address, as it is fetched.
    url: String,
    /// By what it is told from others.
    key: String,
}

impl SitemapImport {
    /// The sitemaps that an index lists and may list, in its own order.
    async fn take_children(
        &self,
        import: &mut Import,
        input: &Input,
        landed: &Url,
        mut collected: Collected,
        options: &Options,
    ) {
        let mut listed: Vec<Child> = mem::take(&mut collected.pages)
            .into_iter()
            .map(|(key, listed)| Child {
                place: listed.place,
                url: listed.url(&key).to_owned(),
                key,
            })
            .collect();
        listed.sort_unstable();
        let (site, beside) = (input.host.clone(), host_of(landed).to_owned());
        let (mut own, foreign): (Vec<Child>, Vec<Child>) = compute(move || {
            let mut hosts = Hosts::default();
            listed.into_iter().partition(|child| {
                hosts.asked(&child.url, |host| {
                    host == beside || is_same_site(host, &site)
                })
            })
        })
        .await;
        let listed = own.len() + foreign.len();
        if !foreign.is_empty() {
            let named = self.named_by_robots(input).await;
            own.extend(
                foreign
                    .into_iter()
                    .filter(|child| named.contains(&child.key)),
            );
            own.sort_unstable();
        }
        import.foreign = Some(listed - own.len());
        if own.len() > options.max_children {
            own.truncate(options.max_children);
            import.is_truncated = true;
            import.limit.get_or_insert(MAX_CHILDREN);
        }
        import.children = own;
        import.held = collected.held;
    }

    /// The keys of the sitemaps that the robots.txt of the site names, wherever they stand.
    async fn named_by_robots(&self, input: &Input) -> HashSet<String> {
        let host = input.vouched_by.as_ref().unwrap_or(&input.host);
        let Ok(origin) = Url::parse(&format!("https://{host}/")) else {
            return HashSet::new();
        };
        let robots = self.client.robots(&origin).await;
        let named = robots.sitemaps().iter();
        named
            .filter_map(|text| resolve_listed(&self.tracking, &origin, text))
            .map(|url| key(&url).into_owned())
            .collect()
    }
}

fn host_of(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

impl Import {
    /// Of which nothing is known yet.
    fn of(input: &Input) -> Self {
        Self {
            domain_id: input.domain_id,
            registrable: input.registrable.clone(),
            root: input.root,
            depth: input.depth,
            ..Self::default()
        }
    }

    /// Not read, because this budget has no room left.
    fn unread(input: &Input, stop: Stop) -> Done<Self> {
        let (scope, measure) = (stop.scope.as_str(), stop.measure.as_str());
        let reason = format!(
            "not read: the budget of {measure} of its {scope} is used up (max_{scope}_{measure})"
        );
        let import = Self {
            is_truncated: true,
            stop: Some(stop),
            ..Self::of(input)
        };
        Done::Filtered(reason, Some(import))
    }

    fn take(&mut self, summary: &Summary, collected: &Collected, is_cut: bool) {
        self.kind = (summary.kind != Kind::None).then(|| summary.kind.as_str());
        self.urls = Some(summary.urls);
        self.bytes = Some(summary.bytes);
        self.is_gzipped = Some(summary.gzip_layers > 0);
        let reason = summary.truncated.map(sitemap::Reason::as_str);
        self.limit = match (collected.is_full, is_cut) {
            (true, _) => Some(MAX_MEMORY),
            // The body was cut, and so its end may look damaged.
            (_, true) => Some(sitemap::Reason::MaxBytes.as_str()),
            _ => reason,
        };
        self.is_truncated = self.limit.is_some();
    }
}
