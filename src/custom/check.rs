//! Whether sections can do what they are to do: a look at this machine, and one at the database, that change nothing. All that is wrong is
//! told at once.

mod look;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use tokio_postgres::Client;

use self::look::Look;
use super::run::{Run, Way};
use super::section::{Customs, is_name};
use super::statements::Statements;
use super::table::Found;
use crate::child;
use crate::db::DbError;
use crate::db::connect::Connector;

/// Longest name that is repeated.
const LONGEST_NAME: usize = 140;

/// What is wrong with a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The dotted key.
    pub key: String,
    /// What is wrong, and what to do about it.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// A section with all that it takes from the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The name of the workflow.
    pub name: String,
    pub table: Found,
    /// The stage of that table.
    pub stage: String,
    pub statements: Statements,
}

/// What a look at the database has come to.
#[derive(Clone, Debug, Default)]
pub struct Examined {
    /// The sections that are right.
    pub resolved: Vec<Resolved>,
    pub mistakes: Vec<Mistake>,
}

/// What is wrong with sections on this machine, without a database: whether their commands are here.
#[must_use]
pub fn here(customs: &Customs) -> Vec<Mistake> {
    let wrong = customs.0.iter().filter_map(|(name, section)| {
        let problem = command_problem(&section.run)?;
        Some(Mistake {
            key: format!("custom.{name}.run.command"),
            problem,
        })
    });
    wrong.collect()
}

/// Looks at the database through a connection of its own.
///
/// # Errors
/// When the database does not answer.
pub async fn examine(connector: &Connector, customs: &Customs) -> Result<Examined, DbError> {
    if customs.0.is_empty() {
        return Ok(Examined::default());
    }
    let mut client = connector.raw().await?;
    examine_with(&mut client, customs).await
}

/// The same through this one.
///
/// # Errors
/// As [`examine`].
pub async fn examine_with(client: &mut Client, customs: &Customs) -> Result<Examined, DbError> {
    let mut examined = Examined::default();
    let mut stages: HashMap<(u32, &str), &str> = HashMap::new();
    for (name, section) in customs.0.iter().filter(|(name, _)| is_name(name)) {
        let mut look = Look {
            client: &mut *client,
            name,
            section,
            mistakes: Vec::new(),
        };
        let resolved = look.whole().await?;
        examined.mistakes.append(&mut look.mistakes);
        let Some(resolved) = resolved else { continue };
        let stage = (resolved.table.oid, section.stage.as_str());
        match stages.insert(stage, name) {
            None => examined.resolved.push(resolved),
            Some(other) => examined.mistakes.push(Mistake {
                key: format!("custom.{name}.stage"),
                problem: format!(
                    "is worked by custom.{other} already: a stage has one workflow; add another one to the table"
                ),
            }),
        }
    }
    Ok(examined)
}

/// What is wrong with the command, if it is one.
fn command_problem(run: &Run) -> Option<String> {
    let Some(Way::Command([program, ..])) = run.way() else {
        return None;
    };
    let is_program = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if program.contains('/') {
        let path = match &run.cwd {
            Some(cwd) => cwd.join(program),
            None => PathBuf::from(program),
        };
        return (!is_program(&path)).then(|| {
            format!(
                "{} is no program that can be run: see that it is there, with its mode +x",
                repeated(&path.display().to_string())
            )
        });
    }
    let path = match run.env.get("PATH") {
        Some(path) => path.expose().to_owned().into(),
        None => child::environment()
            .find(|(name, _)| name == "PATH")
            .map(|(_, path)| path)
            .unwrap_or_default(),
    };
    let is_there = std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)));
    (!is_there).then(|| {
        format!(
            "there is no program {} in PATH: install it, or name it with its whole path",
            repeated(program)
        )
    })
}

/// A name as it may be repeated: what does not look like one may be something else, in a wrong place.
fn repeated(name: &str) -> String {
    let is_sign = |sign: char| sign.is_alphanumeric() || " _.-\"/$".contains(sign);
    if name.len() <= LONGEST_NAME && name.chars().all(is_sign) {
        name.to_owned()
    } else {
        "of that name".to_owned()
    }
}
