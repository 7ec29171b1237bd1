//! The document at `/api/v1/status`: everything the dashboard shows, at a cost that does not depend on the data.
//!
//! The actors' own figures are fresh at every request. What comes from the database (other nodes, recent failures, sizes of
//! tables) is looked up at most every few seconds, however many look; when the database is away, the last look stays, with
//! its age. Queue lengths are those of the gauges' ticker: nothing is counted for a request.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diesel::QueryResult;
use gleaner_actors::TreeStatus;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::{State, StatusPart};
use crate::app::state::Shared;
use crate::config::Change;
use crate::db::estimate;
use crate::health::{self, Readiness};
use crate::store::attempt;
use crate::store::attempt::FailureGroup;
use crate::store::node;
use crate::store::node::Node;
use crate::store::stage::Gauge;
use crate::telemetry::chain;
use crate::upkeep::QUEUE_COUNT_BOUND;
use crate::workflows::InForce;

/// The database is looked at no more often than this.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// It must answer within this.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `GET /api/v1/status` answers.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Identity of this run of the process.
    pub node: i64,
    /// Version of the program.
    pub version: &'static str,
    /// What `/health/ready` answers.
    pub readiness: Readiness,
    /// The actors of this process. All times are ages in milliseconds, all counts are since the process started.
    pub tree: Option<TreeStatus>,
    /// Each workflow's queue, over all nodes, as last counted.
    pub queues: BTreeMap<String, Gauge>,
    /// Queues are counted no further than this.
    pub queue_count_bound: i64,
    /// The workflows in the order of the pipeline, and what each works on.
    pub flow: Vec<Step>,
    /// How long ago the database was looked at for what follows, in milliseconds; null if never with success.
    pub looked_ms_ago: Option<u64>,
    /// The tables of the pipeline, and about how many rows each has.
    pub tables: Vec<Entity>,
    /// Processes that run, or were seen within the last hour and did not stop in good order.
    pub nodes: Vec<NodeSummary>,
    /// Failures of the last hour by stage and class, the newest thousand at most.
    pub failures: Vec<FailureGroup>,
    /// Keys of the configuration that were changed in the file and wait for the next start.
    pub pending: Vec<Change>,
    /// What the areas add.
    #[serde(flatten)]
    pub areas: Map<String, Value>,
}

/// A workflow's place in the pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The workflow.
    pub workflow: String,
    /// The table whose rows it works.
    pub table: String,
    /// The stage, as `table/stage`.
    pub stage: String,
    /// The table that takes what it finds, where a pipeline ends with it.
    pub ends_in: Option<String>,
}

/// A table of the pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct Entity {
    /// The table.
    pub table: String,
    /// About how many rows it has.
    pub rows: i64,
}

/// A process, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeSummary {
    /// Its identity.
    pub id: i64,
    /// The host it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: i32,
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub up_seconds: f64,
    /// Seconds since it last reported.
    pub seen_seconds: f64,
    /// Whether it holds a lease that stands.
    pub alive: bool,
    /// Whether it is on its way down.
    pub draining: bool,
    /// Items it was running when it last reported.
    pub in_flight: u64,
    /// Items it had completed since it started.
    pub completed: u64,
    /// Its workflows that were parked or stalled.
    pub troubled: Vec<String>,
}

impl NodeSummary {
    /// Reads the report of a process, which may be of another version: what is not there counts as nothing.
    fn of(node: Node) -> Self {
        let status = node.status.unwrap_or_default();
        let none = Vec::new();
        let reported = status
            .get("workflows")
            .and_then(Value::as_array)
            .unwrap_or(&none);
        let sum = |field: &str| {
            reported
                .iter()
                .filter_map(|workflow| workflow.get(field)?.as_u64())
                .sum()
        };
        let troubled = reported
            .iter()
            .filter(|workflow| {
                matches!(
                    workflow.get("state").and_then(Value::as_str),
                    Some("parked" | "stalled")
                )
            })
            .filter_map(|workflow| Some(workflow.get("name")?.as_str()?.to_owned()))
            .collect();
        Self {
            draining: status.get("draining").and_then(Value::as_bool) == Some(true),
            in_flight: sum("in_flight"),
            completed: sum("completed"),
            troubled,
            id: node.id,
            host: node.host,
            pid: node.pid,
            version: node.version,
            up_seconds: node.up_seconds,
            seen_seconds: node.seen_seconds,
            alive: node.alive,
        }
    }
}

/// What the database told.
#[derive(Clone, Debug, Default)]
struct View {
    tables: Vec<Entity>,
    nodes: Vec<NodeSummary>,
    failures: Vec<FailureGroup>,
    areas: Map<String, Value>,
}

/// The last look at the database.
#[derive(Debug, Default)]
struct Look {
    tried_at: Option<Instant>,
    succeeded_at: Option<Instant>,
    view: View,
}

