//! The command line, as its users meet it: the real binary, on a database of its own.

mod doctor;
mod extract;
mod help;
mod items;
mod stage;
mod status;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::TestDatabase;

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// What it printed, as JSON.
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {self:?}"),
        }
    }
}

/// Runs `gleaner` with these arguments, away from the settings of whoever runs the tests.
pub(crate) fn gleaner(database: Option<&TestDatabase>, arguments: &[&str]) -> Ran {
    gleaner_with(database, arguments, "")
}

/// The same, with this on standard input.
pub(crate) fn gleaner_with(
    database: Option<&TestDatabase>,
    arguments: &[&str],
    input: &str,
) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner"));
    command.args(arguments).current_dir(std::env::temp_dir());
    for (name, _value) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GLEANER_") {
            command.env_remove(name);
        }
    }
    match database {
        Some(database) => command.env("DATABASE_URL", database.url()),
        None => command.env_remove("DATABASE_URL"),
    };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that does not read its input may be gone before it is written.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
