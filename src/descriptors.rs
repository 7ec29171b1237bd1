//! File descriptors: how many this process may have, and how many it has.

use std::io;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// More are of no use, and a limit that is none would have other programs, which close all they could have, count for ever.
const ENOUGH: rlim_t = 1 << 20;

/// With fewer than this, work at the workflows' default concurrency may have to wait for descriptors.
pub const WANTED: usize = 8_192;

/// How many descriptors this process may have now, and how many it may be raised to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub soft: usize,
    pub hard: usize,
}

/// The limit in force. Where the system does not tell it, what the least of them have.
#[must_use]
pub fn limit() -> Limit {
    const LEAST: rlim_t = 256;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((LEAST, LEAST));
    let number = |value: rlim_t| usize::try_from(value.min(ENOUGH)).unwrap_or(usize::MAX);
    Limit {
        soft: number(soft),
        hard: number(hard),
    }
}

/// Raises the limit as far as the system lets us. To be called at the start, before anything is built on it.
///
/// Where that is refused the old one holds, and those who look at [`limit`] say what they think of it.
pub fn raise() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let wanted = hard.min(ENOUGH);
        if soft < wanted {
            let _outcome = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
        }
    }
}

/// How many this process has open.
///
/// # Errors
/// Where the system does not tell, or none is left to ask with.
pub fn open() -> io::Result<usize> {
    let own = if Path::new("/proc/self/fd").exists() {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    // One of them is that of the folder itself.
    Ok(std::fs::read_dir(own)?.count().saturating_sub(1))
}
