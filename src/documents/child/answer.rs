//! What a child says, followed to its end.

use std::io;
use std::ops::ControlFlow;

use gleaner_parse::protocol::{Code, Frame, Request};
use gleaner_parse::watch::MEMORY_MARK;
use gleaner_parse::wire::{MAX_BYTES, MAX_FRAME, send};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::process::{Death, Process};
use super::{ChildError, Deadline, Event, Failed, Ocr, Outcome, PDF};
use crate::fault::{Short, Shortage};

/// What all frames together may come to, beyond the text and what is unpacked.
const SLACK_BYTES: u64 = 256 << 20;

/// Bytes that a character of the text may take in a frame, in the pages and in the pieces.
const BYTES_PER_CHAR: u64 = 8;

/// What the libraries of ours say when memory is refused to them.
const NO_MEMORY: &str = "memory allocation of";

/// What is known of a document after all children that have read in it.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    bytes: u64,
    deadline: Deadline,
    is_pdf: bool,
    is_opened: bool,
    pages: u32,
    /// How many of them were looked at as pictures, by all children.
    pictures: u32,
    /// The last page that was told.
    told: u32,
    /// Whether the child is taking a second look, as far as is known.
    is_asking: bool,
}

impl Progress {
    pub(super) fn new(began: Instant, bytes: u64, deadline: Deadline) -> Self {
        Self {
            began,
            bytes,
            deadline,
            is_pdf: false,
            is_opened: false,
            pages: 0,
            pictures: 0,
            told: 0,
            is_asking: false,
        }
    }

    fn until(&self) -> Instant {
        self.began + self.deadline.of(self.bytes, self.pages, self.pictures)
    }

    /// Whether the last child broke down over a second look.
    pub(super) fn was_asking(&self) -> bool {
        self.is_asking
    }

    /// Whether another child can leave this page out.
    pub(super) fn can_skip(&self, page: u32) -> bool {
        self.is_pdf && (1..=self.pages).contains(&page)
    }

    /// The page that a child is at.
    fn at(&self, last: u32) -> Option<u32> {
        let page = last + 1;
        self.can_skip(page).then_some(page)
    }

    /// Whether a page is told for the first time.
    fn is_new(&mut self, number: u32) -> bool {
        let is_new = number > self.told;
        self.told = self.told.max(number);
        is_new
    }
}

/// How one child's reading ended.
#[derive(Debug)]
pub(super) enum Ending {
    Outcome(Outcome),
    /// It broke down, over this page if it is known.
    Broke {
        code: Code,
        page: Option<u32>,
    },
}

/// What came next.
enum Next {
    Frame(Frame, Vec<u8>),
    /// The stream broke off.
    Broken,
    /// It says what nobody understands, or too much.
    Nonsense,
}

/// Tells the child what to do, and others what it answers.
pub(super) async fn follow(
    process: &mut Process,
    ocr: Option<&Ocr>,
    request: &Request,
    progress: &mut Progress,
    on_event: &mut impl FnMut(Event) -> ControlFlow<()>,
) -> Result<Ending, ChildError> {
    let mut message = Vec::new();
    send(&mut message, request, &[])?;
    // Where it is gone already its end says why.
    if let Err(error) = process.socket.write_all(&message).await {
        debug!(%error, "the child did not take the request");
    }
    let limits = &request.limits;
    let mut left = limits
        .chars
        .saturating_mul(BYTES_PER_CHAR)
        .saturating_add(limits.unpacked_bytes)
        .saturating_add(SLACK_BYTES);
    progress.is_asking = false;
    // The last page that this child has told.
    let mut last = 0;
    loop {
        let next = match timeout_at(progress.until(), next(&mut process.socket, &mut left)).await {
            Ok(next) => next,
            Err(_) => {
                process.kill();
                return Ok(Ending::Outcome(Outcome::Failed(Failed {
                    code: Code::Timeout,
                    message: "Reading it takes longer than documents of its size may take."
                        .to_owned(),
                    pages: progress.at(last).into_iter().collect(),
                })));
            }
        };
        let (frame, bytes) = match next {
            Next::Frame(frame, bytes) => (frame, bytes),
            Next::Broken => {
                let death = process.death().await;
                return fate(&death, progress.at(last));
            }
            Next::Nonsense => {
                process.kill();
                return Ok(Ending::Broke {
                    code: Code::ParserCrashed,
                    page: None,
                });
            }
        };
        progress.is_asking = matches!(frame, Frame::Asking)
            || (progress.is_asking && matches!(frame, Frame::Broke { .. }));
        let event = match frame {
            Frame::Asking => continue,
            Frame::Opened(opened) => {
                progress.is_pdf = opened.mime == PDF;
                progress.pages = opened.pages.unwrap_or(0).min(limits.pages);
                if progress.is_opened {
                    continue;
                }
                progress.is_opened = true;
                Event::Opened(opened)
            }
            Frame::Page(page) => {
                last = page.number;
                if !progress.is_new(last) {
                    continue;
                }
                Event::Page(page)
            }
            Frame::PageFailed { number, code } => {
                last = number;
                if !progress.is_new(last) {
                    continue;
                }
                Event::PageFailed { number, code }
            }
            Frame::Picture { .. } => {
                progress.pictures += 1;
                let Some(ocr) = ocr else {
                    process.kill();
                    return Ok(Ending::Broke {
                        code: Code::ParserCrashed,
                        page: None,
                    });
                };
                // Its own patience is shorter than any deadline; the deadline is seen to with the next frame.
                let recognised = ocr.recognise(&bytes).await?;
                message.clear();
                send(&mut message, &recognised, &[])?;
                if let Err(error) = process.socket.write_all(&message).await {
                    debug!(%error, "the child did not take what was recognised");
                }
                continue;
            }
            Frame::Attachment { name, .. } => Event::Attachment { name, bytes },
            Frame::LeftOut { name, bytes } => Event::LeftOut { name, bytes },
            Frame::Chunk(chunk) => Event::Chunk(chunk),
            Frame::Broke { page, code } => {
                return Ok(Ending::Broke {
                    code,
                    page: Some(page),
                });
            }
            Frame::Done(done) => return Ok(Ending::Outcome(Outcome::Done(done))),
            Frame::Failed {
                code: Code::Internal,
                message,
                ..
            } => return Err(ChildError::Useless(message)),
            Frame::Failed {
                code,
                message,
                pages,
            } => {
                return Ok(Ending::Outcome(Outcome::Failed(Failed {
                    code,
                    message,
                    pages,
                })));
            }
        };
        if on_event(event).is_break() {
            process.kill();
            return Ok(Ending::Outcome(Outcome::Stopped));
        }
    }
}

