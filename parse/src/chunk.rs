//! Cuts the text of a document into pieces.
//!
//! A piece has at most [`Cut::chars`] code points, begins and ends with something to be seen, and all that is to be seen is in one.
//! Where more follows than fits, it ends at the last of the best places in the second half of what fits: a blank line; a line
//! that ends a sentence; the end of a sentence; the end of a line; a blank; else at the last blank before that; else where it is
//! full, in the midst of a word. It begins, if it is not the first after a boundary, with the words that the last
//! [`Cut::overlap`] code points of the one before hold whole (or with these code points, if there is no blank among them).
//!
//! A piece goes on from a page to the next if the page ends in mid-sentence: with anything but the mark that ends one, and if
//! both pages are called the same (a slide does not go on in the next). A page without text is a boundary.

use std::collections::VecDeque;

use unicode_normalization::char::is_combining_mark;

use crate::protocol::{Chunk, Cut};

/// The fewest code points that are let be the most of a piece.
const MIN_CHARS: usize = 16;
/// How much of what has been cut is kept before it is let go, in bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// A page as it is cut.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// From 1.
    pub number: u32,
    /// Where it begins in the document, in code points.
    pub start: u64,
    pub text: &'a str,
    /// What it is called.
    pub locator: Option<&'a str>,
    /// The headings in it and where they stand in the document, in code points; in order.
    pub headings: &'a [(u64, String)],
}

/// Cuts pages as they come; holds only what is not cut yet.
#[derive(Debug)]
pub struct Cutter {
    /// The most that a piece has.
    most: usize,
    /// Where its second half begins.
    least: usize,
    overlap: usize,
    /// What is not cut yet begins in here at `at`.
    text: String,
    at: usize,
    /// Where that stands in the document, in code points.
    start: u64,
    /// Up to where pieces reach, in the document.
    covered: u64,
    /// The pages in `text` and where each begins in the document.
    pages: VecDeque<(u64, u32)>,
    headings: VecDeque<(u64, String)>,
    /// The heading that holds where `start` is.
    heading: Option<String>,
    /// What the page last taken is called.
    locator: Option<String>,
    chunks: Vec<Chunk>,
}

impl Cutter {
    #[must_use]
    pub fn new(cut: Cut) -> Self {
        let most = usize::try_from(cut.chars)
            .unwrap_or(usize::MAX)
            .max(MIN_CHARS);
        Self {
            most,
            least: most / 2,
            overlap: usize::try_from(cut.overlap)
                .unwrap_or(usize::MAX)
                .min(most / 4),
            text: String::new(),
            at: 0,
            start: 0,
            covered: 0,
            pages: VecDeque::new(),
            headings: VecDeque::new(),
            heading: None,
            locator: None,
            chunks: Vec::new(),
        }
    }

    /// Takes the next page.
    pub fn page(&mut self, page: Leaf<'_>) {
        let is_called_the_same = self.locator.as_deref() == page.locator;
        let goes_on =
            is_called_the_same && !page.text.is_empty() && ends_in_mid_sentence(self.rest());
        if goes_on {
            self.text.push('\u{c}');
        } else {
            self.flush();
            self.start = page.start;
        }
        if !is_called_the_same {
            self.locator = page.locator.map(str::to_owned);
            self.headings.clear();
            self.heading = None;
        }
        self.text.push_str(page.text);
        self.pages.push_back((page.start, page.number));
        self.headings.extend(page.headings.iter().cloned());
        self.cut(false);
    }

