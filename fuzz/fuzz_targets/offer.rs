//! Any bytes are a product page.

#![no_main]

use libfuzzer_sys::fuzz_target;

use gleaner_fuzz::extract::offer::offer_of;
use gleaner_fuzz::{address, page};

fuzz_target!(|data: &[u8]| {
    let offer = offer_of(&page(data), Some(&address()));
    assert!((0.0..=1.0).contains(&offer.confidence));
});
