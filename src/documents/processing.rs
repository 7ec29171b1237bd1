//! document-processing: from a stored file to pages and pieces that are found again.
//!
//! fetch → read → store. What a file holds is read by a child process ([`Reads`]), which costs nobody but itself whatever it meets. A
//! document ends ready, with text, or failed, with a code of the closed set [`Code`], the pages concerned and whether trying
//! again can help. What breaks the child down is tried once more and then left alone: the same bytes would do it again. What the
//! machine or the storage lacks is charged to no document.

pub mod attachments;
pub mod options;
pub mod reads;
mod store;
mod text;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, SmallInt, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use gleaner_parse::protocol::{self, Code, Opened, Page, Request};
use tokio::sync::mpsc;

pub use self::options::Processing;
use self::reads::Reads;
use super::blob::{Blobs, Key};
use super::child::{ChildError, Event, Outcome, find_pdfium};
use super::document;
use super::metrics;
use super::password;
use super::storage;
use crate::config::Config;
use crate::db::statement::statement;
use crate::fault;
use crate::live::Live;
use crate::settings::{ConfigError, inconsistent};
use crate::store::stage::Share;
use crate::telemetry::chain;
use crate::workflow::progress::Told;
use crate::workflow::{
    Configured, Done, Ended, ItemId, Progress, Services, Terms, Workflow, WorkflowError,
};

/// How long all documents wait when the storage does not answer, or nothing can be started.
const MACHINE_WAIT: Duration = Duration::from_secs(5);
/// How long a document is left to the process that knows its password, at a time.
const UNLOCKED_ELSEWHERE: Duration = Duration::from_secs(1);
/// Attempts at a file over which what reads it breaks down.
const ATTEMPTS_AT_BREAKERS: i16 = 2;
/// Time between the two.
const BREAKER_BACKOFF: Duration = Duration::from_secs(5);

/// Per cent when the file is there, when all is read, and when all is ready to be stored.
const FETCHED: u8 = 5;
const READ: u8 = 85;
const CUT: u8 = 95;

pub struct DocumentProcessing {
    blobs: Arc<dyn Blobs>,
    reads: Arc<dyn Reads>,
    options: Live<Processing>,
    /// The folder of this machine where pdfium may be.
    data_dir: PathBuf,
}

/// What a document is read from.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct Input {
    #[diesel(sql_type = BigInt)]
    id: i64,
    /// The tenant's uid.
    #[diesel(sql_type = Text)]
    tenant: String,
    #[diesel(sql_type = Binary)]
    sha256: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    file_size: i64,
    /// The name that it was sent under.
    #[diesel(sql_type = Text)]
    name: String,
    /// How many e-mails it was in.
    #[diesel(sql_type = SmallInt)]
    depth: i16,
    /// When the row was accepted, for the wait; in seconds.
    #[diesel(sql_type = Nullable<diesel::sql_types::Double>)]
    waited: Option<f64>,
    /// Some process knows its password.
    #[diesel(sql_type = Bool)]
    is_unlocked: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Output {
    opened: Option<Opened>,
    pages: Vec<Page>,
    pieces: Vec<text::Piece>,
    done: protocol::Done,
    attachments: attachments::Found,
    /// Why it failed; nothing of the text is kept then.
    failure: Option<Failure>,
}

/// Why a document failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    /// In plain words, for the one who sent it.
    pub message: String,
    pub pages: Vec<u32>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

impl Failure {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            pages: Vec::new(),
        }
    }

    /// What is to be done about it.
    fn error(&self) -> WorkflowError {
        let class = self.code.as_str();
        let source = Box::new(self.clone());
        if breaks_down(self.code) || self.code == Code::Internal {
            WorkflowError::Retry {
                class,
                after: None,
                source,
            }
        } else {
            WorkflowError::Permanent { class, source }
        }
    }
}

/// Whether it is what reads a file that gave up, and not the file that was refused.
fn breaks_down(code: Code) -> bool {
    matches!(code, Code::Timeout | Code::Memory | Code::ParserCrashed)
}

