//! Every metric: its name, what it counts, and the engine's events turned into it.
//!
//! Names are `gleaner_<noun>_<unit>[_total]`; labels come from closed sets only, never a host or an id. What a pipeline counts
//! stands in its own `metrics.rs`; nothing else in the program calls the `metrics` macros.

#![expect(clippy::disallowed_macros, reason = "this is the one place that may")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use gleaner_actors::port::PortError;
use gleaner_actors::{Event, Member, Observer, Tick};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

const ITEMS_CLAIMED: &str = "gleaner_items_claimed_total";
const ITEMS_SETTLED: &str = "gleaner_items_settled_total";
const ITEM_RUN_SECONDS: &str = "gleaner_item_run_seconds";
const CLAIM_SECONDS: &str = "gleaner_claim_seconds";
const SETTLE_SECONDS: &str = "gleaner_settle_seconds";
const STALE_WRITES: &str = "gleaner_stale_writes_rejected_total";
const ITEMS_RESCUED: &str = "gleaner_items_rescued_total";
const ITEMS_QUARANTINED: &str = "gleaner_items_quarantined_total";
const ACTOR_RESTARTS: &str = "gleaner_actor_restarts_total";
const WORKFLOW_PARKED: &str = "gleaner_workflow_parked";
const WORKFLOW_STALLS: &str = "gleaner_workflow_stalls_total";
const LEASES_LOST: &str = "gleaner_leases_lost_total";
const LEASES_HELD: &str = "gleaner_leases_held";
const HEARTBEAT_SECONDS: &str = "gleaner_heartbeat_seconds";
const HEARTBEAT_FAILURES: &str = "gleaner_heartbeat_failures_total";
const STORE_OUTAGES: &str = "gleaner_store_outages_total";
const HELPER_RUN_SECONDS: &str = "gleaner_helper_run_seconds";
const HELPER_FAILURES: &str = "gleaner_helper_failures_total";
const ITEMS_QUEUED: &str = "gleaner_items_queued";
const ITEMS_DUE: &str = "gleaner_items_due";
const ITEMS_IN_HAND: &str = "gleaner_items_in_hand";
const ITEMS_IN_FLIGHT: &str = "gleaner_items_in_flight";
const ITEMS_SET_ASIDE: &str = "gleaner_items_set_aside";
const OLDEST_QUEUED_SECONDS: &str = "gleaner_oldest_queued_seconds";
const CONFIG_RELOADS: &str = "gleaner_config_reloads_total";
const CONFIG_PENDING: &str = "gleaner_config_pending_restart";
const POOL_CONNECTIONS: &str = "gleaner_db_pool_connections";
const POOL_WAITING: &str = "gleaner_db_pool_waiting";
const READY: &str = "gleaner_ready";
const WORKFLOW_HEALTHY: &str = "gleaner_workflow_healthy";
const FETCH_TURNS: &str = "gleaner_fetch_turns_total";
const REDIS_UP: &str = "gleaner_redis_up";
const PAGES_RENDERED: &str = "gleaner_pages_rendered_total";
const RENDER_FAILURES: &str = "gleaner_render_failures_total";
const RENDER_SECONDS: &str = "gleaner_render_seconds";
const BROWSER_STARTS: &str = "gleaner_browser_starts_total";
const BROWSER_ENDS: &str = "gleaner_browser_ends_total";
const BROWSER_MEMORY: &str = "gleaner_browser_memory_bytes";
const HTTP_REQUEST_SECONDS: &str = "gleaner_http_request_seconds";
const HTTP_TURNED_AWAY: &str = "gleaner_http_turned_away_total";
const BUILD_INFO: &str = "gleaner_build_info";

/// Bounds of the duration histograms, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// Starts collecting. To be called once, before anything is measured; the handle renders what `/metrics` shows.
///
/// # Errors
/// When the process collects already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = builder()?.install_recorder()?;
    describe();
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
}

