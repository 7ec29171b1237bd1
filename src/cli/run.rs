//! `gleaner run`: the workflows, until told to stop.

use std::time::Duration;

use clap::Args;
use gleaner_actors::WorkflowStatus;
use serde_json::json;
use tracing::{debug, error, info, warn};

use crate::app::App;
use crate::areas;
use crate::config::Config;
use crate::console::{FAILURE, Global, OK, complain, print};
use crate::db::connect::Connector;
use crate::db::migrations;
use crate::secret::Secret;
use crate::settings::ConfigError;
use crate::signals::{Asked, Signals};
use crate::telemetry::{self, chain};
use crate::{embedded, metrics};

/// Arguments of `gleaner run`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Work what is due, then stop.
    #[arg(long)]
    once: bool,
    /// Run these workflows only.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Fallback interval of every workflow: seconds, or a duration such as 30s.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    interval: Option<Duration>,
    /// How often rows whose lease has ended are looked for: seconds, or a duration.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout_check_interval: Option<Duration>,
    /// Work on a private PostgreSQL that is created, started and stopped here; with a private Redis, too, where there is a
    /// redis-server program and redis.url is empty.
    #[arg(long, conflicts_with = "database_url")]
    embedded: bool,
}

/// A number is seconds, as the programs that this replaces took it.
fn duration(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_not_a_number) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

/// How long a start that is under way may go on once it is asked to stop. What takes longer waits for something that is away.
const STARTED_BY: Duration = Duration::from_secs(1);

/// How often `--once` looks whether all is done.
const IDLE_CHECK: Duration = Duration::from_millis(100);

impl Arguments {
    /// The configuration with these arguments on top; used at the start and at every reload.
    fn load(&self, global: &Global) -> Result<Config, ConfigError> {
        let mut flags = Vec::new();
        if let Some(interval) = self.timeout_check_interval {
            let text = humantime::format_duration(interval).to_string();
            flags.push(("engine.rescue_interval".to_owned(), json!(text)));
        }
        let mut config = global.load_with(flags)?;
        if !self.only.is_empty() {
            config.workflows.keep_only(&self.only);
        }
        if let Some(interval) = self.interval {
            config.workflows.set_interval(interval);
        }
        config.validate()?;
        Ok(config)
    }
}

pub(super) async fn run(
    global: &Global,
    arguments: Arguments,
    mut signals: Signals,
) -> anyhow::Result<u8> {
    let mut config = arguments.load(global)?;
    let workflows = areas::in_force(&config);
    for name in &arguments.only {
        super::workflow(&workflows, name)?;
    }
    let log = telemetry::init(&config.log)?;
    let private = if arguments.embedded {
        // Half started, the servers end with this process.
        match unless_stopped(&mut signals, Private::start(&config)).await {
            Some(private) => Some(private?),
            None => return Ok(OK),
        }
    } else {
        None
    };
    if let Some(private) = &private {
        private.put_into(&mut config);
        let database = config.database.clone();
        let migrating = async move {
            let connector = Connector::new(&database.url, &database)?;
            migrations::run(connector.connect_patient().await?).await?;
            anyhow::Ok(())
        };
        if unless_stopped(&mut signals, migrating)
            .await
            .transpose()?
            .is_none()
        {
            private.stop().await;
            return Ok(OK);
        }
    }

    let Some(app) = Box::pin(start(config, &mut signals)).await? else {
        if let Some(private) = &private {
            private.stop().await;
        }
        return Ok(OK);
    };
    if let Some(address) = app.http_address() {
        info!(%address, "serving health, metrics and API");
    }
    let reload = || {
        let mut loaded = arguments.load(global)?;
        if let Some(private) = &private {
            private.put_into(&mut loaded);
        }
        Ok(loaded)
    };
    let code = serve(
        &app,
        &arguments,
        &mut signals,
        &log,
        &reload,
        private.as_ref(),
    )
    .await;
    if let Some(private) = private {
        private.stop().await;
    }
    code
}

/// Does it, unless it is asked to stop first: it is dropped then.
async fn unless_stopped<T>(signals: &mut Signals, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = signals.stop() => {
            info!("asked to stop while starting");
            None
        }
    }
}

/// Brings the application up; nothing if it is asked to stop before that: what is up by then is brought down in good order.
async fn start(config: Config, signals: &mut Signals) -> anyhow::Result<Option<App>> {
    let starting = App::start(config, Some(metrics::install()?));
    tokio::pin!(starting);
    tokio::select! {
        started = &mut starting => return Ok(Some(started?)),
        () = signals.stop() => info!("asked to stop while starting"),
    }
    match tokio::time::timeout(STARTED_BY, starting).await {
        Ok(Ok(app)) => {
            drain(&app, signals).await;
        }
        Ok(Err(error)) => info!(error = %chain(error.as_ref()), "was not up"),
        Err(_elapsed) => info!("was not up"),
    }
    Ok(None)
}

