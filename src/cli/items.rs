//! `gleaner items`: the rows of a workflow, one by one or by filter.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::areas;
use crate::console::table::{Table, age, cut, plain};
use crate::console::{FAILURE, Global, Misuse, OK, complain, print};
use crate::db::connect::Connector;
use crate::db::migrations;
use crate::store::items::{Filter, Items, ItemsError, Status};

/// Arguments of `gleaner items`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List rows, last changed first.
    List {
        /// Which rows.
        #[command(flatten)]
        selection: Selection,
        /// No more than this many rows.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Queue rows again with fresh attempts; those in Error, unless --status or --id says otherwise. A row in hand runs again
    /// after.
    Retry {
        /// Which rows.
        #[command(flatten)]
        selection: Selection,
        /// How to go about it.
        #[command(flatten)]
        change: Change,
    },
    /// Call rows off that are Queued or Processing. The result of a row in hand is dropped.
    Cancel {
        /// Which rows.
        #[command(flatten)]
        selection: Selection,
        /// How to go about it.
        #[command(flatten)]
        change: Change,
    },
    /// Show one row and what became of every attempt at it.
    Show {
        /// The workflow.
        workflow: String,
        /// Key of the row.
        #[arg(allow_negative_numbers = true)]
        id: i64,
    },
}

#[derive(Clone, Debug, Args)]
struct Selection {
    /// The workflow.
    workflow: String,
    /// Rows with this status; may be repeated.
    #[arg(long, value_parser = statuses(), ignore_case = true, value_delimiter = ',')]
    status: Vec<Status>,
    /// The row with this key; may be repeated.
    #[arg(
        long,
        value_name = "ID",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    id: Vec<i64>,
    /// Rows whose last error contains this text.
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Rows that have not changed for this long, such as 90s, 2h or 3d.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    /// Rows of which a person made this: New, Selected, Maybe, "Not a Fit" or Archived.
    #[arg(long, value_name = "STATUS")]
    where_status: Option<String>,
    /// Rows of this host, or of this registrable domain and all its hosts.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Rows whose address contains this text.
    #[arg(long, value_name = "TEXT")]
    url_contains: Option<String>,
}

fn statuses() -> impl TypedValueParser<Value = Status> {
    PossibleValuesParser::new(Status::ALL.map(Status::as_str))
        .try_map(|name| Status::named(&name).ok_or("no such status"))
}

#[derive(Clone, Debug, Args)]
struct Change {
    /// Change no more than this many rows, lowest keys first.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Do it, rather than only count the rows.
    #[arg(long, short)]
    yes: bool,
}

impl Selection {
    fn filter(&self, limit: Option<u32>) -> Filter {
        Filter {
            statuses: self.status.clone(),
            ids: self.id.clone(),
            error: self.error.clone(),
            older_than: self.older_than,
            user_status: self.where_status.clone(),
            domain: self.domain.as_deref().map(canonical),
            url_contains: self.url_contains.clone(),
            limit: limit.map(i64::from),
        }
    }
}

