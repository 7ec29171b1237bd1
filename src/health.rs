//! Whether this process is fit to be relied on: a pure judgement over what is known, and the gathering of it.
//!
//! Readiness says "the work gets done here"; it is red while anything needs a person. Liveness says "only a new start could
//! help"; a database that is away is no reason to start again.

use diesel_async::AsyncPgConnection;
use gleaner_actors::{HelperStatus, State, TreeStatus, WorkflowStatus};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::app::state::Shared;
use crate::db::connect::Connector;
use crate::db::{DbError, Pool, locks};
use crate::fault;
use crate::redis::Redis;
use crate::store::stage::Gauge;

/// The database and the actors must each answer within this.
const PATIENCE: Duration = Duration::from_secs(2);
/// The database is asked no more often than this, however many ask us.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Running beyond its timeout by this much, an item is no longer at work: it cannot be interrupted.
const TIMEOUT_GRACE: Duration = Duration::from_secs(5);
/// Without an answer of the database for so long, nothing is done, and somebody should know.
const SILENCE: Duration = Duration::from_secs(10);
/// An answer that takes this long may be waiting for somebody else's lock.
const MAY_BE_LOCKED: Duration = Duration::from_secs(1);
/// A ticker or service may fail this often in a row before it counts.
const HELPER_FAILURES: u64 = 3;
/// A service that has been running this long has got over its failures: between them it waits, and a refusal comes at once.
const RUNNING_AGAIN: Duration = Duration::from_millis(500);

/// What `/health/ready` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Whether the database answers.
    pub database: bool,
    /// What is wrong, in words; empty when ready.
    pub problems: Vec<String>,
    /// Each workflow's state in a word.
    pub workflows: Vec<WorkflowHealth>,
    /// Who has locked what we wait for, while we do. Work on other rows goes on, so this alone does not make a process unready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_by: Option<String>,
    /// Why the last reload of the configuration was refused, until one succeeds. Work goes on with the old one, so this
    /// alone does not make a process unready.
    pub reload_failure: Option<String>,
    /// Keys of the configuration that were changed in the file and wait for the next start. Work goes on with the old values, so
    /// this alone does not make a process unready either.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending_restart: Vec<String>,
    /// Keys that the file of the last reload no longer set, so that their defaults hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken_away: Vec<String>,
    /// Who keeps the server from clearing away row versions, since when, and what to do. Claims go on past them, so this alone does not make a
    /// process unready either.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pinned_by: Vec<String>,
    /// Whether Redis answers; absent where none is configured. PostgreSQL serves without it, so this alone does not make a
    /// process unready either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<bool>,
}

/// A workflow in `/health/ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkflowHealth {
    pub name: String,
    /// `ok`, or what is wrong.
    pub health: String,
}

impl WorkflowHealth {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.health == "ok"
    }
}

/// Judges. `queues` are the queues as last counted; `database` is what is wrong with the database, if anything is.
#[must_use]
pub fn judge(
    tree: Option<&TreeStatus>,
    queues: &HashMap<Arc<str>, Gauge>,
    database: Option<&str>,
    reload_failure: Option<String>,
) -> Readiness {
    let mut problems: Vec<String> = database.iter().map(|&text| text.to_owned()).collect();
    let mut workflows = Vec::new();
    match tree {
        None => problems.push("the actors are not up, or do not answer".to_owned()),
        Some(tree) => {
            if tree.draining {
                problems.push("draining".to_owned());
            }
            if !tree.heartbeat_ok {
                problems.push("the last heartbeat was not answered".to_owned());
            }
            for workflow in &tree.workflows {
                let trouble = trouble(workflow, queues.get(workflow.name.as_str()));
                if let Some(trouble) = &trouble {
                    problems.push(format!("{}: {trouble}", workflow.name));
                }
                let health = trouble.unwrap_or_else(|| "ok".to_owned());
                workflows.push(WorkflowHealth {
                    name: workflow.name.clone(),
                    health,
                });
            }
            for helper in &tree.helpers {
                if let Some(trouble) = helper_trouble(helper) {
                    problems.push(format!("{}: {trouble}", helper.name));
                }
            }
        }
    }
    Readiness {
        ready: problems.is_empty(),
        database: database.is_none(),
        problems,
        workflows,
        locked_by: None,
        reload_failure,
        pending_restart: Vec::new(),
        taken_away: Vec::new(),
        pinned_by: Vec::new(),
        redis: None,
    }
}

fn because(what: &str, reason: Option<&String>) -> String {
    match reason {
        Some(reason) => format!("{what} ({reason})"),
        None => what.to_owned(),
    }
}

