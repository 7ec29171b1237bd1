//! Any bytes are a page.

#![no_main]

use libfuzzer_sys::fuzz_target;

use gleaner_fuzz::extract::page::{extract, technology};
use gleaner_fuzz::{address, page};

fuzz_target!(|data: &[u8]| {
    let page = page(data);
    drop(extract(&page, &address()));
    drop(technology(&page));
});