impl DocumentProcessing {
    /// With files from `blobs`, read by `reads`.
    #[must_use]
    pub fn with(
        blobs: Arc<dyn Blobs>,
        reads: Arc<dyn Reads>,
        options: Live<Processing>,
        data_dir: PathBuf,
    ) -> Self {
        Self {
            blobs,
            reads,
            options,
            data_dir,
        }
    }

    /// Reads one file.
    async fn read(&self, input: &Input, progress: &Progress) -> Result<Output, Stopped> {
        let told = |step, percent, done, total| {
            progress.set(Told {
                step,
                done,
                total,
                percent,
            });
        };
        told("fetch", 0, 0, None);
        let file = self.open(input).await?;
        told("read", FETCHED, 0, None);
        let options = self.options.get();
        let request = Request {
            name: Some(input.name.clone()),
            password: password::of(input.id),
            pdfium: find_pdfium(&options.pdfium, &self.data_dir),
            ..options.request()
        };
        let (sender, mut found) = mpsc::unbounded_channel();
        let reading = async {
            let read = self.reads.read(file, request, options.deadline(), sender);
            read.await.map_err(Stopped::Machine)
        };
        let taking = async {
            let mut taken = Taken::new(self, &options, input);
            while let Some(event) = found.recv().await {
                taken.take(event).await?;
                let (done, total) = taken.how_far();
                told("read", percent(done, total), done, total);
            }
            Ok::<_, Stopped>(taken)
        };
        // If what is found cannot be taken, what is read is of no use, and the other way round.
        let (end, taken) = tokio::try_join!(reading, taking)?;
        let Taken {
            mut output, files, ..
        } = taken;
        told("store", READ, output.pages_done(), output.page_count());
        match end {
            Outcome::Failed(failed) => {
                output.failure = Some(Failure {
                    code: failed.code,
                    message: failed.message,
                    pages: failed.pages,
                });
            }
            Outcome::Done(done) => {
                output.done = done;
                output.failure = text::check(&output.pages, &output.done);
            }
            Outcome::Stopped => {
                output.failure = Some(Failure::new(Code::Internal, "it was not read to its end"));
            }
        }
        if output.failure.is_some() {
            return Ok(output);
        }
        output.attachments = files.keep(&input.tenant).await?;
        told("store", CUT, output.pages_done(), output.page_count());
        Ok(output)
    }

    async fn open(&self, input: &Input) -> Result<std::fs::File, Stopped> {
        let Ok(sha256) = input.sha256.as_slice().try_into() else {
            let failure = Failure::new(Code::Internal, "its hash is none");
            return Err(Stopped::For(failure));
        };
        let key = Key {
            tenant: input.tenant.clone(),
            sha256,
        };
        self.blobs
            .open(&key)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Stopped::For(Failure::new(
                    Code::FileMissing,
                    "the stored file is gone; upload it again",
                )),
                _ => Stopped::Storage(error),
            })
    }
}

/// How far a document of `total` pages is with `done`: of one whose pages are not known, ever closer to the end.
fn percent(done: u32, total: Option<u32>) -> u8 {
    let total = total.unwrap_or_else(|| done.saturating_add(10)).max(1);
    let span = u64::from(READ - FETCHED);
    let gone = span * u64::from(done.min(total)) / u64::from(total);
    FETCHED + u8::try_from(gone).unwrap_or_default()
}

/// Why the work on a document ended early.
#[derive(Debug)]
pub enum Stopped {
    /// For a reason of its own.
    For(Failure),
    /// The storage does not give or take files.
    Storage(io::Error),
    /// This machine cannot start what reads it.
    Machine(ChildError),
}

/// What has been found so far.
struct Taken {
    output: Output,
    files: attachments::Drafts,
    read: text::Reading,
}

impl Taken {
    fn new(processing: &DocumentProcessing, options: &Processing, input: &Input) -> Self {
        Self {
            output: Output::default(),
            files: attachments::Drafts::new(Arc::clone(&processing.blobs), options, input.depth),
            read: text::Reading::default(),
        }
    }