/// What is wrong with a workflow, if anything is. Paused and switched off are somebody's wish, not trouble; nor is a workflow
/// that lacks its key as long as nobody asks anything of it.
fn trouble(workflow: &WorkflowStatus, queue: Option<&Gauge>) -> Option<String> {
    let reason = workflow.reason.as_ref();
    match workflow.state {
        State::Parked => return Some(because("parked", reason)),
        State::Stalled => return Some(because("stalled", reason)),
        State::Restarting => return Some(because("restarting", reason)),
        State::Idle => {
            let queued = queue.map_or(0, |queue| queue.queued);
            let what = format!("cannot start, and rows queued: {queued}");
            return (queued > 0).then(|| because(&what, reason));
        }
        State::Paused | State::Disabled | State::Draining => return None,
        State::Starting | State::Running | State::Waiting => {}
    }
    if workflow.store_trouble_ms.is_some() {
        return Some(because("cannot reach its rows", reason));
    }
    let silent = workflow.store_silent_ms.map(Duration::from_millis);
    if let Some(silent) = silent.filter(|silent| *silent >= SILENCE) {
        let seconds = silent.as_secs();
        return Some(format!("no answer from the database for {seconds}s"));
    }
    if let Some(trouble) = nothing_recorded(workflow, queue) {
        return Some(trouble);
    }
    // A snooze, a rate's ceiling and an item that may still take its time explain why nothing moves.
    let limit = workflow.settings.timeout + TIMEOUT_GRACE;
    let is_at_work = workflow
        .oldest_in_flight_ms
        .is_some_and(|age| Duration::from_millis(age) <= limit);
    if workflow.snoozed_for_ms.is_some() || workflow.rate_limited || is_at_work {
        return None;
    }
    let stall = workflow.settings.stall_after;
    let waited = queue
        .filter(|queue| queue.due > 0)
        .and_then(|queue| Duration::try_from_secs_f64(queue.oldest_seconds?).ok())?;
    let is_idle = workflow
        .last_progress_ms_ago
        .is_none_or(|idle| Duration::from_millis(idle) > stall);
    (waited > stall && is_idle)
        .then(|| format!("no progress, and rows due for {}s", waited.as_secs()))
}

/// Somebody else's locks keep all that was worked from being recorded, while more waits to be worked.
fn nothing_recorded(workflow: &WorkflowStatus, queue: Option<&Gauge>) -> Option<String> {
    let since = workflow.set_aside_ms.map(Duration::from_millis)?;
    let idle = workflow
        .last_progress_ms_ago
        .map_or(Duration::MAX, Duration::from_millis);
    let more = workflow.set_aside_full || queue.is_some_and(|queue| queue.due > 0);
    (more && since.min(idle) >= SILENCE).then(|| {
        let (results, seconds) = (workflow.set_aside, since.as_secs());
        format!("nothing can be recorded: {results} results wait for locked rows since {seconds}s")
    })
}

/// What is wrong with a ticker or service: with the timeout-checker gone, nobody's rows are rescued; with the gauges gone, no
/// stall is seen.
fn helper_trouble(helper: &HelperStatus) -> Option<String> {
    match helper.state {
        State::Parked => return Some(because("parked", helper.reason.as_ref())),
        State::Stalled => return Some(because("stalled", helper.reason.as_ref())),
        State::Starting
        | State::Running
        | State::Waiting
        | State::Paused
        | State::Idle
        | State::Disabled
        | State::Draining
        | State::Restarting => {}
    }
    let is_running_again = helper.kind == "service"
        && helper
            .running_ms
            .is_some_and(|age| Duration::from_millis(age) >= RUNNING_AGAIN);
    (helper.failures_in_a_row >= HELPER_FAILURES && !is_running_again).then(|| {
        let what = format!("failed {} times in a row", helper.failures_in_a_row);
        because(&what, helper.last_error.as_ref())
    })
}

/// The last answers of the database to "are you there" and "who is in our way", so that many askers are one query.
#[derive(Default)]
pub struct Probe {
    last: Mutex<Option<(Instant, Option<&'static str>)>>,
    locks: Mutex<LocksSeen>,
}

/// Who was in our way when last looked. The connection is none of the pool's, all of which may be waiting for that lock.
#[derive(Default)]
struct LocksSeen {
    at: Option<Instant>,
    connection: Option<AsyncPgConnection>,
    by: Option<String>,
}

impl Probe {
    /// What is wrong with the database, if anything is; at most [`PROBE_EVERY`] old.
    pub async fn look(&self, pool: &Pool) -> Option<&'static str> {
        // Held while asking: those who come meanwhile get the same answer.
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = *last
            && at.elapsed() < PROBE_EVERY
        {
            return answer;
        }
        let answer = ask(pool).await;
        *last = Some((Instant::now(), answer));
        answer
    }

