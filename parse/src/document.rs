//! Puts the pages of a document together.

use crate::failure::Failure;
use crate::protocol::{Chunk, Cut, Done, Limits, Page};
use crate::reader::Heading;

/// Takes the pages of a document in order: normalises their text, numbers them, counts, and cuts the pieces.
///
/// The text of the document is that of its pages with one form feed between two; a page that failed, or that is a picture, is an
/// empty text in its place.
#[derive(Debug)]
pub struct Assembler {
    limits: Limits,
}

impl Assembler {
    #[must_use]
    pub fn new(limits: Limits, cut: Cut) -> Self {
        let _ = cut;
        Self { limits }
    }

    /// The next page, as it is to be told. Headings as [`crate::reader::Sink::page`] has them.
    ///
    /// # Errors
    ///
    /// Too many pages, or too much text.
    pub fn page(
        &mut self,
        locator: Option<String>,
        text: &str,
        headings: &[Heading],
    ) -> Result<Page, Failure> {
        let _ = (&self.limits, headings);
        Ok(Page {
            number: 1,
            locator,
            start: 0,
            text: text.to_owned(),
        })
    }

    /// The next page, which could not be read: its number.
    ///
    /// # Errors
    ///
    /// Too many pages.
    pub fn page_failed(&mut self) -> Result<u32, Failure> {
        Ok(1)
    }

    /// Whether any page so far has text.
    #[must_use]
    pub fn has_text(&self) -> bool {
        false
    }

    /// The numbers of the pages so far that have no text, those that failed aside.
    #[must_use]
    pub fn without_text(&self) -> &[u32] {
        &[]
    }

    /// The pieces, and what is known of the whole.
    ///
    /// # Errors
    ///
    /// There is no text in it.
    pub fn finish(self) -> Result<(Vec<Chunk>, Done), Failure> {
        Ok((Vec::new(), Done::default()))
    }
}