/// The host as the domain table has it; as given where it is none.
fn canonical(name: &str) -> String {
    match gleaner_extract::domain::site(name) {
        Ok(site) => site.host,
        Err(_not_a_site) => name.to_lowercase(),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Retry,
    Cancel,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    /// The statuses meant when none is given, and a refusal of those that make no sense.
    fn statuses(self, filter: &Filter) -> Result<Vec<Status>, Misuse> {
        const IN_WORK: [Status; 2] = [Status::Queued, Status::Processing];
        match self {
            Self::Retry if filter.statuses.is_empty() && filter.ids.is_empty() => {
                Ok(vec![Status::Error])
            }
            Self::Retry => Ok(filter.statuses.clone()),
            Self::Cancel if filter.statuses.is_empty() => Ok(IN_WORK.to_vec()),
            Self::Cancel
                if filter
                    .statuses
                    .iter()
                    .all(|status| IN_WORK.contains(status)) =>
            {
                Ok(filter.statuses.clone())
            }
            Self::Cancel => Err(Misuse(
                "only rows that are Queued or Processing can be cancelled".to_owned(),
            )),
        }
    }
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    match arguments.action {
        Action::List { selection, limit } => list(global, &selection, limit).await,
        Action::Retry { selection, change } => {
            Box::pin(change_rows(global, Verb::Retry, &selection, &change)).await
        }
        Action::Cancel { selection, change } => {
            Box::pin(change_rows(global, Verb::Cancel, &selection, &change)).await
        }
        Action::Show { workflow, id } => show(global, &workflow, id).await,
    }
}

/// A filter that the table cannot serve is the user's mistake.
fn misuse(error: ItemsError) -> anyhow::Error {
    match error {
        ItemsError::NoColumn { .. } => Misuse(error.to_string()).into(),
        ItemsError::Query(_) => error.into(),
    }
}

async fn list(global: &Global, selection: &Selection, limit: u32) -> anyhow::Result<u8> {
    let config = global.load()?;
    let workflows = areas::in_force(&config);
    let workflow = super::workflow(&workflows, &selection.workflow)?;
    let mut connection = crate::console::connect(&config).await?;
    let items = Items::of(&mut connection, &workflow.stage).await?;
    let mut filter = selection.filter(Some(limit));
    let found = items.list(&mut connection, &filter).await.map_err(misuse)?;
    filter.limit = None;
    let matching = items
        .count(&mut connection, &filter)
        .await
        .map_err(misuse)?;
    if global.json {
        let answer = json!({ "workflow": &*workflow.name, "matching": matching, "items": found });
        print(&serde_json::to_string_pretty(&answer)?);
        return Ok(OK);
    }
    if !found.is_empty() {
        let mut table = Table::new(&[
            ">id",
            "status",
            ">attempts",
            ">due",
            ">changed",
            "what",
            "error",
        ]);
        for item in &found {
            table.push(vec![
                item.id.to_string(),
                item.status.clone().unwrap_or_else(dash),
                item.attempts.to_string(),
                due(item.status.as_deref(), item.due_in_seconds),
                item.changed_seconds
                    .map_or_else(dash, |seconds| format!("{} ago", age(seconds))),
                cut(item.label.as_deref().unwrap_or("-"), 60),
                cut(item.error.as_deref().unwrap_or_default(), 100),
            ]);
        }
        table.lines().iter().for_each(|line| print(line));
    }
    print(&format!("{} of {matching} rows", found.len()));
    Ok(OK)
}

fn dash() -> String {
    "-".to_owned()
}

fn due(status: Option<&str>, seconds: Option<f64>) -> String {
    match (status, seconds) {
        (Some("Queued"), Some(seconds)) if seconds <= 0.0 => "now".to_owned(),
        (Some("Queued"), Some(seconds)) => format!("in {}", age(seconds)),
        (Some("Processing"), Some(_)) => "again after".to_owned(),
        _ => dash(),
    }
}

async fn change_rows(
    global: &Global,
    verb: Verb,
    selection: &Selection,
    change: &Change,
) -> anyhow::Result<u8> {
    let config = global.load()?;
    let workflows = areas::in_force(&config);
    let workflow = super::workflow(&workflows, &selection.workflow)?;
    let mut filter = selection.filter(change.limit);
    filter.statuses = verb.statuses(&filter)?;
    let connector = Connector::new(config.database.direct(), &config.database)?;
    // A million rows take longer than a statement of ours usually may.
    let mut connection = connector.connect_patient().await?;
    migrations::require_current(&mut connection).await?;
    let items = Items::of(&mut connection, &workflow.stage).await?;
    let matching = items
        .count(&mut connection, &filter)
        .await
        .map_err(misuse)?;
    let question = format!(
        "{} {matching} rows of {} ({})",
        verb.name(),
        workflow.name,
        workflow.stage.name()
    );
    let is_confirmed = matching > 0 && (change.yes || (!global.json && confirm(&question)?));
    let changed = if is_confirmed {
        let done = match verb {
            Verb::Retry => items.retry(&mut connection, &filter).await,
            Verb::Cancel => items.cancel(&mut connection, &filter).await,
        };
        done.map_err(misuse)?
    } else {
        0
    };
    if global.json {
        print(
            &json!({ "workflow": &*workflow.name, "verb": verb.name(), "matching": matching,
                "changed": changed, "done": is_confirmed })
            .to_string(),
        );
    } else if is_confirmed {
        print(&format!("{question}: {changed} changed"));
    } else {
        print(&format!("{question}: nothing changed"));
        if matching > 0 {
            complain("add --yes to do it");
        }
    }
    Ok(OK)
}

/// Asks on a terminal; elsewhere there is nobody to ask, which is a no.
#[expect(clippy::print_stderr, reason = "the command line's own voice")]
fn confirm(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    eprint!("{question}? [y/N] ");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

/// Attempts shown of one row.
const MOST_ATTEMPTS: i64 = 1_000;

async fn show(global: &Global, workflow: &str, id: i64) -> anyhow::Result<u8> {
    let config = global.load()?;
    let workflows = areas::in_force(&config);
    let workflow = super::workflow(&workflows, workflow)?;
    let mut connection = crate::console::connect(&config).await?;
    let items = Items::of(&mut connection, &workflow.stage).await?;
    let Some(whole) = items.whole(&mut connection, id).await? else {
        complain(&format!("{} has no row {id}", workflow.stage.table()));
        return Ok(FAILURE);
    };
    let attempts = items.attempts(&mut connection, id, MOST_ATTEMPTS).await?;
    if global.json {
        let answer = json!({ "workflow": &*workflow.name, "id": id, "row": whole.columns,
            "holder": whole.holder, "lease_ends_in_seconds": whole.lease_ends_in_seconds,
            "attempts": attempts });
        print(&serde_json::to_string_pretty(&answer)?);
        return Ok(OK);
    }
    let prefix = format!("{}_", workflow.stage.column_group());
    let mut table = Table::new(&["column", "value"]);
    let mut push = |name: &str, value: &Value| match value {
        Value::Null => {}
        Value::String(text) => table.push(vec![name.to_owned(), cut(text, 300)]),
        other => table.push(vec![name.to_owned(), cut(&other.to_string(), 300)]),
    };
    let columns = whole.columns.as_object().into_iter().flatten();
    let (own, rest): (Vec<_>, Vec<_>) = columns.partition(|(name, _)| name.starts_with(&prefix));
    for (name, value) in own.into_iter().chain(rest) {
        push(name, value);
    }
    table.lines().iter().for_each(|line| print(line));
    if let (Some(holder), Some(seconds)) = (&whole.holder, whole.lease_ends_in_seconds) {
        let until = if seconds > 0.0 {
            format!("for {} more", age(seconds))
        } else {
            format!("until {} ago", age(-seconds))
        };
        print(&format!("in hand of node {}, {until}", plain(holder)));
    }
    print("");
    if attempts.is_empty() {
        print("no attempts in the history");
        return Ok(OK);
    }
    let mut table = Table::new(&["ended", ">attempt", "outcome", "class", ">took", "message"]);
    for attempt in &attempts {
        table.push(vec![
            attempt.settled_at.clone(),
            attempt.attempt.to_string(),
            attempt.outcome.clone(),
            attempt.class.clone().unwrap_or_else(dash),
            attempt
                .elapsed_ms
                .map_or_else(dash, |ms| format!("{ms} ms")),
            cut(attempt.message.as_deref().unwrap_or_default(), 200),
        ]);
    }
    table.lines().iter().for_each(|line| print(line));
    Ok(OK)
}
