//! What the chaos tests share.

pub(crate) mod account;
#[expect(
    dead_code,
    reason = "shared with the integration tests, which use all of it"
)]
#[path = "../it/support/database.rs"]
pub(crate) mod database;
pub(crate) mod held;
pub(crate) mod journal;
pub(crate) mod line;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod readers;
#[expect(
    dead_code,
    reason = "shared with the integration tests, which use all of it"
)]
#[path = "../it/support/redis.rs"]
pub(crate) mod redis;
pub(crate) mod rows;
pub(crate) mod siege;
#[path = "../it/support/tools.rs"]
pub(crate) mod tools;
#[path = "../it/support/wait.rs"]
pub(crate) mod wait;

use std::sync::LazyLock;

use tokio::sync::{Mutex, MutexGuard};

/// One test at a time: they measure times, and each of them keeps the machine busy.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
    gleaner::tls::install();
    ALONE.lock().await
}

/// The seed of a test's chances: `GLEANER_TEST_SEED`, or a new one. Printed, so that a failure can be had again.
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("GLEANER_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    println!("GLEANER_TEST_SEED={seed}");
    seed
}

/// Lets time pass that is part of the fault itself (the random moment of a kill, the gap between two signals, the pace of a
/// loop with a deadline), never as a wait for something to have happened.
pub(crate) async fn let_pass(time: std::time::Duration) {
    tokio::time::sleep(time).await;
}
