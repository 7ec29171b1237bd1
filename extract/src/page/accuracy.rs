//! Measures main text and title on labelled pages: articles, a product, a list, a forum, documentation, a home page, in many languages.
//!
//! The folder holds `labels.jsonl` (`file`, `url`, `title`, `text` per line) and the pages beside it.

use std::collections::HashMap;

use serde::Deserialize;
use url::Url;

use super::{PageFacts, extract};
use crate::html::{Page, decode};
use crate::testdata::{self, share};

#[derive(Deserialize)]
struct Label {
    file: String,
    url: String,
    title: String,
    text: String,
}

fn facts(label: &Label) -> PageFacts {
    let body = testdata::body(&testdata::sample("pages").join(&label.file));
    let url = Url::parse(&label.url).unwrap();
    extract(&Page::parse(&decode(&body, None).text), &url)
}

/// How often each word is in a text; ideographs are words.
fn words(text: &str) -> HashMap<String, usize> {
    let spaced: String = text
        .chars()
        .flat_map(|c| {
            let is_ideograph = matches!(c, '\u{3040}'..='\u{9fff}');
            std::iter::once(c).chain(is_ideograph.then_some(' '))
        })
        .collect();
    let mut words = HashMap::new();
    for word in spaced.split(|c: char| !c.is_alphanumeric()) {
        if !word.is_empty() {
            *words.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    words
}

/// The harmonic mean of precision and recall, word by word.
fn f1(got: &str, wanted: &str) -> f64 {
    let (got, wanted) = (words(got), words(wanted));
    let common: usize = got
        .iter()
        .map(|(word, count)| *count.min(wanted.get(word).unwrap_or(&0)))
        .sum();
    share(2 * common, got.values().chain(wanted.values()).sum())
}

#[test]
fn text_and_title_are_those_of_the_labels() {
    let labels: Vec<Label> = testdata::labels(&testdata::sample("pages"));
    let (mut sum, mut titles) = (0.0, 0);
    for label in &labels {
        let facts = facts(label);
        let score = f1(&facts.text, &label.text);
        let title = facts.title.unwrap_or_default();
        println!("{} {score:.3} {title:?}\n{}\n", label.file, facts.text);
        sum += score;
        titles += usize::from(title == label.title);
        assert!(score >= 0.8, "{}: {score:.3}", label.file);
    }
    let count = labels.len();
    let text = sum / f64::from(u32::try_from(count).unwrap());
    println!("{count} pages: text F1 {text:.3}, titles {titles}");
    assert!(count >= 11, "{count} pages");
    assert!(text >= 0.95, "text F1 {text:.3}");
    assert_eq!(titles, count, "titles");
}