    /// Takes what a child says, which may say anything: it has read a stranger's file.
    async fn take(&mut self, event: Event) -> Result<(), Stopped> {
        let broken = |what: &'static str| {
            let said = format!("what reads it said what it may not: {what}");
            Stopped::For(Failure::new(Code::ParserCrashed, said))
        };
        match event {
            Event::Opened(opened) => self.output.opened = Some(text::storable(opened)),
            Event::Page(page) => {
                self.read.page(&page).map_err(broken)?;
                self.output.pages.push(page);
            }
            Event::PageFailed { number, .. } => {
                let page = self.read.failed(number).map_err(broken)?;
                self.output.pages.push(page);
            }
            Event::Chunk(chunk) => {
                let piece = self.read.piece(&self.output.pages, chunk);
                self.output.pieces.push(piece.map_err(broken)?);
            }
            Event::Attachment { name, bytes } => {
                let written = self.files.write(&name, &bytes).await;
                written.map_err(Stopped::Storage)?;
            }
            Event::LeftOut { name, .. } => self.files.skip(&name, "too_large"),
        }
        Ok(())
    }

    fn how_far(&self) -> (u32, Option<u32>) {
        let total = self.output.opened.as_ref().and_then(|opened| opened.pages);
        (self.read.pages(), total)
    }
}

impl Output {
    fn pages_done(&self) -> u32 {
        u32::try_from(self.pages.len()).unwrap_or(u32::MAX)
    }

    fn page_count(&self) -> Option<u32> {
        self.opened.as_ref().and_then(|opened| opened.pages)
    }
}

impl Workflow for DocumentProcessing {
    const NAME: &'static str = "document-processing";
    const TABLE: &'static str = "documents";
    const STAGE: &'static str = "process";
    const ENDS_IN: Option<&'static str> = Some("chunk");
    const SHARE: Option<Share> = Some(Share {
        owner: "tenant_id",
        owners: "tenant",
        cap: "CASE WHEN owner.disabled_at IS NULL THEN owner.max_running ELSE 0 END",
        large: "lane = 2",
    });
    const PROGRESS: Option<&'static str> = Some(
        "step = told.step, pages_done = greatest(item.pages_done, told.done), page_count = coalesce(told.total, item.page_count), \
         processing_progress = greatest(item.processing_progress, told.percent)",
    );

    type Input = Input;
    type Output = Output;

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, Self::Input)>> {
        let rows: Vec<Input> = statement(
            "SELECT documents.id, tenant.uid::text AS tenant, sha256, file_size, original_filename AS name, depth, \
                    CASE WHEN process_attempts = 1 THEN extract(epoch FROM now() - documents.created_at)::float8 END AS waited, \
                    unlocked_until IS NOT NULL AND unlocked_until > now() AS is_unlocked \
             FROM documents JOIN tenant ON tenant.id = tenant_id \
             WHERE documents.id = ANY ($1) AND deleted_at IS NULL",
        )
        .bind::<Array<BigInt>, _>(ids)
        .load(conn)
        .await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    async fn run(&self, input: Self::Input) -> Result<Done<Self::Output>, WorkflowError> {
        self.run_with(input, &Progress::default()).await
    }

    async fn run_with(
        &self,
        input: Self::Input,
        progress: &Progress,
    ) -> Result<Done<Self::Output>, WorkflowError> {
        if input.is_unlocked && password::of(input.id).is_none() {
            return Err(WorkflowError::Snooze {
                after: UNLOCKED_ELSEWHERE,
                reason: "another process knows its password".to_owned(),
                whole_workflow: false,
            });
        }
        if let Some(waited) = input.waited {
            metrics::waited(waited);
        }
        let timing = metrics::Timing::start();
        let output = match self.read(&input, progress).await {
            Ok(output) => output,
            Err(Stopped::For(failure)) => Output {
                failure: Some(failure),
                ..Output::default()
            },
            Err(Stopped::Storage(error)) => return Err(nobodys("the storage", &error)),
            Err(Stopped::Machine(error)) => return Err(nobodys("this machine", &error)),
        };
        timing.read();
        match &output.failure {
            None => Ok(Done::Completed(output)),
            Some(failure) => {
                metrics::failed(failure.code);
                Ok(Done::Failed(failure.error(), output))
            }
        }
    }

    fn terms(output: &Self::Output) -> Option<Terms> {
        let failure = output.failure.as_ref()?;
        breaks_down(failure.code).then_some(Terms {
            attempts: ATTEMPTS_AT_BREAKERS,
            backoff: BREAKER_BACKOFF,
        })
    }

    async fn committed(&self, settled: &[crate::workflow::Settled<'_, Self::Output>]) {
        for one in settled {
            metrics::finished(one.ended);
            if matches!(one.ended, Ended::Completed | Ended::Failed) {
                password::forget(one.item);
            }
        }
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Self::Output)],
    ) -> QueryResult<()> {
        let mut outputs = outputs.to_vec();
        outputs.sort_by_key(|(id, _)| *id);
        let ids: BTreeSet<ItemId> = outputs.iter().map(|(id, _)| *id).collect();
        debug_assert_eq!(ids.len(), outputs.len());
        let embed = self.options.get().embed;
        for (id, output) in outputs {
            store::one(conn, id, output, embed).await?;
        }
        Ok(())
    }
}

