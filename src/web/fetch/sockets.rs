//! How many sockets may be open at a time, all hosts together: so many that descriptors are left for everything else.
//!
//! Connections are kept for the next request, two per host, which with thousands of hosts is more than a process may have
//! descriptors. What is kept closes by its own time, which is the shorter the fewer there are; a request that comes while too
//! many are open waits for that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::descriptors;
use crate::fault::{self, Short, Shortage};

/// What is left for the database, HTTP, Redis, files and what they start: a quarter, within these.
const LEFT: (usize, usize) = (48, 1_024);

/// Between two looks whether one may go on.
const LOOK: Duration = Duration::from_millis(50);

/// With this many descriptors, idle connections are kept for as long as is of use.
const PLENTY: usize = 16_384;

/// How long an idle connection is kept, at most and at least.
const KEPT_FOR: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(500));

/// The bound.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Most descriptors open in the process when a request starts.
    most: usize,
    places: Arc<Semaphore>,
    counted: Mutex<Counted>,
}

/// How many are open, as last counted, and what may have come to it since: each request may open one.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    open: usize,
    /// Requests that had no answer yet at that moment, and so perhaps no socket.
    opening_then: usize,
    started_since: usize,
    opening: usize,
}

impl Counted {
    fn most_open(&self) -> usize {
        self.open + self.opening_then + self.started_since
    }
}

/// The right to one socket; given back when dropped.
#[derive(Debug)]
pub(super) struct Socket {
    sockets: Arc<Sockets>,
    is_opening: bool,
    _place: OwnedSemaphorePermit,
}

impl Socket {
    /// There is an answer: the socket is open, and counted by the system.
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.is_opening) {
            self.sockets.counted().opening -= 1;
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.answered();
    }
}

impl Sockets {
    /// For a process that may have so many descriptors.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        let left = (limit / 4).clamp(LEFT.0, LEFT.1);
        let most = limit.saturating_sub(left).max(2);
        Arc::new(Self {
            most,
            // The others are for what is kept.
            places: Arc::new(Semaphore::new((most / 2).max(1))),
            counted: Mutex::default(),
        })
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        // Numbers are whole between any two statements, so a panic elsewhere does not spoil them.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a socket may be opened, for at most this long.
    ///
    /// # Errors
    /// [`Shortage::Descriptors`].
    pub(super) async fn open(self: &Arc<Self>, patience: Duration) -> Result<Socket, Short> {
        let give_up_at = Instant::now() + patience;
        let place = match timeout(patience, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) | Err(_) => return Err(Short(Shortage::Descriptors)),
        };
        while !self.enter() {
            if Instant::now() >= give_up_at {
                return Err(Short(Shortage::Descriptors));
            }
            sleep(LOOK).await;
        }
        Ok(Socket {
            sockets: Arc::clone(self),
            is_opening: true,
            _place: place,
        })
    }

    /// Counts a request in, if it may start. The system is asked only when by our own count it may not.
    fn enter(&self) -> bool {
        let mut counted = self.counted();
        if counted.most_open() >= self.most {
            counted.open = match descriptors::open() {
                Ok(open) => open,
                Err(error) if fault::shortage(&error).is_some() => self.most,
                // Where the system does not tell, the places alone are the bound.
                Err(_) => 0,
            };
            counted.opening_then = counted.opening;
            counted.started_since = 0;
        }
        let may = counted.most_open() < self.most;
        if may {
            counted.started_since += 1;
            counted.opening += 1;
        }
        may
    }
}

/// How long an idle connection is kept in a process that may have so many descriptors.
pub(super) fn kept_for(limit: usize) -> Duration {
    let share = u32::try_from(limit.min(PLENTY)).unwrap_or(u32::MAX);
    let plenty = u32::try_from(PLENTY).unwrap_or(u32::MAX);
    (KEPT_FOR.0 * share / plenty).max(KEPT_FOR.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_are_kept_the_shorter_the_fewer_there_may_be() {
        for (limit, millis) in [
            (usize::MAX, 30_000),
            (16_384, 30_000),
            (8_192, 15_000),
            (1_024, 1_875),
            (64, 500),
        ] {
            assert_eq!(kept_for(limit), Duration::from_millis(millis), "{limit}");
        }
    }

    #[tokio::test]
    async fn a_request_starts_only_while_descriptors_are_left() {
        // Of this test's own process there are some open already: at the first look it may not.
        let open = descriptors::open().expect("the system tells");
        let full = Arc::new(Sockets {
            most: open,
            places: Arc::new(Semaphore::new(9)),
            counted: Mutex::new(Counted {
                open,
                ..Counted::default()
            }),
        });
        let refused = full.open(Duration::from_millis(60)).await;
        assert!(
            matches!(refused, Err(Short(Shortage::Descriptors))),
            "{refused:?}"
        );
        let some = Arc::new(Sockets {
            most: open + 40,
            places: Arc::new(Semaphore::new(2)),
            counted: Mutex::default(),
        });
        let mut first = some.open(Duration::ZERO).await.expect("room");
        let second = some.open(Duration::ZERO).await.expect("room");
        assert!(
            some.open(Duration::ZERO).await.is_err(),
            "all places are taken"
        );
        assert_eq!(some.counted().opening, 2);
        first.answered();
        drop((first, second));
        assert_eq!(some.counted().opening, 0);
        assert!(some.open(Duration::ZERO).await.is_ok());
    }
}
