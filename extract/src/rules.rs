//! Tests of the tables under `data/`: each says where it comes from and of when it is, and no entry is idle.

use std::fs;
use std::path::Path;

use url::Url;

use super::category::{PageType, categorize};
use super::contacts::{Contacts, EmailKind, Options, extract};
use super::domain::is_excluded;
use super::html::Page;
use super::page::technology;
use super::table::rows;
use super::url::normalize;

/// The lists of a table with `[list]` headings and one entry a line.
fn listed(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut list = "";
    table.lines().map(str::trim).filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[') {
            list = name.trim_end_matches(']');
            return None;
        }
        (!line.is_empty() && !line.starts_with('#')).then_some((list, line))
    })
}

fn contacts(html: &str) -> Contacts {
    let url = Url::parse("https://acme-works.de/").expect("a URL");
    extract(&Page::parse(html), &url, &Options::default())
}

#[test]
fn every_table_says_its_source_and_version() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/data");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the tables").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a table");
        let head: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .collect();
        let says = |word: &str| head.iter().any(|line| line.contains(word));
        let name = entry.file_name();
        assert!(
            says("Source: ") || says("Sources: "),
            "{name:?} names no source"
        );
        let version = head
            .iter()
            .find_map(|line| line.strip_prefix("# Version: "));
        let is_date = version.is_some_and(|date| {
            date.len() == 10
                && date
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'-')
        });
        assert!(is_date, "{name:?} has no line \"# Version: YYYY-MM-DD\"");
        count += 1;
    }
    assert!(count >= 9, "{count} tables");
}

#[test]
fn every_tracking_parameter_is_dropped() {
    for (_, name) in listed(include_str!("data/tracking_parameters.txt")) {
        let name = name.replace('*', "anything");
        let url = normalize(&format!("https://x.org/?{name}=1&id=2")).expect("a URL");
        assert_eq!(url.as_str(), "https://x.org/?id=2", "{name}");
    }
}

#[test]
fn every_shared_host_is_in_its_list_with_all_below_it() {
    for (list, host) in listed(include_str!("data/shared_hosts.txt")) {
        let host = host.replace(".*", ".com");
        assert_eq!(is_excluded(&host), Some(list), "{host}");
        assert_eq!(
            is_excluded(&format!("joe.{host}")),
            Some(list),
            "joe.{host}"
        );
    }
}

#[test]
fn every_page_word_decides_about_some_address() {
    let (mut seen, mut idle) = (0, Vec::new());
    for (list, row) in listed(include_str!("data/page_words.txt")) {
        let (_, words) = row.split_once(": ").expect("language: words");
        for word in words.split(' ') {
            let (path, expected) = match list {
                "asset-extension" => (format!("/a/b.{word}"), "asset-extension"),
                "page-extension" => (format!("/contact.{word}"), "contact"),
                "index-page" => (format!("/contact/{word}.html"), "contact"),
                "wrapper" => (format!("/{word}/contact"), "contact"),
                other => (format!("/{word}"), other),
            };
            let url = Url::parse(&format!("https://x.org{path}")).expect("a URL");
            let found = categorize(&url);
            if found.rule != expected || found.page_type == PageType::Unknown {
                idle.push(format!("{list} {path}: {}", found.rule));
            }
            seen += 1;
        }
    }
    assert!(idle.is_empty(), "{idle:#?}");
    assert!(seen > 500, "{seen} words");
}

#[test]
fn every_mail_domain_decides_what_an_address_is() {
    for row in rows(include_str!("data/email_domains.txt")) {
        let [class, domain] = row.as_slice() else {
            panic!("{row:?}");
        };
        let found = contacts(&format!("<a href='mailto:jane.doe.smith@{domain}'>x</a>")).emails;
        let kinds: Vec<EmailKind> = found.iter().map(|email| email.kind).collect();
        let expected: &[EmailKind] = if *class == "free" {
            &[EmailKind::Free]
        } else {
            &[]
        };
        assert_eq!(kinds, expected, "{domain}");
    }
}

#[test]
fn every_mail_local_part_decides_what_an_address_is() {
    for row in rows(include_str!("data/email_locals.txt")) {
        let [class, local] = row.as_slice() else {
            panic!("{row:?}");
        };
        let at = |domain: &str| {
            let found = contacts(&format!("<a href='mailto:{local}@{domain}'>x</a>")).emails;
            let first = found.first();
            first.map(|email| (email.kind, email.is_no_reply))
        };
        let expected = match *class {
            "service" => Some((EmailKind::Service, false)),
            "noreply" => Some((EmailKind::Service, true)),
            "placeholder" => None,
            "stand_in" => {
                assert_eq!(at("gmail.com"), None, "{local}");
                continue;
            }
            other => panic!("{other}"),
        };
        assert_eq!(at("acme-works.de"), expected, "{local}");
    }
}

#[test]
fn every_technology_hint_is_recognised() {
    for row in rows(include_str!("data/technology.txt")) {
        let [name, _, place, needle] = row.as_slice() else {
            panic!("{row:?}");
        };
        let needle = needle.replace('*', "x");
        let html = match *place {
            "generator" => format!("<meta name=generator content=\"{needle} 1\">"),
            "url" => format!("<img src=\"https://{needle}/y.js\">"),
            "script" => format!("<script>{needle}</script>"),
            "class" => format!("<p class=\"a {needle} b\">"),
            "attribute" => format!("<p {needle}=1>"),
            other => panic!("{other}"),
        };
        assert!(
            technology(&Page::parse(&html)).tech.contains(name),
            "{name}: {html}"
        );
    }
}
