//! `gleaner schedules`: what fires by itself, and what is asked of it. The requests are rows, so every node follows them.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use diesel_async::AsyncPgConnection;
use nix::unistd::{Uid, User, gethostname};
use serde_json::json;

use super::nodes;
use crate::config::Config;
use crate::console::table::{Table, age, plain};
use crate::console::{FAILURE, Global, Misuse, OK, complain, print};
use crate::db::DbError;
use crate::db::connect::Connector;
use crate::store::node;
use crate::store::schedule::check;
use crate::store::schedule::definition::Defined;
use crate::store::schedule::state;
use crate::store::schedule::view::{self, Firing, View};

/// Times to come that `show` shows.
const UPCOMING: usize = 5;

/// Arguments of `gleaner schedules`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Name all schedules, with their next time and what became of the last one.
    List,
    /// Show one schedule: what it does, its next times, its last firings.
    Show {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Firings to show.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(i64).range(0..=1_000))]
        firings: i64,
    },
    /// Fire once, at once, also while it is paused.
    RunNow(Names),
    /// Let times pass without a firing; one under way goes on. Holds until resumed, across restarts.
    Pause(Names),
    /// Fire again, from the next time on.
    Resume(Names),
}

#[derive(Clone, Debug, Args)]
struct Names {
    /// Names of schedules.
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// All schedules.
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut connection = crate::console::connect(&config).await?;
    let connection: &mut AsyncPgConnection = &mut connection;
    let defined = config.schedules.defined();
    let all: Vec<&Defined> = defined.iter().collect();
    let views = view::views(connection, &all).await?;
    match arguments.action {
        Action::List => list(global, &views),
        Action::Show { name, firings } => {
            let view = find(&views, &name)?;
            let firings = view::firings(connection, &name, firings).await?;
            let now = state::now(connection).await?;
            let own = defined.iter().find(|own| own.name == name);
            let upcoming = own.map_or_else(Vec::new, |own| view.upcoming(own, now, UPCOMING));
            show(global, &config, view, &upcoming, &firings)
        }
        Action::RunNow(names) => {
            let names = names.resolve(&views)?;
            if let Some(off) = names
                .iter()
                .find(|name| defined.iter().all(|own| own.name != **name))
            {
                let told = format!(
                    "the schedule \"{off}\" is not in this configuration, or not enabled: nobody would fire it"
                );
                return Err(Misuse(told).into());
            }
            state::request_run(connection, &names, &by()).await?;
            asked(global, &config, connection, "run-now", &names).await
        }
        Action::Pause(names) => {
            let names = names.resolve(&views)?;
            state::set_paused(connection, &names, true, &by()).await?;
            asked(global, &config, connection, "pause", &names).await
        }
        Action::Resume(names) => {
            let names = names.resolve(&views)?;
            state::set_paused(connection, &names, false, &by()).await?;
            asked(global, &config, connection, "resume", &names).await
        }
    }
}

impl Names {
    /// The schedules meant, each once and all of them known.
    fn resolve<'a>(&self, views: &'a [View]) -> Result<Vec<&'a str>, Misuse> {
        if self.all {
            return Ok(views.iter().map(|view| view.name.as_str()).collect());
        }
        let mut resolved = Vec::new();
        for name in &self.names {
            let known = find(views, name)?.name.as_str();
            if !resolved.contains(&known) {
                resolved.push(known);
            }
        }
        Ok(resolved)
    }
}

fn find<'a>(views: &'a [View], name: &str) -> Result<&'a View, Misuse> {
    views.iter().find(|view| view.name == name).ok_or_else(|| {
        let known: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
        let known = if known.is_empty() {
            "there are none: write them into the configuration as [schedules.NAME]".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        Misuse(format!("no schedule is called \"{name}\"; {known}"))
    })
}

/// Who asks: the user of this machine.
fn by() -> String {
    let user = User::from_uid(Uid::current()).ok().flatten();
    let user = user.map_or_else(|| Uid::current().to_string(), |user| user.name);
    let host = gethostname().ok().and_then(|name| name.into_string().ok());
    match host {
        Some(host) => format!("{user}@{host}"),
        None => user,
    }
}

async fn asked(
    global: &Global,
    config: &Config,
    connection: &mut AsyncPgConnection,
    asked: &str,
    names: &[&str],
) -> anyhow::Result<u8> {
    let up = node::recent(connection)
        .await?
        .iter()
        .filter(|node| nodes::is_up(node, config.engine.gauges_interval))
        .count();
    if global.json {
        print(&json!({ "asked": asked, "schedules": names, "nodes": up }).to_string());
        return Ok(OK);
    }
    for name in names {
        print(&format!(
            "{asked} {name}: asked of {up} running process{}",
            if up == 1 { "" } else { "es" }
        ));
    }
    if up == 0 {
        complain("no process is running; it holds for those that start");
    }
    Ok(OK)
}

