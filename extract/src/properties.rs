//! Properties that hold for any input: what is written reads the same, and a second look finds what the first did.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use url::Url;

use super::contacts::{self, Options, is_plausible_email};
use super::domain::{Suffixes, parts};
use super::html::{Page, decode_from};
use super::sitemap::{ChangeFrequency, Entry, Kind, Limits, Parser};
use super::url::normalize;

/// Writes a sitemap as the protocol wants it.
fn written(entries: &[Entry]) -> String {
    let mut xml =
        "<?xml version=\"1.0\"?><urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">"
            .to_owned();
    for entry in entries {
        let loc = entry
            .loc
            .as_str()
            .replace('&', "&amp;")
            .replace('\'', "&apos;");
        xml.push_str(&format!("<url><loc>{loc}</loc>"));
        if let Some(lastmod) = entry.lastmod {
            xml.push_str(&format!("<lastmod>{}</lastmod>", lastmod.to_rfc3339()));
        }
        if let Some(changefreq) = entry.changefreq {
            xml.push_str(&format!("<changefreq>{}</changefreq>", changefreq.as_str()));
        }
        if let Some(priority) = entry.priority {
            xml.push_str(&format!("<priority>{priority}</priority>"));
        }
        xml.push_str("</url>");
    }
    xml + "</urlset>"
}

fn entries() -> impl Strategy<Value = Entry> {
    (
        "https://[a-z]{1,8}\\.example/[a-z0-9/'_é-]{0,12}(\\?[a-z]=[a-z0-9]{0,3}(&[a-z]=[0-9])?)?",
        prop::option::of(0_i64..4_000_000_000),
        prop::option::of(prop::sample::select(vec!["always", "daily", "never"])),
        prop::option::of(0..=10_u8),
    )
        .prop_filter_map("a URL", |(loc, lastmod, changefreq, priority)| {
            Some(Entry {
                loc: normalize(&loc).ok()?,
                lastmod: lastmod.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0)),
                changefreq: changefreq.and_then(ChangeFrequency::parse),
                priority: priority.map(|tenths| f32::from(tenths) / 10.0),
            })
        })
}

proptest! {
    #[test]
    fn a_sitemap_that_is_written_reads_the_same(entries in prop::collection::vec(entries(), 0..20), size in 1..200_usize) {
        let base = Url::parse("https://base.example/").expect("a URL");
        let mut parser = Parser::new(&base, Limits::default());
        let mut read = Vec::new();
        for chunk in written(&entries).as_bytes().chunks(size) {
            parser.feed(chunk, |entry| read.push(entry)).expect("no doctype");
        }
        let summary = parser.finish(|entry| read.push(entry)).expect("no doctype");
        prop_assert_eq!(summary.kind, Kind::UrlSet);
        prop_assert_eq!(summary.truncated, None);
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn what_contacts_are_found_is_found_again(
        html in "(<a href='(mailto:|tel:)?[a-z0-9.+@-]{1,20}'>|(info|j\\.doe)@[a-z]{2,8}\\.(de|com)|Tel: 030 [0-9]{5,7}|[a-z@. <>/]{0,10}){0,20}",
    ) {
        let url = Url::parse("https://acme.de/").expect("a URL");
        let options = Options { default_region: Some("DE") };
        let look = |html: &str| contacts::extract(&Page::parse(html), &url, &options);
        let found = look(&html);
        prop_assert_eq!(&look(&html), &found);
        for email in &found.emails {
            prop_assert!(is_plausible_email(&email.value), "{}", email.value);
            let again = look(&format!("<a href='mailto:{}'>x</a>", email.value)).emails;
            prop_assert!(again.iter().any(|one| one.value == email.value), "{}", email.value);
        }
        for phone in &found.phones {
            let again = look(&format!("<a href='tel:{}'>x</a>", phone.e164)).phones;
            prop_assert_eq!(again.first().map(|one| &one.e164), Some(&phone.e164));
        }
    }

    #[test]
    fn the_parts_of_a_host_are_its_own(raw in "(https?://)?([a-z0-9-]{1,6}[.]){0,4}(com|co[.]uk|github[.]io|рф|local)(:[0-9]{1,4})?") {
        for suffixes in [Suffixes::Icann, Suffixes::WithPrivate] {
            if let Ok(found) = parts(&raw, suffixes) {
                let host = found.host.clone().expect("a host");
                prop_assert!(found.registrable.iter().all(|name| host.ends_with(name.as_str())));
                prop_assert!(found.suffix.iter().all(|name| host.ends_with(name.as_str())));
                prop_assert_eq!(parts(&host, suffixes).map(|again| again.registrable), Ok(found.registrable));
            }
        }
    }

    #[test]
    fn any_bytes_decode_to_text_without_nul(
        body in prop::collection::vec(any::<u8>(), 0..200),
        declared in prop::option::of("[a-z/;= -]{0,30}"),
        host in prop::option::of("\\PC{0,12}"),
    ) {
        let decoded = decode_from(host.as_deref(), &body, declared.as_deref());
        prop_assert!(!decoded.text.contains('\0'));
    }
}
