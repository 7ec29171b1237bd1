//! A file in pieces reads as it does whole, and an address as given is the one it is normalised to.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;

use gleaner_fuzz::address;
use gleaner_fuzz::extract::sitemap::{AsGiven, Limits, Parser, Progress};
use gleaner_fuzz::extract::url::{TrackingParameters, normalize};

const LIMITS: Limits = Limits {
    max_bytes: 1 << 20,
    max_urls: 1_000,
};

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

fuzz_target!(|data: &[u8]| {
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
});
