//! Reads the documents that are not PDFs: each format in a file of its own, all of them into the same [`Sink`].
//!
//! What a page is: of a workbook a sheet, of a presentation a slide, of a book a chapter, of a Word file what its own page breaks
//! part. What flows without pages is cut at line ends into pages of about 50,000 code points; so is a sheet, a
//! chapter or a slide that is longer, whose pages then have the same locator.

mod docx;
mod epub;
mod flow;
mod html;
mod mail;
mod odf;
mod package;
mod pptx;
mod rtf;
mod sheet;
#[cfg(test)]
mod tests;
mod text;

use std::io::{Read, Seek, SeekFrom};

use crate::archive::{Archive, ENCRYPTED};
use crate::failure::Failure;
use crate::normal;
use crate::protocol::{Code, Opened, Request};
use crate::sniff::{Kind, sniff};

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
    /// The next page, whose text was recognised on a picture of it.
    fn recognised(&mut self, text: &str) -> Result<(), Failure>;
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
pub fn read(
    file: &mut (impl Read + Seek),
    request: &Request,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let name = request.name.as_deref();
    let kind = sniff(file, name)?;
    file.seek(SeekFrom::Start(0))?;
    let limits = &request.limits;
    match kind {
        Kind::Docx => docx::read(Archive::open(file, limits)?, sink),
        Kind::Pptx => pptx::read(Archive::open(file, limits)?, sink),
        Kind::Odt | Kind::Ods => odf::read(kind, Archive::open(file, limits)?, sink),
        Kind::Epub => epub::read(Archive::open(file, limits)?, sink),
        Kind::Xlsx => sheet::read_xlsx(Archive::open(file, limits)?, sink),
        Kind::Xls => sheet::read_xls(file, limits, sink),
        Kind::Html => html::read(file, sink),
        Kind::Markdown | Kind::Text | Kind::Csv | Kind::Json => {
            text::read(kind, file, limits, sink)
        }
        Kind::Eml => mail::read(file, sink),
        Kind::Rtf => rtf::read(file, sink),
        Kind::Encrypted => Err(encrypted(request)),
        Kind::Image(_) => Err(Failure {
            code: Code::NoTextLayer,
            message: "It is a picture, and nothing here recognises text in pictures.".to_owned(),
            pages: vec![1],
        }),
        Kind::Pdf => Err(Failure::new(
            Code::Internal,
            "It is a PDF, which is read elsewhere.",
        )),
        Kind::Unsupported(what) => Err(Failure::new(
            Code::UnsupportedType,
            format!("It is {what}, which is not read here."),
        )),
    }
    .map_err(|failure| match failure.code {
        // The password was of no use, and none will be.
        Code::PasswordRequired if request.password.is_some() => encrypted(request),
        _ => failure,
    })
}

/// An office document that is encrypted: nothing here decrypts it. Without a password that is said as it is of any encrypted
/// file; with one, that this type is not read, so that nobody tries the next.
fn encrypted(request: &Request) -> Failure {
    let code = match request.password {
        Some(_) => Code::UnsupportedType,
        None => Code::PasswordRequired,
    };
    Failure::new(code, ENCRYPTED)
}

/// Tells what the file is.
fn open(sink: &mut dyn Sink, mut opened: Opened) -> Result<(), Failure> {
    opened.title = opened.title.as_deref().and_then(normal::name);
    sink.opened(opened)
}

/// What is told first of a file of this kind.
fn opened(kind: Kind) -> Opened {
    Opened {
        mime: kind.mime().to_owned(),
        pages: None,
        title: None,
        has_macros: false,
        parser: concat!("gleaner ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}
