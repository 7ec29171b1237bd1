//! How much of what is in each region of a page.

use super::part::{Part, part};
use crate::html::{Block, Page};

/// Fewest words, links apart, that make a paragraph rather than a label.
const PARAGRAPH_WORDS: usize = 10;

/// Fewest words in paragraphs of a page that is shown in a window of its own.
const WINDOW_WORDS: usize = 150;

/// Letters that make a word in scripts without spaces that are no ideographs.
const LETTERS_OF_A_WORD: usize = 5;

/// How much is in a block or a region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Words; ideographs count one each.
    pub(super) words: usize,
    /// Those in links, buttons and labels.
    pub(super) linked: usize,
    /// Those in paragraphs.
    pub(super) prose: usize,
    /// Paragraphs.
    pub(super) paragraphs: usize,
}

impl Measure {
    /// What is in a block that stands in an element of this name.
    fn of(block: &Block, element: &str) -> Self {
        let words = count_words(&block.plain());
        let linked = words * block.linked / block.text.len().max(1);
        let is_heading = matches!(element, "h1" | "h2" | "h3" | "h4" | "h5" | "h6");
        let is_paragraph = words - linked >= PARAGRAPH_WORDS && linked * 2 < words && !is_heading;
        Self {
            words,
            linked,
            prose: if is_paragraph { words } else { 0 },
            paragraphs: usize::from(is_paragraph),
        }
    }

    /// Words that are read rather than clicked.
    pub(super) fn plain(self) -> usize {
        self.words - self.linked
    }

    pub(super) fn is_mostly_links(self) -> bool {
        self.linked * 2 >= self.words
    }

    fn add(&mut self, other: Self) {
        self.words += other.words;
        self.linked += other.linked;
        self.prose += other.prose;
        self.paragraphs += other.paragraphs;
    }
}

/// Words are separated by spaces. In scripts without them each ideograph is one, and so are five letters of others.
pub(super) fn count_words(text: &str) -> usize {
    text.split_whitespace().map(count_in_word).sum()
}

fn count_in_word(word: &str) -> usize {
    if word.is_ascii() {
        return usize::from(word.bytes().any(|byte| byte.is_ascii_alphanumeric()));
    }
    let (mut ideographs, mut unspaced, mut has_letters) = (0, 0, false);
    for c in word.chars() {
        match c {
            '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}' => {
                ideographs += 1;
            }
            // Thai, Lao, Burmese, Khmer.
            '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => {
                unspaced += 1;
            }
            _ => has_letters |= c.is_alphanumeric(),
        }
    }
    ideographs + usize::div_ceil(unspaced, LETTERS_OF_A_WORD) + usize::from(has_letters)
}

/// One region and what is in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) part: Part,
    /// What it holds that is not left out.
    pub(super) inside: Measure,
    /// How many paragraphs stand in it and in no other region but their own.
    pub(super) own_paragraphs: usize,
    /// Whether it, or a region around it, is no part of the main text.
    pub(super) is_out: bool,
}

/// A page with what is in it: blocks and regions as in [`Page::blocks`] and [`Page::regions`].
pub(super) struct Measured<'a> {
    pub(super) page: &'a Page,
    pub(super) places: Vec<Place>,
}

impl<'a> Measured<'a> {
    /// Measures a page and leaves out what is no part of its text. `has_posts`: what readers wrote is what the page is there for.
    pub(super) fn of(page: &'a Page, has_posts: bool) -> Self {
        let mut whole = Measure::default();
        let mut places = vec![Place::default(); page.regions().len()];
        for block in page.blocks() {
            let measure = Measure::of(block, page.region_name(block.region));
            whole.add(measure);
            places[block.region].inside.add(measure);
            places[holder(page, block.region)].own_paragraphs += measure.paragraphs;
        }
        let judge = Judge {
            page,
            whole,
            has_posts,
        };
        // From the last to the first: what is in a region is judged before it.
        for (at, region) in page.regions().iter().enumerate().skip(1).rev() {
            let place = &mut places[at];
            if place.inside.words == 0 {
                continue;
            }
            place.part = page.element(region.node).map(part).unwrap_or_default();
            place.is_out = judge.leaves_out(at, *place);
            if place.is_out {
                continue;
            }
            let Place { part, inside, .. } = *place;
            let around = &mut places[region.parent];
            around.inside.add(inside);
            // A head with text belongs to the text under it.
            if part == Part::Header {
                around.own_paragraphs += inside.paragraphs;
            }
        }
        for (at, region) in page.regions().iter().enumerate().skip(1) {
            places[at].is_out |= places[region.parent].is_out;
        }
        Self { page, places }
    }
}

/// The region that a paragraph stands in: `<p>` and line breaks are the paragraph itself, as is what directly within an article has no
/// parts.
fn holder(page: &Page, at: usize) -> usize {
    let region = page.regions()[at];
    let is_whole = region.end == at + 1;
    let is_paragraph = matches!(page.region_name(at), "p" | "br")
        || is_whole && page.region_name(region.parent) == "article";
    if is_paragraph { region.parent } else { at }
}

/// Tells what is no part of a page's text.
struct Judge<'a> {
    page: &'a Page,
    /// All that is on the page.
    whole: Measure,
    has_posts: bool,
}

impl Judge<'_> {
    fn leaves_out(&self, at: usize, Place { part, inside, .. }: Place) -> bool {
        match part {
            Part::Content | Part::Main | Part::Article | Part::Body => false,
            Part::Header => {
                inside.is_mostly_links() || inside.prose == 0 && !self.is_within_text(at)
            }
            Part::Aside => !self.is_most(inside),
            Part::Links => inside.is_mostly_links(),
            Part::Comments => !self.has_posts,
            Part::Window => inside.prose < WINDOW_WORDS || !self.is_most(inside),
            Part::Notice => true,
        }
    }

    /// Half of the page's paragraphs are text, whatever it is called: templates name whole pages after what stands beside the text.
    fn is_most(&self, inside: Measure) -> bool {
        if self.whole.prose > 0 {
            inside.prose * 2 >= self.whole.prose
        } else {
            inside.words * 2 >= self.whole.words
        }
    }

    /// Whether an element around this region says that it is the text, or one of several.
    fn is_within_text(&self, at: usize) -> bool {
        self.page
            .regions_around(at)
            .any(|at| matches!(self.page.region_name(at), "main" | "article"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_in_any_script() {
        assert_eq!(count_words("two words — and 3"), 4);
        assert_eq!(count_words("東京 tower"), 3);
        assert_eq!(count_words("สวัสดีครับ"), 2);
        assert_eq!(count_words(""), 0);
    }
}
