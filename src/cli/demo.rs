//! `gleaner demo`: the whole pipeline over a small web on loopback, scored against what is planted there.

mod ledger;
mod progress;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use tracing::{debug, info};

use super::run;
use crate::app::App;
use crate::areas::AREAS;
use crate::config::Config;
use crate::console::{FAILURE, Global, OK, complain, print};
use crate::db::connect::Connector;
use crate::db::migrations;
use crate::demo::{DAYS, PriceScore, Score, Server, Web, score, score_prices};
use crate::secret::Secret;
use crate::settings::inconsistent;
use crate::signals::{Asked, Signals};
use crate::telemetry::{self, chain};
use crate::{embedded, metrics};

/// Arguments of `gleaner demo`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// How many businesses the generated web has.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    places: u32,
    /// The generated web differs by this number, and by nothing else.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Serve saved sites instead: one folder per host, and an optional places.json.
    #[arg(long, value_name = "DIR")]
    web: Option<PathBuf>,
    /// Stop when all work is done, with exit code 1 if anything planted was missed or anything found was not planted.
    #[arg(long)]
    exit_when_done: bool,
    /// Where the private PostgreSQL lives.
    #[arg(long, value_name = "DIR", conflicts_with = "database_url")]
    data_dir: Option<PathBuf>,
}

/// The private database of the demo, made anew at each run.
const DATABASE: &str = "gleaner_demo";

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(250);

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let mut config = global.load()?;
    if config.log.level == "info" {
        // The progress is what there is to see; `--config` or GLEANER_LOG__LEVEL brings the log back.
        "warn".clone_into(&mut config.log.level);
    }
    telemetry::init(&config.log)?;
    let mut signals = Signals::new().context("cannot listen to signals")?;
    if let Some(folder) = &arguments.data_dir {
        config.embedded.data_dir = folder.display().to_string();
    }

    let web = match &arguments.web {
        Some(folder) => Web::from_folder(folder)?,
        None => Web::generate(arguments.seed, usize::try_from(arguments.places)?),
    };
    let server = web.serve().await?;
    tune(&mut config, &server)?;

    let private = if global.database_url.is_some() {
        None
    } else {
        let private = run::start_private(&config.embedded).await?;
        config.database.url = Secret::new(&private.url("postgres"));
        config.database.direct_url = Secret::new("");
        let connector = Connector::new(&config.database.url, &config.database)?;
        ledger::recreate_database(&mut connector.connect_patient().await?, DATABASE).await?;
        config.database.url = Secret::new(&private.url(DATABASE));
        Some(private)
    };
    let outcome = Box::pin(work(
        global,
        &arguments,
        config,
        &web,
        &server,
        &mut signals,
        private.as_ref(),
    ))
    .await;
    if let Some(private) = private {
        private.stop().await;
    }
    server.stop().await;
    outcome
}

/// Points the pipeline at the demo's web, and quickens what is slow out of politeness to other people's servers.
fn tune(config: &mut Config, server: &Server) -> anyhow::Result<()> {
    let fetch = &mut config.fetch;
    fetch.proxy_hosts_to = Some(server.address);
    fetch.per_host_delay = Duration::from_millis(5);
    fetch.max_crawl_delay = Duration::from_millis(50);
    fetch.max_wait = Duration::from_secs(30);
    fetch.max_retry_after = Duration::from_secs(2);
    fetch.robots_error_ttl = Duration::from_secs(1);
    fetch.connect_timeout = Duration::from_secs(5);
    let backoff = crate::settings::Backoff {
        base: Duration::from_millis(200),
        max: Duration::from_secs(2),
    };
    let workflows = &mut config.workflows;
    workflows.set_interval(Duration::from_secs(5));
    workflows.set_backoff(backoff);
    for area in AREAS {
        (area.rehearse)(config);
    }
    config.engine.gauges_interval = Duration::from_secs(2);
    if let Some(address) = config.http.address()?
        && std::net::TcpListener::bind(address).is_err()
    {
        // Somebody else has the port; the demo needs none in particular.
        "127.0.0.1:0".clone_into(&mut config.http.listen);
    }
    config.validate()?;
    Ok(())
}

