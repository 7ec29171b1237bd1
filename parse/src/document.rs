//! Puts the pages of a document together.

use crate::chunk::{Cutter, Leaf};
use crate::failure::Failure;
use crate::language;
use crate::normal::{self, name};
use crate::protocol::{Chunk, Code, Cut, Done, Limits, Page, Source};
use crate::reader::Heading;

/// How much of each page the language is guessed from, and of all, in bytes.
const SAMPLE_PAGE_BYTES: usize = 4 * 1024;
const SAMPLE_BYTES: usize = 32 * 1024;

/// Takes the pages of a document in order: normalises their text, numbers them, counts, and cuts the pieces.
///
/// The text of the document is that of its pages with one form feed between two; a page that failed, or that is a picture, is an
/// empty text in its place. Of a page, blank lines before its text and blanks behind it are dropped.
#[derive(Debug)]
pub struct Assembler {
    limits: Limits,
    cutter: Cutter,
    sample: String,
    /// Where the next page begins.
    start: u64,
    /// What is known so far; the language is not.
    done: Done,
    /// Code points of the pages, without what parts them.
    chars: u64,
}

impl Assembler {
    #[must_use]
    pub fn new(limits: Limits, cut: Cut) -> Self {
        Self {
            limits,
            cutter: Cutter::new(cut),
            sample: String::new(),
            start: 0,
            done: Done::default(),
            chars: 0,
        }
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
        let number = self.next_number()?;
        let (text, marks) = in_form(text, headings);
        let chars = count(&text);
        self.chars += chars;
        if self.chars > self.limits.chars {
            let most = self.limits.chars;
            return Err(Failure {
                code: Code::TooLarge,
                message: format!("It has more text than the {most} characters that are taken."),
                pages: vec![number],
            });
        }
        if text.is_empty() {
            self.done.pages_without_text.push(number);
        }
        self.done.tokens += normal::words(&text);
        self.add_to_sample(&text);
        let page = Page {
            number,
            locator: locator.and_then(|locator| name(&locator)),
            start: self.start,
            text,
            source: Source::Text,
        };
        let marks: Vec<(u64, String)> = marks
            .into_iter()
            .map(|(at, heading)| (self.start + at, heading))
            .collect();
        self.cutter.page(Leaf {
            number,
            start: self.start,
            text: &page.text,
            locator: page.locator.as_deref(),
            headings: &marks,
        });
        self.start += chars + 1;
        Ok(page)
    }

    /// The next page, which could not be read: its number.
    ///
    /// # Errors
    ///
    /// Too many pages.
    pub fn page_failed(&mut self) -> Result<u32, Failure> {
        let number = self.next_number()?;
        self.done.pages_failed.push(number);
        self.cutter.page(Leaf {
            number,
            start: self.start,
            text: "",
            locator: None,
            headings: &[],
        });
        self.start += 1;
        Ok(number)
    }

    fn next_number(&mut self) -> Result<u32, Failure> {
        let most = self.limits.pages;
        if self.done.pages >= most {
            return Err(Failure::new(
                Code::TooManyPages,
                format!("It has more than the {most} pages that are taken."),
            ));
        }
        self.done.pages += 1;
        Ok(self.done.pages)
    }

    fn add_to_sample(&mut self, text: &str) {
        let room = SAMPLE_BYTES.saturating_sub(self.sample.len());
        let end = text.floor_char_boundary(room.min(SAMPLE_PAGE_BYTES));
        if let Some(piece) = text.get(..end).filter(|piece| !piece.is_empty()) {
            self.sample.push_str(piece);
            self.sample.push('\n');
        }
    }

    /// How many pages there are so far.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.done.pages
    }

    /// Whether any page so far has text.
    #[must_use]
    pub fn has_text(&self) -> bool {
        self.chars > 0
    }

    /// The numbers of the pages so far that have no text, those that failed aside.
    #[must_use]
    pub fn without_text(&self) -> &[u32] {
        &self.done.pages_without_text
    }

    /// The pieces, and what is known of the whole.
    ///
    /// # Errors
    ///
    /// There is no text in it: no page could be read ([`Code::Corrupt`]), or none says anything ([`Code::Empty`]).
    pub fn finish(self) -> Result<(Vec<Chunk>, Done), Failure> {
        if !self.has_text() && !self.done.pages_failed.is_empty() {
            return Err(Failure {
                code: Code::Corrupt,
                message: "None of its pages can be read.".to_owned(),
                pages: self.done.pages_failed,
            });
        }
        if !self.has_text() {
            return Err(Failure {
                code: Code::Empty,
                message: "There is no text in it.".to_owned(),
                pages: self.done.pages_without_text,
            });
        }
        let (language, config) = language::of(&self.sample);
        let done = Done {
            language: language.map(str::to_owned),
            config: config.to_owned(),
            // With the form feeds between pages.
            chars: self.start.saturating_sub(1),
            ..self.done
        };
        Ok((self.cutter.finish(), done))
    }
}

