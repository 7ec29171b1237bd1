//! Text as it flows: lines, headings, and where pages end.

use super::{Heading, Sink};
use crate::failure::Failure;
use crate::protocol::Code;

/// How long a page gets that nothing else ends, in code points.
pub(super) const PAGE_CHARS: usize = 50_000;
/// The longest heading that is kept, in bytes.
const MAX_HEADING_BYTES: usize = 1_000;

/// Collects text into pages and hands them to a sink.
///
/// A page of more than [`PAGE_CHARS`] code points ends with its line; one without lines, at a blank, or where it is full.
pub(crate) struct Flow<'a> {
    sink: &'a mut dyn Sink,
    locator: Option<String>,
    text: String,
    chars: usize,
    headings: Vec<Heading>,
    /// Pages handed on since the last [`Flow::whole_page`].
    pages: u32,
}

impl<'a> Flow<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink) -> Self {
        Self {
            sink,
            locator: None,
            text: String::new(),
            chars: 0,
            headings: Vec::new(),
            pages: 0,
        }
    }

    /// Text as it is.
    pub(super) fn push(&mut self, text: &str) -> Result<(), Failure> {
        let mut rest = text;
        while !rest.is_empty() {
            // Longer pieces would have to be moved once they are cut.
            let (piece, behind) = rest.split_at(rest.floor_char_boundary(PAGE_CHARS));
            self.text.push_str(piece);
            self.chars += piece.chars().count();
            rest = behind;
            let may_end = piece.contains('\n');
            while self.chars > 2 * PAGE_CHARS || (may_end && self.chars > PAGE_CHARS) {
                let Some(end) = self.end_of_full_page() else {
                    break;
                };
                self.emit_to(end)?;
            }
        }
        Ok(())
    }

    /// Where a page ends that is full: behind the first line end from there on; else, once it is twice as long, at a blank.
    fn end_of_full_page(&self) -> Option<usize> {
        let full = self.text.char_indices().nth(PAGE_CHARS).map(|(at, _)| at)?;
        let rest = self.text.get(full..)?;
        if let Some(line) = rest.find('\n') {
            return Some(full + line + 1);
        }
        if self.chars <= 2 * PAGE_CHARS {
            return None;
        }
        let page = self.text.get(..full)?;
        let blank = page.rfind(char::is_whitespace).filter(|at| *at > 0);
        Some(blank.unwrap_or(full))
    }

    fn emit_to(&mut self, end: usize) -> Result<(), Failure> {
        let rest = self.text.split_off(end);
        let behind = self.headings.partition_point(|heading| heading.at < end);
        let mut headings = self.headings.split_off(behind);
        for heading in &mut headings {
            heading.at -= end;
        }
        // Nothing but blanks is no page that anyone made.
        if self.has_text() {
            self.emit()?;
        }
        self.chars = rest.chars().count();
        self.text = rest;
        self.headings = headings;
        Ok(())
    }

    fn emit(&mut self) -> Result<(), Failure> {
        self.sink
            .page(self.locator.clone(), &self.text, &self.headings)?;
        self.text.clear();
        self.chars = 0;
        self.headings.clear();
        self.pages += 1;
        Ok(())
    }

    fn end_with(&mut self, end: &str) -> Result<(), Failure> {
        if self.text.is_empty() || self.text.ends_with(end) {
            return Ok(());
        }
        self.push("\n")
    }

    /// Ends the line, if there is one.
    pub(super) fn line(&mut self) -> Result<(), Failure> {
        self.end_with("\n")
    }

    /// Ends the line and leaves one blank, if there is anything before.
    pub(super) fn blank_line(&mut self) -> Result<(), Failure> {
        self.end_with("\n")?;
        self.end_with("\n\n")
    }

    /// A heading begins here, whose text follows.
    pub(super) fn mark(&mut self, heading: &str) {
        let end = heading.floor_char_boundary(MAX_HEADING_BYTES);
        self.headings.push(Heading {
            at: self.text.len(),
            text: heading.get(..end).unwrap_or_default().trim().to_owned(),
        });
    }

    /// A line of its own; of a heading, after a blank one.
    pub(super) fn paragraph(&mut self, text: &str, is_heading: bool) -> Result<(), Failure> {
        if text.trim().is_empty() {
            return Ok(());
        }
        if is_heading {
            self.blank_line()?;
            self.mark(text);
        } else {
            self.line()?;
        }
        self.push(text)?;
        self.line()
    }

    /// Whether anything stands on the page, if only blanks.
    pub(super) fn has_begun(&self) -> bool {
        !self.text.is_empty()
    }

    /// Whether the page has text.
    pub(super) fn has_text(&self) -> bool {
        !self.text.trim().is_empty()
    }

    /// Ends the page, also one without text.
    pub(super) fn page_break(&mut self) -> Result<(), Failure> {
        self.emit()
    }

    /// Ends what is a page of its own, in the file: one page at least, if only an empty one.
    pub(super) fn whole_page(&mut self) -> Result<(), Failure> {
        if self.has_text() || self.pages == 0 {
            self.emit()?;
        }
        self.text.clear();
        self.chars = 0;
        self.headings.clear();
        self.pages = 0;
        Ok(())
    }

    /// A page that cannot be read, in the place of what was collected of it.
    pub(super) fn page_failed(&mut self, code: Code) -> Result<(), Failure> {
        self.text.clear();
        self.chars = 0;
        self.headings.clear();
        self.pages = 0;
        self.sink.page_failed(self.locator.clone(), code)
    }

    /// What pages are called from here on. Ends the page if it has text.
    pub(super) fn locator(&mut self, locator: Option<String>) -> Result<(), Failure> {
        if self.has_text() {
            self.emit()?;
        }
        self.locator = locator;
        Ok(())
    }

    /// Ends the last page, if it has text.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        if self.has_text() {
            self.emit()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Heard;

    #[test]
    fn lines_and_headings_are_told() {
        let mut heard = Heard::default();
        let mut flow = Flow::new(&mut heard);
        flow.paragraph("One", false).expect("taken");
        flow.paragraph("  ", false).expect("taken");
        flow.paragraph("Two ", true).expect("taken");
        flow.push("a").expect("taken");
        flow.push("b").expect("taken");
        flow.blank_line().expect("taken");
        flow.page_break().expect("taken");
        flow.page_break().expect("taken");
        flow.push("last").expect("taken");
        flow.finish().expect("taken");
        assert_eq!(heard.texts(), ["One\n\nTwo \nab\n\n", "", "last"]);
        assert_eq!(
            heard.pages[0].2,
            [Heading {
                at: 5,
                text: "Two".to_owned()
            }]
        );
    }

    #[test]
    fn blanks_alone_are_no_pages() {
        let mut heard = Heard::default();
        let mut flow = Flow::new(&mut heard);
        flow.push(&" \n".repeat(200_000)).expect("taken");
        flow.push(&" ".repeat(200_000)).expect("taken");
        flow.push("x").expect("taken");
        flow.finish().expect("taken");
        assert_eq!(heard.pages.len(), 1);
    }

    #[test]
    fn long_pages_are_cut() {
        let mut heard = Heard::default();
        let mut flow = Flow::new(&mut heard);
        let line = format!("{}\n", "word ".repeat(19));
        flow.locator(Some("Sheet".to_owned())).expect("taken");
        flow.push(&line.repeat(1_000)).expect("taken");
        flow.paragraph("Heading", true).expect("taken");
        flow.push(&"x".repeat(120_000)).expect("taken");
        flow.finish().expect("taken");
        let texts = heard.texts();
        assert_eq!(
            texts.iter().map(|text| text.chars().count()).sum::<usize>(),
            96_000 + 1 + 8 + 120_000
        );
        assert!(texts[0].ends_with('\n') && texts[0].chars().count() <= PAGE_CHARS + line.len());
        assert!(
            texts
                .iter()
                .all(|text| text.chars().count() <= 2 * PAGE_CHARS)
        );
        assert!(
            heard
                .pages
                .iter()
                .all(|page| page.0.as_deref() == Some("Sheet"))
        );
        assert_eq!(
            heard.pages.iter().filter(|page| !page.2.is_empty()).count(),
            1
        );
    }
}
