//! Reads PDFs, page by page: with pdfium ([`pdfium`]), and with a second engine where pdfium is not there or finds little ([`second`]).

mod paper;
mod pdfium;
pub(crate) mod second;
mod text;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use self::pdfium::Library;
use self::second::SecondLook;
use crate::failure::Failure;
use crate::picture;
use crate::protocol::{Code, Frame, Limits, Opened, Password, Request};
use crate::reader::Sink;
use crate::sniff::Kind;
use crate::watch::Watch;

/// A file of which this share of the memory is left over is read at once; of a larger one only what is needed, in many small steps.
const WHOLE_SHARE: u64 = 4;

/// Titles are cut at this many characters.
const TITLE_CHARS: usize = 300;

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

    /// Nothing but what is compiled in.
    pub(crate) fn without() -> Self {
        Self { library: None }
    }
}

/// Why a document is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// Not with this password, or without one.
    Password,
    /// It is encrypted, and not in a way that is known.
    Encryption,
    Damaged,
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
    let source = Source::of(file, &request.limits)?;
    let Some(library) = &engine.library else {
        return second::read_all(&source, request, watch, sink).map(drop);
    };
    let opened = unlock(request.password.as_ref(), |password| {
        library.open(&source, password)
    });
    let document = match opened {
        Ok(document) if document.pages() > 0 => document,
        Ok(_) => return read_damaged(Failure::corrupt(NO_PAGES), &source, request, watch, sink),
        Err(failure) if failure.code == Code::Corrupt => {
            return read_damaged(failure, &source, request, watch, sink);
        }
        Err(failure) => return Err(failure),
    };
    let count = document.pages();
    open(count, document.title(), library.name(), request, sink)?;
    let mut second = SecondLook::of(&source, request, watch);
    for number in 1..=count {
        let first = match request.skip.get(&number) {
            Some(code) => Err(*code),
            None => watch.guarded(number, || document.text(number)),
        };
        let told = if first.as_ref().map_or(true, |told| told.is_little) {
            second.better(number, first.map(|told| told.text))?
        } else {
            first.map(|told| told.text)
        };
        match told {
            Ok(text) if request.pictures && letters(&text) == 0 => {
                match watch.guarded(number, || document.draw(number)) {
                    Ok(png) => picture::show(number, &png, watch, sink)?,
                    Err(code) => sink.page_failed(None, code)?,
                }
            }
            Ok(text) => sink.page(None, &text, &[])?,
            Err(code) => sink.page_failed(None, code)?,
        }
    }
    Ok(())
}

/// What is said of a file in which no page is found.
const NO_PAGES: &str = "it has no pages";

/// A file that pdfium does not open, for this reason: another engine may find more in it.
fn read_damaged(
    failure: Failure,
    source: &Source,
    request: &Request,
    watch: &Watch,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    if !second::is_asked(request) {
        return Err(failure);
    }
    ask(watch)?;
    match second::read_all(source, request, watch, sink) {
        Ok(true) => Ok(()),
        // Nor does the second find anything: what the first said stands.
        Ok(false) => Err(failure),
        Err(refusal) if matches!(refusal.code, Code::Corrupt | Code::ParserCrashed) => Err(failure),
        Err(refusal) => Err(refusal),
    }
}

/// Tells the sink what it is, unless it has too many pages.
fn open(
    count: u32,
    title: Option<String>,
    parser: &str,
    request: &Request,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
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
        title,
        has_macros: false,
        parser: parser.to_owned(),
    })
}

/// Tells the parent that the second engine is asked.
fn ask(watch: &Watch) -> Result<(), Failure> {
    let told = watch.send(&Frame::Asking, &[]);
    told.map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

/// A title as it is told; nothing if there is none in it.
fn title(value: &str) -> Option<String> {
    let title: String = value
        .chars()
        .filter(|char| !char.is_control())
        .take(TITLE_CHARS)
        .collect();
    let title = title.trim();
    (!title.is_empty()).then(|| title.to_owned())
}

/// Letters and digits of a text: what makes words, in whatever script.
fn letters(text: &str) -> usize {
    text.chars().filter(|char| char.is_alphanumeric()).count()
}

/// Opens a document without a password, and then with the one that was given.
fn unlock<T>(
    password: Option<&Password>,
    mut open: impl FnMut(Option<&str>) -> Result<T, Refusal>,
) -> Result<T, Failure> {
    let refusal = match open(None) {
        Ok(document) => return Ok(document),
        Err(refusal) => refusal,
    };
    match (refusal, password) {
        (Refusal::Password, Some(password)) => {
            open(Some(&password.0)).map_err(|refusal| match refusal {
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
