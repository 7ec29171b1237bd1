//! A site names itself.

#![no_main]

use libfuzzer_sys::fuzz_target;

use gleaner_fuzz::extract::domain::{Suffixes, parts, site};

fuzz_target!(|data: &str| {
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
});
