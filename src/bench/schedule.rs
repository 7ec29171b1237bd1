//! How long a round of the crawl-scheduler takes with very many URLs on mixed schedules, and whether its memory grows.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use serde::Serialize;
use tokio::time::Instant;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::process::resident;
use super::scratch::{Scratch, ServerSettings};
use super::{BenchError, median, number, rounded};
use crate::app::state::Shared;
use crate::areas;
use crate::config::Config;
use crate::db;
use crate::db::statement::sql_query;
use crate::live::Live;
use crate::prices::config::Crawl;
use crate::prices::crawl::plan;
use crate::prices::crawl_scheduler::{CrawlScheduler, Round};

/// A round is to take less than this, in milliseconds.
const ROUND_AIM_MS: f64 = 1_000.0;
/// Memory is to grow by less than this, in bytes.
const GROWTH_AIM_BYTES: u64 = 8 << 20;
/// One URL in so many is due in the rounds with a few.
const FEW: u64 = 100;
/// Longest time for a round that queues everything.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How rounds are measured.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// URLs, each with its job.
    pub urls: u64,
    /// Sites that they are spread over.
    pub sites: u64,
    /// Rounds of each kind but the last, which is one.
    pub rounds: usize,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Scheduled {
    /// URLs.
    pub urls: u64,
    /// What a round is to take at most, in milliseconds.
    pub round_aim_ms: f64,
    /// Median time of a round when nothing is due, in milliseconds.
    pub nothing_due_ms: f64,
    /// The slowest of these.
    pub nothing_due_slowest_ms: f64,
    /// Median time of a round when one URL in a hundred is due.
    pub few_due_ms: f64,
    /// The slowest of these.
    pub few_due_slowest_ms: f64,
    /// Jobs queued by each of these.
    pub few_due: usize,
    /// Time of the round when all the others are due: as many as there are, so no aim holds for it.
    pub all_due_ms: f64,
    /// Jobs it queued.
    pub all_due: usize,
    /// Of these, per second.
    pub all_due_per_second: f64,
    /// Resident memory of this process before the first round, in bytes.
    pub resident_before_bytes: u64,
    /// How much it has grown by the last.
    pub resident_growth_bytes: u64,
    /// How much it may.
    pub resident_growth_aim_bytes: u64,
    #[serde(flatten)]
    pub server: ServerSettings,
}

/// Measures.
///
/// # Errors
/// Whatever the database answers; [`BenchError::Stuck`] when a round does not queue what is due.
pub async fn schedule(
    scratch: &mut Scratch,
    config: &Config,
    what: &Schedule,
) -> Result<Scheduled, BenchError> {
    let mut config = config.clone();
    config.database = scratch.database().clone();
    // A round ends after an interval, with or without the rest; here it is to be seen as a whole.
    config.section_mut::<Crawl>().interval = PATIENCE;
    fill(scratch, &config, what).await?;
    let server = scratch.server_settings().await?;
    let workflows = areas::in_force(&config);
    let shared = Shared::new(
        db::pool(&config.database)?,
        0,
        Live::new(config),
        None,
        workflows,
    );
    let scheduler = CrawlScheduler::new(shared);

    // The first round opens the connection and prepares its statements.
    time(&scheduler, 0).await?;
    let before = resident(std::process::id())?;
    let mut idle = Vec::new();
    for _ in 0..what.rounds.max(1) {
        idle.push(time(&scheduler, 0).await?);
    }
    let mut few = Vec::new();
    let mut few_due = 0;
    for round in 0..what.rounds.max(1) {
        let rest = number_of_round(round);
        few_due = fall_due(scratch, &format!("id % {FEW} = {rest}")).await?;
        few.push(time(&scheduler, few_due).await?);
    }
    let all_due = fall_due(scratch, "true").await?;
    let all = time(&scheduler, all_due).await?;
    let after = resident(std::process::id())?;

    let slowest = |times: &[f64]| rounded(times.iter().copied().fold(0.0, f64::max));
    let all_due_count = u64::try_from(all_due).unwrap_or(u64::MAX);
    Ok(Scheduled {
        urls: what.urls,
        round_aim_ms: ROUND_AIM_MS,
        nothing_due_ms: rounded(median(&idle)),
        nothing_due_slowest_ms: slowest(&idle),
        few_due_ms: rounded(median(&few)),
        few_due_slowest_ms: slowest(&few),
        few_due,
        all_due_ms: rounded(all),
        all_due,
        all_due_per_second: rounded(number(all_due_count) * 1_000.0 / all),
        resident_before_bytes: before,
        resident_growth_bytes: after.saturating_sub(before),
        resident_growth_aim_bytes: GROWTH_AIM_BYTES,
        server,
    })
}

