//! What a test does where a program or a collection is missing that it needs.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::fmt::Display;
use std::path::PathBuf;

/// Says that the test, or what is left of it, is skipped, and why. Under `GLEANER_TEST_ALL=1`, which the gate sets, that is a
/// failure: there nothing may be missing without a word.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
pub(crate) fn skip(why: impl Display) {
    let must_run = std::env::var("GLEANER_TEST_ALL").is_ok_and(|value| value == "1");
    assert!(!must_run, "skipped under GLEANER_TEST_ALL=1: {why}");
    eprintln!("skipped: {why}");
}

/// The folder `kind` of the larger collection of real files (`GLEANER_TEST_DATA`, else a folder `shared/data` beside the workspace),
/// or nothing, which is said. It is no part of the repository, so it may be missing even under `GLEANER_TEST_ALL=1`; but not if
/// it was named.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
pub(crate) fn larger_data(kind: &str) -> Option<PathBuf> {
    let named = std::env::var_os("GLEANER_TEST_DATA");
    let is_named = named.is_some();
    let root = named.map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")),
        PathBuf::from,
    );
    let folder = root.join(kind);
    if folder.is_dir() {
        return Some(folder);
    }
    if is_named {
        skip(format_args!(
            "GLEANER_TEST_DATA names no folder with {kind}/"
        ));
    } else {
        eprintln!("passed by: no larger data at {}", folder.display());
    }
    None
}
