//! The seam between workflows, which know rows, and whoever works these by code of the operator's: what it is given, what it answers.
//!
//! A runner knows processes or addresses and no table. One of them serves one workflow; [`Runner::run`] is called for each of its rows.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::workflow::WorkflowError;

/// Columns by their names. Each value is the text of a JSON value as it was written: a number keeps all its digits.
pub type Columns = BTreeMap<String, Box<RawValue>>;

/// One row, for a handler.
pub struct Item {
    /// The row's key as its table has it: a number or a text.
    pub key: Value,
    /// Which attempt at it this is, from 1.
    pub attempt: i16,
    /// What the handler is given of it: a JSON object, as PostgreSQL writes one.
    pub columns: Box<RawValue>,
    /// When there is no use in an answer any more. The runner's own timeout holds too.
    pub deadline: Option<Instant>,
    /// Is told how far the handler has come, where somebody wants to know.
    pub on_progress: Option<OnProgress>,
}

/// Takes what a handler tells of its progress. Called often, so it is to be quick.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

impl Item {
    /// How many bytes it takes in a message, beside a frame of a fixed size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let key = match &self.key {
            // A character may be written with six.
            Value::String(text) => text.len().saturating_mul(6),
            _ => 32,
        };
        self.columns.get().len().saturating_add(key)
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what stands in the row.
        f.debug_struct("Item")
            .field("key", &self.key)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// How far a handler has come with a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing, in its own words.
    pub step: Option<String>,
    /// Parts done.
    pub done: Option<u32>,
    /// Of so many.
    pub total: Option<u32>,
}

/// What a handler makes of a row.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is done, and these columns are to be set.
    Completed(Columns),
    /// There was rightly nothing to do, for this reason; columns may be set all the same.
    Filtered(String, Option<Columns>),
}

/// Why there is no answer, and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// May succeed later.
    #[error("{message}")]
    Retry {
        /// A word for grouping.
        class: &'static str,
        message: String,
        /// Not before this long from now.
        after: Option<Duration>,
    },
    /// Cannot succeed by trying again.
    #[error("{message}")]
    Permanent {
        /// A word for grouping.
        class: &'static str,
        message: String,
    },
    /// Not now, and nobody's fault: no attempt is charged.
    #[error("not before {after:?} from now: {reason}")]
    Snooze {
        after: Duration,
        reason: String,
        /// Whether the whole workflow is to wait, not this row alone.
        whole_workflow: bool,
    },
}

impl From<Failure> for WorkflowError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry {
                class,
                message,
                after,
            } => Self::Retry {
                class,
                after,
                source: message.into(),
            },
            Failure::Permanent { class, message } => Self::Permanent {
                class,
                source: message.into(),
            },
            Failure::Snooze {
                after,
                reason,
                whole_workflow,
            } => Self::Snooze {
                after,
                reason,
                whole_workflow,
            },
        }
    }
}

/// What has rows worked.
pub trait Runner: Send + Sync + 'static {
    /// Whether it can work at all; the reason if not. Asked before anything is claimed.
    ///
    /// # Errors
    /// What is missing, and what to do about it.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// Has one row worked. Many are asked for at the same time, and a runner may hand several of them over together. Dropping the
    /// future takes the row back: its handler is told to stop, and whatever it still says of the row is forgotten.
    fn run(&self, item: Item) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// A runner of any type: for whoever has one of several.
pub trait AnyRunner: Send + Sync {
    /// As [`Runner::ready`].
    ///
    /// # Errors
    /// As [`Runner::ready`].
    fn ready(&self) -> Result<(), String>;

    /// As [`Runner::run`].
    fn run(&self, item: Item) -> BoxFuture<'_, Result<Answer, Failure>>;
}

impl<R: Runner> AnyRunner for R {
    fn ready(&self) -> Result<(), String> {
        Runner::ready(self)
    }

    fn run(&self, item: Item) -> BoxFuture<'_, Result<Answer, Failure>> {
        Box::pin(Runner::run(self, item))
    }
}