/// What is known of other nodes and of the data, kept between requests.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    look: Mutex<Look>,
}

impl Surroundings {
    async fn get(&self, shared: &Shared, parts: &[StatusPart]) -> (Option<Duration>, View) {
        // Held while looking: those who come meanwhile see the same.
        let mut look = self.look.lock().await;
        if look.tried_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            let seen = timeout(PATIENCE, see(shared, parts)).await;
            // After it, so that a database that is away does not hold up every request.
            look.tried_at = Some(Instant::now());
            match seen {
                Ok(Some(view)) => {
                    look.view = view;
                    look.succeeded_at = look.tried_at;
                }
                Ok(None) => {}
                Err(_elapsed) => debug!("the database did not answer the status page in time"),
            }
        }
        (look.succeeded_at.map(|at| at.elapsed()), look.view.clone())
    }
}

/// The tables that workflows claim from, and those that only take results.
fn tables(workflows: &InForce) -> Vec<&str> {
    let tables: BTreeSet<&str> = workflows
        .iter()
        .flat_map(|known| [Some(known.stage.table()), known.ends_in.as_deref()])
        .flatten()
        .collect();
    tables.into_iter().collect()
}

async fn see(shared: &Shared, parts: &[StatusPart]) -> Option<View> {
    let mut connection = match shared.pool.get().await {
        Ok(connection) => connection,
        Err(error) => {
            debug!(error = %chain(&error), "no connection for the status page");
            return None;
        }
    };
    let seen: QueryResult<View> = async {
        let workflows = shared.workflows.get();
        let sizes = estimate::table_sizes(&mut connection, &tables(&workflows)).await?;
        let nodes = node::recent(&mut connection).await?;
        let failures = attempt::recent_failures(&mut connection).await?;
        let mut areas = Map::new();
        for part in parts {
            let values = (part.look)(&mut connection).await?;
            areas.extend(part.names.iter().map(|name| (*name).to_owned()).zip(values));
        }
        Ok(View {
            tables: sizes
                .into_iter()
                .map(|size| Entity {
                    table: size.table,
                    rows: size.rows,
                })
                .collect(),
            nodes: nodes.into_iter().map(NodeSummary::of).collect(),
            failures,
            areas,
        })
    }
    .await;
    seen.inspect_err(|error| debug!(error = %chain(error), "the status page cannot look"))
        .ok()
}

/// Puts the document together.
pub(super) async fn gather(state: &State) -> Status {
    let shared = &state.shared;
    let (tree, database, (looked, view)) = tokio::join!(
        health::tree_status(shared),
        state.probe.look(&shared.pool),
        state.surroundings.get(shared, &state.parts.status),
    );
    let locked_by = state.probe.who_locks(shared, tree.as_ref()).await;
    let queues = shared.queues();
    let flow = shared
        .workflows
        .get()
        .iter()
        .map(|known| Step {
            workflow: known.name.to_string(),
            table: known.stage.table().to_owned(),
            stage: known.stage.name(),
            ends_in: known.ends_in.as_deref().map(str::to_owned),
        })
        .collect();
    Status {
        node: shared.node,
        version: env!("CARGO_PKG_VERSION"),
        readiness: health::judged(shared, tree.as_ref(), database, locked_by),
        tree,
        queues: queues
            .into_iter()
            .map(|(name, gauge)| (name.to_string(), gauge))
            .collect(),
        queue_count_bound: QUEUE_COUNT_BOUND,
        flow,
        looked_ms_ago: looked.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        tables: view.tables,
        nodes: view.nodes,
        failures: view.failures,
        pending: shared.pending.get().as_ref().clone(),
        areas: view.areas,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(status: Option<Value>) -> Node {
        Node {
            id: 7,
            host: "a".to_owned(),
            pid: 1,
            version: "0.0.1".to_owned(),
            up_seconds: 1.0,
            seen_seconds: 2.0,
            alive: true,
            status,
        }
    }

    #[test]
    fn a_report_is_summed_up_whatever_its_version() {
        let report = json!({
            "draining": true,
            "workflows": [
                { "name": "x", "state": "parked", "in_flight": 2, "completed": 3 },
                { "name": "y", "state": "running", "in_flight": 1, "completed": 4 },
                { "state": "stalled", "in_flight": "many" },
            ],
        });
        let summary = NodeSummary::of(node(Some(report)));
        assert_eq!(
            (summary.in_flight, summary.completed, summary.draining),
            (3, 7, true)
        );
        assert_eq!(summary.troubled, ["x"]);
        for strange in [None, Some(json!([1, 2])), Some(json!({ "workflows": 3 }))] {
            assert_eq!(NodeSummary::of(node(strange)).completed, 0);
        }
    }
}