async fn work(
    global: &Global,
    arguments: &Arguments,
    config: Config,
    web: &Web,
    server: &Server,
    signals: &mut Signals,
    private: Option<&embedded::Postgres>,
) -> anyhow::Result<u8> {
    let connector = Connector::new(config.database.direct(), &config.database)?;
    let mut conn = {
        migrations::run(connector.connect_patient().await?).await?;
        connector.connect().await?
    };
    let strangers = ledger::strangers(&mut conn, web.places()).await?;
    if strangers > 0 {
        bail!(inconsistent(
            "--database-url",
            format!(
                "this database holds {strangers} places that are not the demo's; give it an empty one"
            ),
        ));
    }
    let started = Instant::now();
    let drain_timeout = config.engine.drain_timeout;
    let app = App::start(config, Some(metrics::install()?)).await?;
    ledger::insert_places(&mut conn, web.places()).await?;
    ledger::insert_shops(&mut conn, web.shop_urls()).await?;
    let mut day = 1;

    let mut bars = progress::Progress::new();
    let watching = run::watch(private);
    tokio::pin!(watching);
    let mut look = tokio::time::interval(LOOK);
    let mut is_done = false;
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload | Asked::Status => {}
            },
            () = app.tree().stopped() => bail!("the actors have stopped by themselves; see the log"),
            () = &mut watching => {}
            _ = look.tick(), if !is_done => {
                let counts = match ledger::counts(&mut conn).await {
                    Ok(counts) => counts,
                    Err(error) => {
                        // The workflows wait for the database, and so does this.
                        debug!(error = %chain(&error), "cannot see how far the work is");
                        if let Ok(fresh) = connector.connect().await {
                            conn = fresh;
                        }
                        continue;
                    }
                };
                bars.show(&counts);
                let is_day_over = ledger::is_day_over(&mut conn, web.shop_urls().len(), day).await?;
                if is_day_over && day < DAYS {
                    day += 1;
                    server.set_day(day);
                    ledger::recrawl(&mut conn).await?;
                } else if is_day_over && counts.iter().all(|stage| stage.waiting() == 0) {
                    is_done = true;
                    bars.finish();
                    let seconds = started.elapsed().as_secs_f64();
                    let found = ledger::found(&mut conn).await?;
                    let score = score(web.truth(), &found);
                    let (history, duplicates) = ledger::prices(&mut conn).await?;
                    let prices = score_prices(web.prices(), &history, duplicates);
                    let scores = (&score, &prices);
                    let code = report(global, arguments, &counts, scores, seconds, server);
                    if arguments.exit_when_done {
                        app.drain(drain_timeout).await;
                        return Ok(code);
                    }
                    if let Some(address) = app.http_address() {
                        complain(&format!("look at http://{address}/ ; Ctrl-C stops"));
                    }
                }
            }
        }
    }
    bars.finish();
    info!("stopping");
    app.drain(drain_timeout).await;
    if !is_done {
        complain("stopped before all work was done");
    }
    Ok(OK)
}

fn report(
    global: &Global,
    arguments: &Arguments,
    counts: &[ledger::Counts],
    (score, prices): (&Score, &PriceScore),
    seconds: f64,
    server: &Server,
) -> u8 {
    let stats = server.stats();
    let violations: u64 = stats.hosts.values().map(|host| host.violations).sum();
    let is_right = score.missed == 0
        && score.r#false == 0
        && prices.wrong == 0
        && prices.missed == 0
        && violations == 0;
    if global.json {
        let workflows: serde_json::Map<String, serde_json::Value> = counts
            .iter()
            .map(|stage| {
                let value = json!({
                    "completed": stage.completed,
                    "error": stage.error,
                    "filtered": stage.filtered,
                    "attempts": stage.attempts,
                });
                (stage.workflow.to_owned(), value)
            })
            .collect();
        let line = json!({
            "seconds": (seconds * 1000.0).round() / 1000.0,
            "workflows": workflows,
            "planted": score.planted,
            "found": score.found,
            "missed": score.missed,
            "false": score.r#false,
            "prices": prices,
            "requests": stats.requests,
            "robots_violations": violations,
        });
        if !is_right {
            let examples = score.missed_examples.iter().chain(&score.false_examples);
            for example in examples.chain(&prices.examples) {
                complain(example);
            }
        }
        print(&line.to_string());
    } else {
        for line in progress::table(counts, score) {
            print(&line);
        }
        print(&format!(
            "done in {seconds:.1} s, {} requests to {} hosts, {violations} against robots.txt",
            stats.requests,
            stats.hosts.len(),
        ));
        print(&format!(
            "prices: {} recorded, {} confirmed, {} wrong, {} missed",
            prices.recorded, prices.duplicates, prices.wrong, prices.missed
        ));
        for example in &prices.examples {
            print(example);
        }
        for example in &score.missed_examples {
            print(&format!("missed: {example}"));
        }
        for example in &score.false_examples {
            print(&format!("false: {example}"));
        }
    }
    if arguments.exit_when_done && !is_right {
        FAILURE
    } else {
        OK
    }
}
