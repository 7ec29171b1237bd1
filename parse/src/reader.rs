//! Reads the documents that are not PDFs: each format in a file of its own, all of them into the same [`Sink`].
//!
//! What a page is: of a workbook a sheet, of a presentation a slide, of a book a chapter, of a Word file what its own page breaks
//! part. What flows without pages is cut at line ends into pages of about 50,000 code points; so is a sheet, a
//! chapter or a slide that is longer, whose pages then have the same locator.

use std::fs::File;

use crate::failure::Failure;
use crate::protocol::{Code, Opened, Request};

/// Where a heading stands in the text of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// Where its line begins, in bytes of the page's text as it was handed over.
    pub at: usize,
    /// Without line breaks.
    pub text: String,
}

/// Who takes what is read. A failure of it ends the reading.
pub trait Sink {
    /// First, and once.
    fn opened(&mut self, opened: Opened) -> Result<(), Failure>;
    /// The next page: what it is called, its text as it stands in the file, and the headings in it, in order.
    fn page(
        &mut self,
        locator: Option<String>,
        text: &str,
        headings: &[Heading],
    ) -> Result<(), Failure>;
    /// The next page, which cannot be read.
    fn page_failed(&mut self, locator: Option<String>, code: Code) -> Result<(), Failure>;
    /// Something attached, as it is.
    fn attachment(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure>;
}

/// Reads a document that is no PDF, from its beginning, into the sink.
///
/// The caller finishes the document: whether there was any text at all is the [`crate::document::Assembler`]'s to say.
///
/// # Errors
///
/// The reason why it cannot be read. What was handed to the sink before stays.
pub fn read(file: &mut File, request: &Request, sink: &mut dyn Sink) -> Result<(), Failure> {
    let _ = (file, request, sink);
    Err(Failure::new(Code::UnsupportedType, "Not yet."))
}
