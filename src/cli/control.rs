//! `gleaner workflows`: what is asked of workflows. The requests are rows, so every node follows them.

use clap::{Args, Subcommand};
use diesel_async::AsyncPgConnection;
use serde_json::json;

use super::nodes;
use crate::areas;
use crate::console::table::{Table, age};
use crate::console::{Global, Misuse, OK, complain, print};
use crate::store::node::Node;
use crate::store::{control, node};
use crate::workflows::InForce;

/// Arguments of `gleaner workflows`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Name all workflows, with their stage, state and queue.
    List,
    /// Stop claiming; rows in hand are finished. Holds until resumed, across restarts.
    Pause(Names),
    /// Claim again after a pause.
    Resume(Names),
    /// Claim now, without waiting for the interval.
    RunNow(Names),
    /// Start a parked workflow again.
    Unpark(Names),
}

#[derive(Clone, Debug, Args)]
struct Names {
    /// Names of workflows.
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// All workflows.
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

impl Names {
    /// The workflows meant, each once and all of them known.
    fn resolve<'a>(&self, workflows: &'a InForce) -> Result<Vec<&'a str>, Misuse> {
        if self.all {
            return Ok(workflows.iter().map(|workflow| &*workflow.name).collect());
        }
        let mut resolved = Vec::new();
        for name in &self.names {
            let known = super::workflow(workflows, name)?;
            if !resolved.contains(&&*known.name) {
                resolved.push(&*known.name);
            }
        }
        Ok(resolved)
    }
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let (asked, names) = match &arguments.action {
        Action::List => return list(global).await,
        Action::Pause(names) => ("pause", names),
        Action::Resume(names) => ("resume", names),
        Action::RunNow(names) => ("run-now", names),
        Action::Unpark(names) => ("unpark", names),
    };
    let config = global.load()?;
    let workflows = areas::in_force(&config);
    let names = names.resolve(&workflows)?;
    let mut connection = crate::console::connect(&config).await?;
    match arguments.action {
        Action::List => {}
        Action::Pause(_) => control::set_paused(&mut connection, &names, true).await?,
        Action::Resume(_) => control::set_paused(&mut connection, &names, false).await?,
        Action::RunNow(_) => control::request_run(&mut connection, &names).await?,
        Action::Unpark(_) => control::request_unpark(&mut connection, &names).await?,
    }
    let up = node::recent(&mut connection)
        .await?
        .iter()
        .filter(|node| nodes::is_up(node, config.engine.gauges_interval))
        .count();
    if global.json {
        print(&json!({ "asked": asked, "workflows": names, "nodes": up }).to_string());
        return Ok(OK);
    }
    for name in &names {
        print(&format!(
            "{asked} {name}: asked of {up} running process{}",
            if up == 1 { "" } else { "es" }
        ));
    }
    if up == 0 {
        complain(match arguments.action {
            Action::Pause(_) | Action::Resume(_) => {
                "no process is running; it holds for those that start"
            }
            _ => "no process is running, so nobody follows this",
        });
    }
    Ok(OK)
}

async fn list(global: &Global) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut connection = crate::console::connect(&config).await?;
    let connection: &mut AsyncPgConnection = &mut connection;
    let nodes = node::recent(connection).await?;
    let up: Vec<&Node> = nodes
        .iter()
        .filter(|node| nodes::is_up(node, config.engine.gauges_interval))
        .collect();
    let controls = control::all(connection).await?;
    let mut table = Table::new(&[
        "workflow", "stage", "enabled", "paused", ">queued", ">due", ">oldest", ">in hand",
        "on nodes",
    ]);
    let mut rows = Vec::new();
    for workflow in &areas::in_force(&config) {
        let gauge = workflow.stage.gauge(connection, i64::MAX).await?;
        let own = nodes::on_nodes(&up, &workflow.name);
        let is_enabled = workflow.settings.enabled;
        let is_paused = controls
            .iter()
            .any(|control| *control.workflow == *workflow.name && control.paused);
        let states: Vec<String> = own
            .iter()
            .map(|own| format!("{}:{}", own.node, own.state))
            .collect();
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        table.push(vec![
            workflow.name.to_string(),
            workflow.stage.name(),
            yes(is_enabled),
            yes(is_paused),
            gauge.queued.to_string(),
            gauge.due.to_string(),
            gauge.oldest_seconds.map_or_else(|| "-".to_owned(), age),
            gauge.held.to_string(),
            if states.is_empty() {
                "-".to_owned()
            } else {
                states.join(" ")
            },
        ]);
        rows.push(json!({
            "name": &*workflow.name, "stage": workflow.stage.name(), "enabled": is_enabled,
            "paused": is_paused, "queue": gauge, "nodes": own,
        }));
    }
    if global.json {
        print(&serde_json::to_string_pretty(
            &json!({ "workflows": rows }),
        )?);
    } else {
        table.lines().iter().for_each(|line| print(line));
    }
    Ok(OK)
}