    /// Who has locked what the actors wait for, if it looks as though somebody had; at most [`PROBE_EVERY`] old.
    pub async fn who_locks(&self, shared: &Shared, tree: Option<&TreeStatus>) -> Option<String> {
        let may_be = tree.is_some_and(|tree| tree.workflows.iter().any(may_be_locked));
        let mut seen = self.locks.lock().await;
        if !may_be {
            *seen = LocksSeen::default();
            return None;
        }
        if seen.at.is_none_or(|at| at.elapsed() >= PROBE_EVERY) {
            let connection = seen.connection.take();
            let looked = timeout(PATIENCE, holders(shared, connection)).await;
            if let Ok(Ok((connection, by))) = looked {
                seen.connection = Some(connection);
                // Between two tries of ours nobody is seen to be in the way, who is all the same.
                seen.by = by.or(seen.by.take());
            }
            seen.at = Some(Instant::now());
        }
        seen.by.clone()
    }
}

fn may_be_locked(workflow: &WorkflowStatus) -> bool {
    let silent = workflow.store_silent_ms.map(Duration::from_millis);
    workflow.store_trouble_ms.is_some()
        || workflow.set_aside > 0
        || silent.is_some_and(|silent| silent >= MAY_BE_LOCKED)
}

async fn holders(
    shared: &Shared,
    connection: Option<AsyncPgConnection>,
) -> Result<(AsyncPgConnection, Option<String>), DbError> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => {
            let database = &shared.config.get().database;
            Connector::new(&database.url, database)?
                .impatient()
                .connect()
                .await?
        }
    };
    let workflows = shared.workflows.get();
    let holders = locks::holders(&mut connection, &workflows.tables()).await?;
    Ok((connection, locks::named(&holders)))
}

async fn ask(pool: &Pool) -> Option<&'static str> {
    const SILENT: &str = "the database does not answer";
    let deadline = Instant::now() + PATIENCE;
    let mut connection = match tokio::time::timeout_at(deadline, pool.get()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(_)) => return Some(SILENT),
        Err(_elapsed) => {
            // All made and all in use is our own shortage; otherwise making one takes too long.
            let status = pool.status();
            let is_exhausted = status.size >= status.max_size && status.available == 0;
            return Some(if is_exhausted {
                "no connection of the pool became free in time (database.pool_size)"
            } else {
                SILENT
            });
        }
    };
    let answer = crate::db::statement::sql_query("SELECT 1").execute(&mut connection);
    match tokio::time::timeout_at(deadline, answer).await {
        Ok(Ok(_)) => None,
        Ok(Err(_)) | Err(_) => Some(SILENT),
    }
}

/// Gathers what is known, and judges.
pub async fn readiness(shared: &Shared, probe: &Probe) -> Readiness {
    let (tree, database) = tokio::join!(tree_status(shared), probe.look(&shared.pool));
    let locked_by = probe.who_locks(shared, tree.as_ref()).await;
    judged(shared, tree.as_ref(), database, locked_by)
}

/// Judges what is known of the actors and the database, with all else that this process knows.
#[must_use]
pub fn judged(
    shared: &Shared,
    tree: Option<&TreeStatus>,
    database: Option<&str>,
    locked_by: Option<String>,
) -> Readiness {
    let failure = shared.reload_failure.get().as_ref().clone();
    let pending = shared.pending.get();
    let mut readiness = judge(tree, &shared.queues(), database, failure);
    if let Some(shortage) = fault::lacking() {
        readiness.problems.push(shortage.advice().to_owned());
        readiness.ready = false;
    }
    readiness.redis = shared.redis.as_ref().map(Redis::is_up);
    readiness.pending_restart = pending.iter().map(|change| change.key.clone()).collect();
    readiness.taken_away = shared.taken_away.get().as_ref().clone();
    let pins = shared.pins.get();
    let told = pins
        .iter()
        .map(|holder| format!("{}: {}", holder.describe(), holder.remedy()));
    readiness.pinned_by = told.collect();
    blame(readiness, locked_by)
}

/// Adds who is in the way to what is wrong, if anything is.
fn blame(mut readiness: Readiness, locked_by: Option<String>) -> Readiness {
    if let Some(by) = &locked_by
        && !readiness.ready
    {
        readiness.problems.push(format!("locked by {by}"));
    }
    readiness.locked_by = locked_by;
    readiness
}

/// The status of the actors, if they answer in time.
pub async fn tree_status(shared: &Shared) -> Option<TreeStatus> {
    timeout(PATIENCE, shared.tree()?.status()).await.ok()?.ok()
}

/// Whether the actors stand and answer. Before they are up, the process is starting, which is no fault.
///
/// # Errors
/// Why only a new start can help.
pub async fn liveness(shared: &Shared) -> Result<(), &'static str> {
    let Some(tree) = shared.tree() else {
        return Ok(());
    };
    match timeout(PATIENCE, tree.status()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_stopped)) => Err("the actors have stopped"),
        Err(_elapsed) => Err("the actors do not answer"),
    }
}

#[cfg(test)]
mod tests;
