//! A child and what it has started, as one group of processes: looked at, and killed at once.

use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tracing::warn;

/// The process group that a child leads: it was started with `process_group(0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group(Pid);

impl Group {
    /// Of a child that has not been waited for.
    pub(crate) fn of(child: &Child) -> Option<Self> {
        child.id().map(|id| Self(Pid::from_raw(id.cast_signed())))
    }

    /// Its number, which is also that of its leader.
    pub(crate) fn id(self) -> i32 {
        self.0.as_raw()
    }

    /// Its leader.
    pub(crate) fn leader(self) -> Pid {
        self.0
    }

    /// Ends all of it, whatever it is doing. To be called only while the leader has not been waited for: until then nobody else can
    /// be given its number.
    pub(crate) fn kill(self) {
        match killpg(self.0, Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => warn!(%error, "cannot kill a child"),
        }
    }

    /// Whether a living process is in it.
    pub(crate) fn has(self, process: i32) -> bool {
        fs::read_to_string(format!("/proc/{process}/stat"))
            .is_ok_and(|stat| places(&stat).is_some_and(|(_, group)| group == self.id()))
    }

    /// What its processes take together, in bytes. Looks at all processes of the machine, so it belongs on a thread that may wait.
    pub(crate) fn memory(self) -> u64 {
        processes()
            .filter(|process| self.has(*process))
            .filter_map(|process| fs::read_to_string(format!("/proc/{process}/status")).ok())
            .map(|status| memory_in(&status))
            .sum()
    }
}

/// The numbers of all processes there are.
pub(crate) fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The living children of a process.
pub(crate) fn children_of(parent: i32) -> impl Iterator<Item = i32> {
    processes().filter(move |process| {
        fs::read_to_string(format!("/proc/{process}/stat"))
            .is_ok_and(|stat| places(&stat).is_some_and(|(of, _)| of == parent))
    })
}

/// The parent and the process group of a living process, from `/proc/PID/stat` (proc(5)): after the name, which stands in brackets
/// and may hold anything, come its state, its parent and its group. The dead that nobody has waited for yet are nowhere.
fn places(stat: &str) -> Option<(i32, i32)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    (!is_dead).then_some((parent, group))
}

/// What a process takes that no other program shares with it, in bytes, from `/proc/PID/status` (proc(5)): anonymous memory
/// and shared memory. The program's own file, mapped into each of its processes, is not counted.
fn memory_in(status: &str) -> u64 {
    let kib = |name: &str| -> u64 {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_suffix("kB"))
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or(0)
    };
    (kib("RssAnon:") + kib("RssShmem:")) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_memory_are_read_as_the_kernel_writes_them() {
        assert_eq!(places("12 (a) b) c) S 1 34 56 0 -1"), Some((1, 34)));
        assert_eq!(places("12 (a) Z 1 34 56 0 -1"), None);
        assert_eq!(places("12 (a"), None);
        let status = "Name:\tchromium\nVmRSS:\t  900 kB\nRssAnon:\t  100 kB\nRssFile:\t  700 kB\nRssShmem:\t    4 kB\n";
        assert_eq!(memory_in(status), 104 * 1024);
        assert_eq!(memory_in("Name:\tkthreadd\n"), 0);
    }

    #[test]
    fn our_own_group_is_there_and_takes_memory() {
        let own = Group(nix::unistd::getpgrp());
        let ourselves = std::process::id().cast_signed();
        assert!(own.memory() > 100 * 1024);
        assert!(own.has(ourselves));
        assert!(!Group(Pid::from_raw(i32::MAX)).has(ourselves));
        let parent = nix::unistd::getppid().as_raw();
        assert!(children_of(parent).any(|child| child == ourselves));
    }
}
