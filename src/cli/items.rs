//! `gleaner items`: the rows of a workflow, one by one or by filter.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};

use crate::console::table::{Table, age, cut, plain};
use crate::console::{FAILURE, Global, Misuse, OK, complain, print};
use crate::db::connect::Connector;
use crate::db::migrations;
use crate::store::items::{Filter, Items, ItemsError, Status};
use crate::store::stage::{Stage, catalogue};
use crate::workflows::Known;

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
        /// The workflow, or a stage as TABLE/STAGE.
        workflow: String,
        /// Key of the row; of several columns as (A,B).
        #[arg(allow_hyphen_values = true, required_unless_present = "item")]
        key: Option<String>,
        /// The row of this number, by which logs and the history know it.
        #[arg(long, value_name = "N", conflicts_with = "key")]
        item: Option<i64>,
    },
}

#[derive(Clone, Debug, Args)]
struct Selection {
    /// The workflow, or a stage as TABLE/STAGE.
    workflow: String,
    /// Rows with this status; may be repeated.
    #[arg(long, value_parser = statuses(), ignore_case = true, value_delimiter = ',')]
    status: Vec<Status>,
    /// The row with this key; may be repeated. A key of several columns is written as (A,B).
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    id: Vec<String>,
    /// The row of this number, by which logs and the history know it; may be repeated.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    item: Vec<i64>,
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
    fn filter(&self, stage: &Stage, limit: Option<u32>) -> Result<Filter, Misuse> {
        let (mut ids, keys) = named(stage, &self.id)?;
        ids.extend(&self.item);
        Ok(Filter {
            statuses: self.status.clone(),
            ids,
            keys,
            error: self.error.clone(),
            older_than: self.older_than,
            user_status: self.where_status.clone(),
            domain: self.domain.as_deref().map(canonical),
            url_contains: self.url_contains.clone(),
            limit: limit.map(i64::from),
        })
    }
}

/// Rows that somebody has named, by their numbers or by other keys.
fn named(stage: &Stage, texts: &[String]) -> Result<(Vec<i64>, Vec<String>), Misuse> {
    let key = stage.key();
    let texts = texts.iter().flat_map(|text| {
        let comma = if key.has_no_commas() { ',' } else { '\0' };
        text.split(comma)
    });
    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    for text in texts {
        let parsed = if key.has_handle() {
            key.parsed(text, stage.table()).map(|own| keys.push(own))
        } else {
            key.number_of(text, stage.table()).map(|id| ids.push(id))
        };
        parsed.map_err(|error| Misuse(error.to_string()))?;
    }
    Ok((ids, keys))
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
            Self::Retry
                if filter.statuses.is_empty()
                    && filter.ids.is_empty()
                    && filter.keys.is_empty() =>
            {
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
        Action::Show {
            workflow,
            key,
            item,
        } => show(global, &workflow, key.as_deref(), item).await,
    }
}

/// A filter that the table cannot serve is the user's mistake.
fn misuse(error: ItemsError) -> anyhow::Error {
    match error {
        ItemsError::NoColumn { .. } | ItemsError::BadKey { .. } => Misuse(error.to_string()).into(),
        ItemsError::Query(_) => error.into(),
    }
}

