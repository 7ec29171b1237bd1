//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// Longest wait of a test for something that takes milliseconds: generous, for busy machines.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the condition holds, and fails the test when it does not by [`PATIENCE`].
pub(crate) async fn wait_until(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until_by(what, PATIENCE, condition).await;
}

/// Waits until the condition holds, and fails the test when it does not within `patience`.
pub(crate) async fn wait_until_by(
    what: &str,
    patience: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(
            Instant::now() < deadline,
            "gave up waiting until {what} after {patience:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
