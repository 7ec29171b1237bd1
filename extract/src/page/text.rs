//! The main text of a page: what it is there for, without what stands around that on every page.
//!
//! One pass measures each region (an element that breaks lines), from the last to the first, and leaves out what says that it is beside
//! the text: navigation, notices, related pages, comments. Then the region is sought that holds the rest.

mod evidence;
mod kind;
mod measure;
mod part;
mod root;

use std::collections::HashSet;

use serde_json::Value;

use self::evidence::{article_body, region_of};
pub(super) use self::kind::Kind;
use self::measure::{Measured, count_words};
use self::root::{root, with_head};
use crate::html::{Block, INLINE_BOUNDARY, Page, folded};

/// Longest main text, in characters.
pub const MAX_TEXT_CHARS: usize = 100_000;

/// Fewest words of a block that is dropped where it comes again.
const REPEATED_WORDS: usize = 4;

/// Most words of a button; a longer one is the question of a list that opens.
const CONTROL_WORDS: usize = 7;

/// The main text of a page, one line per block, and how many words are in it. Never empty where the page has text.
pub(super) fn main_text(page: &Page, kind: Kind, data: &[Value]) -> (String, usize) {
    let measured = Measured::of(page, kind == Kind::Thread);
    let body = article_body(data);
    let root = match body.and_then(|body| region_of(&measured, body)) {
        Some(at) => with_head(&measured, at),
        None => root(&measured, kind),
    };
    let end = page.regions()[root].end;
    let within = |block: &Block| (root..end).contains(&block.region);
    let kept = |block: &Block| {
        within(block) && !measured.places[block.region].is_out && !is_control(page, block)
    };
    let mut lines = Lines::default();
    if page.blocks().iter().any(kept) {
        lines.push_all(page.blocks().iter().filter(|block| kept(block)));
    } else {
        lines.push_all(page.blocks().iter());
    }
    // What scripts would write into the page stands in its data.
    if let Some(body) = body
        && count_words(body) > lines.words * 2
    {
        lines = Lines::of_data(body);
    }
    (lines.text, lines.words)
}

/// Whether a block only does something on the page: "Add to basket", the labels of a form, a way to its own headings.
fn is_control(page: &Page, block: &Block) -> bool {
    let letters = block.text.len()
        - block
            .text
            .matches([' ', INLINE_BOUNDARY])
            .map(str::len)
            .sum::<usize>();
    let is_heading = matches!(
        page.region_name(block.region),
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "dt" | "summary"
    );
    !is_heading && block.pressed >= letters && count_words(&block.plain()) <= CONTROL_WORDS
}

/// The text as it grows.
#[derive(Default)]
struct Lines {
    text: String,
    chars: usize,
    words: usize,
    seen: HashSet<String>,
}

impl Lines {
    /// Those of a text in data, which may have markup.
    fn of_data(text: &str) -> Self {
        let mut lines = Self::default();
        if text.contains("</") {
            lines.push_all(Page::parse(text).blocks().iter());
        } else {
            for line in text.lines() {
                lines.push(&folded(line, MAX_TEXT_CHARS).unwrap_or_default());
            }
        }
        lines
    }

    fn push_all<'a>(&mut self, blocks: impl Iterator<Item = &'a Block>) {
        for block in blocks {
            self.push(&block.plain());
        }
    }

    fn push(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        let words = count_words(line);
        if words >= REPEATED_WORDS && !self.seen.insert(line.to_owned()) {
            return;
        }
        self.words += words;
        let room = MAX_TEXT_CHARS.saturating_sub(self.chars);
        if room == 0 {
            return;
        }
        if !self.text.is_empty() {
            self.text.push('\n');
            self.chars += 1;
        }
        let kept = if line.len() <= room {
            line
        } else {
            let end = line.char_indices().nth(room);
            end.and_then(|(end, _)| line.get(..end)).unwrap_or(line)
        };
        self.chars += kept.chars().count();
        self.text.push_str(kept);
    }
}
