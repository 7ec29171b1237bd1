//! Long computations, where they hold up nothing else.

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
