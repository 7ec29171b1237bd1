//! `gleaner stage`: any table as a stage.

mod add;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use diesel_async::AsyncPgConnection;
use serde_json::json;

use crate::areas;
use crate::console::table::{Table, plain};
use crate::console::{FAILURE, Global, Misuse, OK, complain, print};
use crate::db::connect::Connector;
use crate::db::{locks, migrations, sqlstate};
use crate::store::stage::catalogue::{self, CatalogueError, Listed};
use crate::store::stage::check::{self, Finding};
use crate::store::stage::steps;

/// Arguments of `gleaner stage`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a table a stage, or complete what an earlier run has begun. What is there already is kept.
    Add(add::Arguments),
    /// List the stages of this database.
    List,
    /// Check stages, and say what to do; exit code 1 when rows are not worked, or not rightly.
    Check {
        /// The table, as SQL writes it; all stages if there is none.
        table: Option<String>,
        /// The stage; all of the table if there is none.
        stage: Option<String>,
    },
    /// Take a stage off its table: the columns that it has added, with what they hold. Refused while rows are in hand.
    Drop {
        /// The table, as SQL writes it: billing.invoice, '"My Table"'.
        table: String,
        /// The stage.
        stage: String,
        /// Do it, rather than only say what would be dropped.
        #[arg(long, short)]
        yes: bool,
        /// Keep others waiting no longer than this.
        #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
        lock_timeout: Duration,
    },
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    match arguments.action {
        Action::Add(arguments) => add::run(global, arguments).await,
        Action::List => list(global).await,
        Action::Check { table, stage } => {
            check_all(global, table.as_deref(), stage.as_deref()).await
        }
        Action::Drop {
            table,
            stage,
            yes,
            lock_timeout,
        } => drop_stage(global, &table, &stage, yes, lock_timeout).await,
    }
}

/// A table or stage that is not there is the user's mistake.
pub(super) fn not_found(error: CatalogueError) -> anyhow::Error {
    match error {
        CatalogueError::NoTable { .. } | CatalogueError::NoStage { .. } => {
            Misuse(error.to_string()).into()
        }
        CatalogueError::Query(_) => error.into(),
    }
}

/// What the schema's functions refuse in their own words is the user's mistake, too.
fn refused(error: diesel::result::Error) -> anyhow::Error {
    match sqlstate::code(&error) {
        Some(sqlstate::RAISED | sqlstate::INSUFFICIENT_PRIVILEGE) => {
            Misuse(error.to_string()).into()
        }
        _ => error.into(),
    }
}

/// A connection that has time, past any pooler.
async fn connect(global: &Global) -> anyhow::Result<AsyncPgConnection> {
    let config = global.load()?;
    let connector = Connector::new(config.database.direct(), &config.database)?;
    let mut connection = connector.connect_patient().await?;
    migrations::require_current(&mut connection).await?;
    Ok(connection)
}

/// The workflow that works a stage, if this program has one.
fn workflow_of(name: &str) -> Option<&'static str> {
    let known = areas::workflows().iter();
    known
        .filter(|known| known.stage.name() == name)
        .map(|known| known.name)
        .next()
}

async fn list(global: &Global) -> anyhow::Result<u8> {
    let mut connection = crate::console::connect(&global.load()?).await?;
    let stages = catalogue::all(&mut connection).await?;
    if global.json {
        let all: Vec<_> = stages
            .iter()
            .map(|own| {
                json!({ "stage": own.name, "schema": own.schema_name, "table": own.table_name, "column_group": own.stage,
                    "key": own.key_columns, "key_types": own.key_types, "has_handle": own.has_handle, "added": own.added,
                    "partitioned": own.is_partitioned, "workflow": workflow_of(&own.name) })
            })
            .collect();
        print(&serde_json::to_string_pretty(&json!({ "stages": all }))?);
        return Ok(OK);
    }
    if stages.is_empty() {
        print("no table is a stage");
        return Ok(OK);
    }
    let mut table = Table::new(&["stage", "key", "known by", "workflow"]);
    for own in &stages {
        let stage = own.stage();
        table.push(vec![
            own.name.clone(),
            format!("{} {}", stage.key().form(), own.key_types.join(", ")),
            stage.key().column().to_owned(),
            workflow_of(&own.name).unwrap_or("-").to_owned(),
        ]);
    }
    table.lines().iter().for_each(|line| print(line));
    Ok(OK)
}

