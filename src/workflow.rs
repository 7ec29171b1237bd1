//! The contract a workflow fulfils: load, run, store; and the error that carries the decision.
//!
//! A workflow is one file that reads top to bottom as its data flow. It knows its own tables, the web and the extractors; it
//! does not know actors, leases, statuses or retries: the pipeline puts those around it.

pub mod erased;
pub mod made;
pub mod progress;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;

use crate::fault::{self, Fault};
use crate::live::Live;
use crate::redis::Redis;
use crate::settings::{Options, Sections};
use crate::store::stage::{Share, Stage};
use crate::telemetry::chain;
use crate::web::fetch::{Client, Decision, FetchError};
use crate::web::page::NoPage;
use crate::web::render::{RenderError, Renderer};
use gleaner_extract::url::TrackingParameters;

pub use progress::Progress;

/// Key of a row.
pub type ItemId = i64;

/// How long work waits for the database or Redis before the next try, where a row's own work has met their trouble.
const STORE_WAIT: Duration = Duration::from_secs(5);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the process has for all workflows. No database: nothing may be held while a row is worked.
#[derive(Clone)]
pub struct Services {
    /// The way to the web.
    pub fetch: Client,
    /// The browser, for pages that need one.
    pub renderer: Renderer,
    /// The Redis that the processes share, if there is one.
    pub redis: Option<Redis>,
    /// Query parameters that URLs lose.
    pub tracking: Arc<TrackingParameters>,
    /// The folder of this machine for what is kept on it.
    pub data_dir: PathBuf,
    /// What the configuration says of the pipelines, as it was at the start.
    pub sections: Sections,
}

/// One workflow: a stage, and what is done with its rows.
pub trait Workflow: Send + Sync + 'static {
    /// Its name, in configuration, commands, metrics and logs.
    const NAME: &'static str;
    /// The table whose rows it works.
    const TABLE: &'static str;
    /// The column group on that table.
    const STAGE: &'static str;
    /// Whether that table has an `updated_at` for the engine to keep true.
    const TOUCHES: bool = true;

    /// The table that takes what it finds, where a pipeline ends with it.
    const ENDS_IN: Option<&'static str> = None;

    /// The column of that table that says how many attempts a row has, where each has its own; the workflow's `max_attempts` is
    /// the most. Heeded when the rows of a dead worker are taken back; for all other failures [`Workflow::terms`] say the same.
    const LIMIT: Option<&'static str> = None;

    /// By whom its rows are shared out, where they belong to many and none is to keep the others waiting.
    const SHARE: Option<Share> = None;

    /// The assignments by which its table takes how far a row has come, where [`Workflow::run_with`] tells it: over `item` and `told`
    /// (`step`, `done`, `total`, `percent`). Such rows are looked at each second while they are worked; the work on one that is not
    /// this worker's any more, since it was cancelled, say, is dropped where it stands.
    const PROGRESS: Option<&'static str> = None;

    /// The stage that it works.
    #[must_use]
    fn stage() -> Stage {
        Stage::limited(Self::TABLE, Self::STAGE, Self::TOUCHES, Self::LIMIT)
            .shared(Self::SHARE)
            .telling(Self::PROGRESS)
    }

    /// What one row is worked from.
    type Input: Send + 'static;
    /// What working it yields, to be stored.
    type Output: Send + Sync + 'static;

    /// Whether it can work at all; the reason if not (a missing key). Asked before anything is claimed.
    ///
    /// # Errors
    /// What is missing and where to set it.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// Rows to be claimed before all others, at most `limit`, where something outside the database keeps an order of its own.
    /// Asked before every claim; what it does not name is claimed in the database's order all the same.
    fn wanted(&self, _limit: usize) -> impl Future<Output = Vec<ItemId>> + Send {
        std::future::ready(Vec::new())
    }

    /// Told which of the rows it named could not be claimed: in hand elsewhere, not due, done, or not there.
    fn unclaimed(
        &self,
        _conn: &mut AsyncPgConnection,
        _ids: &[ItemId],
    ) -> impl Future<Output = QueryResult<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Told what became of the rows of a batch, after that is committed. A process may die in between, so nothing may rest
    /// on it.
    fn committed(&self, _settled: &[Settled<'_, Self::Output>]) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Reads what the rows of a batch are worked from, in one short query. Rows not returned are taken for gone.
    fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> impl Future<Output = QueryResult<Vec<(ItemId, Self::Input)>>> + Send;

    /// Works one row. Has the network; has no database connection.
    fn run(
        &self,
        input: Self::Input,
    ) -> impl Future<Output = Result<Done<Self::Output>, WorkflowError>> + Send;

    /// The same, telling how far it has come. For workflows with [`Workflow::PROGRESS`]; may be dropped at any point.
    fn run_with(
        &self,
        input: Self::Input,
        _progress: &Progress,
    ) -> impl Future<Output = Result<Done<Self::Output>, WorkflowError>> + Send {
        self.run(input)
    }

    /// What the row behind a result has to say on being tried again, where rows have terms of their own. Asked for whatever went
    /// wrong with it: what `run` says, and a result that the database refuses.
    fn terms(_output: &Self::Output) -> Option<Terms> {
        None
    }

    /// Writes the results of a batch, in the transaction that settles it. Storing the same result twice must leave the same
    /// rows. Rows that are shared with others are written in the order of their keys, so that batches cannot deadlock.
    fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Self::Output)],
    ) -> impl Future<Output = QueryResult<()>> + Send;
}