/// Reads a frame and what follows it; `left` is how many bytes may still come.
async fn next(socket: &mut UnixStream, left: &mut u64) -> Next {
    let Ok(length) = socket.read_u32().await else {
        return Next::Broken;
    };
    if length > MAX_FRAME || !take(left, length) {
        return Next::Nonsense;
    }
    let Ok(json) = exactly(socket, length).await else {
        return Next::Broken;
    };
    let Ok(frame) = serde_json::from_slice(&json) else {
        return Next::Nonsense;
    };
    let follow = match &frame {
        Frame::Picture { bytes, .. } | Frame::Attachment { bytes, .. } => *bytes,
        _ => 0,
    };
    if follow > MAX_BYTES || !take(left, follow) {
        return Next::Nonsense;
    }
    match exactly(socket, follow).await {
        Ok(bytes) => Next::Frame(frame, bytes),
        Err(_) => Next::Broken,
    }
}

fn take(left: &mut u64, length: u32) -> bool {
    match left.checked_sub(u64::from(length)) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

/// So many bytes; memory is taken for those that come, not for those that are announced.
async fn exactly(socket: &mut UnixStream, length: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = socket
        .take(u64::from(length))
        .read_to_end(&mut bytes)
        .await?;
    match u32::try_from(read) {
        Ok(read) if read == length => Ok(bytes),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What the end of a child without a last word means.
fn fate(death: &Death, page: Option<u32>) -> Result<Ending, ChildError> {
    let said = |what: &str| death.complaints.contains(what);
    let code = match death.signal {
        // Its processor time is over.
        Some(Signal::SIGXCPU) => Code::Timeout,
        _ if said(NO_MEMORY) || said(MEMORY_MARK) => Code::Memory,
        // pdfium ends itself without a word when memory is refused to it; others who do that say why.
        Some(Signal::SIGABRT) if death.complaints.is_empty() => Code::Memory,
        // By the kernel, and not for what the document took: the machine is out of memory.
        Some(Signal::SIGKILL) => return Err(ChildError::Short(Short(Shortage::Memory))),
        Some(_) => Code::ParserCrashed,
        // A panic.
        None if death.code == Some(101) => Code::ParserCrashed,
        None => {
            let code = death.code.unwrap_or_default();
            return Err(ChildError::Useless(format!(
                "it left with {code}: {}",
                death.complaints
            )));
        }
    };
    debug!(?death, %code, "a child ended without a last word");
    Ok(Ending::Broke { code, page })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{self, Fault};

    fn death(signal: Option<Signal>, code: Option<i32>, complaints: &str) -> Death {
        Death {
            signal,
            code,
            complaints: complaints.to_owned(),
        }
    }

    #[test]
    fn deaths_are_told_apart() {
        for (signal, code, complaints, expected) in [
            (Some(Signal::SIGSEGV), None, "", Code::ParserCrashed),
            (Some(Signal::SIGABRT), None, "", Code::Memory),
            (
                Some(Signal::SIGABRT),
                None,
                "double free or corruption",
                Code::ParserCrashed,
            ),
            (Some(Signal::SIGXCPU), None, MEMORY_MARK, Code::Timeout),
            (Some(Signal::SIGTRAP), None, MEMORY_MARK, Code::Memory),
            (Some(Signal::SIGKILL), None, MEMORY_MARK, Code::Memory),
            (
                Some(Signal::SIGABRT),
                None,
                "memory allocation of 9 bytes failed",
                Code::Memory,
            ),
            (None, Some(101), "panicked", Code::ParserCrashed),
        ] {
            let told = fate(&death(signal, code, complaints), Some(4)).unwrap();
            let Ending::Broke { code, page } = told else {
                panic!("{told:?}");
            };
            assert_eq!((code, page), (expected, Some(4)), "{signal:?} {complaints}");
        }
    }

    #[test]
    fn what_the_machine_lacks_is_no_fault_of_the_document_s() {
        let killed = fate(&death(Some(Signal::SIGKILL), None, ""), None).unwrap_err();
        assert_eq!(fault::of(&killed), Fault::Process(Shortage::Memory));
        let odd = fate(&death(None, Some(127), "not found"), None).unwrap_err();
        assert!(odd.to_string().contains("127"), "{odd}");
    }

    #[test]
    fn bytes_are_counted_down() {
        let mut left = 10;
        assert!(take(&mut left, 10));
        assert!(!take(&mut left, 1));
        assert!(take(&mut left, 0));
    }
}
