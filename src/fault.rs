//! Whose fault an error is: the one place that says whom a failure is charged to.
//!
//! A row is charged for what the row or its host did. What our own process, its machine, the database or Redis lack is nobody's
//! failure: work waits for it, uncharged, and readiness names it. It is told by codes and types along the chain of sources, never
//! by what a message says.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::db;

/// Whose fault it is that an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The row's own, or that of the host it leads to: it is charged.
    Row,
    /// This process or its machine has run short of something.
    Process(Shortage),
    /// The database's.
    Database,
    /// Redis'.
    Redis,
}

/// What a process can run short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// File descriptors, of the process or of the machine.
    Descriptors,
    /// Local ports to connect from.
    Ports,
    /// Memory, that of the kernel's sockets included.
    Memory,
    /// Room on a disk, or a quota.
    Disk,
    /// Processes and threads.
    Threads,
    /// A name server that answers.
    Resolver,
}

impl Shortage {
    /// What is wrong, and what to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Descriptors => {
                "out of file descriptors: raise the limit (LimitNOFILE in systemd, minfds in supervisord, ulimit -n)"
            }
            Self::Ports => {
                "out of local ports: widen net.ipv4.ip_local_port_range, or lower the workflows' concurrency"
            }
            Self::Memory => {
                "out of memory: give the machine more, or lower the workflows' concurrency"
            }
            Self::Disk => "a disk is full: make room on it",
            Self::Threads => {
                "no more threads or processes: raise the limit (TasksMax in systemd, ulimit -u)"
            }
            Self::Resolver => {
                "no name server answers, whatever host is asked for: see /etc/resolv.conf and the network"
            }
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "file descriptors",
            Self::Ports => "local ports",
            Self::Memory => "memory",
            Self::Disk => "disk space",
            Self::Threads => "threads",
            Self::Resolver => "name servers",
        })
    }
}

/// A shortage that was found out otherwise than by the system's refusal.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this process is short of {0}")]
pub struct Short(pub Shortage);

/// Whose fault an error is, by what stands in its chain of sources.
#[must_use]
pub fn of(error: &(dyn Error + 'static)) -> Fault {
    if let Some(shortage) = shortage(error) {
        return Fault::Process(shortage);
    }
    if find(error, |one| {
        one.downcast_ref().filter(|own| db::is_trouble(own))
    })
    .is_some()
    {
        return Fault::Database;
    }
    if find(error, |one| one.downcast_ref::<fred::error::Error>()).is_some() {
        return Fault::Redis;
    }
    Fault::Row
}

/// What this process has run short of, if an error comes down to that.
#[must_use]
pub fn shortage(error: &(dyn Error + 'static)) -> Option<Shortage> {
    find(error, |one| {
        let found = one.downcast_ref::<Short>().map(|short| short.0);
        found.or_else(|| refused(one.downcast_ref::<io::Error>()?))
    })
}

/// The same of an attempt to start a thread or a process, to which the system has a word of its own.
#[must_use]
pub fn shortage_at_spawn(error: &io::Error) -> Option<Shortage> {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAGAIN) => Some(Shortage::Threads),
        _ => shortage(error),
    }
}

/// What the system lacked when it refused. A port that is not to be had may be an address that is not: whoever connects sorts
/// that out before ([`is_no_port`]).
fn refused(error: &io::Error) -> Option<Shortage> {
    match Errno::from_raw(error.raw_os_error()?) {
        Errno::EMFILE | Errno::ENFILE => Some(Shortage::Descriptors),
        Errno::ENOBUFS | Errno::ENOMEM => Some(Shortage::Memory),
        Errno::ENOSPC | Errno::EDQUOT => Some(Shortage::Disk),
        _ => None,
    }
}

/// Whether a connection was refused by our own system for want of a port to make it from, or of an address of that kind.
#[must_use]
pub fn is_no_port(error: &(dyn Error + 'static)) -> bool {
    let is =
        |error: &io::Error| error.raw_os_error().map(Errno::from_raw) == Some(Errno::EADDRNOTAVAIL);
    find(error, |one| {
        one.downcast_ref::<io::Error>().filter(|own| is(own))
    })
    .is_some()
}

/// The first thing found along a chain.
pub fn find<'a, T>(
    error: &'a (dyn Error + 'static),
    look: impl Fn(&'a (dyn Error + 'static)) -> Option<T>,
) -> Option<T> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(found) = look(error) {
            return Some(found);
        }
        current = hidden(error).or_else(|| error.source());
    }
    None
}

/// What an error wraps and does not show: `std::io::Error` and a shared error name the source of what they hold, not that itself.
fn hidden<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(inner) = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        return Some(inner);
    }
    let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    Some(&**shared)
}

/// When it is worth asking again for what our own process lacks, where it was noticed first. Workflows wait longer each time.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The shortest and the longest time that work waits before it looks whether what was lacking is there again.
const WAIT: (Duration, Duration) = (RETRY_AFTER, Duration::from_secs(30));

