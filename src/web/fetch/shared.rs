//! One timetable per host for all processes, if there is a place to keep it.
//!
//! Each process is polite by itself. With several of them that is not enough: together they would come several times as
//! often. So timetables may be kept outside (in Redis, by the application); each request then needs its turn by both. When
//! the outside one fails, the process goes on alone: being late is worse than being a little too early.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::Cause;
use super::config::MAX_DURATION;

/// How long a request waits before it asks again for a place, at first and at most.
const FULL_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));
/// A redirect's hop waits at least so long for a place: the one it had was given back a moment ago.
const HOP_PATIENCE: Duration = Duration::from_secs(1);

/// How a request is paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A request of its own: `spacing` after the one before.
    Request {
        /// The delay to keep, `Crawl-delay` included.
        spacing: Duration,
    },
    /// The next hop of a redirect within one host. It waits for the plain `delay` only and is not
    /// refused for it: with a `Crawl-delay` longer than the patience it could never be followed.
    Redirect {
        /// Before this hop.
        delay: Duration,
        /// After it.
        spacing: Duration,
    },
}

/// What a request asks the shared timetable for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The host, as one name for all its ports and schemes.
    pub host: String,
    pub pace: Pace,
    /// How many requests to the host may be in flight.
    pub places: usize,
    /// The longest that the request may be in flight: if it has not given its place back by then, its process is dead.
    pub lease: Duration,
}

/// A place among a host's requests in flight. Given back when dropped.
pub trait Place: Debug + Send + Sync {}

impl<T: Debug + Send + Sync> Place for T {}

/// The answer of a shared timetable.
#[derive(Debug)]
pub enum Turn {
    /// Now; the start is noted.
    Now(Box<dyn Place>),
    /// Not yet: nothing is promised, and the caller may ask again after so long.
    In(Duration),
    /// As many requests as may be are in flight; the caller may ask again.
    Full,
}

/// The timetables that all processes share. Bounds the time of its answers by itself, and answers at once while it knows that
/// there are none.
pub trait SharedPace: Send + Sync + 'static {
    /// Takes a place and a start now, if the host's turn has come. One atomic step, by one clock.
    ///
    /// # Errors
    /// Whatever went wrong; the caller goes on without.
    ///
    /// # Cancel safety
    /// A turn that nobody waits for any more gives its place back.
    fn turn(&self, ask: Ask) -> BoxFuture<'static, Result<Turn, Cause>>;

    /// How long the host is to be left alone.
    ///
    /// # Errors
    /// Whatever went wrong; the caller goes on without.
    fn resting(&self, host: String) -> BoxFuture<'static, Result<Duration, Cause>>;

    /// Nobody gets a turn at this host for so long. Rests only get longer.
    ///
    /// # Errors
    /// Whatever went wrong; the caller goes on without.
    fn rest(&self, host: String, duration: Duration) -> BoxFuture<'static, Result<(), Cause>>;
}

/// Waits for a turn; `None` if the timetable fails, and the process has to go on alone.
///
/// # Errors
/// How far the turn is away, if that is beyond the deadline.
pub(super) async fn turn(
    shared: &dyn SharedPace,
    ask: &Ask,
    deadline: Instant,
) -> Result<Option<Box<dyn Place>>, Duration> {
    let (spacing, granted, deadline) = match ask.pace {
        Pace::Request { spacing } => (spacing, Duration::ZERO, deadline),
        Pace::Redirect { delay, spacing } => {
            (spacing, delay, deadline.max(Instant::now() + HOP_PATIENCE))
        }
    };
    let (mut pause, longest_pause) = FULL_PAUSE;
    loop {
        let wait = match shared.turn(ask.clone()).await {
            Ok(Turn::Now(place)) => return Ok(Some(place)),
            Ok(Turn::In(wait)) => {
                let wait = wait.min(MAX_DURATION);
                if wait > granted && Instant::now() + wait > deadline {
                    return Err(wait);
                }
                wait
            }
            Ok(Turn::Full) => {
                let wait = pause;
                if Instant::now() + wait > deadline {
                    return Err(spacing);
                }
                pause = longest_pause.min(pause * 2);
                wait
            }
            Err(error) => {
                tracing::debug!(error = %error, "no shared turn, going on alone");
                return Ok(None);
            }
        };
        sleep(wait).await;
    }
}

/// How long a host rests, as far as the others know.
pub(super) async fn resting(shared: &dyn SharedPace, host: &str) -> Duration {
    match shared.resting(host.to_owned()).await {
        Ok(rest) => rest.min(MAX_DURATION),
        Err(error) => {
            tracing::debug!(error = %error, "shared rests are not known");
            Duration::ZERO
        }
    }
}

/// Tells the other processes that a host wants to rest, if that is possible now.
pub(super) async fn rest(shared: &dyn SharedPace, host: &str, duration: Duration) {
    if let Err(error) = shared.rest(host.to_owned(), duration).await {
        tracing::debug!(error = %error, "shared rest failed");
    }
}