/// Work waits, and no document is charged: what this machine lacks, or the storage does not give.
fn nobodys(what: &str, error: &(dyn Error + 'static)) -> WorkflowError {
    let after = match fault::shortage(error) {
        Some(shortage) => fault::lack(shortage),
        None => MACHINE_WAIT,
    };
    WorkflowError::Snooze {
        after,
        reason: format!("{what}: {}", chain(error)),
        whole_workflow: true,
    }
}

impl Configured for DocumentProcessing {
    type Options = Processing;

    const SAMPLE: &'static str = document::SAMPLE;

    fn new(services: &Services, options: Live<Self::Options>) -> Self {
        let blobs = storage::at(services.sections.get(), &services.data_dir);
        let reads = Arc::new(reads::children(&options.get()));
        Self::with(blobs, reads, options, services.data_dir.clone())
    }
}

/// What must hold across sections.
///
/// # Errors
/// [`ConfigError::Inconsistent`] naming the key.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    let longest = config
        .workflows
        .options::<DocumentProcessing>()
        .longest_time;
    if config.workflows.of::<DocumentProcessing>().timeout <= longest {
        return Err(inconsistent(
            &format!("workflows.{}.timeout", DocumentProcessing::NAME),
            "must be longer than its options.longest_time, so that a document is ended by its own time",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_goes_from_fetched_to_read_and_never_beyond() {
        for (done, total, expected) in [
            (0, None, 5),
            (0, Some(10), 5),
            (5, Some(10), 45),
            (10, Some(10), 85),
            (20, Some(10), 85),
            (0, Some(0), 5),
            (10, None, 45),
            (u32::MAX, None, 85),
        ] {
            assert_eq!(percent(done, total), expected, "{done} of {total:?}");
        }
    }

    #[test]
    fn what_breaks_down_is_tried_once_more_and_then_left_alone() {
        let failed = |code| Output {
            failure: Some(Failure::new(code, "x")),
            ..Output::default()
        };
        for code in [Code::Timeout, Code::Memory, Code::ParserCrashed] {
            let output = failed(code);
            let terms = DocumentProcessing::terms(&output).unwrap();
            let error = || output.failure.as_ref().unwrap().error();
            let first = terms.applied(1, error());
            assert!(matches!(first, WorkflowError::Retry { .. }), "{first:?}");
            let second = terms.applied(2, error());
            assert!(
                matches!(second, WorkflowError::Permanent { .. }),
                "{second:?}"
            );
        }
        let refused = failed(Code::Corrupt);
        assert_eq!(DocumentProcessing::terms(&refused), None);
        let error = refused.failure.as_ref().unwrap().error();
        assert!(
            matches!(error, WorkflowError::Permanent { .. }),
            "{error:?}"
        );
    }
}