/// The stages that are meant.
async fn chosen(
    connection: &mut AsyncPgConnection,
    table: Option<&str>,
    stage: Option<&str>,
) -> anyhow::Result<Vec<Listed>> {
    let Some(table) = table else {
        return Ok(catalogue::all(connection).await?);
    };
    if let Some(stage) = stage {
        let found = catalogue::find(connection, table, stage).await;
        return Ok(vec![found.map_err(not_found)?]);
    }
    let found = catalogue::table(connection, table)
        .await
        .map_err(not_found)?;
    let all = catalogue::of_table(connection, &found).await?;
    if all.is_empty() {
        return Err(Misuse(format!("table {} is no stage", found.label)).into());
    }
    Ok(all)
}

async fn check_all(
    global: &Global,
    table: Option<&str>,
    stage: Option<&str>,
) -> anyhow::Result<u8> {
    let mut connection = crate::console::connect(&global.load()?).await?;
    let mut all: Vec<(Listed, Vec<Finding>)> = Vec::new();
    for listed in chosen(&mut connection, table, stage).await? {
        let findings = check::findings(&mut connection, &listed).await?;
        all.push((listed, findings));
    }
    let is_failed = all
        .iter()
        .flat_map(|(_, own)| own)
        .any(|own| own.is_failure);
    if global.json {
        let stages: Vec<_> = all
            .iter()
            .map(|(listed, findings)| json!({ "stage": listed.name, "findings": findings }))
            .collect();
        let answer = json!({ "healthy": !is_failed, "stages": stages });
        print(&serde_json::to_string_pretty(&answer)?);
    } else {
        for (listed, findings) in &all {
            if findings.is_empty() {
                print(&format!("ok    {}", plain(&listed.name)));
            }
            for finding in findings {
                let grade = if finding.is_failure { "FAIL" } else { "warn" };
                print(&format!(
                    "{grade}  {}: {}\n        -> {}",
                    plain(&listed.name),
                    plain(&finding.found),
                    plain(&finding.advice)
                ));
            }
        }
    }
    Ok(if is_failed { FAILURE } else { OK })
}

async fn drop_stage(
    global: &Global,
    table: &str,
    stage: &str,
    yes: bool,
    patience: Duration,
) -> anyhow::Result<u8> {
    let mut connection = connect(global).await?;
    let listed = catalogue::find(&mut connection, table, stage)
        .await
        .map_err(not_found)?;
    let found = catalogue::table(&mut connection, table)
        .await
        .map_err(not_found)?;
    let question = format!(
        "drop the stage {} with {}, and what they hold",
        listed.name,
        if listed.added.is_empty() {
            "no column".to_owned()
        } else {
            listed.added.join(", ")
        }
    );
    let is_confirmed = yes || (!global.json && confirm(&question)?);
    if is_confirmed {
        if !steps::reserve(&mut connection, &found).await? {
            anyhow::bail!(
                "another process makes or drops a stage of {} right now",
                found.label
            );
        }
        let statement = format!(
            "SELECT gleaner_drop_stage({}::oid, {})",
            found.oid,
            crate::db::names::literal(stage)
        );
        match steps::run_briefly(&mut connection, &[&statement], patience).await {
            Err(error) if locks::is_locked(&error) => {
                let users = locks::users(&mut connection, &found.label).await?;
                let by = locks::named(&users).unwrap_or_else(|| "somebody".to_owned());
                anyhow::bail!("{} is in use by {by}: nothing was dropped", found.label);
            }
            done => done.map_err(refused)?,
        }
    }
    if global.json {
        print(
            &json!({ "stage": listed.name, "columns": listed.added, "done": is_confirmed })
                .to_string(),
        );
    } else if is_confirmed {
        print(&format!("dropped {}", listed.name));
    } else {
        print(&format!("{question}: nothing changed"));
        complain("add --yes to do it");
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
