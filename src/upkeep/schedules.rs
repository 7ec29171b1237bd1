//! Fires the schedules of the configuration, within a second of their time.
//!
//! Every node does; the database decides which of them fires (`store::schedule::firing`). A node looks at all schedules at once, then
//! sleeps until the first of them is due, or somebody asks for something, or the configuration is another. So what it costs while
//! nothing is due is one look now and then, and nothing at all where there are no schedules.
//!
//! A statement may take long, and may do anything to its session. It has a connection of its own, past the pool and any pooler, and the
//! server is told to look whether its client is still there: when this process dies, it ends the statement within a second or two.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::BoxFuture;
use gleaner_actors::Service;
use gleaner_actors::port::PortError;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::app::state::Shared;
use crate::config::Config;
use crate::db;
use crate::db::DbError;
use crate::db::connect::Connector;
use crate::metrics;
use crate::store::schedule::definition::{Defined, key};
use crate::store::schedule::firing::{self, Fired, Outcome, Step};
use crate::store::schedule::state::{self, Standing};
use crate::store::schedule::timing::Turn;
use crate::telemetry::chain;

/// Looks are no further apart: a notification may be lost, and a clock may be set.
const LOOK: Duration = Duration::from_secs(30);
/// Firings of one process under way at once.
const AT_ONCE: usize = 4;
/// A look at a due time comes a little after it, rather than a little before.
const MARGIN: Duration = Duration::from_millis(2);
/// Until a schedule is looked at again that somebody else was faster with.
const OVERTAKEN: Duration = Duration::from_millis(200);
/// Until one is tried again that somebody else has in hand, who may die of it: the first time, and at most.
const BUSY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Until one is tried again that the database had no answer for.
const TROUBLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// So long after its limit, a statement is given up of which nothing is heard.
const SILENCE: Duration = Duration::from_secs(30);

/// What a statement of somebody's may have left in a session, and what it finds. Our own are bounded, too.
const FRESH: &str = "RESET ROLE; RESET SESSION AUTHORIZATION; RESET ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP; \
    SELECT pg_advisory_unlock_all(); SET statement_timeout = '30s'; SET lock_timeout = 0; \
    SET idle_in_transaction_session_timeout = '60s'; SET timezone = 'UTC'";
/// Not every system that PostgreSQL runs on can tell; without it a statement goes on to its own end after the death of its process.
const WATCHED: &str = "SET client_connection_check_interval = '1s'";

/// The service.
pub(super) struct Schedules {
    shared: Arc<Shared>,
    connector: Connector,
    /// What goes on while the service is run again after an outage.
    kept: Mutex<Option<Round>>,
}

/// What a process knows of its schedules from one look to the next.
#[derive(Default)]
struct Round {
    /// The configuration that they were read from.
    config: Option<Arc<Config>>,
    defined: Vec<Arc<Defined>>,
    /// Firings under way. Dropped, and so ended and undone, with the service.
    firing: JoinSet<(String, Result<Step, Trouble>)>,
    in_hand: HashSet<String>,
    /// Those that are not to be tried before a time, and how long that was put off.
    later: HashMap<String, (Instant, Duration)>,
    /// Those that another process has in hand.
    elsewhere: HashSet<String>,
    /// Those of which it was said that another process has another one of the name.
    told: HashSet<String>,
    spare: Arc<Mutex<Option<AsyncPgConnection>>>,
}

/// Why nothing is known of a firing: it is undone, and still due.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Connect(#[from] DbError),
    #[error("the database had no answer")]
    Query(#[from] diesel::result::Error),
    #[error("nothing was heard of it for {0:?} after its timeout")]
    Silence(Duration),
}

impl Schedules {
    #[must_use]
    pub(super) fn new(shared: Arc<Shared>, connector: Connector) -> Self {
        Self {
            shared,
            connector,
            kept: Mutex::default(),
        }
    }

    async fn fire_all(&self) -> Result<(), PortError> {
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut round = kept.unwrap_or_default();
        let result = self.go_round(&mut round).await;
        // Not where this is dropped: then all that is under way is ended.
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(round);
        result
    }

