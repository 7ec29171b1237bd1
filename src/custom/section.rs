//! `[custom.NAME]`: a workflow of the operator's own, as the configuration has it. Checked here without a database.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run::{Run, Way};
use crate::settings::{self, Backoff, ConfigError, Options, Problem, Rate};

/// Longest name of such a workflow.
const LONGEST_NAME: usize = 40;
/// Longest name of a stage, so that its columns have names that PostgreSQL takes.
const LONGEST_STAGE: usize = 30;
/// No table has more columns.
const MAX_COLUMNS: usize = 1_600;
/// More is for an address to lead to, not for a message to hold.
const MAX_BYTES: u64 = 4 << 20;
/// All that the rows in hand may come to.
const MAX_BYTES_IN_HAND: u64 = 4 << 30;
/// A statement that takes longer holds up all results of its workflow, and the rows that it has locked.
const MAX_STATEMENT_TIMEOUT: Duration = Duration::from_secs(3600);

/// All of them, by their names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Customs(pub BTreeMap<String, Section>);

impl settings::Section for Customs {
    const NAME: &'static str = "custom";
}

/// One of them. Every key but `table`, `stage` and `run` may be left out.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// The table whose rows are worked, as SQL writes it: `invoice`, `billing.invoice`, `"Billing"."Invoice"`.
    pub table: String,
    /// The stage of that table.
    pub stage: String,
    /// The columns that are given of a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Or a statement that reads what is given, of the rows `$1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<String>,
    /// At most so many bytes are given of a row.
    pub max_row_bytes: u64,
    /// How rows are worked.
    pub run: Run,
    /// What is done with an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<Store>,
    /// An answer is at most so many bytes.
    pub max_answer_bytes: u64,
    /// Stages of the same table that a completed row is queued for, as `table/stage`.
    pub then: Vec<String>,
    /// Limit on each statement that stands here.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,

    pub enabled: bool,
    /// Fallback interval of claims.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Rows per claim.
    pub batch_size: NonZeroU32,
    /// Rows worked at a time.
    pub concurrency: NonZeroU32,
    /// Limit on one row.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Attempts before Error.
    pub max_attempts: NonZeroU32,
    /// Delay between attempts.
    pub backoff: Backoff,
    /// Ceiling on rows started.
    pub rate: Rate,
    /// Backlog without progress for this long is a stall.
    #[serde(with = "humantime_serde")]
    pub stall_after: Duration,
}

/// What is done with the answers of a batch, in the transaction that settles it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "a list of columns, or a statement")]
pub enum Store {
    /// These columns of the row are set, where an answer has them.
    Columns(Vec<String>),
    /// This statement is run over all of them, `$1`.
    Statement(String),
}

/// What holds where a section says nothing. `docs/your-own-tables.md` and `config/gleaner.toml` tell the same, which a test compares.
impl Default for Section {
    fn default() -> Self {
        let common = settings::Workflow::default();
        Self {
            table: String::new(),
            stage: String::new(),
            columns: None,
            load: None,
            max_row_bytes: 1 << 20,
            run: Run::default(),
            store: None,
            max_answer_bytes: 1 << 20,
            then: Vec::new(),
            statement_timeout: Duration::from_secs(10),
            enabled: common.enabled,
            interval: common.interval,
            batch_size: common.batch_size,
            concurrency: common.concurrency,
            timeout: common.timeout,
            max_attempts: common.max_attempts,
            backoff: common.backoff,
            rate: common.rate,
            stall_after: common.stall_after,
        }
    }
}

/// Whether a name can be a section's: lower-case letters, digits and hyphens, a letter first.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    name.len() <= LONGEST_NAME
        && name.bytes().next().is_some_and(is_letter)
        && (name.bytes()).all(|byte| is_letter(byte) || byte.is_ascii_digit() || byte == b'-')
}

/// Whether a name can be a stage's.
fn is_stage(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    name.len() <= LONGEST_STAGE
        && name.bytes().next().is_some_and(is_letter)
        && (name.bytes()).all(|byte| is_letter(byte) || byte.is_ascii_digit() || byte == b'_')
}

/// A stage as `then` names it: its table as SQL writes it, and its name.
#[must_use]
pub fn table_and_stage(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('/')
        .filter(|(table, stage)| !table.trim().is_empty() && is_stage(stage))
}

impl Section {
    /// What every workflow has.
    #[must_use]
    pub fn common(&self) -> settings::Workflow {
        let mut common = settings::Workflow::default();
        common.enabled = self.enabled;
        common.interval = self.interval;
        common.batch_size = self.batch_size;
        common.concurrency = self.concurrency;
        common.timeout = self.timeout;
        common.max_attempts = self.max_attempts;
        common.backoff = self.backoff;
        common.rate = self.rate;
        common.stall_after = self.stall_after;
        common
    }

    /// Whether its rows are worked by a statement.
    pub(super) fn is_sql(&self) -> bool {
        matches!(self.run.way(), Some(Way::Sql(_)))
    }

