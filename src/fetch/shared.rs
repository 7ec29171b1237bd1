//! One timetable per host for all nodes, if there is a place to keep it.
//!
//! Each process is polite by itself. With several nodes that is not enough: together they would
//! come several times as often. So a timetable may be kept outside (in Redis, by the application);
//! each request then needs a starting time from both. When the outside one fails, the process goes
//! on alone: being late is worse than being a little too early.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::Cause;

/// How long a fetch waits for the shared timetable before it goes on without.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);

/// The answer of a shared timetable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The caller has a starting time, this far away and within its patience.
    In(Duration),
    /// The next starting time is this far away, beyond the caller's patience; nothing is reserved.
    Busy(Duration),
}

/// A timetable that all nodes share.
pub trait SharedPace: Send + Sync + 'static {
    /// Takes the host's next starting time, unless it is further away than `patience`, and keeps
    /// `spacing` free after it. One atomic step, by one clock.
    ///
    /// # Errors
    /// Whatever went wrong; the caller goes on without.
    fn reserve(
        &self,
        host: String,
        spacing: Duration,
        patience: Duration,
    ) -> BoxFuture<'static, Result<Turn, Cause>>;

    /// Nobody gets a starting time at this host for so long. Rests only get longer.
    ///
    /// # Errors
    /// Whatever went wrong; the caller goes on without.
    fn rest(&self, host: String, duration: Duration) -> BoxFuture<'static, Result<(), Cause>>;
}

/// Asks for a turn; `In(0)` if the timetable does not answer.
pub(super) async fn reserve(
    pace: &dyn SharedPace,
    host: &str,
    spacing: Duration,
    patience: Duration,
) -> Turn {
    match timeout(
        ANSWER_TIMEOUT,
        pace.reserve(host.to_owned(), spacing, patience),
    )
    .await
    {
        Ok(Ok(turn)) => turn,
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "shared pace failed, going on alone");
            Turn::In(Duration::ZERO)
        }
        Err(_elapsed) => {
            tracing::debug!("shared pace did not answer, going on alone");
            Turn::In(Duration::ZERO)
        }
    }
}

/// Tells the other nodes that a host wants to rest, if that is possible now.
pub(super) async fn rest(pace: &dyn SharedPace, host: &str, duration: Duration) {
    match timeout(ANSWER_TIMEOUT, pace.rest(host.to_owned(), duration)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = %error, "shared rest failed"),
        Err(_elapsed) => tracing::debug!("shared rest was not answered"),
    }
}
