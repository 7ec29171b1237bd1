//! What a test does where a program is missing that it needs.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::fmt::Display;

/// Says that the test, or what is left of it, is skipped, and why. Under `GLEANER_TEST_ALL=1`, which the gate sets, that is a
/// failure: there nothing may be missing without a word.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
pub(crate) fn skip(why: impl Display) {
    let must_run = std::env::var("GLEANER_TEST_ALL").is_ok_and(|value| value == "1");
    assert!(!must_run, "skipped under GLEANER_TEST_ALL=1: {why}");
    eprintln!("skipped: {why}");
}