fn describe() {
    describe_counter!(ITEMS_CLAIMED, "Items claimed.");
    describe_counter!(ITEMS_SETTLED, "Items settled, by outcome.");
    describe_histogram!(ITEM_RUN_SECONDS, "Time one item ran, by outcome.");
    describe_histogram!(CLAIM_SECONDS, "Time of one claim.");
    describe_histogram!(SETTLE_SECONDS, "Time of one settled batch.");
    describe_counter!(
        STALE_WRITES,
        "Results dropped because the item was no longer ours."
    );
    describe_counter!(
        ITEMS_RESCUED,
        "Items taken back after their lease had ended."
    );
    describe_counter!(
        ITEMS_QUARANTINED,
        "Items put to Error because their worker died at every attempt."
    );
    describe_counter!(ACTOR_RESTARTS, "Restarts of an actor after a death.");
    describe_gauge!(WORKFLOW_PARKED, "1 while a workflow is parked.");
    describe_counter!(
        WORKFLOW_STALLS,
        "Workflows found with a backlog and no progress."
    );
    describe_counter!(LEASES_LOST, "Leases lost, with the items under them.");
    describe_gauge!(LEASES_HELD, "Leases this process holds.");
    describe_histogram!(HEARTBEAT_SECONDS, "Time of one heartbeat.");
    describe_counter!(
        HEARTBEAT_FAILURES,
        "Heartbeats the database did not answer."
    );
    describe_counter!(
        STORE_OUTAGES,
        "Times the database began to fail a workflow."
    );
    describe_histogram!(HELPER_RUN_SECONDS, "Time of one run of a ticker.");
    describe_counter!(HELPER_FAILURES, "Failed runs of a ticker or service.");
    describe_gauge!(ITEMS_QUEUED, "Items queued, counted up to a bound.");
    describe_gauge!(ITEMS_DUE, "Of these, items due now.");
    describe_gauge!(ITEMS_IN_HAND, "Items in Processing on any node.");
    describe_gauge!(ITEMS_IN_FLIGHT, "Items this process is running.");
    describe_gauge!(
        ITEMS_SET_ASIDE,
        "Items whose results somebody else's lock keeps this process from recording."
    );
    describe_gauge!(
        OLDEST_QUEUED_SECONDS,
        "How long the oldest due item has waited."
    );
    describe_counter!(CONFIG_RELOADS, "Reloads of the configuration, by result.");
    describe_gauge!(
        CONFIG_PENDING,
        "Keys of the configuration that were changed in the file and wait for the next start."
    );
    describe_gauge!(POOL_CONNECTIONS, "Connections of the pool, by state.");
    describe_gauge!(POOL_WAITING, "Callers waiting for a connection.");
    describe_gauge!(
        READY,
        "1 while /health/ready says that all is well; judged when the metrics are read."
    );
    describe_gauge!(
        WORKFLOW_HEALTHY,
        "1 while nothing is wrong with a workflow, 0 while it is parked, stalled or makes no progress."
    );
    describe_counter!(
        FETCH_TURNS,
        "Turns at a host where hosts' timetables are shared through Redis, by whether Redis gave them or the process alone."
    );
    describe_gauge!(
        REDIS_UP,
        "1 while Redis answers, 0 while it does not; absent where none is configured."
    );
    describe_counter!(PAGES_RENDERED, "Pages whose scripts the browser has run.");
    describe_counter!(
        RENDER_FAILURES,
        "Pages that the browser could not render, by kind."
    );
    describe_histogram!(
        RENDER_SECONDS,
        "Time to render one page, after it was fetched."
    );
    describe_counter!(BROWSER_STARTS, "Browsers started.");
    describe_counter!(BROWSER_ENDS, "Browsers ended, by reason.");
    describe_gauge!(
        BROWSER_MEMORY,
        "What the browser's processes take in memory; 0 while there is none."
    );
    describe_histogram!(
        HTTP_REQUEST_SECONDS,
        "Time of requests until the answer began, by what their route is about, method, and class of the answer's status; gone: the client hung up before."
    );
    describe_counter!(
        HTTP_TURNED_AWAY,
        "Connections for which there was no place, by what was done: another was hung up on for it, only health was answered, or it was refused."
    );
    describe_gauge!(BUILD_INFO, "1, with the version of the program.");
}

/// Who gave a request its turn at a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// The timetable that all processes share.
    Shared,
    /// The process alone, because that one did not answer.
    Alone,
}

/// Counts a turn at a host, where timetables are shared.
pub fn fetch_turn(pacing: Pacing) {
    let pacing = match pacing {
        Pacing::Shared => "shared",
        Pacing::Alone => "alone",
    };
    counter!(FETCH_TURNS, "pacing" => pacing).increment(1);
}

/// Whether Redis answers.
pub fn redis_up(is_up: bool) {
    gauge!(REDIS_UP).set(if is_up { 1.0 } else { 0.0 });
}

pub fn page_rendered(elapsed: Duration) {
    counter!(PAGES_RENDERED).increment(1);
    histogram!(RENDER_SECONDS).record(elapsed);
}

/// A page could not be rendered; `kind` is the class of the error.
pub fn render_failed(kind: &'static str) {
    counter!(RENDER_FAILURES, "kind" => kind).increment(1);
}

pub fn browser_started() {
    counter!(BROWSER_STARTS).increment(1);
}

/// A browser and all its processes are gone.
pub fn browser_ended(reason: &'static str) {
    counter!(BROWSER_ENDS, "reason" => reason).increment(1);
    gauge!(BROWSER_MEMORY).set(0.0);
}