async fn list(global: &Global, selection: &Selection, limit: u32) -> anyhow::Result<u8> {
    let asked = Asked::by(&selection.workflow)?;
    let mut connection = crate::console::connect(&global.load()?).await?;
    let (name, stage) = asked.found(&mut connection).await?;
    let items = Items::of(&mut connection, &stage).await?;
    let mut filter = selection.filter(&stage, Some(limit))?;
    let found = items.list(&mut connection, &filter).await.map_err(misuse)?;
    filter.limit = None;
    let matching = items
        .count(&mut connection, &filter)
        .await
        .map_err(misuse)?;
    if global.json {
        let answer = json!({ "workflow": name, "matching": matching, "items": found });
        print(&serde_json::to_string_pretty(&answer)?);
        return Ok(OK);
    }
    if !found.is_empty() {
        let is_number = !stage.key().has_handle();
        let mut table = Table::new(&[
            if is_number { ">id" } else { "key" },
            "status",
            ">attempts",
            ">due",
            ">changed",
            "what",
            "error",
        ]);
        for item in &found {
            table.push(vec![
                item.key.clone(),
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
    let asked = Asked::by(&selection.workflow)?;
    let config = global.load()?;
    let connector = Connector::new(config.database.direct(), &config.database)?;
    // A million rows take longer than a statement of ours usually may.
    let mut connection = connector.connect_patient().await?;
    migrations::require_current(&mut connection).await?;
    let (name, stage) = asked.found(&mut connection).await?;
    let mut filter = selection.filter(&stage, change.limit)?;
    filter.statuses = verb.statuses(&filter)?;
    let items = Items::of(&mut connection, &stage).await?;
    let matching = items
        .count(&mut connection, &filter)
        .await
        .map_err(misuse)?;
    let question = format!(
        "{} {matching} rows of {name}{}",
        verb.name(),
        if name == stage.name() {
            String::new()
        } else {
            format!(" ({})", stage.name())
        }
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
            &json!({ "workflow": name, "verb": verb.name(), "matching": matching,
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

/// Whose rows are meant: a workflow's, or those of a stage that the database is asked for.
enum Asked<'a> {
    Workflow(&'static Known),
    Stage { table: &'a str, stage: &'a str },
}

impl<'a> Asked<'a> {
    /// What a name means. A stage's own has no slash, a table's may.
    fn by(name: &'a str) -> Result<Self, Misuse> {
        match (super::workflow(name), name.rsplit_once('/')) {
            (Ok(workflow), _) => Ok(Self::Workflow(workflow)),
            (Err(_no_workflow), Some((table, stage))) => Ok(Self::Stage { table, stage }),
            (Err(no_workflow), None) => Err(no_workflow),
        }
    }

    /// Its name, and the stage.
    async fn found(&self, connection: &mut AsyncPgConnection) -> anyhow::Result<(String, Stage)> {
        match self {
            Self::Workflow(workflow) => Ok((workflow.name.to_owned(), workflow.stage.clone())),
            Self::Stage { table, stage } => {
                let listed = catalogue::find(connection, table, stage)
                    .await
                    .map_err(super::stage::not_found)?;
                let stage = listed.stage();
                Ok((stage.name(), stage))
            }
        }
    }
}

async fn show(
    global: &Global,
    workflow: &str,
    key: Option<&str>,
    item: Option<i64>,
) -> anyhow::Result<u8> {
    let asked = Asked::by(workflow)?;
    let mut connection = crate::console::connect(&global.load()?).await?;
    let (name, stage) = asked.found(&mut connection).await?;
    let items = Items::of(&mut connection, &stage).await?;
    let one: Vec<String> = key.map(str::to_owned).into_iter().collect();
    let (mut ids, keys) = named(&stage, &one)?;
    ids.extend(item);
    let filter = Filter {
        ids,
        keys,
        ..Filter::default()
    };
    let whole = items
        .whole(&mut connection, &filter)
        .await
        .map_err(misuse)?;
    let Some(whole) = whole else {
        let asked = item.map_or_else(
            || key.unwrap_or_default().to_owned(),
            |item| item.to_string(),
        );
        complain(&format!("{} has no row {asked}", stage.table()));
        return Ok(FAILURE);
    };
    let attempts = match whole.id {
        Some(id) => items.attempts(&mut connection, id, MOST_ATTEMPTS).await?,
        // Never asked for.
        None => Vec::new(),
    };
    if global.json {
        let answer = json!({ "workflow": name, "id": whole.id, "key": whole.key, "row": whole.columns,
            "holder": whole.holder, "lease_ends_in_seconds": whole.lease_ends_in_seconds,
            "attempts": attempts });
        print(&serde_json::to_string_pretty(&answer)?);
        return Ok(OK);
    }
    let prefix = format!("{}_", stage.column_group());
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
