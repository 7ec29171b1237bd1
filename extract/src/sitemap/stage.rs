//! What the stages hand each other besides bytes: go on, or stop and why.

use std::ops::ControlFlow;

use super::entry::{Reason, SitemapError};

/// Why the stages stop before the end of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Limit(Reason),
    NotASitemap,
    Refused(SitemapError),
}

/// Goes on, or ends the parse.
pub(super) type Step = ControlFlow<End>;

/// A number of bytes as it is counted.
pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
