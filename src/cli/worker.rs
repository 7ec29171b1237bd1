//! `gleaner worker`: for those who write handlers.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::console::table::plain;
use crate::console::{FAILURE, Global, Misuse, OK, print};
use crate::handlers::command::check::{Finding, Grade, Plan, examine};
use crate::handlers::command::options::Options;
use crate::secret::Secret;
use crate::settings::Options as _;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a handler, talk to it, and say what it does not do as docs/handlers.md has it; exit code 1 when there is something.
    Check(Check),
}

#[derive(Debug, Args)]
struct Check {
    /// A row to give it, as a JSON object of columns; may be given several times.
    #[arg(long = "row", value_name = "JSON", value_parser = row)]
    rows: Vec<Map<String, Value>>,
    /// How many items it is offered at once.
    #[arg(long, value_name = "N", default_value_t = 4)]
    in_flight: u32,
    /// How many items it is offered in a batch.
    #[arg(long, value_name = "N", default_value_t = 10)]
    batch: u32,
    /// How long an answer may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// How long it may take from its start to its hello.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    start_timeout: Duration,
    /// How long it may take to leave.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    stop_timeout: Duration,
    /// A variable of its environment; may be given several times.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Its working directory.
    #[arg(long, value_name = "FOLDER")]
    cwd: Option<PathBuf>,
    /// The command, behind --.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn row(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON object: {error}"))
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not of the form NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let Command::Check(check) = arguments.command;
    let mut options = Options::of(check.command);
    options.in_flight = check.in_flight;
    options.batch = check.batch;
    options.timeout = check.timeout;
    options.start_timeout = check.start_timeout;
    options.stop_timeout = check.stop_timeout;
    let variables = check.variables.into_iter();
    options.env = variables
        .map(|(name, value)| (name, Secret::new(&value)))
        .collect();
    options.cwd = check.cwd.map(std::path::absolute).transpose()?;
    options
        .check()
        .map_err(|(key, problem)| Misuse(format!("{key}: {problem}")))?;
    let plan = Plan {
        options,
        gleaner: PathBuf::from("/proc/self/exe"),
        rows: check.rows,
    };
    let findings = examine(&plan).await;
    let is_failed = findings
        .iter()
        .any(|finding| finding.outcome == Grade::Fail);
    if global.json {
        let answer = serde_json::json!({ "conforms": !is_failed, "checks": findings });
        print(&serde_json::to_string_pretty(&answer)?);
    } else {
        show(&findings);
    }
    Ok(if is_failed { FAILURE } else { OK })
}

fn show(findings: &[Finding]) {
    let width = findings.iter().map(|finding| finding.name.len()).max();
    let width = width.unwrap_or_default();
    for finding in findings {
        let word = match finding.outcome {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        };
        let found = plain(&finding.found);
        print(&format!("{word:4}  {:width$}  {found}", finding.name));
        if let Some(advice) = finding.advice {
            print(&format!("{:4}  {:width$}  -> {advice}", "", ""));
        }
    }
}
