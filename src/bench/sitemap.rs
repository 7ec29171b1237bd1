//! How fast sitemaps become pages, and what memory that takes: a `gleaner run` of its own imports sitemaps of a web on loopback.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::db::statement::sql_query;
use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::SimpleAsyncConnection;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::scratch::{Scratch, ServerSettings};
use super::{BenchError, number, process, rounded};
use crate::leads::sitemap_import::SitemapImport;
use crate::workflow::Workflow as _;

/// One import may take so much more memory than none, in bytes.
const GROWTH_AIM_BYTES: u64 = 32 << 20;
/// How often it is looked whether the imports are done.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the process may take to start, and later may go without progress.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Sitemaps {
    /// Sitemaps, each of a host of its own, imported as many at a time as is configured.
    pub sitemaps: u32,
    /// Addresses in each.
    pub urls: u32,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Imported {
    /// Pages stored per second, from the queueing of the sitemaps to the end of the last.
    pub urls_per_second: f64,
    /// That time.
    pub seconds: f64,
    /// Sitemaps imported.
    pub sitemaps: u32,
    /// Addresses in each.
    pub urls: u32,
    pub sitemap_bytes: usize,
    /// Resident memory of the idle process, in bytes.
    pub resident_before_bytes: u64,
    /// The most it had by the end.
    pub peak_bytes: u64,
    /// The difference.
    pub growth_bytes: u64,
    /// What it may be for one sitemap.
    pub growth_aim_bytes: u64,
    #[serde(flatten)]
    pub server: ServerSettings,
}

/// Imports sitemaps.
///
/// # Errors
/// Whatever the database answers; [`BenchError::Process`]; [`BenchError::Stuck`] if the process ends, or a sitemap is not imported as a
/// whole.
pub async fn sitemap(
    scratch: &mut Scratch,
    program: &Path,
    what: Sitemaps,
) -> Result<Imported, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let file = Bytes::from(written(what.urls));
    let sitemap_bytes = file.len();
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, web(file)).await });

    scratch
        .admin()
        .batch_execute(&format!(
            "INSERT INTO domain (domain, registrable_domain) \
             SELECT 'shop-' || n || '.example.com', 'example.com' FROM generate_series(1, {}) AS n",
            what.sitemaps
        ))
        .await?;
    let own = SitemapImport::NAME.replace('-', "_").to_uppercase();
    let advance = format!("GLEANER_WORKFLOWS__{own}__OPTIONS__ADVANCE");
    let settings = [
        ("GLEANER_FETCH__PROXY_HOSTS_TO", address.as_str()),
        ("GLEANER_FETCH__PER_HOST_DELAY", "0s"),
        (advance.as_str(), "false"),
    ];
    let mut child = process::start(
        scratch,
        program,
        &["--only", SitemapImport::NAME],
        &settings,
    )?;
    let imported = watch(scratch, &mut child, what, sitemap_bytes).await;
    process::stop(&mut child).await?;
    imported
}

async fn watch(
    scratch: &mut Scratch,
    child: &mut Child,
    what: Sitemaps,
    sitemap_bytes: usize,
) -> Result<Imported, BenchError> {
    until(scratch, child, "SELECT count(*) AS n FROM lease", 1).await?;
    let id = child.id().unwrap_or_default();
    let resident_before_bytes = process::resident(id)?;
    let start = Instant::now();
    scratch
        .admin()
        .batch_execute(
            "INSERT INTO sitemap_file (domain_id, url, import_status) \
             SELECT id, 'http://' || domain || '/sitemap.xml', 'Queued' FROM domain",
        )
        .await?;
    let done = "SELECT count(*) AS n FROM sitemap_file WHERE import_status NOT IN ('Queued', 'Processing')";
    until(scratch, child, done, i64::from(what.sitemaps)).await?;
    let seconds = start.elapsed().as_secs_f64();
    let peak_bytes = process::peak(id)?;

    let wanted = i64::from(what.sitemaps) * i64::from(what.urls);
    let stored = count(scratch, "SELECT count(*) AS n FROM page").await?;
    if stored != wanted {
        return Err(BenchError::Stuck(format!(
            "{stored} pages were stored of {wanted}"
        )));
    }
    Ok(Imported {
        urls_per_second: rounded(number(stored.unsigned_abs()) / seconds),
        seconds: rounded(seconds),
        sitemaps: what.sitemaps,
        urls: what.urls,
        sitemap_bytes,
        resident_before_bytes,
        peak_bytes,
        growth_bytes: peak_bytes.saturating_sub(resident_before_bytes),
        growth_aim_bytes: GROWTH_AIM_BYTES,
        server: scratch.server_settings().await?,
    })
}

/// Waits until a query counts so many, for as long as it goes on counting.
async fn until(
    scratch: &mut Scratch,
    child: &mut Child,
    query: &str,
    wanted: i64,
) -> Result<(), BenchError> {
    let mut last = (0, Instant::now());
    loop {
        let now = count(scratch, query).await?;
        if now >= wanted {
            return Ok(());
        }
        if now > last.0 {
            last = (now, Instant::now());
        } else if last.1.elapsed() > PATIENCE {
            return Err(BenchError::Stuck(format!(
                "only {now} of {wanted} after {} s: {query}",
                PATIENCE.as_secs()
            )));
        }
        process::stay_alive(child, LOOK_EVERY).await?;
    }
}

async fn count(scratch: &mut Scratch, query: &str) -> Result<i64, BenchError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let row: Row = sql_query(query).get_result(scratch.admin()).await?;
    Ok(row.n)
}

/// A sitemap of product pages, about 200 bytes each, that leads to whichever host it is fetched from.
fn written(urls: u32) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n"
        .to_owned();
    for page in 0..urls {
        xml.push_str(&format!(
            "<url><loc>/products/category-{}/some-descriptive-product-name-{page}</loc>\
             <lastmod>2026-01-{:02}T10:00:00+01:00</lastmod><changefreq>daily</changefreq><priority>0.5</priority></url>\n",
            page % 97,
            page % 28 + 1
        ));
    }
    xml + "</urlset>\n"
}

fn web(file: Bytes) -> Router {
    let file = Arc::new(file);
    Router::new().route(
        "/sitemap.xml",
        get(move || async move {
            (
                [(header::CONTENT_TYPE, "application/xml")],
                Bytes::clone(&file),
            )
        }),
    )
}
