//! Reads a document in a process of its own: `gleaner parse`, this program once more.
//!
//! The child has the file, a socket to us and nothing else (`gleaner_parse::sandbox` says how it confines itself). From here it is
//! held to a deadline and to bounds on what it says; when this future is dropped it is killed at once. A page that it breaks down
//! over costs that page: another child reads the document again and leaves it out. One that breaks down over a second look costs
//! the document its further second looks.
//!
//! What a document does to its child is an [`Outcome`]. What our own machine lacks is a [`ChildError`], and nobody's failure.

mod answer;
mod lookup;
mod ocr;
mod process;
mod trial;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gleaner_parse::protocol::{Chunk, Code, Done, Opened, Page, Request};
use tokio::time::Instant;
use tracing::warn;

pub use self::lookup::find_pdfium;
pub use self::ocr::Ocr;
pub use self::trial::{examine, try_out};

use self::answer::{Ending, Progress};
use crate::fault::Short;

/// How many pages may break a child each before the document is given up.
const MAX_BREAKDOWNS: usize = 5;

/// Media type of the only documents of which pages can be left out.
const PDF: &str = "application/pdf";

/// What a document turns out to hold, as it comes: first [`Event::Opened`], then its pages in order, last the pieces of its text.
#[derive(Debug)]
pub enum Event {
    Opened(Opened),
    Page(Page),
    /// A page that cannot be read, in its place.
    PageFailed {
        number: u32,
        code: Code,
    },
    /// Something that was attached.
    Attachment {
        name: String,
        bytes: Vec<u8>,
    },
    /// Something that was attached and is too big to be handed on.
    LeftOut {
        name: String,
        bytes: u64,
    },
    Chunk(Chunk),
}

/// How a reading ended that was no fault of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done(Done),
    Failed(Failed),
    /// The one who was told the events had it stopped.
    Stopped,
}

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub code: Code,
    /// In plain words, for the one who sent it.
    pub message: String,
    /// The pages concerned, if it is about pages.
    pub pages: Vec<u32>,
}

/// Why no document can be read at present. [`crate::fault::of`] says what is lacking.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// No more processes, or no memory for one.
    #[error("cannot start a process to read documents in")]
    Short(#[source] Short),
    /// The same for another reason.
    #[error("cannot start a process to read documents in")]
    Start(#[source] io::Error),
    /// It was started and does not do what it should, whatever the document.
    #[error("the process that reads documents is of no use: {0}")]
    Useless(String),
    /// The file or the socket to the child cannot be used.
    #[error("cannot hand a document to the process that reads it")]
    Io(#[from] io::Error),
}

/// How long reading may take, by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    pub base: Duration,
    /// On top of it for each MiB of the file.
    pub per_mib: Duration,
    /// On top of it for each page, once it is known how many there are.
    pub per_page: Duration,
    /// On top of it for each page whose text is recognised from a picture of it.
    pub per_picture: Duration,
    /// In no case longer.
    pub max: Duration,
}

impl Default for Deadline {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(30),
            per_mib: Duration::from_secs(2),
            per_page: Duration::from_secs(1),
            per_picture: Duration::from_secs(20),
            max: Duration::from_secs(3_600),
        }
    }
}

impl Deadline {
    /// Of a file of so many bytes and pages, and so many of these to be recognised.
    #[must_use]
    pub fn of(&self, bytes: u64, pages: u32, pictures: u32) -> Duration {
        let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        self.base
            .saturating_add(self.per_mib.saturating_mul(mib))
            .saturating_add(self.per_page.saturating_mul(pages))
            .saturating_add(self.per_picture.saturating_mul(pictures))
            .min(self.max)
    }
}

/// Starts children.
#[derive(Clone, Debug)]
pub struct Reader {
    program: PathBuf,
    ocr: Option<Ocr>,
}

impl Default for Reader {
    /// Children are this program. By its file as it runs, which may have been replaced on the disk meanwhile.
    fn default() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            ocr: None,
        }
    }
}

impl Reader {
    /// Children are another program: for tests, which are not `gleaner` themselves.
    #[must_use]
    pub fn by(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            ocr: None,
        }
    }

    /// Pages without text are looked at.
    #[must_use]
    pub fn with_ocr(mut self, ocr: Option<Ocr>) -> Self {
        self.ocr = ocr;
        self
    }

    /// What the children are.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Reads a document from its beginning, and tells what it finds. Dropping the future kills the child. Whether pictures are asked
    /// for is decided here, by whether anybody looks at them.
    ///
    /// # Errors
    /// [`ChildError`]: nothing is to be held against the document.
    pub async fn read(
        &self,
        file: &File,
        mut request: Request,
        deadline: Deadline,
        mut on_event: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Outcome, ChildError> {
        let bytes = file.metadata()?.len();
        request.pictures = self.ocr.is_some();
        let began = Instant::now();
        let mut progress = Progress::new(began, bytes, deadline);
        loop {
            let ending = self
                .attempt(file, &request, &mut progress, &mut on_event)
                .await?;
            let (code, page) = match ending {
                Ending::Outcome(outcome) => return Ok(outcome),
                Ending::Broke { code, page } => (code, page),
            };
            warn!(%code, page, "a child broke down over a document");
            if progress.was_asking() && request.second_look {
                // What the first engine says is enough.
                request.second_look = false;
                continue;
            }
            let Some(page) = page.filter(|page| progress.can_skip(*page)) else {
                return Ok(Outcome::Failed(broken(code, &request.skip, page)));
            };
            request.skip.insert(page, code);
            if request.skip.len() > MAX_BREAKDOWNS {
                return Ok(Outcome::Failed(broken(code, &request.skip, None)));
            }
        }
    }

    async fn attempt(
        &self,
        file: &File,
        request: &Request,
        progress: &mut Progress,
        on_event: &mut impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Ending, ChildError> {
        let mut process = process::Process::start(&self.program, file).await?;
        let ending =
            answer::follow(&mut process, self.ocr.as_ref(), request, progress, on_event).await;
        process.end().await;
        ending
    }
}

/// What is said of a document that breaks its readers down.
fn broken(code: Code, skipped: &BTreeMap<u32, Code>, page: Option<u32>) -> Failed {
    let message = match code {
        Code::Timeout => "Reading it takes longer than documents of its size may take.",
        Code::Memory => "Reading it takes more memory than documents may take.",
        _ => "What reads it broke down over it.",
    };
    let mut pages: Vec<u32> = skipped.keys().copied().chain(page).collect();
    pages.sort_unstable();
    pages.dedup();
    Failed {
        code,
        message: message.to_owned(),
        pages,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_grows_with_the_file_up_to_the_longest() {
        let deadline = Deadline::default();
        for (bytes, pages, pictures, seconds) in [
            (0, 0, 0, 30),
            (10 << 20, 0, 0, 50),
            (10 << 20, 500, 0, 550),
            (0, 2, 2, 72),
            (u64::MAX, u32::MAX, u32::MAX, 3_600),
        ] {
            let given = deadline.of(bytes, pages, pictures);
            assert_eq!(given, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn the_pages_that_broke_it_are_named_once() {
        let skipped = BTreeMap::from([(7, Code::Timeout), (2, Code::ParserCrashed)]);
        assert_eq!(broken(Code::Memory, &skipped, Some(7)).pages, [2, 7]);
        assert_eq!(broken(Code::Memory, &BTreeMap::new(), Some(3)).pages, [3]);
    }
}
