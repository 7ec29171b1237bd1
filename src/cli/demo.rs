//! `gleaner demo`: the whole pipeline over a small web on loopback, scored against what is planted there.

mod ledger;
mod progress;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use diesel_async::AsyncPgConnection;
use serde_json::{Map, Value, json};
use tracing::{debug, info};

use super::run;
use crate::app::App;
use crate::area::rehearsal::{Plan, Rehearsal, Scored};
use crate::areas::AREAS;
use crate::config::Config;
use crate::console::{FAILURE, Global, OK, complain, print};
use crate::db::connect::Connector;
use crate::db::migrations;
use crate::demo::{Server, Web};
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
    let plan = Plan {
        seed: arguments.seed,
        web: Arc::new(web),
    };
    let rehearsed = AREAS.iter().filter_map(|area| (area.rehearse)(&plan));
    let parts: Vec<Box<dyn Rehearsal>> = rehearsed.collect();
    let others = parts.iter().filter_map(|part| part.hosts()).collect();
    let server = plan.web.serve_beside(others).await?;
    tune(&mut config, &server, &parts)?;

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
        &parts,
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
fn tune(config: &mut Config, server: &Server, parts: &[Box<dyn Rehearsal>]) -> anyhow::Result<()> {
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
    for part in parts {
        part.tune(config);
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
    parts: &[Box<dyn Rehearsal>],
    server: &Server,
    signals: &mut Signals,
    private: Option<&embedded::Postgres>,
) -> anyhow::Result<u8> {
    let connector = Connector::new(config.database.direct(), &config.database)?;
    let mut conn = {
        migrations::run(connector.connect_patient().await?).await?;
        connector.connect().await?
    };
    for part in parts {
        if let Some(rows) = part.strangers(&mut conn).await? {
            bail!(inconsistent(
                "--database-url",
                format!("this database holds {rows} that are not the demo's; give it an empty one"),
            ));
        }
    }
    let started = Instant::now();
    let drain_timeout = config.engine.drain_timeout;
    let app = App::start(config, Some(metrics::install()?)).await?;
    for part in parts {
        part.plant(&mut conn).await?;
    }

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
                let mut is_last = true;
                for part in parts {
                    is_last &= part.go_on(&mut conn).await?;
                }
                if is_last && counts.iter().all(|stage| stage.waiting() == 0) {
                    is_done = true;
                    bars.finish();
                    let seconds = started.elapsed().as_secs_f64();
                    let scores = score(parts, &mut conn).await?;
                    let code = report(global, arguments, &counts, &scores, seconds, server);
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

async fn score(
    parts: &[Box<dyn Rehearsal>],
    conn: &mut AsyncPgConnection,
) -> anyhow::Result<Vec<Scored>> {
    let mut scores = Vec::new();
    for part in parts {
        scores.push(part.score(conn).await?);
    }
    Ok(scores)
}

fn report(
    global: &Global,
    arguments: &Arguments,
    counts: &[ledger::Counts],
    scores: &[Scored],
    seconds: f64,
    server: &Server,
) -> u8 {
    let stats = server.stats();
    let violations: u64 = stats.hosts.values().map(|host| host.violations).sum();
    let is_right = violations == 0 && scores.iter().all(|score| score.is_right);
    let examples = scores.iter().flat_map(|score| &score.examples);
    if global.json {
        let workflows: Map<String, Value> = counts
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
        let mut line = Map::from_iter([
            (
                "seconds".to_owned(),
                json!((seconds * 1000.0).round() / 1000.0),
            ),
            ("workflows".to_owned(), Value::Object(workflows)),
            ("requests".to_owned(), json!(stats.requests)),
            ("robots_violations".to_owned(), json!(violations)),
        ]);
        for score in scores {
            line.extend(score.json.clone());
        }
        if !is_right {
            examples.for_each(|example| complain(example));
        }
        print(&Value::Object(line).to_string());
    } else {
        for line in progress::table(counts) {
            print(&line);
        }
        for score in scores {
            print("");
            score.lines.iter().for_each(|line| print(line));
        }
        print("");
        print(&format!(
            "done in {seconds:.1} s, {} requests to {} hosts, {violations} against robots.txt",
            stats.requests,
            stats.hosts.len(),
        ));
        examples.for_each(|example| print(example));
    }
    if arguments.exit_when_done && !is_right {
        FAILURE
    } else {
        OK
    }
}