fn count(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

/// A page's text in the form it is kept in, and where its headings stand in that, in code points.
fn in_form(text: &str, headings: &[Heading]) -> (String, Vec<(u64, String)>) {
    let mut out = String::with_capacity(text.len());
    let mut marks = Vec::new();
    let mut from = 0;
    for heading in headings {
        // What does not stand where it should is left out.
        let (Some(before), Some(name)) = (text.get(from..heading.at), name(&heading.text)) else {
            continue;
        };
        out.push_str(&normal::text(before));
        marks.push((out.len(), name));
        from = heading.at;
    }
    out.push_str(&normal::text(text.get(from..).unwrap_or_default()));
    let lead = out.len() - out.trim_start_matches('\n').len();
    let kept = out.trim_end().trim_start_matches('\n');
    let mut chars = 0;
    let mut from = 0;
    let marks = marks
        .into_iter()
        .filter_map(|(at, name)| {
            let at = at.saturating_sub(lead);
            chars += count(kept.get(from..at)?);
            from = at;
            Some((chars, name))
        })
        .collect();
    (kept.to_owned(), marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembler(limits: Limits) -> Assembler {
        Assembler::new(limits, Cut::default())
    }

    #[test]
    fn pages_are_numbered_and_placed() {
        let mut document = assembler(Limits::default());
        let first = document
            .page(None, "\n\ne\u{301}t\u{e9}\r\nx  \n", &[])
            .expect("a page");
        assert_eq!(
            (first.number, first.start, first.text.as_str()),
            (1, 0, "été\nx")
        );
        assert_eq!(document.page_failed(), Ok(2));
        let empty = document
            .page(Some(" \n".to_owned()), " \n ", &[])
            .expect("a page");
        assert_eq!((empty.start, empty.locator), (7, None));
        let last = document
            .page(Some("A\nname ".to_owned()), "Ω.", &[])
            .expect("a page");
        assert_eq!((last.number, last.start), (4, 8));
        assert_eq!(last.locator.as_deref(), Some("A name"));
        let (chunks, done) = document.finish().expect("text");
        assert_eq!(done.pages, 4);
        assert_eq!(done.pages_failed, [2]);
        assert_eq!(done.pages_without_text, [3]);
        assert_eq!((done.chars, done.tokens), (10, 3));
        let places: Vec<_> = chunks
            .iter()
            .map(|chunk| (chunk.start, chunk.end, chunk.page_from))
            .collect();
        assert_eq!(places, [(0, 5, 1), (8, 10, 4)]);
    }

    #[test]
    fn headings_are_where_they_were() {
        let text = "\n\nbefore\r\n\r\nE\u{301}tude\nbehind";
        let at = text.find("E\u{301}").expect("it is there");
        let heading = |at| Heading {
            at,
            text: "E\u{301}tude".to_owned(),
        };
        let (text, marks) = in_form(text, &[heading(at), heading(1_000), heading(at - 1)]);
        assert_eq!(text, "before\n\nÉtude\nbehind");
        assert_eq!(marks, [(8, "Étude".to_owned())]);
    }

    #[test]
    fn there_are_limits() {
        let limits = Limits {
            pages: 2,
            chars: 10,
            ..Limits::default()
        };
        let mut document = assembler(limits);
        for _ in 0..2 {
            document.page(None, "12345", &[]).expect("a page");
        }
        let more = document.page(None, "x", &[]).expect_err("too many");
        assert_eq!(more.code, Code::TooManyPages);
        let mut document = assembler(limits);
        let more = document
            .page(None, "12345678901", &[])
            .expect_err("too long");
        assert_eq!((more.code, more.pages), (Code::TooLarge, vec![1]));
    }

    #[test]
    fn nothing_is_not_a_document() {
        let mut document = assembler(Limits::default());
        document.page(None, " \n", &[]).expect("a page");
        let none = document.finish().expect_err("nothing");
        assert_eq!((none.code, none.pages), (Code::Empty, vec![1]));
        assert_eq!(
            assembler(Limits::default())
                .finish()
                .expect_err("nothing")
                .code,
            Code::Empty
        );
    }
}
