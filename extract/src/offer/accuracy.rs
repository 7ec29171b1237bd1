//! How well offers are read on labelled pages, when there are any.
//!
//! The labels were made from the plainest structured data of each page: a `null` price stands on many
//! pages that do show one. So three measures are printed: on the pages with a labelled price alone, with
//! `null` as "no price", and with the labels completed by eye. A second run is on the same pages without
//! JSON-LD, scripts, `<meta>` and microdata; there, pages count whose price is to be seen.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use url::Url;

use super::{Offer, SourceKind, offer};
use crate::html::decode;
use crate::price::Amount;

/// What a shopper reads on the pages whose label has no price, written down by somebody who did not see what any program had found.
const READ_BY_EYE: &str = include_str!("../../../bench/extract/read_by_eye.jsonl");

#[derive(Deserialize)]
struct ReadByEye {
    file: String,
    price: Option<String>,
    /// Reasonable people do not differ.
    is_sure: bool,
}

/// The price that was read by eye on a page, if any; nothing where that is not sure.
fn read_by_eye(file: &str) -> Option<Option<Amount>> {
    READ_BY_EYE
        .lines()
        .map(|line| serde_json::from_str::<ReadByEye>(line).unwrap())
        .find(|row| row.file == file && row.is_sure)
        .map(|row| row.price.map(|price| price.parse().unwrap()))
}

#[derive(Deserialize)]
struct Label {
    file: String,
    url: String,
    title: Option<String>,
    price: Option<String>,
    currency: Option<String>,
    availability: Option<String>,
    price_visible_on_page: bool,
}

fn labels(folder: &Path) -> Option<Vec<Label>> {
    let Ok(text) = std::fs::read_to_string(folder.join("labels.jsonl")) else {
        println!("skipped: no labelled pages at {}", folder.display());
        return None;
    };
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

fn page(folder: &Path, label: &Label) -> String {
    let mut body = Vec::new();
    let file = std::fs::File::open(folder.join(&label.file)).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut body)
        .unwrap();
    decode(&body, None).text
}

/// The page without what machines read: JSON-LD, other scripts, `<meta>`, microdata.
fn stripped(html: &str) -> String {
    let scripts = regex::Regex::new(r"(?is)<script\b.*?</script>").unwrap();
    let metas = regex::Regex::new(r"(?is)<meta\b[^>]*>").unwrap();
    let attributes = regex::Regex::new(
        r#"(?i)\s(itemprop|itemscope|itemtype|typeof|property|vocab)(=("[^"]*"|'[^']*'|[^\s>]+))?"#,
    )
    .unwrap();
    let html = scripts.replace_all(html, "");
    let html = metas.replace_all(&html, "");
    attributes.replace_all(&html, "").into_owned()
}

#[derive(Default)]
struct Tally {
    right: usize,
    wrong: usize,
    missed: usize,
    /// Prices on pages without a labelled one, and those of them that were read by eye too.
    unlabelled: usize,
    seen_too: usize,
    /// And those on which reasonable people differ; they do not count with the labels completed.
    unsure: usize,
    /// Pages whose price was read by eye only, and not found.
    seen_only: usize,
    currency_right: usize,
}

impl Tally {
    fn add(&mut self, name: &str, label: &Label, found: &Offer) {
        let wanted = label
            .price
            .as_deref()
            .map(|price| price.parse::<Amount>().unwrap());
        let sources: Vec<String> = found
            .sources
            .iter()
            .map(|source| {
                format!(
                    "{}={} {:.2}",
                    source.source.as_str(),
                    source.price,
                    source.confidence
                )
            })
            .collect();
        let shown = found.price.map(|price| price.to_string());
        match (wanted, found.price) {
            (Some(wanted), Some(price)) if wanted == price => {
                self.right += 1;
                self.currency_right += usize::from(
                    found.currency.map(|currency| currency.code()) == label.currency.as_deref(),
                );
                if found.currency.map(|currency| currency.code()) != label.currency.as_deref() {
                    println!(
                        "{name} {}: currency {:?}, labelled {:?}",
                        label.file, found.currency, label.currency
                    );
                }
                return;
            }
            (Some(_), Some(_)) => self.wrong += 1,
            (Some(_), None) => self.missed += 1,
            (None, found) => {
                self.unlabelled += usize::from(found.is_some());
                let Some(by_eye) = read_by_eye(&label.file) else {
                    self.unsure += usize::from(found.is_some());
                    return;
                };
                self.seen_too += usize::from(found.is_some() && found == by_eye);
                self.seen_only += usize::from(by_eye.is_some() && found != by_eye);
                if found == by_eye {
                    return;
                }
            }
        }
        println!(
            "{name} {}: {shown:?}, labelled {:?} {} [{}]",
            label.file,
            label.price,
            label.url,
            sources.join(", ")
        );
    }

