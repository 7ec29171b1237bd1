//! Measures precision and recall on labelled pages, where they are available.
//!
//! `GLEANER_TEST_DATA` names a folder with `contacts/labels.jsonl` (`file`, `default_region`, `emails`,
//! `phones`, `faxes` per line) and the pages beside it. Labels of such collections are incomplete, so
//! an address or number without a label is printed, and precision counts only pages that have labels.

use std::collections::BTreeSet;

use serde::Deserialize;
use url::Url;

use super::{Options, extract};
use crate::html::{Page, decode};

#[derive(Deserialize)]
struct Labels {
    file: String,
    default_region: Option<String>,
    emails: Vec<String>,
    phones: Vec<String>,
    faxes: Vec<String>,
}

/// The digits that identify a number however it is written: vanity letters as keys, without
/// extension, trunk zero or country code 1.
fn digits(text: &str) -> String {
    let text = text.replace("(0)", "");
    let lower = text.to_lowercase();
    let end = lower
        .find("ext")
        .or_else(|| lower.find(" / "))
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

#[test]
fn contacts_of_labelled_pages_are_found() {
    let Some(folder) = crate::test_data("contacts") else {
        return;
    };
    let Ok(labels) = std::fs::read_to_string(folder.join("labels.jsonl")) else {
        println!("skipped: no labelled pages at {}", folder.display());
        return;
    };
    let (mut email_hits, mut email_labels, mut email_extra, mut emails_found) = (0, 0, 0, 0);
    let (mut phone_hits, mut phone_labels, mut phone_right, mut phone_found) = (0, 0, 0, 0);
    let (mut kind_right, mut kind_all, mut unlabelled_phones) = (0, 0, 0);
    for line in labels.lines().filter(|line| !line.trim().is_empty()) {
        let labels: Labels = serde_json::from_str(line).unwrap();
        let body = std::fs::read(folder.join(&labels.file)).unwrap();
        let page = Page::parse(&decode(&body, None).text);
        let url = page.base_url(&Url::parse("http://page.invalid/").unwrap());
        let options = Options {
            default_region: labels.default_region.as_deref(),
        };
        let contacts = extract(&page, &url, &options);
        let wanted: BTreeSet<String> = labels.emails.iter().map(|e| e.to_lowercase()).collect();
        let got: BTreeSet<String> = contacts.emails.iter().map(|e| e.value.clone()).collect();
        email_labels += wanted.len();
        email_hits += wanted.intersection(&got).count();
        for missed in wanted.difference(&got) {
            println!("{}: missed {missed}", labels.file);
        }
        emails_found += got.len();
        for extra in got.difference(&wanted) {
            email_extra += 1;
            let source = contacts
                .emails
                .iter()
                .find(|e| e.value == *extra)
                .map(|e| e.source);
            println!("{}: unlabelled address {extra} {source:?}", labels.file);
        }
        let all: BTreeSet<&String> = labels.phones.iter().chain(&labels.faxes).collect();
        phone_labels += all.len();
        for label in &all {
            if contacts
                .phones
                .iter()
                .any(|phone| is_same(&phone.e164, label))
            {
                phone_hits += 1;
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
                unlabelled_phones += 1;
                continue;
            }
            phone_found += 1;
            phone_right += usize::from(is_right);
            if is_right {
                kind_all += 1;
                let is_fax = labels.faxes.iter().any(|label| is_same(&phone.e164, label))
                    && !labels
                        .phones
                        .iter()
                        .any(|label| is_same(&phone.e164, label));
                let is_kind_right = is_fax == (phone.kind == super::PhoneKind::Fax);
                kind_right += usize::from(is_kind_right);
                if !is_kind_right {
                    println!("{}: {} is {:?}", labels.file, phone.e164, phone.kind);
                }
            }
        }
    }
    let share = |part: usize, whole: usize| {
        f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole.max(1)).unwrap())
    };
    let email_recall = share(email_hits, email_labels);
    let phone_recall = share(phone_hits, phone_labels);
    let phone_precision = share(phone_right, phone_found);
    println!(
        "e-mail recall {email_recall:.3} ({email_hits}/{email_labels}); found {emails_found}, {email_extra} of them unlabelled"
    );
    println!("phone recall {phone_recall:.3} ({phone_hits}/{phone_labels})");
    println!(
        "phone precision {phone_precision:.3} ({phone_right}/{phone_found}) on pages with labels; {unlabelled_phones} on pages without any"
    );
    println!("fax or not: {kind_right}/{kind_all}");
    assert!(email_recall >= 0.98, "e-mail recall {email_recall}");
    assert!(phone_recall >= 0.97, "phone recall {phone_recall}");
    assert!(phone_precision >= 0.97, "phone precision {phone_precision}");
    assert!(
        share(kind_right, kind_all) >= 0.95,
        "fax or not: {kind_right}/{kind_all}"
    );
}