/// A workflow of the program: what its section of the configuration holds, how it is made, and a row to try it with.
pub trait Configured: Workflow {
    /// What it alone can be told: `[workflows.<name>.options]`.
    type Options: Options;

    /// Statements that make one row of its table, and all that the row needs to be worked through to `Completed` or `Filtered` in a test; the
    /// row is asked for afterwards. Every workflow's contract is tested with it.
    const SAMPLE: &'static str;

    /// Tables to which every attempt adds a row of its own. Everything else is the same however often a row is worked.
    const JOURNALS: &'static [&'static str] = &[];

    /// The key of one of its options, as messages name it.
    #[must_use]
    fn option(key: &str) -> String {
        format!("workflows.{}.options.{key}", Self::NAME)
    }

    /// With what the process has, and options that a reload replaces.
    fn new(services: &Services, options: Live<Self::Options>) -> Self;
}

/// A row's own terms for another attempt, beside its workflow's settings: the harder of the two hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many attempts it has; the workflow's `max_attempts` is the most.
    pub attempts: i16,
    /// The least time from the failure of this attempt to the next.
    pub backoff: Duration,
}

impl Terms {
    /// The same failure of this attempt, to be tried again when the terms say so, if they do.
    #[must_use]
    pub fn applied(self, attempt: i16, error: WorkflowError) -> WorkflowError {
        match error {
            WorkflowError::Retry { class, source, .. } if attempt >= self.attempts => {
                WorkflowError::Permanent { class, source }
            }
            WorkflowError::Retry {
                class,
                after,
                source,
            } => WorkflowError::Retry {
                class,
                after: Some(self.backoff.max(after.unwrap_or_default())),
                source,
            },
            error => error,
        }
    }
}

/// A row whose end is committed.
#[derive(Debug)]
pub struct Settled<'a, O> {
    pub item: ItemId,
    pub attempt: i16,
    pub ended: Ended,
    /// What was stored, if anything.
    pub output: Option<&'a O>,
}

/// How an attempt at a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The row is `Completed`.
    Completed,
    /// The row is `Filtered`.
    Filtered,
    /// It failed, and the row is queued again.
    Again,
    /// The row is queued again, and nothing was wrong with it.
    Returned,
    /// The row is `Error`.
    Failed,
}

/// How a row came out, where there is something to store.
#[derive(Debug)]
pub enum Done<O> {
    /// With this result.
    Completed(O),
    /// There was rightly nothing to do, for this reason; a result may be stored all the same.
    Filtered(String, Option<O>),
    /// It went wrong, and what was seen of that is stored all the same: for workflows that keep a record of every attempt.
    /// A snooze is no attempt, and stores nothing.
    Failed(WorkflowError, O),
}

/// How it went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    /// May succeed later: timeouts, 5xx, resets.
    #[error("{class}")]
    Retry {
        /// A word for grouping.
        class: &'static str,
        /// Not before this long from now, where the other side named a time.
        after: Option<Duration>,
        #[source]
        source: BoxError,
    },
    /// Not now, and nobody's fault. The attempt is given back.
    #[error("not before {after:?} from now: {reason}")]
    Snooze {
        after: Duration,
        reason: String,
        /// Whether the whole workflow is to wait (a quota), not this row alone.
        whole_workflow: bool,
    },
    /// Cannot succeed by trying again: 404, bad input.
    #[error("{class}")]
    Permanent {
        /// A word for grouping.
        class: &'static str,
        #[source]
        source: BoxError,
    },
}

impl WorkflowError {
    /// A permanent failure of this class; a snooze if it is not the row's fault ([`fault::of`]).
    pub fn permanent(class: &'static str, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::nobodys(&*source).unwrap_or(Self::Permanent { class, source })
    }

