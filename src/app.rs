//! The wiring: configuration → pool → migrations → workflows → tree → HTTP; reload; drain. Read this first.

mod last_word;
mod listener;
pub mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use gleaner_actors::{DrainReport, Tree};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use self::state::Shared;
use crate::area::Areas;
use crate::areas;
use crate::config::{self, Change, Config, Reloaded};
use crate::db;
use crate::db::connect::Connector;
use crate::db::migrations;
use crate::db::pooler::{self, Pooling};
use crate::descriptors;
use crate::live::Live;
use crate::metrics::{self, EngineMetrics};
use crate::redis::{self, Redis, Timetables};
use crate::settings::ConfigError;
use crate::store::lease::LeaseHeart;
use crate::store::node;
use crate::telemetry::{LogHandle, chain};
use crate::upkeep;
use crate::web::fetch;
use crate::web::render;
use crate::web::render::Renderer;
use crate::workflow::Services;
use crate::workflows::Registry;

/// How long everything together may take that follows a drain's deadline: whoever sends the signal to stop has a deadline of its own,
/// and kills soon after ours.
const AFTER_DEADLINE: Duration = Duration::from_secs(1);
/// What is left of that to say goodbye, also if handing back has taken all of it.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// A running Gleaner: everything but signals.
pub struct App {
    areas: &'static Areas,
    shared: Arc<Shared>,
    registry: Registry,
    fetch: fetch::Client,
    renderer: Renderer,
    tree: Tree,
    server: Option<crate::http::Server>,
    outside_servers: Vec<crate::http::Server>,
    /// What the servers run on: nobody from outside takes a thread of the actors'.
    _threads: crate::http::Threads,
}

impl App {
    /// Brings everything up: refuses a database that lacks migrations, and starts claiming.
    ///
    /// # Errors
    /// Whatever of it cannot be brought up.
    pub async fn start(config: Config, metrics: Option<PrometheusHandle>) -> anyhow::Result<Self> {
        Self::start_with(areas::all(), config, metrics).await
    }

    /// The same with other areas than the program's, to which the configuration has to be read ([`Areas::schema`]).
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_with(
        areas: &'static Areas,
        config: Config,
        metrics: Option<PrometheusHandle>,
    ) -> anyhow::Result<Self> {
        let pool = db::pool(&config.database)?;
        let direct = Connector::new(config.database.direct(), &config.database)?;
        let through_pool = Connector::new(&config.database.url, &config.database)?;
        let has_two_ways = config.database.direct() != &config.database.url;
        {
            let pooling = pooler::check(&through_pool).await?;
            if pooling == Pooling::Transaction
                && config.database.listen
                && config.database.direct_url.is_empty()
            {
                warn!(
                    "a transaction pooler stands before the database: notifications cannot arrive; set \
                     database.direct_url, or database.listen = false to rely on each workflow's interval"
                );
            }
            let mut connection = direct.connect().await?;
            migrations::require_current(&mut connection).await?;
        }
        let descriptors = descriptors::limit();
        if descriptors.soft < descriptors::WANTED {
            warn!(
                limit = descriptors.soft,
                "few file descriptors: work may have to wait for them; raise LimitNOFILE (systemd), minfds (supervisord) or ulimit -n"
            );
        }
        let fetch = fetch::Client::new(config.fetch.clone())?;
        let renderer = Renderer::new(config.render.clone(), fetch.clone())?;
        let redis = Box::pin(connect_redis(&config.redis)).await?;
        if let Some(redis) = &redis {
            fetch.share_pace(Box::new(Timetables::new(redis.clone())));
        }
        let services = Services {
            fetch: fetch.clone(),
            renderer: renderer.clone(),
            redis: redis.clone(),
            tracking: config.extract.tracking(),
            data_dir: config.embedded.data_dir(),
            sections: config.sections(),
        };
        // The last that may have to wait for something: from here on there is something to end in good order.
        let node = {
            let mut connection = pool
                .get()
                .await
                .context("no connection to register this process with")?;
            let node = node::register(&mut connection)
                .await
                .context("cannot register this process")?;
            last_word::pass_on(&mut connection, &services.data_dir, areas.workflows()).await;
            node
        };
        let shared = Shared::new(
            pool.clone(),
            node,
            Live::new(config.clone()),
            redis,
            areas.workflows(),
        );
        let (registry, mut members) = Registry::build(
            areas.workflows(),
            &config,
            &services,
            &pool,
            node,
            &shared.frontiers,
        );
        let tree_settings = config.engine.tree_settings();
        let (listen, http_address) = (config.database.listen, config.http.address()?);
        let outside_addresses: Vec<_> = areas
            .iter()
            .map(|area| (area.outside)(&config))
            .collect::<Result<_, _>>()?;
        let admin_token = config.http.admin_token.clone();
        members.extend(upkeep::members(&shared, areas.kept()));
        members.push(shared.callbacks.member());
        members.extend(areas.iter().flat_map(|area| (area.tickers)(&shared)));
        if listen {
            members.push(listener::member(direct.clone(), &shared));
        }
        if let Some(handle) = &metrics {
            members.push(metrics::tidier(handle.clone()));
        }

        let mut outside_listeners = Vec::new();
        for address in outside_addresses {
            outside_listeners.extend(bind(address)?);
        }
        let http_listener = bind(http_address)?;
        metrics::announce(areas.workflows().iter().map(|workflow| workflow.name));
        areas.iter().for_each(|area| (area.metrics)());
        let mut heart = LeaseHeart::new(direct, node);
        if has_two_ways {
            heart = heart.or_through(through_pool);
        }
        let tree = Tree::start(tree_settings, heart, members, Arc::new(EngineMetrics)).await?;
        shared.set_tree(tree.clone());
        info!(node, version = env!("CARGO_PKG_VERSION"), "started");

        let threads = crate::http::Threads::start().context("no threads for HTTP")?;
        let http = {
            // What areas spawn for outsiders runs there too.
            let _inside = threads.enter();
            crate::http::State::new(
                Arc::clone(&shared),
                metrics,
                admin_token,
                areas.iter().map(|area| (area.routes)(&shared)).collect(),
                areas.iter().filter_map(|area| area.status).collect(),
            )
        };
        let outside_servers = outside_listeners
            .into_iter()
            .map(|listener| crate::http::Server::start_outside(listener, &http, &threads))
            .collect::<Result<_, _>>()?;
        let server = http_listener
            .map(|listener| crate::http::Server::start(listener, &http, &threads))
            .transpose()?;
        Ok(Self {
            areas,
            shared,
            registry,
            fetch,
            renderer,
            tree,
            server,
            outside_servers,
            _threads: threads,
        })
    }