    async fn go_round(&self, round: &mut Round) -> Result<(), PortError> {
        loop {
            let config = self.shared.config.get();
            if !round.is_of(&config) {
                self.take(round, config).await?;
            }
            let wake = self.look(round).await?;
            tokio::select! {
                () = self.shared.schedules.notified() => {}
                Some(done) = round.firing.join_next(), if !round.firing.is_empty() => round.ended(done),
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Takes a configuration over.
    async fn take(&self, round: &mut Round, config: Arc<Config>) -> Result<(), PortError> {
        let defined: Vec<Arc<Defined>> = config
            .schedules
            .defined()
            .into_iter()
            .map(Arc::new)
            .collect();
        if !defined.is_empty() {
            let mut conn = self.shared.connection().await?;
            let all: Vec<&Defined> = defined.iter().map(|own| &**own).collect();
            state::make_known(&mut conn, &all)
                .await
                .map_err(db::port_error)?;
        }
        for gone in round
            .defined
            .iter()
            .filter(|old| defined.iter().all(|own| own.name != old.name))
        {
            metrics::schedule_stands(&gone.name, Duration::ZERO, false, None);
        }
        for own in &defined {
            metrics::announce_schedule(&own.name);
        }
        round.told.clear();
        round.later.clear();
        round.defined = defined;
        round.config = Some(config);
        Ok(())
    }

    /// Fires what is due. Returns when to look again, at the latest.
    async fn look(&self, round: &mut Round) -> Result<Instant, PortError> {
        let latest = Instant::now() + LOOK;
        if round.defined.is_empty() {
            // Nobody can ask for anything, and a reload says so.
            return Ok(Instant::now() + Duration::from_secs(24 * 3600));
        }
        let all: Vec<Arc<Defined>> = round.defined.clone();
        let standing = {
            let mut conn = self.shared.connection().await?;
            let all: Vec<&Defined> = all.iter().map(|own| &**own).collect();
            state::standing(&mut conn, &all)
                .await
                .map_err(db::port_error)?
        };
        let now = Instant::now();
        let mut wake = latest;
        for own in &all {
            let Some(standing) = standing.iter().find(|row| row.name == key(&own.name)) else {
                // Somebody has deleted its row: it is new again.
                round.config = None;
                wake = now + OVERTAKEN;
                continue;
            };
            if let Some(next) = self.see_to(round, own, standing, now) {
                wake = wake.min(next);
            }
        }
        if wake > now + LOOK / 2 {
            // Nothing is due soon: nor is a connection needed.
            drop(
                round
                    .spare
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(),
            );
        }
        Ok(wake)
    }

    /// Fires one schedule if it is due. Returns when to look at it again.
    fn see_to(
        &self,
        round: &mut Round,
        own: &Arc<Defined>,
        standing: &Standing,
        now: Instant,
    ) -> Option<Instant> {
        let is_ours = standing.is_as(own);
        let is_under_way = round.in_hand.contains(&own.name) || round.elsewhere.contains(&own.name);
        metrics::schedule_stands(
            &own.name,
            if is_under_way {
                Duration::ZERO
            } else {
                standing.late(own)
            },
            standing.last_outcome.as_deref() == Some(Outcome::Failed.name()),
            standing.succeeded_at,
        );
        if !is_ours {
            if round.told.insert(own.name.clone()) {
                warn!(
                    schedule = own.name,
                    "another process has read another schedule of this name since this one read its configuration; it is left to that one until this one is reloaded"
                );
            }
            return None;
        }
        if round.in_hand.contains(&own.name) {
            return None;
        }
        if !standing.is_due(own) {
            round.later.remove(&own.name);
            round.elsewhere.remove(&own.name);
            let Turn::Wait(Some(due_at)) = standing.turn(own) else {
                return None;
            };
            let until = (due_at - standing.now).to_std().unwrap_or_default();
            return Some(now + until.min(LOOK) + MARGIN);
        }
        if let Some((not_before, _)) = round.later.get(&own.name)
            && *not_before > now
        {
            return Some(*not_before);
        }
        if round.in_hand.len() >= AT_ONCE {
            // The end of one of these is looked at.
            return None;
        }
        round.in_hand.insert(own.name.clone());
        let firing = fire(
            self.connector.clone(),
            Arc::clone(&round.spare),
            Arc::clone(own),
            self.shared.node,
        );
        round.firing.spawn(firing);
        None
    }
}

/// Fires one schedule, to its end.
async fn fire(
    connector: Connector,
    spare: Arc<Mutex<Option<AsyncPgConnection>>>,
    own: Arc<Defined>,
    node: i64,
) -> (String, Result<Step, Trouble>) {
    let kept = spare.lock().unwrap_or_else(PoisonError::into_inner).take();
    let fired = fire_with(&connector, kept, &own, node).await;
    let step = fired.map(|(conn, step)| {
        *spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(conn);
        step
    });
    (own.name.clone(), step)
}

async fn fire_with(
    connector: &Connector,
    kept: Option<AsyncPgConnection>,
    own: &Defined,
    node: i64,
) -> Result<(AsyncPgConnection, Step), Trouble> {
    let mut conn = match fresh(kept).await {
        Some(conn) => conn,
        None => match fresh(Some(connector.connect().await?)).await {
            Some(conn) => conn,
            None => {
                return Err(Trouble::Query(
                    diesel::result::Error::BrokenTransactionManager,
                ));
            }
        },
    };
    loop {
        let longest = own.timeout.saturating_add(SILENCE);
        match timeout(longest, firing::step(&mut conn, own, node)).await {
            Ok(Ok(Step::More)) => {}
            Ok(step) => return Ok((conn, step?)),
            Err(_elapsed) => return Err(Trouble::Silence(SILENCE)),
        }
    }
}

/// The connection with a session as it is to be, if it still answers.
async fn fresh(conn: Option<AsyncPgConnection>) -> Option<AsyncPgConnection> {
    let mut conn = conn?;
    conn.batch_execute(FRESH).await.ok()?;
    if let Err(error) = conn.batch_execute(WATCHED).await {
        debug!(error = %chain(&error), "the server cannot look whether its client is there");
    }
    Some(conn)
}

impl Round {
    fn is_of(&self, config: &Arc<Config>) -> bool {
        self.config
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, config))
    }

    /// A firing is over, or was none.
    fn ended(&mut self, done: Result<(String, Result<Step, Trouble>), JoinError>) {
        let (name, step) = match done {
            Ok(done) => done,
            Err(error) => {
                // It has panicked, and which one it was is not known: all are looked at.
                warn!(%error, "a firing ended without a word");
                self.in_hand.clear();
                self.firing = JoinSet::new();
                return;
            }
        };
        self.in_hand.remove(&name);
        self.elsewhere.remove(&name);
        match step {
            Ok(Step::Done(fired)) => {
                self.later.remove(&name);
                tell(&name, &fired);
            }
            Ok(Step::Busy) => {
                self.put_off(&name, BUSY);
                self.elsewhere.insert(name);
            }
            Ok(Step::NotDue | Step::NotOurs | Step::More) => {
                self.later
                    .insert(name, (Instant::now() + OVERTAKEN, OVERTAKEN));
            }
            Err(error) => {
                let after = self.put_off(&name, TROUBLE);
                warn!(
                    schedule = name,
                    error = %chain(&error),
                    again_in = ?after,
                    "cannot fire, nothing was done"
                );
            }
        }
    }

    /// Has a schedule wait, each time for twice as long as before.
    fn put_off(&mut self, name: &str, (first, most): (Duration, Duration)) -> Duration {
        let before = self.later.get(name).map(|(_, before)| *before);
        let after = before.map_or(first, |before| (before * 2).clamp(first, most));
        self.later
            .insert(name.to_owned(), (Instant::now() + after, after));
        after
    }
}

/// Says how a firing came out.
fn tell(name: &str, fired: &Fired) {
    let elapsed_ms = u64::try_from(fired.elapsed.as_millis()).unwrap_or(u64::MAX);
    match fired.outcome {
        Outcome::Completed => info!(
            schedule = name,
            due_at = %fired.due_at,
            rows = fired.rows,
            missed = fired.missed,
            elapsed_ms,
            "schedule fired"
        ),
        Outcome::Failed | Outcome::Missed => warn!(
            schedule = name,
            due_at = %fired.due_at,
            outcome = fired.outcome.name(),
            missed = fired.missed,
            error = fired.error,
            elapsed_ms,
            "schedule did not fire as it should"
        ),
    }
    metrics::schedule_fired(name, fired.outcome.name(), fired.missed);
}

impl Service for Schedules {
    fn run(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.fire_all())
    }
}
