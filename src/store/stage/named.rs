//! The names that statements of a stage are filled with.

use std::sync::Arc;

use super::key::Key;
use crate::db::names::{self, Table};
use crate::store::aside::Work;

/// What one stage is called, and its table and key.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) table: Table,
    pub(super) stage: Arc<str>,
    pub(super) key: Key,
    /// `table/stage`.
    pub(super) name: String,
    /// Whether the table has an `updated_at` to keep true.
    touches: bool,
    /// The name under which rows that cannot be rescued are set aside.
    rescue_work: String,
}

impl Names {
    pub(super) fn new(
        table: impl Into<Table>,
        stage: impl Into<Arc<str>>,
        key: Key,
        touches: bool,
    ) -> Self {
        let (table, stage) = (table.into(), stage.into());
        let name = format!("{}/{stage}", table.label());
        Self {
            rescue_work: format!("timeout-checker {name}"),
            table,
            stage,
            key,
            name,
            touches,
        }
    }

    pub(super) fn rescue_work(&self) -> Work<'_> {
        Work {
            name: &self.rescue_work,
            table: self.table.label(),
        }
    }

    /// The condition that a row is one that this work can name and that is not set aside for it; `row` is SQL.
    pub(super) fn takes(&self, work: Work<'_>, row: &str) -> String {
        let key = format!("{row}.{}", self.key.column());
        let takes = work.takes(&key);
        if self.key.has_handle() {
            format!("{key} IS NOT NULL AND {takes}")
        } else {
            takes
        }
    }

    /// A statement over the rows of the stage:
    ///
    /// - `{table}`, `{stage}`, `{key}`: the table, the column group, the column by which the engine knows rows;
    /// - `{given}`: after a condition that a row is queued, that it has that key. Rows that came past the triggers may not, and would
    ///   stand at the head of the queue for ever;
    /// - `{name}`: what the stage is called, as a text;
    /// - `{takes}`: the condition that the rescue takes the row `item`;
    /// - `{touch}`: what keeps `updated_at` true.
    pub(super) fn fill(&self, template: &str) -> String {
        let given = if self.key.has_handle() {
            format!(" AND {} IS NOT NULL", self.key.column())
        } else {
            String::new()
        };
        let touch = if self.touches {
            ", updated_at = now()"
        } else {
            ""
        };
        names::fill(
            template,
            &[
                ("table", self.table.statement()),
                ("stage", &self.stage),
                ("key", self.key.column()),
                ("given", &given),
                ("name", &names::literal(&self.name)),
                ("takes", &self.takes(self.rescue_work(), "item")),
                ("touch", touch),
            ],
        )
    }
}