    /// Checks the values that there are.
    fn check_values(&self) -> Result<(), Problem> {
        let wrong = |key: &str, problem: &str| Err((key.to_owned(), problem.to_owned()));
        if !self.stage.is_empty() && !is_stage(&self.stage) {
            return wrong(
                "stage",
                "must be lower-case letters, digits and underscores, a letter first, at most 30",
            );
        }
        if self.table.contains('\0') {
            return wrong("table", "must not hold a NUL");
        }
        if self.columns.is_some() && self.load.is_some() {
            return wrong(
                "load",
                "there is columns already: name columns, or read what is given by a statement",
            );
        }
        check_columns("columns", self.columns.as_deref())?;
        match &self.store {
            Some(Store::Columns(columns)) => check_columns("store", Some(columns))?,
            Some(Store::Statement(sql)) => check_statement("store", sql)?,
            None => {}
        }
        if let Some(load) = &self.load {
            check_statement("load", load)?;
        }
        for name in &self.then {
            match table_and_stage(name) {
                None => {
                    return wrong(
                        "then",
                        "must name stages with their tables, such as \"billing.invoice/ship\"",
                    );
                }
                Some((table, stage)) if table == self.table && stage == self.stage => {
                    return wrong(
                        "then",
                        "must not name the stage itself: its rows would never be done",
                    );
                }
                Some(_) => {}
            }
        }
        let named: BTreeSet<&String> = self.then.iter().collect();
        if named.len() < self.then.len() {
            return wrong("then", "names a stage twice");
        }
        for (key, bytes) in [
            ("max_row_bytes", self.max_row_bytes),
            ("max_answer_bytes", self.max_answer_bytes),
        ] {
            if bytes == 0 || bytes > MAX_BYTES {
                return Err((key.to_owned(), format!("must be 1 to {MAX_BYTES} bytes")));
            }
        }
        let in_hand = u64::from(self.concurrency.max(self.batch_size).get());
        if in_hand.saturating_mul(self.max_row_bytes.max(self.max_answer_bytes)) > MAX_BYTES_IN_HAND
        {
            return wrong(
                "max_row_bytes",
                "concurrency, or batch_size, times max_row_bytes or max_answer_bytes must be at most 4 GiB, which is what rows in hand may take: lower one of them",
            );
        }
        if self.statement_timeout.is_zero() || self.statement_timeout > MAX_STATEMENT_TIMEOUT {
            return wrong(
                "statement_timeout",
                "must be longer than zero, and at most 1h",
            );
        }
        if self.is_sql() {
            for (key, is_there) in [
                ("columns", self.columns.is_some()),
                ("load", self.load.is_some()),
                ("store", self.store.is_some()),
            ] {
                if is_there {
                    return wrong(
                        key,
                        "does not go with run.sql, which reads and stores itself: take it out",
                    );
                }
            }
        }
        self.run
            .check()
            .map_err(|(key, problem)| (format!("run.{key}"), problem))
    }

    /// Checks that all is there that has to be. What is told is the key that is not, and what it is for.
    fn check_whole(&self) -> Result<(), (&'static str, String)> {
        if self.table.trim().is_empty() {
            return Err((
                "table",
                "name a table, such as \"billing.invoice\"".to_owned(),
            ));
        }
        if self.stage.is_empty() {
            return Err((
                "stage",
                "name a stage of the table, such as \"ocr\"".to_owned(),
            ));
        }
        if self.run.way().is_none() {
            return Err(("run", Run::missing()));
        }
        if !self.is_sql() && self.columns.is_none() && self.load.is_none() {
            return Err((
                "columns",
                "name the columns that are given of a row, or say load = \"SELECT … WHERE id = ANY($1)\""
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

fn check_columns(key: &str, columns: Option<&[String]>) -> Result<(), Problem> {
    let wrong = |problem: &str| Err((key.to_owned(), problem.to_owned()));
    let Some(columns) = columns else {
        return Ok(());
    };
    if columns.is_empty() || columns.len() > MAX_COLUMNS {
        return wrong("must name columns, 1600 at most; to set none, leave it out");
    }
    if columns
        .iter()
        .any(|name| name.is_empty() || name.contains('\0'))
    {
        return wrong("must name columns: one of them has no name, or one with a NUL");
    }
    let named: BTreeSet<&String> = columns.iter().collect();
    if named.len() < columns.len() {
        return wrong("names a column twice");
    }
    Ok(())
}

fn check_statement(key: &str, sql: &str) -> Result<(), Problem> {
    let wrong = |problem: &str| Err((key.to_owned(), problem.to_owned()));
    if sql.trim().is_empty() {
        return wrong("must be a statement");
    }
    if sql.contains('\0') {
        return wrong("must not hold a NUL");
    }
    if sql.trim_end().ends_with(';') {
        return wrong("must not end with a semicolon: it is one statement");
    }
    Ok(())
}

/// A mistake in a key below a section, told of the key that stands in it: of `backoff`, say, with all that is in it. One half of that
/// cannot be taken out without the other.
fn whole(key: &str, problem: String) -> Problem {
    let mut parts = key.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(own), Some(below)) => {
            (format!("{name}.{own}"), format!("{below} {problem}"))
        }
        _ => (key.to_owned(), problem),
    }
}

impl Options for Customs {
    /// What is missing comes after all that is wrong, and names come last: whoever looks for several mistakes takes the value that was
    /// told out and looks again.
    fn check(&self) -> Result<(), Problem> {
        let below = |name: &str, (key, problem): Problem| (format!("{name}.{key}"), problem);
        let good = || self.0.iter().filter(|(name, _)| is_name(name));
        for (name, section) in good() {
            // First, for what rows in hand may take is judged by numbers that are right.
            let common = section.common().validate(name);
            common.map_err(|error| match error {
                ConfigError::Inconsistent { key, problem } => whole(&key, problem),
                other => (name.clone(), other.to_string()),
            })?;
            section
                .check_values()
                .map_err(|problem| below(name, problem))?;
        }
        for (name, section) in good() {
            // The whole section is taken out then, and what was wrong with it has been told.
            section
                .check_whole()
                .map_err(|(key, told)| (name.clone(), format!("`{key}` is missing: {told}")))?;
        }
        if self.0.keys().all(|name| is_name(name)) {
            return Ok(());
        }
        Err((
            "…".to_owned(),
            format!(
                "the name of a workflow is made of a-z, 0-9 and hyphens, a letter first, {LONGEST_NAME} at most"
            ),
        ))
    }
}
