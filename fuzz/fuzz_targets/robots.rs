//! Any file, and any path asked of it.

#![no_main]

use libfuzzer_sys::fuzz_target;

use gleaner_fuzz::extract::robots::Robots;
use gleaner_fuzz::{address, halves};

fuzz_target!(|data: &[u8]| {
    let (file, path) = halves(data);
    let robots = Robots::parse(file);
    if let Ok(url) = address().join(&String::from_utf8_lossy(path)) {
        let _ = robots.is_allowed("Gleaner", &url);
    }
    let _ = robots.crawl_delay("*");
});