async fn serve(
    app: &App,
    arguments: &Arguments,
    signals: &mut Signals,
    log: &telemetry::LogHandle,
    reload: &(dyn Fn() -> Result<Config, ConfigError> + Sync),
    private: Option<&Private>,
) -> anyhow::Result<u8> {
    let mut idle = tokio::time::interval(IDLE_CHECK);
    let mut idle_in_a_row = 0;
    let watching = async {
        match private {
            Some(private) => private.watch().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(watching);
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => return Ok(drain(app, signals).await),
                Asked::Reload => drop(app.reload(reload(), Some(log)).await),
                Asked::Status => match app.tree().status().await {
                    Ok(status) => info!(status = %serde_json::to_string(&status)?, "status"),
                    Err(error) => error!(error = %chain(&error), "no status"),
                },
            },
            () = app.tree().stopped() => {
                complain("the actors have stopped by themselves; see the log");
                return Ok(FAILURE);
            }
            () = &mut watching => {}
            _ = idle.tick(), if arguments.once => {
                // Twice, because what one workflow finishes may queue for another in between two looks.
                // A database that does not answer is trouble that passes, and no reason to leave work undone.
                let is_idle = app.is_idle().await.unwrap_or_else(|error| {
                    debug!(error = %chain(error.as_ref()), "cannot tell whether all is done");
                    false
                });
                idle_in_a_row = if is_idle { idle_in_a_row + 1 } else { 0 };
                if idle_in_a_row >= 2 {
                    info!("nothing is due any more");
                    if let Ok(status) = app.tree().status().await {
                        status.workflows.iter().filter_map(done).for_each(|line| print(&line));
                    }
                    return Ok(drain(app, signals).await);
                }
            }
        }
    }
}

/// What a workflow has done, if anything.
fn done(workflow: &WorkflowStatus) -> Option<String> {
    let counts = [
        ("completed", workflow.completed),
        ("filtered", workflow.filtered),
        ("retried", workflow.retried),
        ("failed", workflow.failed),
    ];
    let told: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    (!told.is_empty()).then(|| format!("{}: {}", workflow.name, told.join(", ")))
}

/// The private servers of `--embedded`.
struct Private {
    postgres: embedded::Postgres,
    /// None where another Redis is configured, or there is no program for one.
    redis: Option<embedded::Redis>,
}

impl Private {
    async fn start(config: &Config) -> anyhow::Result<Self> {
        let postgres = start_private(&config.embedded).await?;
        let redis = if config.redis.is_on() {
            None
        } else {
            start_private_redis(&config.embedded).await
        };
        Ok(Self { postgres, redis })
    }

    /// Points a configuration at them.
    fn put_into(&self, config: &mut Config) {
        config.database.url = Secret::new(&self.postgres.url("gleaner"));
        config.database.direct_url = Secret::new("");
        if let Some(redis) = &self.redis {
            config.redis.url = Secret::new(&redis.url());
        }
    }

    /// Keeps them up.
    async fn watch(&self) {
        let redis = async {
            if let Some(redis) = &self.redis {
                redis.watch().await;
            }
        };
        futures_util::future::join(self.postgres.watch(), redis).await;
    }

    async fn stop(&self) {
        if let Some(redis) = &self.redis {
            redis.stop().await;
        }
        self.postgres.stop().await;
    }
}

fn options(config: &embedded::Config) -> embedded::Options {
    let mut options = embedded::Options::new(config.data_dir());
    if !config.pg_bin.is_empty() {
        options.pg_bin = Some(config.pg_bin.clone().into());
    }
    options
}

/// Starts the private Redis. That there is none is no reason not to start.
async fn start_private_redis(config: &embedded::Config) -> Option<embedded::Redis> {
    match embedded::Redis::start(options(config)).await {
        Ok(redis) => Some(redis),
        Err(error @ embedded::EmbeddedError::NoRedis) => {
            info!("{error}");
            None
        }
        Err(error) => {
            warn!(error = %chain(&error), "no private Redis; PostgreSQL alone serves the auto-record queue");
            None
        }
    }
}

/// Starts the private PostgreSQL and makes sure of our database in it.
pub(super) async fn start_private(config: &embedded::Config) -> anyhow::Result<embedded::Postgres> {
    let private = embedded::Postgres::start(options(config)).await?;
    private.create_database_if_missing("gleaner").await?;
    Ok(private)
}

/// Keeps the private database up, where there is one.
pub(super) async fn watch(private: Option<&embedded::Postgres>) {
    match private {
        Some(private) => private.watch().await,
        None => std::future::pending().await,
    }
}

/// Drains within the configured time; another request to stop hands everything back at once.
async fn drain(app: &App, signals: &mut Signals) -> u8 {
    let within = app.shared().config.get().engine.drain_timeout;
    info!(?within, "draining");
    let draining = app.drain(within);
    tokio::pin!(draining);
    loop {
        tokio::select! {
            _report = &mut draining => return OK,
            asked = signals.next() => if asked == Asked::Stop {
                info!("asked again: handing back at once");
                drop(app.tree().drain(Duration::ZERO).await);
            },
        }
    }
}
