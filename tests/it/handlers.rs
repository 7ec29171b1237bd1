//! Code of operators' as handlers: real processes, in real languages, and everything that can be wrong with one.

mod check;
mod clients;
mod http;
mod packages;
mod rogue;
mod surroundings;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use gleaner::handlers::command::Pool;
use gleaner::handlers::command::options::Options;
use gleaner::handlers::{Answer, Columns, Failure, Item, Runner as _};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::support::skip;

const GLEANER: &str = env!("CARGO_BIN_EXE_gleaner");

/// A program that tests need, if it is here.
fn tool(name: &str) -> Option<String> {
    let ran = Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if ran.is_ok_and(|status| status.success()) {
        return Some(name.to_owned());
    }
    skip(format!("there is no {name}"));
    None
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rogue_command(python: &str) -> Vec<String> {
    let script = root().join("tests/fixtures/handlers/rogue.py");
    vec![python.to_owned(), script.display().to_string()]
}

/// Handlers that do what each row says.
fn rogue_options() -> Option<Options> {
    let mut options = Options::of(rogue_command(&tool("python3")?));
    options.stop_timeout = Duration::from_secs(10);
    Some(options)
}

fn pool(options: Options) -> Pool {
    Pool::by("test", options, GLEANER)
}

fn item(key: impl Into<Value>, columns: &Value) -> Item {
    Item {
        key: key.into(),
        attempt: 1,
        columns: to_raw_value(columns).expect("JSON"),
        deadline: None,
        on_progress: None,
    }
}

/// Has a row worked: the columns that come of it.
async fn run(pool: &Pool, columns: Value) -> Result<Value, Failure> {
    match pool.run(item(1, &columns)).await? {
        Answer::Completed(columns) => Ok(told(&columns)),
        Answer::Filtered(reason, _) => Ok(json!({ "filtered": reason })),
    }
}

fn told(columns: &Columns) -> Value {
    let pairs = columns.iter();
    pairs
        .map(|(name, value)| {
            let value: Value = serde_json::from_str(value.get()).expect("JSON");
            (name.clone(), value)
        })
        .collect()
}

/// Whether a process is there and alive.
fn is_alive(pid: &Value) -> bool {
    let pid = pid.as_i64().expect("a number of a process");
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" Z"))
    })
}
