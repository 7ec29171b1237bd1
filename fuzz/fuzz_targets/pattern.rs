//! A pattern that is read is written and read again the same.

#![no_main]

use libfuzzer_sys::fuzz_target;

use gleaner_fuzz::extract::pattern::Pattern;
use gleaner_fuzz::{address, halves, page};

fuzz_target!(|data: &[u8]| {
    let (json, html) = halves(data);
    let Ok(pattern) = Pattern::parse(&String::from_utf8_lossy(json)) else {
        return;
    };
    let written = serde_json::to_string(&pattern).expect("JSON");
    let again = Pattern::parse(&written).expect("what was written");
    assert_eq!(serde_json::to_string(&again).expect("JSON"), written);
    drop(pattern.apply(&page(html), Some(&address())));
});
