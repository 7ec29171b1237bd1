//! Reads PDFs, page by page, with pdfium ([`pdfium`]).

mod pdfium;
mod picture;
mod text;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use self::pdfium::{Document, Library, Refusal};
use crate::failure::Failure;
use crate::protocol::{Code, Limits, Opened, Recognised, Request};
use crate::reader::Sink;
use crate::sniff::Kind;
use crate::watch::Watch;

/// A file of which this share of the memory is left over is read at once; of a larger one only what is needed, in many small steps.
const WHOLE_SHARE: u64 = 4;

/// What reads PDFs here.
#[derive(Debug)]
pub(crate) struct Engine {
    library: Option<Library>,
}

impl Engine {
    /// pdfium, from this file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let library = Library::load(path)?;
        Ok(Self {
            library: Some(library),
        })
    }

    /// Nothing.
    pub(crate) fn without() -> Self {
        Self { library: None }
    }
}

/// Reads a PDF into the sink.
///
/// # Errors
/// Why it cannot be read. A page that cannot is no error, but told to the sink.
pub(crate) fn read(
    file: &mut File,
    request: &Request,
    engine: &Engine,
    watch: &Watch,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let Some(library) = &engine.library else {
        let message = "Nothing is installed here that reads PDFs.";
        return Err(Failure::new(Code::NoPdfEngine, message));
    };
    let source = Source::of(file, &request.limits)?;
    let document = open(library, &source, request)?;
    let count = document.pages();
    if count == 0 {
        return Err(Failure::corrupt("it has no pages"));
    }
    if count > request.limits.pages {
        let message = format!(
            "It has {count} pages; at most {} are read.",
            request.limits.pages
        );
        return Err(Failure::new(Code::TooManyPages, message));
    }
    sink.opened(Opened {
        mime: Kind::Pdf.mime().to_owned(),
        pages: Some(count),
        title: document.title(),
        has_macros: false,
        parser: library.name().to_owned(),
    })?;
    for number in 1..=count {
        if let Some(code) = request.skip.get(&number) {
            sink.page_failed(None, *code)?;
            continue;
        }
        watch.enter(number);
        // A panic of the binding's costs a page, not the document.
        let page = catch_unwind(AssertUnwindSafe(|| document.text(number)));
        watch.leave();
        match page {
            Ok(Ok(text)) if request.pictures && is_blank(&text) => {
                recognise(&document, number, watch, sink)?;
            }
            Ok(Ok(text)) => sink.page(None, &text, &[])?,
            Ok(Err(code)) => sink.page_failed(None, code)?,
            Err(_) => sink.page_failed(None, Code::ParserCrashed)?,
        }
    }
    Ok(())
}

/// Whether a page has nothing that could be read.
fn is_blank(text: &str) -> bool {
    !text.chars().any(char::is_alphanumeric)
}

/// Has the text of a page recognised from a picture of it.
fn recognise(
    document: &Document<'_>,
    number: u32,
    watch: &Watch,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    watch.enter(number);
    let drawn = catch_unwind(AssertUnwindSafe(|| document.draw(number)));
    watch.leave();
    let png = match drawn {
        Ok(Ok(png)) => png,
        Ok(Err(code)) => return sink.page_failed(None, code),
        Err(_) => return sink.page_failed(None, Code::ParserCrashed),
    };
    let recognised = watch
        .show(number, &png)
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    match recognised {
        Recognised::Text(text) => sink.page(None, &text, &[]),
        Recognised::Failed(code) => sink.page_failed(None, code),
    }
}

/// Opens it, without a password and then with the one that was given.
fn open<'a>(
    library: &'a Library,
    source: &'a Source,
    request: &Request,
) -> Result<Document<'a>, Failure> {
    let refusal = match library.open(source, None) {
        Ok(document) => return Ok(document),
        Err(refusal) => refusal,
    };
    match (refusal, &request.password) {
        (Refusal::Password, Some(password)) => {
            library
                .open(source, Some(&password.0))
                .map_err(|refusal| match refusal {
                    Refusal::Password => {
                        Failure::new(Code::WrongPassword, "The password does not open it.")
                    }
                    other => other.into(),
                })
        }
        (other, _) => Err(other.into()),
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Password => Self::new(
                Code::PasswordRequired,
                "It is encrypted; a password is needed to open it.",
            ),
            Refusal::Encryption => Self::new(
                Code::UnsupportedType,
                "It is encrypted in a way that is not read here.",
            ),
            Refusal::Damaged => Self::corrupt("it is no PDF that could be opened"),
        }
    }
}

/// Where the bytes come from.
enum Source {
    Memory(Vec<u8>),
    File(File),
}

impl Source {
    fn of(file: &mut File, limits: &Limits) -> Result<Self, Failure> {
        let length = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        if length > limits.memory_bytes / WHOLE_SHARE {
            return Ok(Self::File(file.try_clone()?));
        }
        let mut bytes = Vec::new();
        // Not `read_to_end` alone: it doubles what it has, and asks the file for its size in a way that is closed to us.
        let capacity = usize::try_from(length).unwrap_or(usize::MAX);
        bytes
            .try_reserve_exact(capacity.saturating_add(32))
            .map_err(|error| Failure::new(Code::Memory, error.to_string()))?;
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Self::Memory(bytes))
    }
}
