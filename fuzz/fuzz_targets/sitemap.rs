//! A file in pieces reads as it does whole.

#![no_main]

use libfuzzer_sys::fuzz_target;

use gleaner_fuzz::address;
use gleaner_fuzz::extract::sitemap::{Limits, Parser, Progress};

fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        max_bytes: 1 << 20,
        max_urls: 1_000,
    };
    let read = |size: usize| {
        let mut entries = Vec::new();
        let mut parser = Parser::new(&address(), limits);
        for chunk in data.chunks(size) {
            match parser.feed(chunk, |entry| entries.push(entry)) {
                Ok(Progress::More) => {}
                Ok(Progress::Done) => break,
                Err(error) => return Err(error),
            }
        }
        let summary = parser.finish(|entry| entries.push(entry))?;
        Ok((summary.kind, summary.urls, entries))
    };
    let whole = read(data.len().max(1));
    assert_eq!(read(7), whole);
});
