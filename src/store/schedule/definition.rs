//! A schedule as the configuration has it, and what can be wrong with it.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::timing::{Missed, Rule, Timing};
use super::{Cron, CronError};

/// What stands before the name of a schedule in the tables, so that it is never that of the program's own work.
const PREFIX: &str = "schedules.";
/// Longest name, in characters.
const LONGEST_NAME: usize = 63;
/// No time is further off, or longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// So many missed times are fired for one by one, at most.
const MOST_EACH: u32 = 1_000;

/// What is wrong with one key of a schedule: the key below it, and what would be right.
pub type Problem = (String, String);

/// A schedule: when, and what.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Whether it is there at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it fires, as a cron expression. This, or `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// How often it fires.
    #[serde(
        default,
        with = "humantime_serde::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub every: Option<Duration>,
    /// The zone by whose clocks `cron` goes, and in which the statement runs.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// What becomes of times that were missed.
    #[serde(default = "once")]
    pub missed: Missed,
    /// With `missed = "skip"`: up to how late it fires all the same.
    #[serde(default = "minute", with = "humantime_serde")]
    pub grace: Duration,
    /// Each firing is put off by a random part of this.
    #[serde(default, with = "humantime_serde")]
    pub jitter: Duration,
    /// Limit on the statement, or on each batch that is queued.
    #[serde(default = "minutes", with = "humantime_serde")]
    pub timeout: Duration,
    /// A statement to run. This, or `queue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// Rows to queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
}

/// Rows to queue.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// For which stage: `table/stage`, or `schema.table/stage`.
    pub stage: String,
    /// Which rows: a condition in SQL over the table's columns. All of them, if there is none.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

fn yes() -> bool {
    true
}

fn utc() -> String {
    "UTC".to_owned()
}

fn once() -> Missed {
    Missed::Once
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

fn minutes() -> Duration {
    Duration::from_secs(300)
}

/// What a schedule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Runs a statement.
    Sql(String),
    /// Queues rows.
    Queue {
        stage: StageName,
        condition: Option<String>,
    },
}

/// The stage that rows are queued for, by the names of its table and of its column group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageName {
    /// The table's name, or its schema's and its own; as they are, without quotes.
    pub table: Vec<String>,
    pub stage: String,
}

/// A schedule that has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Defined {
    /// Its name in the configuration.
    pub name: String,
    pub timing: Timing,
    pub zone: Tz,
    pub timeout: Duration,
    pub action: Action,
    /// All of it as a text: processes that have another one have another schedule of the same name.
    pub definition: String,
}

/// The name by which the tables know a schedule.
#[must_use]
pub fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The name of a schedule that the tables know by this; none for the program's own work.
#[must_use]
pub fn name_of(key: &str) -> Option<&str> {
    key.strip_prefix(PREFIX)
}

/// Whether a schedule may be called so: it stands in keys, labels of metrics and addresses.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= LONGEST_NAME
        && name.bytes().next().is_some_and(is_sign)
        && name
            .bytes()
            .all(|byte| is_sign(byte) || byte == b'-' || byte == b'_')
}

impl Schedule {
    /// Reads what its texts say. `name` is its own.
    ///
    /// # Errors
    /// The key that is wrong, and what would be right.
    pub fn define(&self, name: &str) -> Result<Defined, Problem> {
        let zone = self.zone()?;
        for (key, span) in [
            ("timeout", self.timeout),
            ("grace", self.grace),
            ("jitter", self.jitter),
        ] {
            if span > LONGEST {
                return Err(problem(key, "must be at most 366 days"));
            }
        }
        if self.timeout.as_millis() == 0 {
            return Err(problem("timeout", "must be longer than zero"));
        }
        if let Missed::Each(most) = self.missed
            && most > NonZeroU32::new(MOST_EACH).unwrap_or(NonZeroU32::MIN)
        {
            let told = format!("each must be at most {MOST_EACH}");
            return Err(problem("missed", told));
        }
        let rule = self.rule(zone)?;
        let delta = |span: Duration| TimeDelta::from_std(span).unwrap_or_default();
        if let Rule::Every(span) = &rule
            && delta(self.jitter) >= *span
        {
            return Err(problem("jitter", "must be shorter than every"));
        }
        let definition = serde_json::to_string(self).unwrap_or_default();
        Ok(Defined {
            name: name.to_owned(),
            timing: Timing {
                rule,
                missed: self.missed,
                grace: delta(self.grace),
                jitter: delta(self.jitter),
                name: name.to_owned(),
            },
            zone,
            timeout: self.timeout,
            action: self.action()?,
            definition,
        })
    }

    fn zone(&self) -> Result<Tz, Problem> {
        self.time_zone.parse().map_err(|_unknown| {
            problem(
                "time_zone",
                "is no time zone; it takes a name of the IANA database such as \"Europe/Berlin\", in that spelling, or \"UTC\"",
            )
        })
    }

