//! Real files with known answers, where there are some.

#![expect(clippy::print_stderr, reason = "a test that is passed by says so")]

use std::path::PathBuf;

use super::tools::skip;

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
