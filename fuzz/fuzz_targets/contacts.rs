//! Findings are in one order, and each is what it says.

#![no_main]

use libfuzzer_sys::fuzz_target;

use gleaner_fuzz::extract::contacts::{Options, extract, is_plausible_email};
use gleaner_fuzz::{address, page};

fuzz_target!(|data: &[u8]| {
    let page = page(data);
    let options = Options {
        default_region: Some("DE"),
    };
    let found = extract(&page, &address(), &options);
    assert_eq!(extract(&page, &address(), &options), found);
    for email in found.emails {
        assert!(is_plausible_email(&email.value), "{}", email.value);
    }
    for phone in found.phones {
        assert!(phone.e164.starts_with('+') && phone.e164.len() <= 16, "{}", phone.e164);
    }
});
