//! Pages, robots files and sitemaps with known answers, for the tests that score against them.
//!
//! A small sample, written by hand, stands in `tests/data` and is scored wherever the tests run. A larger collection of real files
//! in the same form (`GLEANER_TEST_DATA`, else a folder `shared/data` beside the workspace) comes on top where there is one. It is
//! no part of the repository, so it may be missing even when nothing else may (`GLEANER_TEST_ALL=1`); but not if it was named.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// The folder `kind` of the sample.
pub(crate) fn sample(kind: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(kind);
    assert!(folder.is_dir(), "no sample at {}", folder.display());
    folder
}

/// The folder `kind` of the larger collection, or nothing, which is said.
#[expect(
    clippy::disallowed_methods,
    reason = "where the tests find their data is no configuration"
)]
pub(crate) fn larger(kind: &str) -> Option<PathBuf> {
    let named = std::env::var_os("GLEANER_TEST_DATA");
    let is_named = named.is_some();
    let root = named.map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let folder = root.join(kind);
    if folder.is_dir() {
        return Some(folder);
    }
    let is_strict = std::env::var_os("GLEANER_TEST_ALL").is_some_and(|value| value == "1");
    assert!(
        !(is_named && is_strict),
        "GLEANER_TEST_DATA names no folder with {kind}/"
    );
    println!(
        "only the sample in the repository is scored: no larger data at {}",
        folder.display()
    );
    None
}

/// The lines of `labels.jsonl` in a folder.
pub(crate) fn labels<T: DeserializeOwned>(folder: &Path) -> Vec<T> {
    let path = folder.join("labels.jsonl");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// The bytes of a file, behind gzip if it is.
pub(crate) fn body(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if !bytes.starts_with(b"\x1f\x8b") {
        return bytes;
    }
    let mut body = Vec::new();
    flate2::read::MultiGzDecoder::new(&bytes[..])
        .read_to_end(&mut body)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    body
}

/// The share of a part in a whole; 1 of nothing.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 1.0;
    }
    f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole).unwrap())
}