/// What the browser takes, in bytes.
pub fn browser_memory(bytes: u64) {
    // To the KiB, which a float holds exactly.
    gauge!(BROWSER_MEMORY).set(f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) * 1024.0);
}

/// A request was answered, or nobody waits for its answer any more. All but the time are of closed sets.
pub fn http_answered(route: String, method: &'static str, status: &'static str, took: Duration) {
    histogram!(HTTP_REQUEST_SECONDS, "route" => route, "method" => method, "status" => status)
        .record(took);
}

/// What was done about a connection for which there was no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// It got that of a connection that had only waited.
    HungUp,
    /// It got one in which only health checks are answered.
    Spared,
    /// It was hung up on.
    Refused,
}

/// Counts a connection for which there was no place.
pub fn turned_away(done: TurnedAway) {
    let done = match done {
        TurnedAway::HungUp => "hung_up",
        TurnedAway::Spared => "spared",
        TurnedAway::Refused => "refused",
    };
    counter!(HTTP_TURNED_AWAY, "done" => done).increment(1);
}

/// Turns the engine's events into metrics.
pub struct EngineMetrics;

impl Observer for EngineMetrics {
    fn observe(&self, event: Event<'_>) {
        match event {
            Event::Claimed {
                workflow,
                items,
                elapsed,
            } => {
                counter!(ITEMS_CLAIMED, "workflow" => workflow.to_owned()).increment(whole(items));
                histogram!(CLAIM_SECONDS, "workflow" => workflow.to_owned()).record(elapsed);
            }
            Event::ItemRun {
                workflow,
                outcome,
                elapsed,
            } => {
                histogram!(ITEM_RUN_SECONDS, "workflow" => workflow.to_owned(), "outcome" => outcome)
                    .record(elapsed);
            }
            Event::Settled {
                workflow,
                report,
                elapsed,
            } => {
                for (outcome, items) in [
                    ("completed", report.completed),
                    ("filtered", report.filtered),
                    ("retried", report.retried),
                    ("snoozed", report.snoozed),
                    ("failed", report.failed),
                    ("released", report.released),
                ] {
                    counter!(ITEMS_SETTLED, "workflow" => workflow.to_owned(), "outcome" => outcome)
                        .increment(items);
                }
                counter!(STALE_WRITES, "workflow" => workflow.to_owned()).increment(report.stale);
                histogram!(SETTLE_SECONDS, "workflow" => workflow.to_owned()).record(elapsed);
            }
            Event::StoreTrouble { workflow, .. } => {
                counter!(STORE_OUTAGES, "workflow" => workflow.to_owned()).increment(1);
            }
            Event::LeaseLost { workflow, .. } => {
                counter!(LEASES_LOST, "workflow" => workflow.to_owned()).increment(1);
            }
            Event::ActorRestarted { workflow, .. } => {
                counter!(ACTOR_RESTARTS, "workflow" => workflow.to_owned()).increment(1);
            }
            Event::Parked { workflow, .. } => {
                gauge!(WORKFLOW_PARKED, "workflow" => workflow.to_owned()).set(1.0);
            }
            Event::Unparked { workflow } => {
                gauge!(WORKFLOW_PARKED, "workflow" => workflow.to_owned()).set(0.0);
            }
            Event::Stalled { workflow, .. } => {
                counter!(WORKFLOW_STALLS, "workflow" => workflow.to_owned()).increment(1);
            }
            Event::Heartbeat {
                ok,
                leases,
                elapsed,
            } => {
                gauge!(LEASES_HELD).set(real(leases));
                histogram!(HEARTBEAT_SECONDS).record(elapsed);
                counter!(HEARTBEAT_FAILURES).increment(u64::from(!ok));
            }
            Event::HelperRun { name, ok, elapsed } => {
                histogram!(HELPER_RUN_SECONDS, "helper" => name.to_owned()).record(elapsed);
                counter!(HELPER_FAILURES, "helper" => name.to_owned()).increment(u64::from(!ok));
            }
            // StoreRecovered and LeaseOpened are in the log; the enum may grow.
            _ => {}
        }
    }
}

