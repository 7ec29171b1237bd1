//! Requests: what other statements ask of rows, as the text that writes the stage's columns.
//!
//! Whoever asks says which rows are meant, and does in the same statement what belongs to it: crawl jobs are planned and queued
//! in one. How a request is written is said here alone. The statement leaves `{set}` where an UPDATE assigns, `{columns}` and
//! `{values}` where an INSERT does, and names the row that it changes `item`. `tests/it/engine/writers.rs` finds statements that
//! assign these columns themselves.

use std::borrow::Cow;

use crate::db::names::{self, Table};

/// Marks a row as taken by a worker under a lease: the assignments of every claim and hand-out.
const TAKEN: &str = "{stage}_status = 'Processing', {stage}_attempts = least(item.{stage}_attempts, 32000) + 1, \
                     {stage}_lease = {lease}, {stage}_due_at = NULL";

/// The column group of a stage, as statements that ask for something name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    table: Cow<'static, str>,
    stage: Cow<'static, str>,
}

/// The assignments that mark a row as taken under this lease, an expression; `{stage}` is still to be filled in.
#[must_use]
pub(super) fn taken(lease: &str) -> String {
    TAKEN.replace("{lease}", lease)
}

/// What is asked of a row. Conditions and values are SQL over what the statement has at hand, constants all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To be worked as soon as may be. The trigger makes it fresh, or has a row in hand worked again afterwards.
    Queue,
    /// The same, where this condition holds.
    QueueIf(&'static str),
    /// To be worked, but not before a time, where a condition holds.
    QueueAt {
        condition: &'static str,
        time: &'static str,
    },
    /// To be worked now as if for the first time, also a row that waits for its next attempt: the trigger does not fire for it.
    /// Whoever asks so notifies.
    QueueAfresh,
    /// Not to be worked any more; the result of a worker that has it in hand is dropped.
    Cancel,
    /// Worked before rows with a lower number.
    Prioritise(&'static str),
    /// The same, where a condition holds.
    PrioritiseIf {
        condition: &'static str,
        /// The number.
        priority: &'static str,
    },
    /// Rightly nothing to do. For rows that nobody has in hand.
    Filter {
        condition: &'static str,
        /// Why, for people.
        reason: &'static str,
        /// Where a row is as if it had never been asked for.
        freed: Option<&'static str>,
    },
}

impl Group {
    /// The group `stage` of `table`.
    #[must_use]
    pub const fn new(table: &'static str, stage: &'static str) -> Self {
        Self {
            table: Cow::Borrowed(table),
            stage: Cow::Borrowed(stage),
        }
    }

    /// The group `stage` of a table that may be known only at run time.
    #[must_use]
    pub(super) fn of(table: &Table, stage: &str) -> Self {
        Self {
            table: Cow::Owned(table.statement().to_owned()),
            stage: Cow::Owned(stage.to_owned()),
        }
    }

    /// The statement `template` with these requests in it, for a caller that runs it. Costs a few copies of the text: one that runs
    /// all the time is kept.
    #[must_use]
    pub fn ask(&self, template: &str, requests: &[Request]) -> String {
        let Self { stage, .. } = self;
        // A new row has nothing to keep.
        let (columns, values): (Vec<String>, Vec<String>) = requests
            .iter()
            .flat_map(|request| request.assignments(stage, &|_| String::new()))
            .map(|(column, value)| (format!("{stage}_{column}"), value))
            .unzip();
        let filled = template
            .replace("{set}", &self.set(requests))
            .replace("{columns}", &columns.join(", "))
            .replace("{values}", &values.join(", "));
        self.fill(&filled)
    }

    /// What an UPDATE assigns for these requests.
    #[must_use]
    pub(crate) fn set(&self, requests: &[Request]) -> String {
        let Self { stage, .. } = self;
        let kept = |column: &str| format!(" ELSE item.{stage}_{column}");
        let set = requests
            .iter()
            .flat_map(|request| request.assignments(stage, &kept))
            .map(|(column, value)| format!("{stage}_{column} = {value}"));
        set.collect::<Vec<_>>().join(", ")
    }

    /// The statement `template`, which takes rows for workers, with its `{set}` filled in: under this lease, an expression. For
    /// the hand-out to bots, whose leases stand in the statement itself.
    #[must_use]
    pub(crate) fn claim_under(&self, template: &str, lease: &'static str) -> String {
        self.fill(&template.replace("{set}", &taken(lease)))
    }

    fn fill(&self, template: &str) -> String {
        names::fill(template, &[("table", &self.table), ("stage", &self.stage)])
    }
}

impl Request {
    /// The columns that it writes, and what. `kept` ends a CASE by what the column has.
    fn assignments(
        self,
        stage: &str,
        kept: &dyn Fn(&str) -> String,
    ) -> Vec<(&'static str, String)> {
        let either = |condition: &str, value: &str, column: &str| {
            format!("CASE WHEN {condition} THEN {value}{} END", kept(column))
        };
        match self {
            Self::Queue => vec![("status", "'Queued'".to_owned())],
            Self::QueueIf(condition) => {
                vec![("status", either(condition, "'Queued'", "status"))]
            }
            Self::QueueAt { condition, time } => vec![
                ("status", either(condition, "'Queued'", "status")),
                ("due_at", either(condition, time, "due_at")),
            ],
            Self::QueueAfresh => {
                let free = format!("item.{stage}_lease IS NULL");
                vec![
                    ("status", "'Queued'".to_owned()),
                    ("due_at", "now()".to_owned()),
                    ("attempts", either(&free, "0", "attempts")),
                    ("error", either(&free, "NULL", "error")),
                ]
            }
            Self::Cancel => vec![
                ("status", "'Cancelled'".to_owned()),
                ("due_at", "NULL".to_owned()),
            ],
            Self::Prioritise(priority) => vec![("priority", priority.to_owned())],
            Self::PrioritiseIf {
                condition,
                priority,
            } => vec![("priority", either(condition, priority, "priority"))],
            Self::Filter {
                condition,
                reason,
                freed,
            } => {
                let freed = freed.map_or_else(String::new, |own| format!(" WHEN {own} THEN NULL"));
                vec![
                    (
                        "status",
                        either(condition, &format!("'Filtered'{freed}"), "status"),
                    ),
                    (
                        "error",
                        either(condition, &format!("{reason}{freed}"), "error"),
                    ),
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOBS: Group = Group::new("crawl_job", "crawl");

    #[test]
    fn a_request_becomes_assignments() {
        for (request, set) in [
            (Request::Queue, "crawl_status = 'Queued'"),
            (
                Request::QueueIf("is_due"),
                "crawl_status = CASE WHEN is_due THEN 'Queued' ELSE item.crawl_status END",
            ),
            (
                Request::QueueAt {
                    condition: "is_due",
                    time: "line.ends_at",
                },
                "crawl_status = CASE WHEN is_due THEN 'Queued' ELSE item.crawl_status END, \
                 crawl_due_at = CASE WHEN is_due THEN line.ends_at ELSE item.crawl_due_at END",
            ),
            (
                Request::QueueAfresh,
                "crawl_status = 'Queued', crawl_due_at = now(), \
                 crawl_attempts = CASE WHEN item.crawl_lease IS NULL THEN 0 ELSE item.crawl_attempts END, \
                 crawl_error = CASE WHEN item.crawl_lease IS NULL THEN NULL ELSE item.crawl_error END",
            ),
            (
                Request::Cancel,
                "crawl_status = 'Cancelled', crawl_due_at = NULL",
            ),
            (Request::Prioritise("5"), "crawl_priority = 5"),
            (
                Request::PrioritiseIf {
                    condition: "is_old",
                    priority: "5",
                },
                "crawl_priority = CASE WHEN is_old THEN 5 ELSE item.crawl_priority END",
            ),
            (
                Request::Filter {
                    condition: "is_bad",
                    reason: "rule",
                    freed: Some("is_good"),
                },
                "crawl_status = CASE WHEN is_bad THEN 'Filtered' WHEN is_good THEN NULL ELSE item.crawl_status END, \
                 crawl_error = CASE WHEN is_bad THEN rule WHEN is_good THEN NULL ELSE item.crawl_error END",
            ),
        ] {
            let template = "UPDATE {table} AS item SET {set} WHERE {stage}_lease IS NULL";
            assert_eq!(
                JOBS.ask(template, &[request]),
                format!("UPDATE crawl_job AS item SET {set} WHERE crawl_lease IS NULL")
            );
        }
    }

    #[test]
    fn a_new_row_keeps_nothing() {
        let filter = Request::Filter {
            condition: "is_bad",
            reason: "rule",
            freed: None,
        };
        assert_eq!(
            JOBS.ask(
                "INSERT INTO {table} (id, {columns}) SELECT id, {values} FROM given",
                &[Request::Prioritise("1"), filter]
            ),
            "INSERT INTO crawl_job (id, crawl_priority, crawl_status, crawl_error) \
             SELECT id, 1, CASE WHEN is_bad THEN 'Filtered' END, CASE WHEN is_bad THEN rule END FROM given"
        );
    }

    #[test]
    fn a_hand_out_counts_the_attempt() {
        assert_eq!(
            JOBS.claim_under("UPDATE {table} AS item SET {set}", "opening.lease"),
            "UPDATE crawl_job AS item SET crawl_status = 'Processing', \
             crawl_attempts = least(item.crawl_attempts, 32000) + 1, crawl_lease = opening.lease, crawl_due_at = NULL"
        );
    }
}
