//! Measures precision and recall on labelled pages.
//!
//! Each folder holds `labels.jsonl` (`file`, `default_region`, `emails`, `phones`, `faxes` per line) and the pages beside it. The
//! sample's labels say all that is on its pages, so whatever else is found is wrong. Those of the larger collection are incomplete: an
//! address or number without a label is printed, and precision counts only the numbers on pages that have labels.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use url::Url;

use super::{Options, extract};
use crate::html::{Page, decode};
use crate::testdata::{self, share};

#[derive(Deserialize)]
struct Labels {
    file: String,
    default_region: Option<String>,
    emails: Vec<String>,
    phones: Vec<String>,
    faxes: Vec<String>,
}

/// How many digits there are before a place.
fn count_digits(text: &str, end: usize) -> usize {
    let front = text.get(..end).unwrap_or_default();
    front.chars().filter(char::is_ascii_digit).count()
}

/// The digits that identify a number however it is written: vanity letters as keys, without
/// extension, trunk zero or country code 1.
fn digits(text: &str) -> String {
    let text = text.replace("(0)", "");
    let lower = text.to_lowercase();
    let end = lower
        .find("ext")
        .or_else(|| {
            lower
                .find(" / ")
                .filter(|at| count_digits(&lower, *at) >= 7)
        })
        .or_else(|| lower.find("am"))
        .unwrap_or(text.len());
    let text = if lower.ends_with("m") {
        lower.split_whitespace().next().unwrap_or("")
    } else {
        text.get(..end).unwrap_or_default()
    };
    let keys: String = text
        .to_uppercase()
        .chars()
        .filter_map(super::phone::key)
        .collect();
    let keys = keys.trim_start_matches('0').to_owned();
    match keys.strip_prefix('1') {
        Some(rest) if keys.len() == 11 => rest.to_owned(),
        _ => keys
            .chars()
            .take(if text.contains("AUTO") { 10 } else { 15 })
            .collect(),
    }
}

/// Whether an E.164 number is the labelled one.
fn is_same(e164: &str, label: &str) -> bool {
    let e164 = e164.trim_start_matches('+');
    let national = digits(label);
    if national.len() < 7 {
        return false;
    }
    // A trunk zero between country code and number: `(86) 0532-…`.
    e164.ends_with(&national)
        || (national.len() > 10
            && [1, 2, 3].iter().any(|code| {
                national.get(*code..).is_some_and(|rest| {
                    rest.starts_with('0')
                        && format!(
                            "{}{}",
                            national.get(..*code).unwrap_or_default(),
                            rest.trim_start_matches('0')
                        ) == e164
                })
            }))
}

/// Counts over all pages of a folder.
#[derive(Debug, Default)]
struct Tally {
    pages: usize,
    emails_labelled: usize,
    emails_hit: usize,
    emails_found: usize,
    phones_labelled: usize,
    phones_hit: usize,
    /// On pages with labels.
    phones_found: usize,
    phones_right: usize,
    /// On pages without any.
    phones_elsewhere: usize,
    kinds: usize,
    kinds_right: usize,
}

impl Tally {
    fn of(folder: &Path) -> Self {
        let mut tally = Self::default();
        for labels in testdata::labels::<Labels>(folder) {
            let body = testdata::body(&folder.join(&labels.file));
            let page = Page::parse(&decode(&body, None).text);
            tally.add(&page, &labels);
        }
        println!("{}: {tally:#?}", folder.display());
        tally
    }

    fn add(&mut self, page: &Page, labels: &Labels) {
        self.pages += 1;
        let url = page.base_url(&Url::parse("http://page.invalid/").unwrap());
        let options = Options {
            default_region: labels.default_region.as_deref(),
        };
        let contacts = extract(page, &url, &options);
        let wanted: BTreeSet<String> = labels.emails.iter().map(|e| e.to_lowercase()).collect();
        let got: BTreeSet<String> = contacts.emails.iter().map(|e| e.value.clone()).collect();
        self.emails_labelled += wanted.len();
        self.emails_hit += wanted.intersection(&got).count();
        self.emails_found += got.len();
        for missed in wanted.difference(&got) {
            println!("{}: missed {missed}", labels.file);
        }
        for extra in got.difference(&wanted) {
            let source = contacts
                .emails
                .iter()
                .find(|e| e.value == *extra)
                .map(|e| e.source);
            println!("{}: unlabelled address {extra} {source:?}", labels.file);
        }
        let all: BTreeSet<&String> = labels.phones.iter().chain(&labels.faxes).collect();
        self.phones_labelled += all.len();
        for label in &all {
            if contacts
                .phones
                .iter()
                .any(|phone| is_same(&phone.e164, label))
            {
                self.phones_hit += 1;
            } else {
                println!("{}: missed {label:?}", labels.file);
            }
        }
        for phone in &contacts.phones {
            let is_right = all.iter().any(|label| is_same(&phone.e164, label));
            if !is_right {
                println!(
                    "{}: unlabelled number {} ({:?}) {:?}",
                    labels.file, phone.e164, phone.raw, phone.source
                );
            }
            if all.is_empty() {
                self.phones_elsewhere += 1;
                continue;
            }
            self.phones_found += 1;
            self.phones_right += usize::from(is_right);
            if is_right {
                self.kinds += 1;
                let is_fax = labels.faxes.iter().any(|label| is_same(&phone.e164, label))
                    && !labels
                        .phones
                        .iter()
                        .any(|label| is_same(&phone.e164, label));
                let is_kind_right = is_fax == (phone.kind == super::PhoneKind::Fax);
                self.kinds_right += usize::from(is_kind_right);
                if !is_kind_right {
                    println!("{}: {} is {:?}", labels.file, phone.e164, phone.kind);
                }
            }
        }
    }

    /// Asserts that each share is at least so much: addresses found, numbers found, numbers that are right, fax or not.
    #[track_caller]
    fn check(&self, email_recall: f64, phone_recall: f64, phone_precision: f64, kind: f64) {
        for (name, part, whole, least) in [
            (
                "e-mail recall",
                self.emails_hit,
                self.emails_labelled,
                email_recall,
            ),
            (
                "phone recall",
                self.phones_hit,
                self.phones_labelled,
                phone_recall,
            ),
            (
                "phone precision",
                self.phones_right,
                self.phones_found,
                phone_precision,
            ),
            ("fax or not", self.kinds_right, self.kinds, kind),
        ] {
            let got = share(part, whole);
            println!("{name} {got:.3} ({part}/{whole}), at least {least}");
            assert!(
                got >= least,
                "{name} {got:.3} ({part}/{whole}) is below {least}"
            );
        }
    }
}

/// Each gate leaves room for one finding less than what was measured: 20 of 20 addresses; 42 of 42 numbers, all of them right, and of all it is
/// known whether they are a fax.
#[test]
fn contacts_of_the_sample_are_found() {
    let tally = Tally::of(&testdata::sample("contacts"));
    assert!(
        tally.pages >= 15 && tally.phones_labelled >= 30,
        "{tally:?}"
    );
    tally.check(0.95, 0.95, 0.95, 0.95);
    let email_precision = share(tally.emails_hit, tally.emails_found);
    assert!(
        email_precision >= 0.95,
        "e-mail precision {email_precision:.3}"
    );
    assert_eq!(tally.phones_elsewhere, 0, "numbers on pages without any");
}

#[test]
fn contacts_of_real_pages_are_found() {
    if let Some(folder) = testdata::larger("contacts") {
        Tally::of(&folder).check(0.98, 0.97, 0.97, 0.95);
    }
}
