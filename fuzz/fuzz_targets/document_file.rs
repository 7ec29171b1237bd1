#![no_main]

use gleaner_fuzz::documents;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| documents::document_file(data));
