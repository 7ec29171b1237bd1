//! Pages and pieces as a child tells them: checked, since it has read a stranger's file, and the pieces with their text.

use gleaner_parse::protocol::{Chunk, Code, Done, Opened, Page, Source};

use super::Failure;

/// What stands between two pages.
pub(super) const BETWEEN: char = '\u{c}';
/// Longest piece that is taken, in code points: with more, PostgreSQL might refuse its words.
const LONGEST_PIECE: u64 = 40_000;
/// Longest title, and other words about a file, that are kept, in code points.
const LONGEST_WORDS: usize = 1_000;

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) chunk: Chunk,
    pub(super) text: String,
}

/// How far the reading of a document has come.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pages: u32,
    /// Where the next page begins, in code points.
    next: u64,
    pieces: u32,
    last_start: u64,
    /// The first page that the next piece can begin on.
    at: usize,
}

impl Reading {
    /// Pages told of, those that failed among them.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// Code points of all text, with what stands between the pages.
    fn end(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// A page: it follows the one before.
    pub(super) fn page(&mut self, page: &Page) -> Result<(), &'static str> {
        if page.start != self.next {
            return Err("a page that does not follow the one before");
        }
        if page.text.contains('\0') {
            return Err("a page with NUL in it");
        }
        self.add(page.number, chars(&page.text))
    }

    /// A page that could not be read: an empty one stands in its place.
    pub(super) fn failed(&mut self, number: u32) -> Result<Page, &'static str> {
        let start = self.next;
        self.add(number, 0)?;
        Ok(Page {
            number,
            locator: None,
            start,
            text: String::new(),
            source: Source::Text,
        })
    }

    fn add(&mut self, number: u32, chars: u64) -> Result<(), &'static str> {
        if number != self.pages + 1 {
            return Err("pages out of order");
        }
        self.pages = number;
        self.next += chars + 1;
        Ok(())
    }

    /// A piece, with its text from the pages.
    pub(super) fn piece(&mut self, pages: &[Page], chunk: Chunk) -> Result<Piece, &'static str> {
        if chunk.seq != self.pieces || chunk.start < self.last_start {
            return Err("pieces out of order");
        }
        if chunk.start >= chunk.end
            || chunk.end > self.end()
            || chunk.end - chunk.start > LONGEST_PIECE
            || !(1..=chunk.page_to).contains(&chunk.page_from)
            || chunk.page_to > self.pages
        {
            return Err("a piece that is none");
        }
        self.pieces += 1;
        self.last_start = chunk.start;
        // Pieces come in order, so the first page is found by going on.
        while pages
            .get(self.at + 1)
            .is_some_and(|next| next.start <= chunk.start)
        {
            self.at += 1;
        }
        let text = slice(
            pages.get(self.at..).unwrap_or_default(),
            chunk.start,
            chunk.end,
        );
        Ok(Piece { chunk, text })
    }
}

/// Code points of a text.
pub(super) fn chars(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

/// From code point `start` to `end` of the text that these pages have together.
fn slice(pages: &[Page], start: u64, end: u64) -> String {
    let mut text = String::new();
    for page in pages {
        // What parts it from the one before.
        if page.start > start && page.start <= end {
            text.push(BETWEEN);
        }
        if page.start >= end {
            break;
        }
        let skipped = usize::try_from(start.saturating_sub(page.start)).unwrap_or(usize::MAX);
        let taken = usize::try_from(end - page.start.max(start)).unwrap_or(usize::MAX);
        text.extend(page.text.chars().skip(skipped).take(taken));
    }
    text
}

/// What a document lacks to be ready although its child is content.
pub(super) fn check(pages: &[Page], done: &Done) -> Option<Failure> {
    if pages.iter().any(|page| !page.text.trim().is_empty()) {
        return None;
    }
    let mut numbers: Vec<u32> = done
        .pages_without_text
        .iter()
        .chain(&done.pages_failed)
        .copied()
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let (code, message) = if numbers.is_empty() {
        (Code::Empty, "there is no text in it")
    } else {
        (Code::NoTextLayer, "none of its pages has text")
    };
    Some(Failure {
        pages: numbers,
        ..Failure::new(code, message)
    })
}

/// What a child says of a file, in a form that can be stored.
pub(super) fn storable(opened: Opened) -> Opened {
    Opened {
        mime: words(&opened.mime),
        pages: opened.pages,
        title: opened.title.map(|title| words(&title)),
        has_macros: opened.has_macros,
        parser: words(&opened.parser),
    }
}

/// Without control characters, and not longer than is sensible.
pub(super) fn words(text: &str) -> String {
    let clean = text.chars().filter(|one| !one.is_control());
    clean.take(LONGEST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32, start: u64, text: &str) -> Page {
        Page {
            number,
            locator: None,
            start,
            text: text.to_owned(),
            source: Source::Text,
        }
    }

    fn chunk(seq: u32, start: u64, end: u64) -> Chunk {
        Chunk {
            seq,
            page_from: 1,
            page_to: 1,
            start,
            end,
            locator: None,
        }
    }

    #[test]
    fn pieces_have_the_text_that_their_offsets_say() {
        let pages = [
            page(1, 0, "añb😀"),
            page(2, 5, "cd"),
            page(3, 8, ""),
            page(4, 9, "ef"),
        ];
        let all: Vec<char> = "añb😀\u{c}cd\u{c}\u{c}ef".chars().collect();
        let mut reading = Reading::default();
        for page in &pages {
            reading.page(page).unwrap();
        }
        let mut seq = 0;
        for start in 0..all.len() {
            for end in start + 1..=all.len() {
                let told = chunk(seq, start as u64, end as u64);
                let piece = reading.piece(&pages, told).unwrap();
                let expected: String = all[start..end].iter().collect();
                assert_eq!(piece.text, expected, "{start}..{end}");
                seq += 1;
            }
        }
    }

    #[test]
    fn what_a_child_may_not_say_is_not_taken() {
        let mut reading = Reading::default();
        reading.page(&page(1, 0, "abc")).unwrap();
        for wrong in [
            page(1, 4, "x"),
            page(2, 3, "x"),
            page(2, 5, "x"),
            page(2, 4, "\0"),
        ] {
            let mut own = Reading::default();
            own.page(&page(1, 0, "abc")).unwrap();
            own.page(&wrong).unwrap_err();
        }
        for wrong in [
            chunk(1, 0, 2),
            chunk(0, 2, 2),
            chunk(0, 0, 4),
            chunk(0, 3, 1),
        ] {
            reading.piece(&[page(1, 0, "abc")], wrong).unwrap_err();
        }
        reading.piece(&[page(1, 0, "abc")], chunk(0, 1, 2)).unwrap();
        reading
            .piece(&[page(1, 0, "abc")], chunk(1, 0, 2))
            .unwrap_err();
    }

    #[test]
    fn a_document_without_text_is_not_ready_and_says_which_pages() {
        let done = Done {
            pages_without_text: vec![2, 1],
            pages_failed: vec![3],
            ..Done::default()
        };
        let failure = check(&[page(1, 0, " \n"), page(2, 3, "")], &done).unwrap();
        assert_eq!(
            (failure.code, failure.pages),
            (Code::NoTextLayer, vec![1, 2, 3])
        );
        let failure = check(&[], &Done::default()).unwrap();
        assert_eq!(failure.code, Code::Empty);
        assert_eq!(check(&[page(1, 0, "x")], &done), None);
    }
}
