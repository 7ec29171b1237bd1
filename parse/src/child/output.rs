//! Sends what is read to the parent as it comes.

use crate::document::Assembler;
use crate::failure::Failure;
use crate::protocol::{Code, Frame, Opened, Page, Request, Source};
use crate::reader::{Heading, Sink};
use crate::watch::Watch;
use crate::wire::{MAX_BYTES, MAX_PAGE_CHARS};

/// The parent, as the readers know it.
pub(super) struct Output<'a> {
    watch: &'a Watch,
    assembler: Assembler,
    /// What each failed page failed of, in order.
    failed: Vec<(u32, Code)>,
    /// Whether pages are drawn ones: of a PDF.
    has_layout: bool,
}

impl<'a> Output<'a> {
    pub(super) fn new(watch: &'a Watch, request: &Request) -> Self {
        Self {
            watch,
            assembler: Assembler::new(request.limits, request.cut),
            failed: Vec::new(),
            has_layout: false,
        }
    }

    fn send(&self, frame: &Frame, bytes: &[u8]) -> Result<(), Failure> {
        self.watch
            .send(frame, bytes)
            .map_err(|error| Failure::new(Code::Internal, error.to_string()))
    }

    fn tell(
        &mut self,
        locator: Option<String>,
        text: &str,
        headings: &[Heading],
        source: Source,
    ) -> Result<(), Failure> {
        let is_long = u64::try_from(text.len()).is_ok_and(|bytes| bytes > MAX_PAGE_CHARS)
            && text
                .chars()
                .nth(usize::try_from(MAX_PAGE_CHARS).unwrap_or(usize::MAX))
                .is_some();
        if is_long {
            let message = format!("A page of it has more than {MAX_PAGE_CHARS} characters.");
            return Err(Failure::new(Code::TooLarge, message));
        }
        let page = self.assembler.page(locator, text, headings)?;
        self.send(&Frame::Page(Page { source, ..page }), &[])
    }

    /// The pieces, and then the last frame.
    ///
    /// # Errors
    /// That there is no text in it, and why.
    pub(super) fn finish(self) -> Result<Frame, Failure> {
        if !self.assembler.has_text() {
            if let Some((_, code)) = self.failed.first() {
                return Err(Failure {
                    code: *code,
                    message: "No page of it could be read.".to_owned(),
                    pages: self.failed.iter().map(|(number, _)| *number).collect(),
                });
            }
            let pages = self.assembler.without_text().to_vec();
            if self.has_layout && !pages.is_empty() {
                return Err(Failure {
                    code: Code::NoTextLayer,
                    message: "There is no text on its pages: they are pictures, or empty."
                        .to_owned(),
                    pages,
                });
            }
        }
        let (watch, assembler) = (self.watch, self.assembler);
        let (chunks, done) = assembler.finish()?;
        for chunk in chunks {
            watch
                .send(&Frame::Chunk(chunk), &[])
                .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        }
        Ok(Frame::Done(done))
    }
}

impl Sink for Output<'_> {
    fn opened(&mut self, opened: Opened) -> Result<(), Failure> {
        self.has_layout = opened.mime == "application/pdf" || opened.mime.starts_with("image/");
        self.send(&Frame::Opened(opened), &[])
    }

    fn page(
        &mut self,
        locator: Option<String>,
        text: &str,
        headings: &[Heading],
    ) -> Result<(), Failure> {
        self.tell(locator, text, headings, Source::Text)
    }

    fn recognised(&mut self, text: &str) -> Result<(), Failure> {
        self.tell(None, text, &[], Source::Ocr)
    }

    fn page_failed(&mut self, _locator: Option<String>, code: Code) -> Result<(), Failure> {
        let number = self.assembler.page_failed()?;
        self.failed.push((number, code));
        self.send(&Frame::PageFailed { number, code }, &[])
    }

    fn attachment(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let name = name.to_owned();
        match u32::try_from(bytes.len()) {
            Ok(length) if length <= MAX_BYTES => self.send(
                &Frame::Attachment {
                    name,
                    bytes: length,
                },
                bytes,
            ),
            _ => {
                let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.send(&Frame::LeftOut { name, bytes }, &[])
            }
        }
    }
}