/// What keeps schedules from firing as the database is, by key: as far as that can be told without firing them.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn problems(
    config: &Config,
    defined: &[Defined],
) -> Result<Vec<(String, String)>, DbError> {
    let connector = Connector::new(config.database.direct(), &config.database)?;
    let mut connection = connector.connect().await?;
    let client = connector.raw().await?;
    let mut problems = Vec::new();
    for own in defined {
        if let Some((key, told)) = check::problem(&mut connection, &client, own).await? {
            problems.push((format!("schedules.{}.{key}", own.name), told));
        }
    }
    Ok(problems)
}

fn instant(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "-".to_owned(),
        |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}

fn took(elapsed_ms: Option<i64>) -> String {
    let millis = elapsed_ms.and_then(|millis| u64::try_from(millis).ok());
    millis.map_or_else(
        || "-".to_owned(),
        |millis| humantime::format_duration(std::time::Duration::from_millis(millis)).to_string(),
    )
}

/// When it fires next, or why it does not.
fn next(view: &View) -> String {
    if view.running_since.is_some() {
        return "running".to_owned();
    }
    if !view.is_configured {
        return "not configured".to_owned();
    }
    if view.paused {
        return "paused".to_owned();
    }
    match view.next_in_seconds {
        Some(seconds) if seconds > 0.0 => format!("in {}", age(seconds)),
        Some(seconds) => format!("due for {}", age(-seconds)),
        None if view.rule.is_empty() => "-".to_owned(),
        None => "once a process runs".to_owned(),
    }
}

fn list(global: &Global, views: &[View]) -> anyhow::Result<u8> {
    if global.json {
        print(&serde_json::to_string_pretty(
            &json!({ "schedules": views }),
        )?);
        return Ok(OK);
    }
    if views.is_empty() {
        print("no schedules; write them into the configuration as [schedules.NAME]");
        return Ok(OK);
    }
    let mut table = Table::new(&[
        "schedule",
        "rule",
        "does",
        "next",
        "last",
        "outcome",
        ">took",
        ">rows",
        ">missed",
        "paused by",
    ]);
    for view in views {
        table.push(vec![
            view.name.clone(),
            view.rule.clone(),
            view.action.to_owned(),
            next(view),
            instant(view.last_fired_at),
            view.last_outcome.clone().unwrap_or_else(|| "-".to_owned()),
            took(view.last_elapsed_ms),
            view.last_rows
                .map_or_else(|| "-".to_owned(), |rows| rows.to_string()),
            view.missed.to_string(),
            match (&view.paused_by, view.paused_at) {
                (Some(by), at) if view.paused => format!("{by} {}", instant(at)),
                _ => "-".to_owned(),
            },
        ]);
    }
    table.lines().iter().for_each(|line| print(line));
    for view in views {
        if let Some(error) = &view.last_error {
            print(&format!("{}: {}", view.name, plain(error)));
        }
    }
    Ok(OK)
}

fn show(
    global: &Global,
    config: &Config,
    view: &View,
    upcoming: &[DateTime<Utc>],
    firings: &[Firing],
) -> anyhow::Result<u8> {
    let definition = config.schedules.get(&view.name);
    if global.json {
        let shown = json!({
            "schedule": view, "definition": definition, "upcoming": upcoming, "firings": firings,
        });
        print(&serde_json::to_string_pretty(&shown)?);
        return Ok(OK);
    }
    print(&format!("{}: {}", view.name, next(view)));
    match definition {
        Some(definition) => print(toml::to_string(definition)?.trim_end()),
        None => print("not in this configuration"),
    }
    if let (true, Some(by)) = (view.paused, &view.paused_by) {
        print(&format!(
            "paused by {} {}",
            plain(by),
            instant(view.paused_at)
        ));
    }
    if let Some(since) = view.running_since {
        print(&format!("running since {}", instant(Some(since))));
    }
    print(&format!("missed: {}", view.missed));
    if !upcoming.is_empty() {
        print("");
        print("next times");
        for time in upcoming {
            print(&instant(Some(*time)));
        }
    }
    if firings.is_empty() {
        return Ok(OK);
    }
    print("");
    let mut table = Table::new(&[
        "fired for",
        "cause",
        "started",
        "outcome",
        ">took",
        ">rows",
        ">missed",
        ">node",
        "error",
    ]);
    for firing in firings {
        let elapsed = (firing.ended_at - firing.started_at).num_milliseconds();
        table.push(vec![
            instant(Some(firing.due_at)),
            firing.cause.clone(),
            instant(Some(firing.started_at)),
            firing.outcome.clone(),
            took(Some(elapsed)),
            firing
                .rows
                .map_or_else(|| "-".to_owned(), |rows| rows.to_string()),
            firing.missed.to_string(),
            firing
                .fired_by
                .map_or_else(|| "-".to_owned(), |node| node.to_string()),
            firing.error.clone().unwrap_or_default(),
        ]);
    }
    table.lines().iter().for_each(|line| print(line));
    let is_failed = view.last_outcome.as_deref() == Some("failed");
    Ok(if is_failed { FAILURE } else { OK })
}
