//! Child processes: what they get of us, how they are started, watched and ended.
//!
//! Here is what a child gets of our environment: nothing that could be secret. Our own holds what operators put there for us:
//! tokens, keys, URLs with passwords. A child would keep it where any process of its user, and any of its own bugs, can read it
//! (`/proc/PID/environ`). So every child starts with an empty environment and what stands in this list.
//!
//! `spawn.rs` starts children from a thread that never ends, `group.rs` is a child with all it has started, `tail.rs` keeps the last
//! of what it says. `keeper.rs` and `confine.rs` stand between us and programs of others: the one ends with them whatever they
//! started, the other confines itself before it becomes such a program.

pub mod confine;
pub(crate) mod group;
pub mod keeper;
pub(crate) mod spawn;
pub(crate) mod tail;

use std::env;
use std::ffi::{OsStr, OsString};

/// Where programs, libraries, homes and temporary files are, and in which language and time zone one lives.
const KEPT: [&str; 9] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TZDIR",
    "LD_LIBRARY_PATH",
];

/// The variables that a child gets: for `env_clear().envs(…)`.
pub(crate) fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| is_kept(name))
}

fn is_kept(name: &OsStr) -> bool {
    // LC_ALL, LC_CTYPE, …: the categories of a locale.
    name.as_encoded_bytes().starts_with(b"LC_") || KEPT.iter().any(|kept| name == *kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_secrets_are_not_kept() {
        for (name, kept) in [
            ("PATH", true),
            ("LC_ALL", true),
            ("LC_MESSAGES", true),
            ("TZ", true),
            ("GLEANER_HTTP__ADMIN_TOKEN", false),
            ("DATABASE_URL", false),
            ("PGPASSWORD", false),
            ("PGDATA", false),
            ("PATH_TO_KEY", false),
            ("MY_LC_KEY", false),
            ("LANGSMITH_API_KEY", false),
            ("path", false),
            ("", false),
        ] {
            assert_eq!(is_kept(OsStr::new(name)), kept, "{name}");
        }
    }
}