/// Rounds take other URLs each, until they begin anew.
fn number_of_round(round: usize) -> u64 {
    u64::try_from(round).unwrap_or_default() % FEW
}

/// Milliseconds that one round takes, which must queue so many jobs.
async fn time(scheduler: &CrawlScheduler, due: usize) -> Result<f64, BenchError> {
    let start = Instant::now();
    // The line of log belongs to a terminal's speed, not to the round.
    let round: Round = scheduler
        .round()
        .with_subscriber(NoSubscriber::default())
        .await
        .map_err(|error| BenchError::Stuck(crate::telemetry::chain(&error)))?;
    let millis = start.elapsed().as_secs_f64() * 1_000.0;
    if round.queued != due {
        return Err(BenchError::Stuck(format!(
            "a round queued {} of {due} jobs that were due",
            round.queued
        )));
    }
    Ok(millis)
}

/// Has those at rest that are chosen by this condition come due. Returns how many there are.
async fn fall_due(scratch: &mut Scratch, chosen: &str) -> Result<usize, BenchError> {
    let due = sql_query(format!(
        "UPDATE crawl_job SET next_run_at = now() - interval '1 second' WHERE crawl_status IS DISTINCT FROM 'Queued' AND {chosen}"
    ))
    .execute(scratch.admin())
    .await?;
    // As autovacuum does sooner or later: what is measured is the round, not the state in which a bulk update leaves a table.
    scratch
        .admin()
        .batch_execute("VACUUM ANALYZE crawl_job")
        .await?;
    Ok(due)
}

/// Puts in so many URLs, decided and at rest, due at some time in the days to come: every quarter of an hour, every hour, day
/// and week, by policies of each kind. Without the triggers, which would do no more than set what is set here.
async fn fill(scratch: &mut Scratch, config: &Config, what: &Schedule) -> Result<(), BenchError> {
    let (urls, sites) = (what.urls, what.sites.max(1));
    scratch
        .admin()
        .batch_execute(
            "INSERT INTO crawl_policy (name, selection, target, frequency, priority) VALUES \
                 ('urgent', 'tag', 'urgent', '15 minutes', 20), ('hourly', 'domain', 'shop-1.example', '1 hour', 10), \
                 ('daily', 'all', '', '24 hours', 5), ('weekly', 'url_regex', '/archive/', '7 days', 1)",
        )
        .await?;
    let generation =
        plan::generation(scratch.admin(), &config.section::<Crawl>().frequency).await?;
    scratch
        .admin()
        .batch_execute(&format!(
            "ALTER TABLE product_url DISABLE TRIGGER USER; ALTER TABLE crawl_job DISABLE TRIGGER USER; \
             INSERT INTO site (domain) SELECT 'shop-' || n || '.example' FROM generate_series(1, {sites}) AS n; \
             INSERT INTO product_url (site_id, raw_url, url, url_hash) \
                 SELECT 1 + n % {sites}, 'x', 'https://www.shop-' || 1 + n % {sites} || '.example/products/' || n, md5(n::text) \
                 FROM generate_series(1, {urls}) AS n; \
             INSERT INTO crawl_job (product_url_id, site_id, policy_id, frequency, priority, plan, next_run_at, crawl_status) \
                 SELECT page.id, page.site_id, policy.id, policy.frequency, policy.priority, {generation}, \
                        now() + interval '1 hour' + random() * interval '7 days', 'Completed' \
                 FROM product_url AS page \
                 JOIN crawl_policy AS policy ON policy.name = (ARRAY['urgent', 'hourly', 'daily', 'weekly'])[1 + page.id % 4]; \
             ALTER TABLE product_url ENABLE TRIGGER USER; ALTER TABLE crawl_job ENABLE TRIGGER USER"
        ))
        .await?;
    scratch
        .admin()
        .batch_execute("VACUUM ANALYZE site, product_url, crawl_job")
        .await?;
    Ok(())
}
