//! Pieces of any text.

use proptest::prelude::*;

use super::*;
use crate::fuzz::{check_pieces as check, slice};

/// The pages' text as the document has it, and its pieces.
fn cut(pages: &[&str], chars: u32, overlap: u32) -> (Vec<char>, Vec<Chunk>) {
    let mut cutter = Cutter::new(Cut { chars, overlap });
    let mut start = 0;
    let mut text: Vec<char> = Vec::new();
    for (number, page) in (1..).zip(pages) {
        if number > 1 {
            text.push('\u{c}');
        }
        assert_eq!(long(text.len()), start);
        text.extend(page.chars());
        cutter.page(Leaf {
            number,
            start,
            text: page,
            locator: None,
            headings: &[],
        });
        start += long(page.chars().count()) + 1;
    }
    (text, cutter.finish())
}

fn slices(pages: &[&str], chars: u32, overlap: u32) -> Vec<String> {
    let (text, chunks) = cut(pages, chars, overlap);
    chunks.iter().map(|chunk| slice(&text, chunk)).collect()
}

#[test]
fn a_short_text_is_one_piece() {
    assert_eq!(slices(&["  Short. \n"], 100, 10), ["Short."]);
    assert!(slices(&["", " \n ", ""], 100, 10).is_empty());
}

#[test]
fn pieces_end_at_the_best_place() {
    // A blank line before a sentence, a sentence before a line, a line before a word.
    let text = "One two three four.\n\nFive six. Seven eight nine ten";
    assert_eq!(
        slices(&[text], 32, 0),
        ["One two three four.", "Five six. Seven eight nine ten"]
    );
    let text = "One two three four five. Six seven\neight nine ten eleven";
    assert_eq!(slices(&[text], 40, 0)[0], "One two three four five.");
    let text = "One two three four five six seven\neight nine ten eleven";
    assert_eq!(
        slices(&[text], 40, 0)[0],
        "One two three four five six seven"
    );
    let text = "One two three four five six seven eight nine ten";
    assert_eq!(slices(&[text], 20, 0)[0], "One two three four");
}

#[test]
fn text_without_blanks_is_cut_where_sentences_end_or_where_it_is_full() {
    let text = "春はあけぼの。やうやう白くなりゆく山ぎは、すこしあかりて。紫だちたる雲のほそくたなびきたる。";
    let cut = slices(&[text], 32, 0);
    assert_eq!(
        cut[0],
        "春はあけぼの。やうやう白くなりゆく山ぎは、すこしあかりて。"
    );
    let word = "x".repeat(100);
    assert_eq!(
        slices(&[&word], 40, 4)
            .iter()
            .map(String::len)
            .collect::<Vec<_>>(),
        [40, 40, 28]
    );
    // An accent stays with its letter.
    let text = format!("{}e\u{301}{}", "x".repeat(39), "x".repeat(20));
    assert_eq!(slices(&[&text], 40, 0)[0], "x".repeat(39));
}

#[test]
fn a_megabyte_of_one_word_is_cut() {
    let word = "a".repeat(1 << 20);
    let (text, chunks) = cut(&[&word], 1_000, 100);
    check(&text, &chunks, 1_000, 100);
    assert!(chunks.len() < 1_200);
}

#[test]
fn pieces_begin_with_the_last_whole_words_of_the_one_before() {
    let text = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda";
    let cut = slices(&[text], 32, 8);
    assert_eq!(cut[0], "alpha beta gamma delta epsilon");
    assert!(cut[1].starts_with("epsilon zeta"), "{cut:?}");
}

#[test]
fn a_piece_goes_on_over_pages_in_mid_sentence_only() {
    let (_, chunks) = cut(&["It ends in", "the middle. Yes.", "Another."], 100, 0);
    let pages: Vec<(u32, u32)> = chunks
        .iter()
        .map(|chunk| (chunk.page_from, chunk.page_to))
        .collect();
    assert_eq!(pages, [(1, 2), (3, 3)]);
    let (_, chunks) = cut(&["It ends in", "", "the middle"], 100, 0);
    assert_eq!(chunks.len(), 2);
}

#[test]
fn pieces_stand_under_headings_or_what_their_page_is_called() {
    let mut cutter = Cutter::new(Cut {
        chars: 16,
        overlap: 4,
    });
    let heading = |at, text: &str| (at, text.to_owned());
    let pages = [
        (
            "Before it all\n\nFirst\nSome words of it.",
            None,
            vec![heading(15, "First")],
        ),
        ("More of the first.", None, vec![]),
        ("A slide", Some("Slide"), vec![]),
    ];
    let mut start = 0;
    for (number, (text, locator, headings)) in (1..).zip(&pages) {
        cutter.page(Leaf {
            number,
            start,
            text,
            locator: *locator,
            headings,
        });
        start += long(text.chars().count()) + 1;
    }
    let found: Vec<_> = cutter
        .finish()
        .into_iter()
        .map(|chunk| chunk.locator)
        .collect();
    let first = || Some("First".to_owned());
    assert_eq!(found.first(), Some(&None));
    assert_eq!(found.last(), Some(&Some("Slide".to_owned())));
    assert!(
        found[1..found.len() - 1]
            .iter()
            .all(|locator| *locator == first()),
        "{found:?}"
    );
}

proptest! {
    #[test]
    fn pieces_cover_all_and_slice_back(
        pages in prop::collection::vec("[a-e \u{301}\u{e9}.\n。日本\u{a0}\u{1f600})]{0,200}", 0..6),
        chars in 1_u32..60,
        overlap in 0_u32..80,
    ) {
        let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
        let (text, chunks) = cut(&pages, chars, overlap);
        let most = u64::from(chars.max(16));
        check(&text, &chunks, most, u64::from(overlap).min(most / 4));
    }

    #[test]
    fn any_text_is_cut(pages in prop::collection::vec("\\PC{0,300}", 0..4)) {
        let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
        let (text, chunks) = cut(&pages, 40, 10);
        check(&text, &chunks, 40, 10);
    }
}