    /// A failure of this class that may pass; a snooze if it is not the row's fault ([`fault::of`]).
    pub fn retry(class: &'static str, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::nobodys(&*source).unwrap_or(Self::Retry {
            class,
            after: None,
            source,
        })
    }

    /// What is no row's fault holds for all of them: the whole workflow waits, and nothing is charged.
    fn nobodys(source: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let after = match fault::of(source) {
            Fault::Row => return None,
            Fault::Process(shortage) => fault::lack(shortage),
            Fault::Database | Fault::Redis => STORE_WAIT,
        };
        Some(Self::Snooze {
            after,
            reason: chain(source),
            whole_workflow: true,
        })
    }
}

impl WorkflowError {
    fn decided(
        decision: Decision,
        class: &'static str,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        if let Some(nobodys) = Self::nobodys(&error) {
            return nobodys;
        }
        match decision {
            Decision::Retry { after } => Self::Retry {
                class,
                after,
                source: Box::new(error),
            },
            Decision::Snooze { after } => Self::Snooze {
                after,
                reason: chain(&error),
                whole_workflow: false,
            },
            Decision::Permanent => Self::Permanent {
                class,
                source: Box::new(error),
            },
        }
    }
}

impl From<FetchError> for WorkflowError {
    fn from(error: FetchError) -> Self {
        let class = error.class();
        // A robots.txt that cannot be had uses up attempts, or a host that is broken for good would be asked for ever.
        if let FetchError::RobotsUnreachable { retry_after } = error {
            return Self::Retry {
                class,
                after: Some(retry_after),
                source: Box::new(error),
            };
        }
        Self::decided(error.decision(), class, error)
    }
}

impl From<RenderError> for WorkflowError {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Fetch(error) => error.into(),
            error => Self::decided(error.decision(), error.class(), error),
        }
    }
}

impl From<NoPage> for WorkflowError {
    fn from(error: NoPage) -> Self {
        match error {
            NoPage::Fetch(error) => error.into(),
            NoPage::Render(error) => error.into(),
            NoPage::Page(error) => Self::permanent("http", error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_our_own_process_lacks_is_charged_to_no_row() {
        let full = || std::io::Error::from_raw_os_error(nix::errno::Errno::EMFILE as i32);
        let connect = || FetchError::Connect(Arc::new(full()));
        for error in [
            WorkflowError::from(connect()),
            WorkflowError::retry("smtp", full()),
            WorkflowError::permanent("smtp", full()),
            WorkflowError::from(RenderError::Fetch(connect())),
        ] {
            let WorkflowError::Snooze {
                after,
                whole_workflow: true,
                reason,
            } = error
            else {
                panic!("{error:?}");
            };
            assert!(after >= Duration::from_secs(1), "{after:?}");
            assert!(reason.contains("os error 24"), "{reason}");
        }
        assert_eq!(fault::lacking(), Some(fault::Shortage::Descriptors));
        let refused = std::io::Error::from_raw_os_error(nix::errno::Errno::ECONNREFUSED as i32);
        let error = WorkflowError::from(FetchError::Connect(Arc::new(refused)));
        assert!(matches!(error, WorkflowError::Retry { .. }), "{error:?}");
    }

    #[test]
    fn a_row_is_tried_again_by_the_harder_of_its_terms_and_the_other_side_s() {
        let terms = Terms {
            attempts: 3,
            backoff: Duration::from_secs(300),
        };
        let retry = |after: Option<u64>| WorkflowError::Retry {
            class: "http",
            after: after.map(Duration::from_secs),
            source: "429".into(),
        };
        for (attempt, error, expected) in [
            (1, retry(None), Some(300)),
            (2, retry(Some(10)), Some(300)),
            (2, retry(Some(3_000)), Some(3_000)),
            (3, retry(None), None),
            (i16::MAX, retry(Some(10)), None),
            (1, WorkflowError::permanent("http", "404"), None),
        ] {
            let after = match terms.applied(attempt, error) {
                WorkflowError::Retry { after, .. } => after.map(|after| after.as_secs()),
                WorkflowError::Permanent { class: "http", .. } => None,
                other => panic!("{other:?}"),
            };
            assert_eq!(after, expected, "attempt {attempt}");
        }
        let snooze = WorkflowError::Snooze {
            after: Duration::from_secs(1),
            reason: "busy".to_owned(),
            whole_workflow: false,
        };
        assert!(matches!(
            terms.applied(9, snooze),
            WorkflowError::Snooze { .. }
        ));
    }
}
