//! The second engine, where one is compiled in (the feature `pdf-fallback`): what it is asked, and when its word counts.
//!
//! It reads all of a document where pdfium is not there, or finds no document in the file. Beside pdfium it is asked for single pages:
//! those that pdfium fails over, and those of which it tells little for what they show. Of two texts of a page the second is kept if
//! the first has fewer than three fifths of its letters and digits.

#[cfg(not(feature = "pdf-fallback"))]
mod none;
#[cfg(feature = "pdf-fallback")]
mod oxide;

#[cfg(not(feature = "pdf-fallback"))]
use self::none::Document;
#[cfg(feature = "pdf-fallback")]
use self::oxide::Document;
use super::{NO_PAGES, Source, ask, letters, unlock};
use crate::failure::Failure;
use crate::protocol::{Code, Request};
use crate::reader::Sink;
use crate::watch::Watch;

/// What the second engine is called, with its version; nothing if there is none.
pub const SECOND_ENGINE: Option<&str> = Document::NAME;

/// Whether it is asked beside pdfium.
pub(super) fn is_asked(request: &Request) -> bool {
    SECOND_ENGINE.is_some() && request.second_look
}

/// Reads all of a document by it: whether there is any text in it.
///
/// # Errors
/// Why it cannot be read, or that there is no such engine. A page that cannot is no error, but told to the sink.
pub(super) fn read_all(
    source: &Source,
    request: &Request,
    watch: &Watch,
    sink: &mut dyn Sink,
) -> Result<bool, Failure> {
    let Some(name) = SECOND_ENGINE else {
        let message = "Nothing is installed here that reads PDFs.";
        return Err(Failure::new(Code::NoPdfEngine, message));
    };
    let Source::Memory(bytes) = source else {
        let message = "It is too large for what reads PDFs here.";
        return Err(Failure::new(Code::Memory, message));
    };
    // As the first page: to find out what there is takes time of its own.
    let document = watch
        .guarded(1, || Ok(open(bytes, request)))
        .unwrap_or_else(|code| {
            let message = "What reads PDFs here broke down over it.";
            Err(Failure::new(code, message))
        })?;
    let count = document.pages();
    if count == 0 {
        return Err(Failure::corrupt(NO_PAGES));
    }
    super::open(count, document.title(), name, request, sink)?;
    let mut has_text = false;
    for number in 1..=count {
        let told = match request.skip.get(&number) {
            Some(code) => Err(*code),
            None => watch.guarded(number, || document.text(number)),
        };
        match told {
            Ok(text) => {
                has_text |= letters(&text) > 0;
                sink.page(None, &text, &[])?;
            }
            Err(code) => sink.page_failed(None, code)?,
        }
    }
    Ok(has_text)
}

fn open(bytes: &[u8], request: &Request) -> Result<Document, Failure> {
    unlock(request.password.as_ref(), |password| {
        Document::open(bytes, password)
    })
}

/// What is asked for single pages. Opened for the first of them.
pub(super) struct SecondLook<'a> {
    request: &'a Request,
    watch: &'a Watch,
    /// Of the file, while it may still be opened.
    bytes: Option<&'a [u8]>,
    document: Option<Document>,
}

impl<'a> SecondLook<'a> {
    pub(super) fn of(source: &'a Source, request: &'a Request, watch: &'a Watch) -> Self {
        let bytes = match source {
            Source::Memory(bytes) if is_asked(request) => Some(bytes.as_slice()),
            _ => None,
        };
        Self {
            request,
            watch,
            bytes,
            document: None,
        }
    }

    /// The better text of a page of which the first engine says this: its own, or the second's.
    ///
    /// # Errors
    /// When the parent is gone.
    pub(super) fn better(
        &mut self,
        number: u32,
        first: Result<String, Code>,
    ) -> Result<Result<String, Code>, Failure> {
        if self.bytes.is_none() && self.document.is_none() {
            return Ok(first);
        }
        ask(self.watch)?;
        let watch = self.watch;
        let second = watch.guarded(number, || match self.document() {
            Some(document) => document.text(number),
            None => Err(Code::Corrupt),
        });
        Ok(match second {
            Ok(second) if is_better(first.as_deref().unwrap_or_default(), &second) => Ok(second),
            _ => first,
        })
    }

    fn document(&mut self) -> Option<&Document> {
        if let Some(bytes) = self.bytes.take() {
            self.document = open(bytes, self.request).ok();
        }
        self.document.as_ref()
    }
}

/// Whether a text of a page takes the place of another.
fn is_better(first: &str, second: &str) -> bool {
    letters(first) * 5 < letters(second) * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_that_has_clearly_more_in_it_is_kept() {
        for (first, second, expected) in [
            ("", "", false),
            ("", ". . .", false),
            ("", "\u{fffd}\u{e001}\u{e002}", false),
            ("", "word", true),
            ("six of", "six of ten", false),
            ("five", "five often", true),
            ("words and more", "words", false),
            ("一", "一二三", true),
            ("... ---- ....", "слово", true),
        ] {
            assert_eq!(is_better(first, second), expected, "{first:?} {second:?}");
        }
    }
}