    /// F1 on the pages with a labelled price alone, with the labels as they are (no label: no price),
    /// and with the labels completed by what was read by eye.
    fn f1(&self, name: &str) -> [f64; 3] {
        let f1 = |right: usize, missed: usize, extra: usize| {
            share(2 * right, 2 * right + 2 * self.wrong + missed + extra)
        };
        let labelled = f1(self.right, self.missed, 0);
        let strict = f1(self.right, self.missed, self.unlabelled);
        let completed = f1(
            self.right + self.seen_too,
            self.missed + self.seen_only,
            self.unlabelled - self.seen_too - self.unsure,
        );
        println!(
            "{name}: price F1 {labelled:.3} where a price is labelled ({} right, {} wrong, {} missed); {strict:.3} with {} more where none is, {} of which were read by eye too; {completed:.3} with the labels completed by eye; currency {}/{}",
            self.right,
            self.wrong,
            self.missed,
            self.unlabelled,
            self.seen_too,
            self.currency_right,
            self.right
        );
        [labelled, strict, completed]
    }
}

fn share(part: usize, whole: usize) -> f64 {
    f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole.max(1)).unwrap())
}

fn letters(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[test]
fn offers_of_labelled_pages_are_read() {
    let Some(folder) = crate::test_data("products") else {
        return;
    };
    let Some(labels) = labels(&folder) else {
        return;
    };
    let (mut all, mut bare) = (Tally::default(), Tally::default());
    let (mut stock_right, mut stock_all, mut bare_stock_right) = (0, 0, 0);
    let (mut title_right, mut title_all) = (0, 0);
    for label in &labels {
        let html = page(&folder, label);
        let url = Url::parse(&label.url).unwrap();
        let found = offer(&html, Some(&url));
        all.add("all", label, &found);
        assert!(
            found
                .sources
                .iter()
                .all(|source| source.source != SourceKind::Pattern)
        );
        let seen = offer(&stripped(&html), Some(&url));
        if label.price_visible_on_page || label.price.is_none() {
            bare.add("bare", label, &seen);
        }
        if let Some(wanted) = &label.availability {
            stock_all += 1;
            let got = found.availability.map(|found| found.as_str());
            if got == Some(wanted.as_str()) {
                stock_right += 1;
            } else {
                println!("{}: {got:?}, labelled {wanted}", label.file);
            }
            let got = seen.availability.map(|found| found.as_str());
            if got == Some(wanted.as_str()) {
                bare_stock_right += 1;
            } else {
                println!("bare {}: {got:?}, labelled {wanted}", label.file);
            }
        }
        if let Some(wanted) = &label.title {
            title_all += 1;
            let got = found.title.clone().unwrap_or_default();
            let (a, b) = (letters(&got), letters(wanted));
            if a == b || !a.is_empty() && (a.contains(&b) || b.contains(&a)) {
                title_right += 1;
            } else {
                println!("{}: title {got:?}, labelled {wanted:?}", label.file);
            }
        }
    }
    let [labelled, strict, completed] = all.f1("all");
    let [bare_labelled, _, bare_completed] = bare.f1("without structured data");
    println!(
        "availability {stock_right}/{stock_all}; without structured data {bare_stock_right}/{stock_all}; title {title_right}/{title_all}"
    );
    assert!(labelled >= 0.98, "price F1 {labelled}");
    assert!(
        strict >= 0.80,
        "price F1 with the labels as they are {strict}"
    );
    assert!(
        completed >= 0.93,
        "price F1 with completed labels {completed}"
    );
    assert!(
        bare_labelled >= 0.93,
        "price F1 without structured data {bare_labelled}"
    );
    assert!(
        bare_completed >= 0.90,
        "the same with completed labels {bare_completed}"
    );
    assert!(
        share(stock_right, stock_all) >= 0.96,
        "availability {stock_right}"
    );
    assert!(
        share(bare_stock_right, stock_all) >= 0.85,
        "availability without structured data {bare_stock_right}"
    );
    assert!(share(title_right, title_all) >= 0.94, "title {title_right}");
}
