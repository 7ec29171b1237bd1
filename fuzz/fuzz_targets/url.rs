//! A second normalisation changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;

use gleaner_fuzz::extract::url::{normalize, resolve};

fuzz_target!(|data: &str| {
    if let Ok(url) = normalize(data) {
        assert_eq!(normalize(url.as_str()), Ok(url));
    }
    if let Some(url) = resolve(&gleaner_fuzz::address(), data) {
        assert_eq!(normalize(url.as_str()), Ok(url));
    }
});