    /// The pieces, once all pages were taken.
    #[must_use]
    pub fn finish(mut self) -> Vec<Chunk> {
        self.flush();
        self.chunks
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Cuts all there is: what follows begins anew.
    fn flush(&mut self) {
        self.cut(true);
        self.text.clear();
        self.at = 0;
        self.pages.clear();
    }

    /// Cuts while there is more than one piece; with `all` also the last.
    fn cut(&mut self, all: bool) {
        loop {
            self.skip_blank();
            let window = Window::of(self.rest(), self.most, self.least);
            if window.is_all && !all {
                break;
            }
            let text = self.rest().get(..window.end).unwrap_or_default().trim_end();
            let (bytes, chars) = (text.len(), text.chars().count());
            if bytes == 0 {
                break;
            }
            let end = self.start + long(chars);
            if end <= self.covered {
                // Nothing but what the last piece ended with.
                self.at += bytes;
                self.start = end;
                continue;
            }
            let back = if window.is_all {
                (0, 0)
            } else {
                overlap(text, self.overlap)
            };
            self.add(end);
            self.at += bytes - back.0;
            self.start = end - long(back.1);
        }
        self.let_go();
    }

    fn skip_blank(&mut self) {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start().len();
        let chars = rest.get(..blank).unwrap_or_default().chars().count();
        self.at += blank;
        self.start += long(chars);
    }

    /// A piece from `start` to there.
    fn add(&mut self, end: u64) {
        // What a piece stands under is what the new in it stands under.
        let again = self.covered.saturating_sub(self.start);
        let mut rest = self.rest().chars();
        let again = again + {
            let skipped = rest
                .by_ref()
                .skip(usize::try_from(again).unwrap_or(usize::MAX));
            long(
                skipped
                    .take_while(|character| character.is_whitespace())
                    .count(),
            )
        };
        let new = self.start + again;
        while let Some((at, heading)) = self.headings.pop_front() {
            if at > new {
                self.headings.push_front((at, heading));
                break;
            }
            self.heading = Some(heading);
        }
        let page = |at: u64| {
            let behind = self.pages.partition_point(|(start, _)| *start <= at);
            let page = self.pages.get(behind.saturating_sub(1));
            page.map_or(0, |(_, number)| *number)
        };
        let chunk = Chunk {
            seq: u32::try_from(self.chunks.len()).unwrap_or(u32::MAX),
            page_from: page(self.start),
            page_to: page(end - 1),
            start: self.start,
            end,
            locator: self.heading.clone().or_else(|| self.locator.clone()),
        };
        self.chunks.push(chunk);
        self.covered = end;
    }

    /// Drops what has been cut.
    fn let_go(&mut self) {
        if self.at >= KEPT_BYTES {
            self.text.drain(..self.at);
            self.at = 0;
        }
        while self
            .pages
            .get(1)
            .is_some_and(|(start, _)| *start <= self.start)
        {
            self.pages.pop_front();
        }
    }
}

fn long(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Marks that end a sentence, in the scripts that have them.
fn ends_sentence(character: char) -> bool {
    matches!(
        character,
        '.' | '!' | '?' | '…' | ';' | ':' | '؟' | '۔' | '।' | '॥' | '։' | '።'
    ) || ends_sentence_alone(character)
}

/// Those that no blank follows.
fn ends_sentence_alone(character: char) -> bool {
    matches!(character, '。' | '！' | '？' | '；' | '：' | '｡' | '．')
}

/// What may stand between the mark and the blank.
fn closes(character: char) -> bool {
    matches!(
        character,
        '"' | '\'' | '”' | '’' | '»' | '«' | ')' | ']' | '」' | '』' | '）' | '“'
    )
}

fn ends_in_mid_sentence(text: &str) -> bool {
    text.chars()
        .rev()
        .find(|character| !character.is_whitespace() && !closes(*character))
        .is_some_and(|character| !ends_sentence(character))
}

/// How good a place is to end a piece; the better, the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Blank,
    Line,
    Sentence,
    SentenceLine,
    BlankLine,
}

/// What of a text the next piece is taken from.
struct Window {
    /// Behind its last, in bytes.
    end: usize,
    /// The whole text fits.
    is_all: bool,
}

impl Window {
    fn of(text: &str, most: usize, least: usize) -> Self {
        let mut best: Option<(Place, usize)> = None;
        let mut early = None;
        let mut full = 0;
        let mut before = Before::default();
        for (count, (at, character)) in text.char_indices().enumerate() {
            // What is cut in the midst of a word is not cut in the midst of a letter.
            if !is_combining_mark(character) {
                full = at;
            }
            if let Some(place) = before.place() {
                if count < least {
                    early = (count >= least / 2).then_some(at);
                } else if best.is_none_or(|(than, _)| place >= than) {
                    best = Some((place, at));
                }
            }
            if count == most {
                let end = best.map(|(_, at)| at).or(early).unwrap_or(full);
                let end = if end == 0 { at } else { end };
                return Self { end, is_all: false };
            }
            before.take(character);
        }
        Self {
            end: text.len(),
            is_all: true,
        }
    }
}

/// What stands before a place.
#[derive(Default)]
struct Before {
    last: Option<char>,
    /// The last that is neither blank nor closes something.
    mark: Option<char>,
    /// Line ends since the last that is not blank.
    lines: u32,
}

impl Before {
    fn take(&mut self, character: char) {
        if character.is_whitespace() {
            self.lines += u32::from(matches!(character, '\n' | '\u{c}'));
        } else {
            self.lines = 0;
            if !closes(character) {
                self.mark = Some(character);
            }
        }
        self.last = Some(character);
    }

    fn place(&self) -> Option<Place> {
        let last = self.last?;
        let is_sentence = self.mark.is_some_and(ends_sentence);
        if !last.is_whitespace() {
            let is_closed = closes(last) || ends_sentence_alone(last);
            let is_alone = self.mark.is_some_and(ends_sentence_alone);
            return (is_closed && is_alone).then_some(Place::Sentence);
        }
        Some(match (self.lines, is_sentence) {
            (2.., _) => Place::BlankLine,
            (1, true) => Place::SentenceLine,
            (_, true) => Place::Sentence,
            (1, false) => Place::Line,
            (_, false) => Place::Blank,
        })
    }
}

/// How much of the end of a piece the next begins with: bytes and code points; never all of it.
fn overlap(text: &str, most: usize) -> (usize, usize) {
    let mut found = (0, 0);
    let mut all = (0, 0);
    let mut has_blank = false;
    let mut was_blank = true;
    for (chars, (at, character)) in text.char_indices().rev().enumerate() {
        let is_blank = character.is_whitespace();
        if is_blank && !was_blank {
            // `all` is where a word begins.
            found = all;
        }
        has_blank |= is_blank;
        if chars == most || at == 0 {
            break;
        }
        if !is_combining_mark(character) {
            all = (text.len() - at, chars + 1);
        }
        was_blank = is_blank;
    }
    if has_blank { found } else { all }
}

#[cfg(test)]
#[path = "chunk/tests.rs"]
mod tests;
