//! `gleaner status`: is all well, and how far is the work. Its exit code can gate a deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use serde::Serialize;
use serde_json::{Map, Value};

use super::nodes::{self, OnNode};
use crate::areas;
use crate::config::Config;
use crate::console::table::{Table, age, cut, plain};
use crate::console::{FAILURE, Global, OK, print};
use crate::db::connect::Connector;
use crate::db::{DbError, locks, migrations};
use crate::store::node::Node;
use crate::store::overview::StatusCount;
use crate::store::schedule;
use crate::store::schedule::Scheduled;
use crate::store::{control, node, overview};
use crate::telemetry::chain;

/// All that the command knows.
#[derive(Debug, Default, Serialize)]
struct Report {
    healthy: bool,
    problems: Vec<String>,
    /// Who has locked rows or tables that the processes wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_by: Option<String>,
    database: Database,
    nodes: Vec<NodeReport>,
    workflows: Vec<WorkflowReport>,
    schedules: Vec<Scheduled>,
    /// What the areas add.
    #[serde(flatten)]
    areas: Map<String, Value>,
    /// The same in lines, where there is something to say.
    #[serde(skip)]
    told: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct Database {
    place: String,
    version: Option<String>,
    pending_migrations: Vec<String>,
}

#[derive(Debug, Serialize)]
struct NodeReport {
    id: i64,
    host: String,
    pid: i32,
    version: String,
    up_seconds: f64,
    seen_seconds: f64,
    state: &'static str,
    /// Keys of the configuration that wait for its next start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pending_restart: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct WorkflowReport {
    name: String,
    stage: String,
    counts: BTreeMap<String, i64>,
    due: i64,
    oldest_seconds: Option<f64>,
    last_completion_seconds: Option<f64>,
    paused: bool,
    enabled: bool,
    /// Its table is locked, so that its rows could not be counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    #[serde(skip)]
    stall_after: Duration,
    nodes: Vec<OnNode>,
}

/// The columns of the table, in the order of a row's life.
const STATUSES: [&str; 6] = [
    "Queued",
    "Processing",
    "Completed",
    "Filtered",
    "Error",
    "Cancelled",
];

/// Where rows are counted that were never asked for.
const NOT_ASKED: &str = "None";

pub(super) async fn run(global: &Global) -> anyhow::Result<u8> {
    let config = global.load()?;
    let connector = Connector::new(config.database.direct(), &config.database)?;
    let mut report = Report::default();
    report.database.place = connector.place();
    match connector.impatient().connect().await {
        Ok(mut connection) => match gather(&mut connection, &config, &mut report).await {
            Ok(()) => report.problems = problems(&report),
            Err(error) => report.problems.push(chain(&error)),
        },
        Err(error) => report.problems.push(chain(&error)),
    }
    report.healthy = report.problems.is_empty();
    if global.json {
        print(&serde_json::to_string_pretty(&report)?);
    } else {
        show(&report);
    }
    Ok(if report.healthy { OK } else { FAILURE })
}

async fn gather(
    connection: &mut AsyncPgConnection,
    config: &Config,
    report: &mut Report,
) -> Result<(), DbError> {
    report.database.version = Some(overview::server_version(connection).await?);
    report.database.pending_migrations = migrations::pending(connection).await?;
    if !report.database.pending_migrations.is_empty() {
        return Ok(());
    }
    let nodes = node::recent(connection).await?;
    let is_up = |node: &&Node| nodes::is_up(node, config.engine.gauges_interval);
    let up: Vec<&Node> = nodes.iter().filter(is_up).collect();
    report.nodes = nodes
        .iter()
        .map(|node| NodeReport {
            id: node.id,
            host: node.host.clone(),
            pid: node.pid,
            version: node.version.clone(),
            up_seconds: node.up_seconds,
            seen_seconds: node.seen_seconds,
            state: match (is_up(&node), nodes::is_draining(node)) {
                (true, false) => "up",
                (true, true) => "draining",
                (false, _) => "gone",
            },
            pending_restart: nodes::pending_restart(node),
        })
        .collect();
    let workflows = areas::in_force(config);
    report.locked_by = locks::named(&locks::holders(connection, &workflows.tables()).await?);
    report.schedules = schedule::all(connection).await?;
    let controls = control::all(connection).await?;
    let completions = overview::last_completions(connection).await?;
    let mut locked = BTreeSet::new();
    for workflow in &workflows {
        let stage = workflow.stage.name();
        let table = workflow.stage.table();
        let counted = match overview::counts(connection, &workflow.stage).await {
            Ok(counted) => counted,
            Err(error) if locks::is_locked(&error) => {
                locked.insert(table);
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        let queued = counted
            .iter()
            .find(|count| count.status.as_deref() == Some("Queued"));
        report.workflows.push(WorkflowReport {
            name: workflow.name.to_string(),
            due: queued.map_or(0, |count| count.due),
            oldest_seconds: queued.and_then(|count| count.oldest_seconds),
            last_completion_seconds: completions
                .iter()
                .find(|last| last.stage == stage)
                .map(|last| last.seconds),
            stage,
            counts: by_status(counted),
            locked: locked.contains(table),
            paused: controls
                .iter()
                .any(|control| *control.workflow == *workflow.name && control.paused),
            enabled: workflow.settings.enabled,
            stall_after: workflow.settings.stall_after,
            nodes: nodes::on_nodes(&up, &workflow.name),
        });
    }
    for part in areas::AREAS.iter().filter_map(|area| area.status) {
        match (part.look)(connection).await {
            Ok(values) => {
                report.told.extend((part.tell)(&values));
                let named = part.names.iter().map(|name| (*name).to_owned());
                report.areas.extend(named.zip(values));
            }
            Err(error) if locks::is_locked(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn by_status(counted: Vec<StatusCount>) -> BTreeMap<String, i64> {
    let mut counts: BTreeMap<String, i64> = STATUSES
        .iter()
        .map(|name| ((*name).to_owned(), 0))
        .collect();
    for count in counted {
        let name = count.status.unwrap_or_else(|| NOT_ASKED.to_owned());
        counts.insert(name, count.rows);
    }
    counts
}

/// What is wrong, in words; nothing when all is well. Paused and switched off are somebody's wish, not trouble.
fn problems(report: &Report) -> Vec<String> {
    let mut problems = Vec::new();
    let pending = &report.database.pending_migrations;
    if !pending.is_empty() {
        problems.push(format!(
            "the database lacks migrations ({}): run `gleaner migrate`",
            pending.join(", ")
        ));
        return problems;
    }
    if !report.nodes.iter().any(|node| node.state == "up") {
        problems.push("no process is running: start `gleaner run`".to_owned());
    }
    for workflow in report.workflows.iter().filter(|workflow| workflow.locked) {
        let by = report.locked_by.as_deref().unwrap_or("somebody");
        problems.push(format!("{}: its table is locked by {by}", workflow.name));
    }
    for workflow in &report.workflows {
        let queued = workflow.counts.get("Queued").copied().unwrap_or(0);
        for own in &workflow.nodes {
            let reason = own.reason.as_deref().unwrap_or("no reason given");
            let (name, node, reason) = (&workflow.name, own.node, plain(reason));
            match own.state.as_str() {
                word @ ("parked" | "stalled" | "restarting") => {
                    problems.push(format!("{name} is {word} on node {node}: {reason}"));
                }
                // It lacks its key, which is no trouble as long as nobody asks anything of it.
                "idle" if queued > 0 => problems.push(format!(
                    "{name} cannot start on node {node}, and rows queued: {queued}: {reason}"
                )),
                _ => {}
            }
        }
        problems.extend(backlog(workflow).map(|text| format!("{}: {text}", workflow.name)));
    }
    problems
}

/// Rows that wait although nothing keeps them waiting.
fn backlog(workflow: &WorkflowReport) -> Option<String> {
    let waited = workflow.oldest_seconds.filter(|_| workflow.due > 0)?;
    let stall = workflow.stall_after.as_secs_f64();
    let is_moving = workflow
        .last_completion_seconds
        .is_some_and(|last| last <= stall);
    if waited <= stall || is_moving || workflow.paused || !workflow.enabled {
        return None;
    }
    let last = match workflow.last_completion_seconds {
        Some(last) => format!("the last completion was {} ago", age(last)),
        None => "nothing was completed for a day".to_owned(),
    };
    Some(format!(
        "{} rows are due, the oldest for {}, and {last}",
        workflow.due,
        age(waited)
    ))
}

fn show(report: &Report) {
    let version = match &report.database.version {
        Some(version) => format!("PostgreSQL {version}"),
        None => "unreachable".to_owned(),
    };
    print(&format!("database  {} ({version})", report.database.place));
    if !report.nodes.is_empty() {
        print("");
        let mut table = Table::new(&[">node", "state", "host", ">pid", "version", ">up", ">seen"]);
        for node in &report.nodes {
            table.push(vec![
                node.id.to_string(),
                node.state.to_owned(),
                node.host.clone(),
                node.pid.to_string(),
                node.version.clone(),
                age(node.up_seconds),
                format!("{} ago", age(node.seen_seconds)),
            ]);
        }
        table.lines().iter().for_each(|line| print(line));
    }
    if !report.workflows.is_empty() {
        print("");
        let mut table = Table::new(&[
            "workflow",
            "state",
            ">queued",
            ">due",
            ">oldest",
            ">processing",
            ">completed",
            ">filtered",
            ">error",
            ">cancelled",
            ">last done",
        ]);
        for workflow in &report.workflows {
            let count = |status: &str| {
                workflow
                    .counts
                    .get(status)
                    .copied()
                    .unwrap_or(0)
                    .to_string()
            };
            let mut cells = vec![workflow.name.to_owned(), state(workflow), count("Queued")];
            cells.push(workflow.due.to_string());
            cells.push(workflow.oldest_seconds.map_or_else(dash, age));
            cells.extend(STATUSES.iter().skip(1).map(|status| count(status)));
            let last = workflow.last_completion_seconds;
            cells.push(last.map_or_else(dash, |last| format!("{} ago", age(last))));
            table.push(cells);
        }
        table.lines().iter().for_each(|line| print(line));
    }
    if !report.schedules.is_empty() {
        print("");
        let mut table = Table::new(&["schedule", ">next", ">last"]);
        for schedule in &report.schedules {
            let next = schedule.due_in_seconds;
            table.push(vec![
                schedule.name.clone(),
                if next > 0.0 {
                    format!("in {}", age(next))
                } else {
                    "due".to_owned()
                },
                schedule
                    .fired_seconds_ago
                    .map_or_else(dash, |ago| format!("{} ago", age(ago))),
            ]);
        }
        table.lines().iter().for_each(|line| print(line));
    }
    print("");
    for workflow in &report.workflows {
        let idle = workflow.nodes.iter().find(|own| own.state == "idle");
        if let Some(reason) = idle.and_then(|own| own.reason.as_deref()) {
            print(&format!("{} is idle: {}", workflow.name, plain(reason)));
        }
    }
    for workflow in &report.workflows {
        for own in workflow.nodes.iter().filter(|own| own.set_aside > 0) {
            let by = own.set_aside_by.as_deref().unwrap_or("somebody else");
            let (results, node) = (own.set_aside, own.node);
            print(&format!(
                "{}: {results} results set aside on node {node}, locked by {}",
                workflow.name,
                plain(by)
            ));
        }
    }
    for node in report.nodes.iter().filter(|node| node.state == "up") {
        if !node.pending_restart.is_empty() {
            let keys = node.pending_restart.join(", ");
            let keys = plain(&keys);
            print(&format!("node {} waits for a restart: {keys}", node.id));
        }
    }
    report.told.iter().for_each(|line| print(&plain(line)));
    if report.problems.is_empty() {
        print("healthy");
    }
    for problem in &report.problems {
        print(&format!("problem: {problem}"));
    }
}

fn dash() -> String {
    "-".to_owned()
}

/// The state in a word: the worst of the nodes', then what was asked for.
fn state(workflow: &WorkflowReport) -> String {
    const WORST_FIRST: [&str; 10] = [
        "parked",
        "stalled",
        "restarting",
        "idle",
        "starting",
        "draining",
        "running",
        "waiting",
        "paused",
        "disabled",
    ];
    let of_nodes = |word: &str| workflow.nodes.iter().any(|own| own.state == word);
    let worst = WORST_FIRST.iter().find(|word| of_nodes(word)).copied();
    let word = match worst {
        Some(word) if !workflow.paused => word,
        Some(word @ ("parked" | "stalled")) => word,
        _ if workflow.paused => "paused",
        _ if !workflow.enabled => "disabled",
        _ => "-",
    };
    cut(word, 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Report {
        Report {
            nodes: vec![NodeReport {
                pending_restart: Vec::new(),
                id: 1,
                host: "h".into(),
                pid: 1,
                version: "1".into(),
                up_seconds: 1.0,
                seen_seconds: 1.0,
                state: "up",
            }],
            workflows: vec![WorkflowReport {
                name: "deep-scan".to_owned(),
                enabled: true,
                stall_after: Duration::from_secs(300),
                nodes: vec![OnNode {
                    node: 1,
                    state: "waiting".into(),
                    reason: None,
                    in_flight: 0,
                    set_aside: 0,
                    set_aside_by: None,
                }],
                ..WorkflowReport::default()
            }],
            ..Report::default()
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Spoil = fn(&mut Report);
        let cases: [(&str, Spoil, Option<&str>); 13] = [
            ("all well", |_| {}, None),
            (
                "migrations",
                |report| report.database.pending_migrations = vec!["m".into()],
                Some("lacks migrations (m)"),
            ),
            ("nobody", |report| report.nodes.clear(), Some("no process")),
            (
                "gone",
                |report| report.nodes[0].state = "gone",
                Some("no process"),
            ),
            (
                "parked",
                |report| {
                    report.workflows[0].nodes[0].state = "parked".into();
                    report.workflows[0].nodes[0].reason = Some("no api_key".into());
                },
                Some("deep-scan is parked on node 1: no api_key"),
            ),
            (
                "without its key",
                |report| report.workflows[0].nodes[0].state = "idle".into(),
                None,
            ),
            (
                "without its key, and asked for",
                |report| {
                    report.workflows[0].nodes[0].state = "idle".into();
                    report.workflows[0].nodes[0].reason = Some("no api_key".into());
                    report.workflows[0].counts.insert("Queued".into(), 3);
                },
                Some("deep-scan cannot start on node 1, and rows queued: 3: no api_key"),
            ),
            (
                "paused",
                |report| report.workflows[0].nodes[0].state = "paused".into(),
                None,
            ),
            (
                "a locked table",
                |report| {
                    report.workflows[0].locked = true;
                    report.locked_by = Some("pid 7".into());
                },
                Some("deep-scan: its table is locked by pid 7"),
            ),
            ("young backlog", |report| backlog(report, 299.0, None), None),
            (
                "old backlog",
                |report| backlog(report, 301.0, None),
                Some("nothing was completed"),
            ),
            (
                "old backlog that moves",
                |report| backlog(report, 301.0, Some(4.0)),
                None,
            ),
            (
                "old backlog of a paused workflow",
                |report| {
                    backlog(report, 301.0, None);
                    report.workflows[0].paused = true;
                },
                None,
            ),
        ];
        fn backlog(report: &mut Report, oldest: f64, last: Option<f64>) {
            report.workflows[0].due = 5;
            report.workflows[0].oldest_seconds = Some(oldest);
            report.workflows[0].last_completion_seconds = last;
        }
        for (case, spoil, expected) in cases {
            let mut report = healthy();
            spoil(&mut report);
            let found = problems(&report);
            match expected {
                None => assert_eq!(found, Vec::<String>::new(), "{case}"),
                Some(text) => assert!(found.concat().contains(text), "{case}: {found:?}"),
            }
        }
    }
}
