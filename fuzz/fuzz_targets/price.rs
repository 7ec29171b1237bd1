//! An amount shown is read as itself.

#![no_main]

use libfuzzer_sys::fuzz_target;

use gleaner_fuzz::extract::price::{Hints, parse};

fuzz_target!(|data: &str| {
    if let Some(price) = parse(data, &Hints::default()) {
        let shown = price.amount.to_string();
        assert_eq!(shown.parse(), Ok(price.amount));
    }
});