    fn rule(&self, zone: Tz) -> Result<Rule, Problem> {
        match (&self.cron, self.every) {
            (Some(_), Some(_)) => Err(problem("every", "goes without cron: set one of the two")),
            (None, None) => Err(problem(
                "cron",
                "is missing: set cron = \"30 3 * * *\", or every = \"6h\"",
            )),
            (Some(expression), None) => {
                let cron = Cron::with_seconds(expression)
                    .map_err(|error| problem("cron", why_no_cron(&error)))?;
                let cron = Box::new(cron);
                Ok(Rule::Cron { cron, zone })
            }
            (None, Some(every)) if every < Duration::from_secs(1) || every > LONGEST => {
                Err(problem("every", "must be 1s to 366days"))
            }
            (None, Some(every)) => {
                // Whole milliseconds, as the database's times are compared.
                let millis = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
                Ok(Rule::Every(TimeDelta::milliseconds(millis)))
            }
        }
    }

    fn action(&self) -> Result<Action, Problem> {
        match (&self.sql, &self.queue) {
            (Some(_), Some(_)) => Err(problem("queue", "goes without sql: set one of the two")),
            (None, None) => Err(problem(
                "sql",
                "is missing: set sql = \"a statement\", or queue = { stage = \"table/stage\", where = \"a condition\" }",
            )),
            (Some(sql), None) => {
                check_statement(sql)?;
                Ok(Action::Sql(sql.clone()))
            }
            (None, Some(queue)) => {
                let stage = StageName::parse(&queue.stage).ok_or_else(|| {
                    problem(
                        "queue.stage",
                        "is no stage; it takes \"table/stage\" or \"schema.table/stage\"",
                    )
                })?;
                let condition = queue.condition.clone();
                if condition
                    .as_ref()
                    .is_some_and(|text| text.trim().is_empty())
                {
                    let told = "is empty: leave it out to queue all rows";
                    return Err(problem("queue.where", told));
                }
                if condition.as_ref().is_some_and(|text| text.contains('\0')) {
                    return Err(problem(
                        "queue.where",
                        "holds a NUL, which no text in SQL does",
                    ));
                }
                Ok(Action::Queue { stage, condition })
            }
        }
    }
}

fn problem(key: &str, told: impl Into<String>) -> Problem {
    (key.to_owned(), told.into())
}

/// Why a text is no cron expression, without the text: of a value in a wrong place nothing is repeated.
fn why_no_cron(error: &CronError) -> String {
    const FORM: &str = "is no cron expression of five fields (minute, hour, day of the month, month, day of the week) such as \
                        \"30 3 * * *\", or of six, with seconds before them";
    match error {
        CronError::Never(_) => "names a time that never comes".to_owned(),
        CronError::Unreadable { reason, .. } => match reason {
            croner::errors::CronError::ComponentError(why) => format!("{FORM}: {why}"),
            _ => FORM.to_owned(),
        },
    }
}

/// Refuses what would take the transaction apart that the statement shares with the record of its firing.
fn check_statement(sql: &str) -> Result<(), Problem> {
    if sql.contains('\0') {
        return Err(problem("sql", "holds a NUL, which no text in SQL does"));
    }
    let Some(first) = first_word(sql) else {
        return Err(problem("sql", "holds no statement"));
    };
    const ENDS: [&str; 10] = [
        "abort",
        "begin",
        "commit",
        "end",
        "prepare",
        "release",
        "rollback",
        "savepoint",
        "start",
        "discard",
    ];
    if ENDS.contains(&first.as_str()) {
        let told = format!(
            "begins with {}: the statement runs in a transaction that is begun and ended for it",
            first.to_uppercase()
        );
        return Err(problem("sql", told));
    }
    Ok(())
}

/// The first word of a statement, in lower case, past comments and brackets.
fn first_word(sql: &str) -> Option<String> {
    let mut rest = sql;
    loop {
        rest = rest
            .trim_start_matches(|sign: char| sign.is_whitespace() || sign == '(' || sign == ';');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            break;
        }
    }
    let end = rest
        .find(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'))
        .unwrap_or(rest.len());
    let word = rest.get(..end).unwrap_or_default();
    (!rest.is_empty()).then(|| word.to_ascii_lowercase())
}

impl StageName {
    /// Reads `table/stage` or `schema.table/stage`. Names that hold a dot or a slash stand in double quotes, as in SQL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (table, stage) = text.rsplit_once('/')?;
        let mut signs = stage.bytes();
        // As gleaner_add_stage has it.
        let is_stage = signs.next().is_some_and(|byte| byte.is_ascii_lowercase())
            && signs.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && stage.len() <= 30;
        let table = names(table)?;
        (is_stage && table.len() <= 2).then(|| Self {
            table,
            stage: stage.to_owned(),
        })
    }

    /// The table as SQL names it.
    #[must_use]
    pub fn quoted_table(&self) -> String {
        let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let parts: Vec<String> = self.table.iter().map(quoted).collect();
        parts.join(".")
    }
}

/// Names between dots, some of them in double quotes.
fn names(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut name = String::new();
                let mut within = quoted;
                loop {
                    let (part, after) = within.split_once('"')?;
                    name.push_str(part);
                    match after.strip_prefix('"') {
                        Some(more) => {
                            name.push('"');
                            within = more;
                        }
                        None => break (name, after),
                    }
                }
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (name, after) = rest.split_at_checked(end)?;
                (name.to_owned(), after)
            }
        };
        if name.is_empty() || name.contains(['\0', '{', '}']) || name.len() > 63 {
            return None;
        }
        names.push(name);
        if after.is_empty() {
            return Some(names);
        }
        rest = after.strip_prefix('.')?;
    }
}

#[cfg(test)]
mod tests;
