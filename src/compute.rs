//! Long computations, where they hold up nothing else, and what they cost.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Runs a computation that may take a while (parsing a page) where it does not hold up the network's tasks.
pub async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            // The engine catches it and charges it to the item, with its message.
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cancelled: the runtime is shutting down, and so is whoever waits here.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

/// Runs a computation, and tells how much of the processor's time it took: the thread's own, so that a busy machine charges
/// nobody for the others.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let spent = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let (started_at, before) = (Instant::now(), spent());
    let done = work();
    let took = match (before, spent()) {
        (Ok(before), Ok(after)) => after.saturating_sub(before),
        // A system without such a clock.
        _ => started_at.elapsed(),
    };
    (done, took)
}