/// Shows the counters of the program and of these workflows from the start, at zero, so that a rate over them is right from the first
/// event.
pub fn announce<'a>(workflows: impl Iterator<Item = &'a str>) {
    for done in ["hung_up", "spared", "refused"] {
        counter!(HTTP_TURNED_AWAY, "done" => done).increment(0);
    }
    workflows.for_each(announce_workflow);
    for result in ["applied", "unchanged", "rejected"] {
        counter!(CONFIG_RELOADS, "result" => result).increment(0);
    }
    gauge!(CONFIG_PENDING).set(0.0);
    counter!(HEARTBEAT_FAILURES).increment(0);
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Shows a workflow's counters from its start. Those of one that was there before go on.
pub fn announce_workflow(workflow: &str) {
    for outcome in [
        "completed",
        "filtered",
        "retried",
        "snoozed",
        "failed",
        "released",
    ] {
        counter!(ITEMS_SETTLED, "workflow" => workflow.to_owned(), "outcome" => outcome)
            .increment(0);
    }
    for name in [
        ITEMS_CLAIMED,
        STALE_WRITES,
        ITEMS_RESCUED,
        ITEMS_QUARANTINED,
        ACTOR_RESTARTS,
        WORKFLOW_STALLS,
        LEASES_LOST,
        STORE_OUTAGES,
    ] {
        counter!(name, "workflow" => workflow.to_owned()).increment(0);
    }
    gauge!(WORKFLOW_PARKED, "workflow" => workflow.to_owned()).set(0.0);
}

/// A workflow that is gone: nothing is queued for it, in hand, or wrong with it, as far as this process knows. What it has done stays
/// counted.
pub fn forget(workflow: &str) {
    queue(workflow, 0, 0, 0, None);
    in_flight(workflow, 0);
    set_aside(workflow, 0);
    workflow_healthy(workflow, true);
    gauge!(WORKFLOW_PARKED, "workflow" => workflow.to_owned()).set(0.0);
}

/// Items taken back by a rescue, and those of them that were given up.
pub fn rescued(workflow: &str, items: u64, quarantined: u64) {
    counter!(ITEMS_RESCUED, "workflow" => workflow.to_owned()).increment(items);
    counter!(ITEMS_QUARANTINED, "workflow" => workflow.to_owned()).increment(quarantined);
}

/// The state of a queue, from the gauges' ticker.
pub fn queue(workflow: &str, queued: i64, due: i64, held: i64, oldest: Option<f64>) {
    gauge!(ITEMS_QUEUED, "workflow" => workflow.to_owned()).set(signed(queued));
    gauge!(ITEMS_DUE, "workflow" => workflow.to_owned()).set(signed(due));
    gauge!(ITEMS_IN_HAND, "workflow" => workflow.to_owned()).set(signed(held));
    gauge!(OLDEST_QUEUED_SECONDS, "workflow" => workflow.to_owned()).set(oldest.unwrap_or(0.0));
}

/// Items this process is running.
pub fn in_flight(workflow: &str, items: usize) {
    gauge!(ITEMS_IN_FLIGHT, "workflow" => workflow.to_owned()).set(real(items));
}

/// Items whose results wait for somebody else's lock.
pub fn set_aside(workflow: &str, items: usize) {
    gauge!(ITEMS_SET_ASIDE, "workflow" => workflow.to_owned()).set(real(items));
}

/// A reload of the configuration: `applied`, `unchanged` or `rejected`.
pub fn config_reloaded(result: &'static str) {
    counter!(CONFIG_RELOADS, "result" => result).increment(1);
}

/// How many keys were changed in the file and wait for the next start.
pub fn config_pending(keys: usize) {
    gauge!(CONFIG_PENDING).set(real(keys));
}

/// The state of the connection pool.
pub fn pool(open: usize, idle: usize, waiting: usize) {
    gauge!(POOL_CONNECTIONS, "state" => "open").set(real(open));
    gauge!(POOL_CONNECTIONS, "state" => "idle").set(real(idle));
    gauge!(POOL_WAITING).set(real(waiting));
}

/// A count.
pub(crate) fn whole(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A count as a float; counts of this size are exact in one.
pub(crate) fn real(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn signed(number: i64) -> f64 {
    f64::from(i32::try_from(number).unwrap_or(i32::MAX))
}

/// Whether this process is ready.
pub fn ready(is_ready: bool) {
    gauge!(READY).set(f64::from(u8::from(is_ready)));
}

/// Whether nothing is wrong with a workflow.
pub fn workflow_healthy(workflow: &str, is_healthy: bool) {
    gauge!(WORKFLOW_HEALTHY, "workflow" => workflow.to_owned())
        .set(f64::from(u8::from(is_healthy)));
}

/// How often samples are put into the histograms' buckets. Until then they are kept one by one.
const TIDY_INTERVAL: Duration = Duration::from_secs(5);

/// The ticker that puts samples into buckets, so that a process that nobody asks for its metrics does not grow.
#[must_use]
pub fn tidier(handle: PrometheusHandle) -> Member {
    Member::ticker("metrics", TIDY_INTERVAL, Arc::new(Tidier(handle)))
}

struct Tidier(PrometheusHandle);

impl Tick for Tidier {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        self.0.run_upkeep();
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests;