    /// What its parts share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The actors.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Where HTTP is served, if it is.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(crate::http::Server::address)
    }

    /// The addresses that areas have of their own for outsiders.
    #[must_use]
    pub fn outside_addresses(&self) -> Vec<SocketAddr> {
        let servers = self.outside_servers.iter();
        servers.map(crate::http::Server::address).collect()
    }

    /// Puts a new configuration in force: all of what can change live, or nothing. `loaded` is the outcome of reading it.
    /// Returns what differs from what was in force, taken up or waiting for the next start.
    ///
    /// # Errors
    /// Why nothing was changed; readiness tells it too, until a reload succeeds.
    pub async fn reload(
        &self,
        loaded: Result<Config, ConfigError>,
        log: Option<&LogHandle>,
    ) -> anyhow::Result<Vec<Change>> {
        match self.try_reload(loaded, log).await {
            Ok(Reloaded {
                applied,
                pending,
                taken_away,
                ..
            }) => {
                self.shared.reload_failure.set(None);
                let was_nothing = applied.is_empty() && pending.is_empty();
                metrics::config_reloaded(if was_nothing { "unchanged" } else { "applied" });
                metrics::config_pending(pending.len());
                for change in &applied {
                    info!(
                        key = change.key,
                        old = change.old,
                        new = change.new,
                        "changed"
                    );
                }
                for change in &pending {
                    warn!(
                        key = change.key,
                        in_force = change.old,
                        in_file = change.new,
                        "changed in the file; takes effect at the next start"
                    );
                }
                if !taken_away.is_empty() {
                    warn!(
                        keys = taken_away.join(", "),
                        "taken away: the file no longer sets these, their defaults hold"
                    );
                }
                info!(
                    applied = applied.len(),
                    pending = pending.len(),
                    taken_away = taken_away.len(),
                    "configuration reloaded"
                );
                self.shared.taken_away.set(taken_away);
                self.shared.pending.set(pending.clone());
                Ok(applied.into_iter().chain(pending).collect())
            }
            Err(error) => {
                let reason = chain(error.as_ref());
                metrics::config_reloaded("rejected");
                tracing::error!(error = %reason, "configuration not reloaded, nothing changed");
                self.shared.reload_failure.set(Some(reason));
                Err(error)
            }
        }
    }

    async fn try_reload(
        &self,
        loaded: Result<Config, ConfigError>,
        log: Option<&LogHandle>,
    ) -> anyhow::Result<Reloaded> {
        let old = self.shared.config.get();
        let reloaded = config::reload(&old, &loaded?)?;
        let new = &reloaded.in_force;
        // The steps that can refuse come first; what follows cannot fail.
        render::check(&new.render)?;
        self.fetch.reconfigure(new.fetch.clone())?;
        // Before the tree: a workflow that is idle for want of a key is tried again by it, and has to find the key.
        self.registry.reload(new);
        let settings = new.workflows.settings(&new.engine);
        if let Err(error) = self.tree.reload(settings).await {
            self.registry.reload(&old);
            self.fetch.reconfigure(old.fetch.clone())?;
            return Err(error.into());
        }
        self.renderer.reconfigure(new.render.clone());
        if let Some(log) = log {
            log.set_level(&new.log.level);
        }
        self.shared.config.set(new.clone());
        Ok(reloaded)
    }

    /// Stops claiming, lets running items finish for `within`, hands back the rest, and stops.
    /// All that comes after that time together takes a second at most, whatever is away.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let end = Instant::now() + within + AFTER_DEADLINE;
        let report = self.come_down(within).await;
        let now = Instant::now();
        let until = end.clamp(now + LAST_WORDS, now + AFTER_DEADLINE);
        if timeout_at(until, self.say_goodbye()).await.is_err() {
            warn!("not all was answered in time that this process says at its end");
        }
        info!(
            finished = report.finished,
            released = report.released,
            elapsed_ms = u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
            "drained"
        );
        report
    }

    /// Brings the tree down, and says first that this is in good order, while the database may still be there to hear it. Where it is
    /// not, the next process of this machine is to say so.
    async fn come_down(&self, within: Duration) -> DrainReport {
        let noted = async {
            let mut connection = self.shared.pool.get().await?;
            node::stopping(&mut connection, self.shared.node).await?;
            anyhow::Ok(())
        };
        let draining = self.tree.drain(within);
        tokio::pin!(draining);
        let report = tokio::select! {
            noted = noted => {
                let report = draining.await;
                match noted {
                    Ok(()) => return report,
                    Err(error) => {
                        warn!(error = %chain(error.as_ref()), "cannot note that this process begins to stop");
                    }
                }
                report
            }
            report = &mut draining => report,
        };
        let data_dir = self.shared.config.get().embedded.data_dir();
        if let Err(error) = last_word::leave(&data_dir, self.shared.node) {
            warn!(%error, folder = %data_dir.display(), "cannot leave word for the next process; what this one held is taken for a dead one's");
        }
        report
    }

    /// Notes the end of this process, and lets go of everybody. None of it waits for another.
    async fn say_goodbye(&self) {
        let noted = async {
            let mut connection = self.shared.pool.get().await?;
            node::stopped(&mut connection, self.shared.node).await?;
            anyhow::Ok(())
        };
        let noted = async {
            if let Err(error) = noted.await {
                warn!(error = %chain(error.as_ref()), "cannot note the end of this process");
            }
        };
        let redis = async {
            if let Some(redis) = &self.shared.redis {
                redis.close().await;
            }
        };
        let servers = self.outside_servers.iter().chain(&self.server);
        let servers = futures_util::future::join_all(servers.map(crate::http::Server::stop));
        tokio::join!(noted, redis, servers, self.renderer.close());
    }

    /// Whether nothing is due, running or waiting to be written, of all workflows that work.
    ///
    /// # Errors
    /// When the database or the tree does not answer.
    pub async fn is_idle(&self) -> anyhow::Result<bool> {
        use gleaner_actors::State;

        let is_off = |state| {
            matches!(
                state,
                State::Parked | State::Idle | State::Disabled | State::Paused
            )
        };
        let status = self.tree.status().await?;
        let mut connection = self.shared.pool.get().await?;
        for area in self.areas.iter() {
            let waits = (area.waits_elsewhere)(&self.shared).await;
            let is_work = |name: &&str| status.workflow(name).is_some_and(|own| !is_off(own.state));
            if waits.iter().any(is_work) {
                return Ok(false);
            }
        }
        for workflow in self.areas.workflows() {
            let Some(own) = status.workflow(workflow.name) else {
                continue;
            };
            if own.in_flight + own.unsettled > 0 || own.state == State::Starting {
                return Ok(false);
            }
            if !is_off(own.state) && workflow.stage.has_due(&mut connection).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn bind(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    match address {
        Some(address) => Ok(Some(crate::http::Server::bind(address)?)),
        None => Ok(None),
    }
}

/// Redis, if one is configured. What may cost it what we put there is said once, at the start.
async fn connect_redis(config: &redis::Config) -> anyhow::Result<Option<Redis>> {
    if !config.is_on() {
        return Ok(None);
    }
    let redis = Redis::connect(config).await?;
    if redis.is_up() {
        match redis.findings().await {
            Ok(findings) => {
                for warning in findings.warnings() {
                    warn!("Redis: {warning}");
                }
            }
            Err(error) => warn!(error = %chain(&error), "cannot tell how Redis is set"),
        }
    }
    Ok(Some(redis))
}
