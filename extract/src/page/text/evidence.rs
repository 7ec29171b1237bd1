//! The text of an article as its structured data give it, and where on the page that stands.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::measure::{Measured, count_words};
use crate::structured::first_in;

/// Fewest words of a text that is taken for all of an article rather than its beginning.
const MIN_WORDS: usize = 80;

/// How many words in a row have to be the same.
const RUN: usize = 4;

/// What a region must hold of what is found on the page, in percent.
const NEARLY_ALL: usize = 90;

/// The longest `articleBody` (schema.org) of a page's JSON-LD.
pub(super) fn article_body(data: &[Value]) -> Option<&str> {
    let mut longest: Option<&str> = None;
    for root in data {
        let _: Option<()> = first_in(root, |object| {
            if let Some(text) = object.get("articleBody").and_then(Value::as_str)
                && longest.is_none_or(|known| known.len() < text.len())
            {
                longest = Some(text);
            }
            None
        });
    }
    longest.filter(|text| count_words(text) >= MIN_WORDS)
}

/// The smallest region with nearly all of a text, if half of it is on the page.
pub(super) fn region_of(measured: &Measured<'_>, text: &str) -> Option<usize> {
    let runs: HashSet<u64> = runs(text).into_iter().collect();
    let page = measured.page;
    let mut found = vec![0_usize; page.regions().len()];
    for block in page.blocks() {
        let known = runs_in(&block.plain(), &runs);
        found[block.region] += known;
    }
    for (at, region) in page.regions().iter().enumerate().skip(1).rev() {
        found[region.parent] += found[at];
    }
    let all = found[0];
    if all * 2 < runs.len() {
        return None;
    }
    let holders = found.iter().enumerate().rev();
    holders
        .filter(|(at, _)| !measured.places[*at].is_out)
        .find(|(_, known)| **known * 100 >= all * NEARLY_ALL)
        .map(|(at, _)| at)
}

/// How many runs of words of a block stand in a text.
fn runs_in(block: &str, text: &HashSet<u64>) -> usize {
    let runs = runs(block);
    runs.iter().filter(|run| text.contains(run)).count()
}

/// Each run of words of a text, as a number.
fn runs(text: &str) -> Vec<u64> {
    let words: Vec<u64> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| hash(&word.to_lowercase()))
        .collect();
    words.windows(RUN).map(|run| hash(&run)).collect()
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