/// A shortage is told for this much longer than work waits for its end.
const TOLD_FOR: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
struct Seen {
    shortage: Shortage,
    since: Instant,
    until: Instant,
}

/// What this process lacks: one process, one answer, whichever of its workflows has noticed.
static LACKS: Mutex<Option<Seen>> = Mutex::new(None);

/// Notes a shortage, and says how long to wait before the next try: as long as it has lasted, within bounds.
pub fn lack(shortage: Shortage) -> Duration {
    let now = Instant::now();
    let mut lacks = LACKS.lock().unwrap_or_else(PoisonError::into_inner);
    let (seen, wait) = noted(*lacks, shortage, now);
    if lacks.is_none_or(|before| before.until <= now) {
        tracing::error!(
            advice = shortage.advice(),
            "short of {shortage}: work waits, uncharged"
        );
    }
    *lacks = Some(seen);
    wait
}

fn noted(before: Option<Seen>, shortage: Shortage, now: Instant) -> (Seen, Duration) {
    let since = match before {
        Some(before) if before.until > now => before.since,
        _ => now,
    };
    let wait = now.saturating_duration_since(since).clamp(WAIT.0, WAIT.1);
    let until = now + wait + TOLD_FOR;
    (
        Seen {
            shortage,
            since,
            until,
        },
        wait,
    )
}

/// What this process lacks now, if anything.
#[must_use]
pub fn lacking() -> Option<Shortage> {
    let lacks = LACKS.lock().unwrap_or_else(PoisonError::into_inner);
    lacks
        .filter(|seen| seen.until > Instant::now())
        .map(|seen| seen.shortage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("x")]
    struct Around<E: Error + 'static>(#[source] E);

    #[test]
    fn a_shortage_is_told_by_its_code_however_deep_it_lies() {
        for (errno, expected) in [
            (Errno::EMFILE, Some(Shortage::Descriptors)),
            (Errno::ENFILE, Some(Shortage::Descriptors)),
            (Errno::ENOBUFS, Some(Shortage::Memory)),
            (Errno::ENOMEM, Some(Shortage::Memory)),
            (Errno::ENOSPC, Some(Shortage::Disk)),
            (Errno::EDQUOT, Some(Shortage::Disk)),
            (Errno::ECONNREFUSED, None),
            (Errno::ECONNRESET, None),
            (Errno::ETIMEDOUT, None),
            (Errno::EHOSTUNREACH, None),
            // Of a socket; a spawn has another word for it.
            (Errno::EAGAIN, None),
            (Errno::EADDRNOTAVAIL, None),
        ] {
            let plain = || io::Error::from_raw_os_error(errno as i32);
            let expected_fault = expected.map_or(Fault::Row, Fault::Process);
            assert_eq!(of(&plain()), expected_fault, "{errno}");
            assert_eq!(of(&Around(Around(plain()))), expected_fault, "{errno}");
            let hidden = Around(io::Error::other(Around(plain())));
            let shared: Arc<dyn Error + Send + Sync> = Arc::new(plain());
            assert_eq!(of(&Around(shared)), expected_fault, "{errno}");
            assert_eq!(of(&hidden), expected_fault, "{errno}");
        }
        let spawn = io::Error::from_raw_os_error(Errno::EAGAIN as i32);
        assert_eq!(shortage_at_spawn(&spawn), Some(Shortage::Threads));
        let port = io::Error::from_raw_os_error(Errno::EADDRNOTAVAIL as i32);
        assert!(is_no_port(&Around(port)));
        // What a message says is not what it is.
        let told = io::Error::other("Too many open files (os error 24)");
        assert_eq!(of(&told), Fault::Row);
        let short = io::Error::other(Short(Shortage::Resolver));
        assert_eq!(of(&Around(short)), Fault::Process(Shortage::Resolver));
    }

    #[test]
    fn the_database_s_trouble_is_not_the_row_s() {
        use diesel::result::Error as DieselError;
        let trouble = Around(DieselError::BrokenTransactionManager);
        assert_eq!(of(&trouble), Fault::Database);
        assert_eq!(of(&Around(DieselError::NotFound)), Fault::Row);
    }

    #[test]
    fn the_wait_grows_with_the_shortage_and_begins_anew_after_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (first, wait) = noted(None, Shortage::Disk, start);
        assert_eq!(wait.as_secs(), 1);
        let (second, wait) = noted(Some(first), Shortage::Disk, at(4));
        assert_eq!((wait.as_secs(), second.since), (4, start));
        let (third, wait) = noted(
            Some(Seen {
                until: at(200),
                ..second
            }),
            Shortage::Disk,
            at(100),
        );
        assert_eq!((wait.as_secs(), third.until), (30, at(135)));
        let (anew, wait) = noted(Some(third), Shortage::Memory, at(136));
        assert_eq!((wait.as_secs(), anew.since), (1, at(136)));
    }
}
