//! What is asked of each parser for any bytes whatever.
//!
//! These are the bodies of the targets in `fuzz/`. Every run of the tests asks the same of all that fuzzing
//! has found (`fuzz/corpus/`).
//!
//! A target panics where the parser breaks a promise. What a file with two inputs holds is parted by its first NUL.

#![expect(
    clippy::expect_used,
    reason = "a target panics where a promise is broken"
)]

use std::sync::Arc;

use url::Url;

use crate::contacts::{self, Options, is_plausible_email};
use crate::domain::{Suffixes, parts, site};
use crate::html::{Page, decode};
use crate::offer::offer_of;
use crate::page;
use crate::pattern::Pattern;
use crate::price::{Hints, parse};
use crate::robots::Robots;
use crate::sitemap::{AsGiven, Limits, Parser, Progress};
use crate::url::{TrackingParameters, key, normalize, resolve};

/// Bounds of a sitemap that fuzzing reaches.
const LIMITS: Limits = Limits {
    max_bytes: 1 << 20,
    max_urls: 1_000,
};

fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// The page of some shop, from bytes as they are served.
fn page_of(body: &[u8]) -> Page {
    Page::parse(&decode(body, None).text)
}

/// Its address.
fn address() -> Url {
    Url::parse("https://shop.example.com/p/1").expect("a URL")
}

/// Findings are in one order, and each is what it says.
pub fn contacts(data: &[u8]) {
    let page = page_of(data);
    let options = Options {
        default_region: Some("DE"),
    };
    let found = contacts::extract(&page, &address(), &options);
    assert_eq!(contacts::extract(&page, &address(), &options), found);
    for email in found.emails {
        assert!(is_plausible_email(&email.value), "{}", email.value);
    }
    for phone in found.phones {
        let is_e164 = phone.e164.starts_with('+') && phone.e164.len() <= 16;
        assert!(is_e164, "{}", phone.e164);
    }
}

/// A site names itself.
pub fn domain(data: &[u8]) {
    let Ok(data) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(found) = site(data) {
        assert!(found.host.ends_with(&found.registrable));
        // One `www` is removed, and there may be two.
        if !found.host.starts_with("www.") {
            assert_eq!(site(&found.host).map(|again| again.host), Ok(found.host));
        }
    }
    for suffixes in [Suffixes::Icann, Suffixes::WithPrivate] {
        drop(parts(data, suffixes));
    }
}

/// Any bytes are a product page.
pub fn offer(data: &[u8]) {
    let offer = offer_of(&page_of(data), Some(&address()));
    assert!((0.0..=1.0).contains(&offer.confidence));
}

/// Any bytes are a page.
pub fn page(data: &[u8]) {
    let page = page_of(data);
    drop(page::extract(&page, &address()));
    drop(page::technology(&page));
}

/// A pattern that is read is written and read again the same. The file: a pattern, NUL, a page.
pub fn pattern(data: &[u8]) {
    let (json, html) = halves(data);
    let Ok(pattern) = Pattern::parse(&String::from_utf8_lossy(json)) else {
        return;
    };
    let written = serde_json::to_string(&pattern).expect("JSON");
    let again = Pattern::parse(&written).expect("what was written");
    assert_eq!(serde_json::to_string(&again).expect("JSON"), written);
    drop(pattern.apply(&page_of(html), Some(&address())));
}

/// An amount shown is read as itself.
pub fn price(data: &[u8]) {
    let Ok(data) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(price) = parse(data, &Hints::default()) {
        let shown = price.amount.to_string();
        assert_eq!(shown.parse(), Ok(price.amount));
    }
}

/// Any file, and any path asked of it. The file: a robots.txt, NUL, a path.
pub fn robots(data: &[u8]) {
    let (file, path) = halves(data);
    let robots = Robots::parse(file);
    if let Ok(url) = address().join(&String::from_utf8_lossy(path)) {
        let is_allowed = robots.is_allowed("Gleaner", &url);
        assert_eq!(robots.is_allowed("gleaner", &url), is_allowed, "{url}");
    }
    let delay = robots.crawl_delay("*");
    assert_eq!(robots.crawl_delay("*"), delay);
}

/// All that a parser says of a file; one macro, since the two kinds of parser have no name in common.
macro_rules! read {
    ($parser:expr, $data:expr, $size:expr) => {
        (|| {
            let mut entries = Vec::new();
            let mut parser = $parser;
            for chunk in $data.chunks($size) {
                match parser.feed(chunk, |entry| entries.push(entry)) {
                    Ok(Progress::More) => {}
                    Ok(Progress::Done) => break,
                    Err(error) => return Err(error),
                }
            }
            let summary = parser.finish(|entry| entries.push(entry))?;
            Ok((summary.kind, summary.urls, entries))
        })()
    };
}

/// A file in pieces reads as it does whole, and an address as given is the one it is normalised to.
pub fn sitemap(data: &[u8]) {
    let size = data.len().max(1);
    let whole = read!(Parser::new(&address(), LIMITS), data, size);
    assert_eq!(read!(Parser::new(&address(), LIMITS), data, 7), whole);
    let tracking = TrackingParameters::built_in();
    let given = read!(
        Parser::<AsGiven>::with_tracking(&address(), LIMITS, Arc::clone(tracking)),
        data,
        size
    );
    match (whole, given) {
        (Ok((_, _, entries)), Ok((_, _, given))) => {
            let urls = given.iter().map(|entry| normalize(&entry.loc.url).ok());
            assert!(
                urls.eq(entries.into_iter().map(|entry| Some(entry.loc))),
                "{given:?}"
            );
        }
        (whole, given) => assert_eq!(whole.err(), given.err()),
    }
}

/// A second normalisation changes nothing, and a key is its own.
pub fn url(data: &[u8]) {
    let Ok(data) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(url) = normalize(data) {
        let own = Url::parse(&key(&url)).expect("a key is an address");
        assert_eq!(key(&own), key(&url));
        assert_eq!(normalize(url.as_str()), Ok(url));
    }
    if let Some(url) = resolve(&address(), data) {
        assert_eq!(normalize(url.as_str()), Ok(url));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Runs a target over its part of the corpus.
    #[track_caller]
    fn replay(name: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(name);
        let files = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for file in files {
            let path = file.expect("a file").path();
            let data = std::fs::read(&path).expect("a file");
            let outcome = std::panic::catch_unwind(|| target(&data));
            assert!(outcome.is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count > 0, "nothing in {}", folder.display());
    }

    macro_rules! replayed {
        ($($name:ident),*) => {
            $(#[test] fn $name() { replay(stringify!($name), super::$name); })*

            #[test]
            fn every_part_of_the_corpus_is_replayed() {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
                let mut parts: Vec<_> = std::fs::read_dir(folder)
                    .expect("the corpus")
                    .map(|part| part.expect("a folder").file_name().into_string().expect("a name"))
                    // Those are replayed beside the readers of documents.
                    .filter(|part| !part.starts_with("document"))
                    .collect();
                parts.sort();
                assert_eq!(parts, [$(stringify!($name)),*]);
            }
        };
    }
    replayed!(
        contacts, domain, offer, page, pattern, price, robots, sitemap, url
    );
}
