//! How many pages the browser renders, and what it takes in memory meanwhile. It needs no database.
//!
//! The pages are on loopback and small: a document, a script, and the answer of an API that the script writes into the document.
//! So this is what rendering costs at the least; half a second of each page is the rest after which it is read.

use std::num::NonZeroUsize;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use super::{BenchError, percentile, rounded};
use crate::web::fetch;
use crate::web::fetch::{Client, FetchError};
use crate::web::render;
use crate::web::render::Renderer;

const PAGE: &str =
    "<html><body><h1>Kettle</h1><p id=price></p><script src=/app.js></script></body></html>";
const SCRIPT: &str =
    "fetch('/price').then((answer) => answer.text()).then((text) => { price.textContent = text; })";
const PRICE: &str = "NOK 1299.00";

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Renders {
    /// Pages in all, after a first one that starts the browser.
    pub pages: u32,
    pub tabs: NonZeroUsize,
    pub render: render::Config,
    /// The way to the pages.
    pub fetch: fetch::Config,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct RenderTimes {
    /// Pages rendered per second.
    pub pages_per_second: f64,
    /// The middle page, from before its fetch to its document, in milliseconds.
    pub page_p50_ms: f64,
    /// All but one in twenty are faster.
    pub page_p95_ms: f64,
    /// The first page, with the start of the browser.
    pub first_page_ms: f64,
    /// The most that the browser's processes took, anonymous and shared memory, in bytes; looked at twice a second.
    pub browser_peak_bytes: u64,
    /// Pages measured.
    pub pages: u32,
    pub tabs: usize,
}

/// Renders pages of a web on loopback.
///
/// # Errors
/// [`BenchError::Render`], [`BenchError::Fetch`], [`BenchError::Process`]; [`BenchError::Stuck`] if a page comes out without its
/// price.
pub async fn render(wanted: Renders) -> Result<RenderTimes, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, web()).await });
    let client = Client::new(fetch::Config {
        proxy_hosts_to: Some(address),
        per_host_delay: std::time::Duration::ZERO,
        per_host_concurrency: wanted.tabs,
        robots: false,
        ..wanted.fetch
    })?;
    let config = render::Config {
        enabled: true,
        max_pages: wanted.tabs,
        ..wanted.render
    };
    let renderer = Renderer::new(config, client.clone())?;
    let first_page_ms = one(&renderer, &client).await?;
    let started_at = Instant::now();
    let mut times: Vec<f64> = stream::iter(0..wanted.pages)
        .map(|_| one(&renderer, &client))
        .buffer_unordered(wanted.tabs.get())
        .try_collect()
        .await?;
    let seconds = started_at.elapsed().as_secs_f64();
    let browser_peak_bytes = renderer.peak_memory().await;
    renderer.close().await;
    times.sort_by(f64::total_cmp);
    Ok(RenderTimes {
        pages_per_second: rounded(f64::from(wanted.pages) / seconds),
        page_p50_ms: rounded(percentile(&times, 50)),
        page_p95_ms: rounded(percentile(&times, 95)),
        first_page_ms: rounded(first_page_ms),
        browser_peak_bytes,
        pages: wanted.pages,
        tabs: wanted.tabs.get(),
    })
}

/// Renders one page; how long it took, in milliseconds.
async fn one(renderer: &Renderer, client: &Client) -> Result<f64, BenchError> {
    let url = Url::parse("https://shop.example/kettle").map_err(|error| FetchError::BadUrl {
        reason: error.to_string(),
    })?;
    let tab = renderer.tab().await?;
    let started_at = Instant::now();
    let rendered = tab.render(client.get(&url).await?).await?;
    if !rendered.html.contains(PRICE) {
        return Err(BenchError::Stuck(
            "a page was rendered without its price".to_owned(),
        ));
    }
    Ok(started_at.elapsed().as_secs_f64() * 1_000.0)
}

fn web() -> Router {
    let of = |kind: &'static str, body: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], body) })
    };
    Router::new()
        .route("/kettle", of("text/html", PAGE))
        .route("/app.js", of("text/javascript", SCRIPT))
        .route("/price", of("text/plain", PRICE))
}
