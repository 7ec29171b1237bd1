//! What becomes of items that do not simply complete.

use std::time::Duration;

use gleaner_actors::testing::{MemoryPort, Script, Status};
use gleaner_actors::{Settings, State};
use tokio::time::Instant;

use crate::support::{NAME, World, settings};

/// Short enough that retries become due within a test.
fn eager() -> Settings {
    Settings {
        interval: Duration::from_secs(1),
        ..settings()
    }
}

#[tokio::test(start_paused = true)]
async fn a_retryable_failure_is_tried_again_until_the_attempts_are_used_up() {
    let port = MemoryPort::new();
    port.enqueue_scripted(
        [1],
        &[Script::Retry(None), Script::Retry(None), Script::Complete],
    );
    port.enqueue_scripted([2], &[Script::Retry(None)]);
    let world = World::start(port, eager()).await;
    world.port.until_count(Status::Error, 1).await;
    world.port.until_count(Status::Completed, 1).await;
    assert_eq!(world.port.row(1).unwrap().runs, 3);
    let failed = world.port.row(2).unwrap();
    assert_eq!((failed.runs, failed.attempts), (3, 3));
    let status = world.status().await;
    assert_eq!((status.retried, status.failed, status.completed), (4, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let port = MemoryPort::new();
    let after = Duration::from_secs(500);
    port.enqueue_scripted([1], &[Script::Retry(Some(after)), Script::Complete]);
    let start = Instant::now();
    let world = World::start(port, eager()).await;
    world.port.until_count(Status::Completed, 1).await;
    assert!(start.elapsed() >= after);
}

#[tokio::test(start_paused = true)]
async fn a_retry_comes_when_it_is_due_and_not_at_the_interval() {
    let port = MemoryPort::new();
    let after = Duration::from_secs(500);
    port.enqueue_scripted([1], &[Script::Retry(Some(after)), Script::Complete]);
    let start = Instant::now();
    let world = World::start(port, settings()).await;
    world.port.until_count(Status::Completed, 1).await;
    assert!(start.elapsed() >= after);
    assert!(
        start.elapsed() < after + Duration::from_secs(1),
        "it waited for the interval: {:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_charged_to_the_item() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Hang]);
    let start = Instant::now();
    let world = World::start(
        port,
        Settings {
            max_attempts: 1,
            ..settings()
        },
    )
    .await;
    world.port.until_count(Status::Error, 1).await;
    assert!(start.elapsed() >= Duration::from_secs(30));
    assert!(
        start.elapsed() < Duration::from_secs(31),
        "though the lease was renewed meanwhile"
    );
    assert_eq!(world.port.row(1).unwrap().failure.unwrap().class, "timeout");
    assert_eq!(world.journal.count("timeout", NAME), 1);
    assert_eq!(world.port.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_charged_to_the_item_with_its_message() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Panic("index out of bounds")]);
    port.enqueue([2]);
    let world = World::start(
        port,
        Settings {
            max_attempts: 1,
            ..settings()
        },
    )
    .await;
    world.port.until_count(Status::Error, 1).await;
    world.port.until_count(Status::Completed, 1).await;
    let failure = world.port.row(1).unwrap().failure.unwrap();
    assert_eq!(
        (failure.class, failure.message.as_str()),
        ("panic", "index out of bounds")
    );
    assert_eq!(world.status().await.restarts, 0, "the actor survives");
}

#[tokio::test(start_paused = true)]
async fn filtered_and_permanent_are_final() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Filter]);
    port.enqueue_scripted([2], &[Script::Permanent]);
    let world = World::start(port, eager()).await;
    world.port.until_count(Status::Filtered, 1).await;
    world.port.until_count(Status::Error, 1).await;
    assert_eq!(world.port.row(2).unwrap().runs, 1);
}

#[tokio::test(start_paused = true)]
async fn a_snoozed_item_comes_later_and_keeps_its_attempts() {
    let port = MemoryPort::new();
    port.enqueue_scripted(
        [1],
        &[
            Script::SnoozeItem(Duration::from_secs(100)),
            Script::Complete,
        ],
    );
    let start = Instant::now();
    let world = World::start(port, eager()).await;
    world.port.until_count(Status::Completed, 1).await;
    assert!(start.elapsed() >= Duration::from_secs(100));
    assert_eq!(world.port.row(1).unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_snoozed_workflow_claims_nothing_even_after_a_crash_until_run_now() {
    let port = MemoryPort::new();
    port.enqueue_scripted(
        [1],
        &[
            Script::SnoozeWorkflow(Duration::from_secs(1_000)),
            Script::Complete,
        ],
    );
    let world = World::start(port, eager()).await;
    world
        .until("it is snoozed", |status| status.snoozed_for_ms.is_some())
        .await;
    world.port.enqueue([2]);
    world.tree.wake(NAME);
    world.tree.crash(NAME);
    world
        .until("it is back", |status| status.incarnation == 2)
        .await;
    tokio::time::advance(Duration::from_secs(500)).await;
    world.until_state(State::Waiting).await;
    assert_eq!(world.port.count(Status::Queued), 2);
    world.tree.run_now(NAME).await.unwrap();
    world.port.until_count(Status::Completed, 1).await;
    assert_eq!(world.port.row(2).unwrap().status, Status::Completed);
}
