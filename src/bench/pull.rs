//! How fast bots are handed jobs over HTTP: the real server, real connections kept alive, every pull a claim of its own.

use std::collections::HashSet;
use std::net::SocketAddr;

use anyhow::Context;
use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::scratch::Scratch;
use super::{BenchError, number, percentile, rounded};
use crate::app::state::Shared;
use crate::config::Config;
use crate::http::{Server, State, Threads};
use crate::live::Live;
use crate::{areas, prices};
use crate::{db, secret};

/// The token of the benchmark's bots, who live in its own schema.
const TOKEN: &str = "bench";

/// How pulls are measured.
#[derive(Clone, Copy, Debug)]
pub struct Pulls {
    /// Bots that pull at a time, each over one connection.
    pub bots: u32,
    /// Jobs asked for in one pull.
    pub batch: u32,
    /// Jobs in all.
    pub jobs: u64,
    /// Sites that they are spread over.
    pub sites: u64,
    /// Whether the sites have a pace to be kept, which is another row to be written per site and pull.
    pub paced: bool,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Pulled {
    /// Pulls that brought jobs, per second.
    pub pulls_per_second: f64,
    /// Jobs handed out per second.
    pub jobs_per_second: f64,
    /// Median time of a pull, in milliseconds, as a bot sees it.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Jobs handed out.
    pub jobs: u64,
    /// Jobs handed out more than once: zero, or something is broken.
    pub handed_out_twice: u64,
    pub bots: u32,
    /// Jobs per pull.
    pub batch: u32,
    /// `synchronous_commit` and `fsync` of the server.
    pub durable: bool,
}

/// Measures pulls until all jobs are handed out.
///
/// # Errors
/// Whatever the database answers, or a server that does not.
pub async fn pull(
    scratch: &mut Scratch,
    config: &Config,
    pulls: &Pulls,
) -> Result<Pulled, BenchError> {
    fill(scratch, pulls).await?;
    let mut config = config.clone();
    config.database = scratch.database().clone();
    let settings = scratch.server_settings().await?;
    let pool = db::pool(&config.database)?;
    let workflows = areas::in_force(&config);
    let shared = Shared::new(pool, 0, Live::new(config), None, workflows);
    let threads = Threads::start().map_err(|error| BenchError::Stuck(error.to_string()))?;
    let state = {
        let _inside = threads.enter();
        let routes = vec![(prices::AREA.routes)(&shared)];
        State::new(shared, None, secret::Secret::new(""), routes, Vec::new())
    };
    let listener = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = listener
        .and_then(|listener| Server::start_outside(listener, &state, &threads))
        .map_err(|error| BenchError::Stuck(format!("{error:#}")))?;
    let address = server.address();

    let start = Instant::now();
    let bots = (0..pulls.bots).map(|bot| work(address, bot, pulls.batch));
    let work = join_all(bots).await;
    let seconds = start.elapsed().as_secs_f64();
    server.stop().await;

    let mut millis = Vec::new();
    let mut seen = HashSet::new();
    let mut jobs = 0;
    for own in work {
        let own = own.map_err(|error| BenchError::Stuck(format!("{error:#}")))?;
        millis.extend(own.millis);
        jobs += own.jobs.len();
        seen.extend(own.jobs);
    }
    let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let brought = number(count(millis.len()));
    millis.sort_by(f64::total_cmp);
    Ok(Pulled {
        pulls_per_second: rounded(brought / seconds),
        jobs_per_second: rounded(number(count(jobs)) / seconds),
        p50_ms: rounded(percentile(&millis, 50)),
        p99_ms: rounded(percentile(&millis, 99)),
        jobs: count(jobs),
        handed_out_twice: count(jobs - seen.len()),
        bots: pulls.bots,
        batch: pulls.batch,
        durable: settings.fsync == "on" && settings.synchronous_commit == "on",
    })
}

async fn fill(scratch: &mut Scratch, pulls: &Pulls) -> Result<(), BenchError> {
    let (jobs, sites, bots) = (pulls.jobs, pulls.sites.max(1), pulls.bots);
    let delay = if pulls.paced { "0.000001" } else { "0" };
    scratch
        .admin()
        .batch_execute(&format!(
            "ALTER TABLE product_url DISABLE TRIGGER USER; ALTER TABLE crawl_job DISABLE TRIGGER USER; \
             INSERT INTO site (domain, delay_seconds) SELECT 'shop-' || n || '.example', {delay} FROM generate_series(1, {sites}) AS n; \
             INSERT INTO product_url (site_id, raw_url, url, url_hash) \
                 SELECT 1 + n % {sites}, 'x', 'https://www.shop-' || 1 + n % {sites} || '.example/products/' || n, md5(n::text) FROM generate_series(1, {jobs}) AS n; \
             INSERT INTO crawl_job (product_url_id, site_id, crawl_status, crawl_due_at) \
                 SELECT id, site_id, 'Queued', now() - make_interval(secs => ({jobs} - id) * 0.001) FROM product_url; \
             INSERT INTO bot (bot_id, token_hash, rate_limit_per_minute, max_jobs_per_pull) \
                 SELECT 'bot-' || n, sha256('{TOKEN}'), 1000000000, 1000 FROM generate_series(0, {bots} - 1) AS n; \
             ALTER TABLE product_url ENABLE TRIGGER USER; ALTER TABLE crawl_job ENABLE TRIGGER USER; \
             ANALYZE site, product_url, crawl_job, bot"
        ))
        .await?;
    Ok(())
}

/// What one bot got.
#[derive(Default)]
struct Work {
    jobs: Vec<Box<str>>,
    millis: Vec<f64>,
}

/// As much of an answer as a bot needs here: it shares the processors with what is measured.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: HandOut<'a>,
}

#[derive(Deserialize)]
struct HandOut<'a> {
    #[serde(borrow)]
    jobs: Vec<Job<'a>>,
}

#[derive(Deserialize)]
struct Job<'a> {
    job_id: &'a str,
}

/// Pulls until nothing comes any more.
async fn work(address: SocketAddr, bot: u32, batch: u32) -> anyhow::Result<Work> {
    let body = json!({ "bot_id": format!("bot-{bot}"), "api_token": TOKEN, "max_jobs": batch })
        .to_string();
    let request = format!(
        "POST /api/crawl/pull/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.get_ref().set_nodelay(true)?;
    let mut done = Work::default();
    // Sites that another hand-out has at this moment are left out of one: empty once is not empty for good.
    let mut empty = 0;
    while empty < 3 {
        let start = Instant::now();
        stream.get_mut().write_all(request.as_bytes()).await?;
        let body = read(&mut stream).await?;
        let elapsed = start.elapsed();
        let answer: Answer<'_> = serde_json::from_slice(&body)
            .with_context(|| format!("no jobs in {}", String::from_utf8_lossy(&body)))?;
        if answer.data.jobs.is_empty() {
            empty += 1;
            continue;
        }
        empty = 0;
        done.millis.push(elapsed.as_secs_f64() * 1_000.0);
        done.jobs
            .extend(answer.data.jobs.iter().map(|job| Box::from(job.job_id)));
    }
    Ok(done)
}

/// The body of the next answer, which says its length.
async fn read(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}
