//! One result of a handler: what it says of an item that it was given.

use std::time::Duration;

use serde::Deserialize;

use super::bounds::{ProtocolError, columns, short};
use super::{Answer, Columns, Failure};

/// Failures that a handler tells are of this class.
pub const CLASS: &str = "handler";

/// The longest wait that a handler may ask for.
pub const MAX_AFTER: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What became of an item.
#[derive(Debug)]
pub struct Outcome {
    /// The id that it was handed out with.
    pub id: u64,
    pub result: Result<Answer, Failure>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Completed,
    Filtered,
    Failed,
    Snoozed,
}

/// A result as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultLine {
    /// There is no need of it where only one item can be meant.
    id: Option<u64>,
    /// The same of a result that is one by its columns.
    status: Option<Status>,
    #[serde(default, deserialize_with = "columns")]
    columns: Option<Columns>,
    reason: Option<String>,
    error: Option<String>,
    retry: Option<bool>,
    /// Seconds.
    after: Option<f64>,
    whole_workflow: Option<bool>,
}

impl ResultLine {
    /// What stands in it and does not belong there.
    fn stray(&self, status: Status) -> Option<&'static str> {
        use Status::{Completed, Failed, Filtered, Snoozed};
        let is = |present: bool, belongs: bool| present && !belongs;
        [
            (
                "columns",
                is(
                    self.columns.is_some(),
                    matches!(status, Completed | Filtered),
                ),
            ),
            (
                "reason",
                is(self.reason.is_some(), matches!(status, Filtered | Snoozed)),
            ),
            ("error", is(self.error.is_some(), matches!(status, Failed))),
            ("retry", is(self.retry.is_some(), matches!(status, Failed))),
            (
                "after",
                is(self.after.is_some(), matches!(status, Failed | Snoozed)),
            ),
            (
                "whole_workflow",
                is(self.whole_workflow.is_some(), matches!(status, Snoozed)),
            ),
        ]
        .into_iter()
        .find_map(|(name, is_stray)| is_stray.then_some(name))
    }
}

fn unfit(problem: String) -> ProtocolError {
    ProtocolError::Unfit {
        kind: "results",
        problem,
    }
}

impl Outcome {
    /// The one result of the one item that was given, which need say neither its id nor that it is completed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of_one(mut line: ResultLine, id: u64) -> Result<Self, ProtocolError> {
        if let Some(other) = line.id.replace(id).filter(|other| *other != id) {
            return Err(ProtocolError::NotGiven(other));
        }
        line.status.get_or_insert(Status::Completed);
        Self::try_from(line)
    }
}

impl TryFrom<ResultLine> for Outcome {
    type Error = ProtocolError;

    fn try_from(line: ResultLine) -> Result<Self, ProtocolError> {
        let id = line
            .id
            .ok_or_else(|| unfit("has a result without an id".to_owned()))?;
        let status = line
            .status
            .ok_or_else(|| unfit(format!("has a result without a status (id {id})")))?;
        if let Some(name) = line.stray(status) {
            let problem =
                format!("has \"{name}\" with a status that it does not go with (id {id})");
            return Err(unfit(problem));
        }
        let after = line
            .after
            .map(|seconds| {
                Duration::try_from_secs_f64(seconds)
                    .ok()
                    .filter(|after| *after <= MAX_AFTER)
                    .ok_or_else(|| {
                        unfit(format!(
                            "has an \"after\" that is no number of seconds from 0 to {} (id {id})",
                            MAX_AFTER.as_secs()
                        ))
                    })
            })
            .transpose()?;
        let reason = line.reason.map(short);
        let result = match status {
            Status::Completed => Ok(Answer::Completed(line.columns.unwrap_or_default())),
            Status::Filtered => Ok(Answer::Filtered(
                reason.ok_or_else(|| unfit(format!("filters without a reason (id {id})")))?,
                line.columns,
            )),
            Status::Failed => {
                let message = line
                    .error
                    .map(short)
                    .filter(|error| !error.is_empty())
                    .ok_or_else(|| unfit(format!("fails without an error (id {id})")))?;
                Err(if line.retry.unwrap_or(true) {
                    Failure::Retry {
                        class: CLASS,
                        message,
                        after,
                    }
                } else if after.is_some() {
                    let problem = "has an \"after\" where nothing is tried again";
                    return Err(unfit(format!("{problem} (id {id})")));
                } else {
                    Failure::Permanent {
                        class: CLASS,
                        message,
                    }
                })
            }
            Status::Snoozed => Err(Failure::Snooze {
                after: after
                    .ok_or_else(|| unfit(format!("snoozes without \"after\" (id {id})")))?,
                reason: reason.unwrap_or_else(|| "the handler asked for it".to_owned()),
                whole_workflow: line.whole_workflow.unwrap_or(false),
            }),
        };
        Ok(Self { id, result })
    }
}
