//! Coming down without loss.

use std::time::Duration;

use gleaner_actors::State;
use gleaner_actors::testing::{Call, Fault, MemoryPort, Script, Status};
use tokio::time::Instant;

use crate::support::{NAME, World, settings};

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_is_in_hand_and_claims_no_more() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=40, &[Script::Take(Duration::from_secs(2))]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("twenty run", |port| port.running() == 20)
        .await;
    let start = Instant::now();
    let report = world.tree.drain(Duration::from_secs(30)).await;
    assert!(report.finished, "{report:?}");
    assert_eq!(report.released, 0);
    assert!(
        start.elapsed() < Duration::from_millis(2_100),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.port.count(Status::Completed), 20);
    assert_eq!(world.port.count(Status::Queued), 20);
    assert!(world.port.leases().is_empty());
    assert!(world.tree.status().await.is_err(), "the tree is gone");
    assert!(!world.tree.drain(Duration::ZERO).await.finished);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_items_are_cancelled_and_handed_back_with_their_attempt() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1, 2], &[Script::Take(Duration::from_secs(1))]);
    port.enqueue_scripted([3, 4, 5], &[Script::Hang]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("all run", |port| port.running() == 5)
        .await;
    let report = world.tree.drain(Duration::from_secs(5)).await;
    assert!(!report.finished);
    assert_eq!(report.released, 3);
    assert!(report.unclosed.is_empty());
    assert_eq!(world.port.count(Status::Completed), 2);
    let row = world.port.row(3).unwrap();
    assert_eq!((row.status, row.attempts), (Status::Queued, 0));
    world
        .port
        .until("nothing runs", |port| port.running() == 0)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_second_drain_with_zero_hands_back_at_once() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Hang]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    let start = Instant::now();
    let (first, second) = tokio::join!(world.tree.drain(Duration::from_secs(60)), async {
        world.until_state(State::Draining).await;
        world.tree.drain(Duration::ZERO).await
    });
    assert_eq!(first, second);
    assert_eq!(first.released, 1);
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn items_claimed_while_the_drain_began_are_released_unrun() {
    let port = MemoryPort::new();
    port.enqueue(1..=5);
    port.slow(Call::Claim, Duration::from_millis(100));
    let world = World::start(port, settings()).await;
    world.until_state(State::Running).await;
    let report = world.tree.drain(Duration::from_secs(5)).await;
    assert!(report.finished);
    assert_eq!(report.released, 5);
    let row = world.port.row(1).unwrap();
    assert_eq!((row.status, row.attempts, row.runs), (Status::Queued, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_does_not_hold_the_drain_for_ever() {
    let port = MemoryPort::new();
    port.enqueue([1]);
    port.fail(Call::Settle, Fault::Unavailable);
    let world = World::start(port, settings()).await;
    world
        .until("its outcome waits", |status| status.unsettled == 1)
        .await;
    let start = Instant::now();
    let report = world.tree.drain(Duration::from_secs(10)).await;
    assert!(!report.finished);
    assert_eq!(report.unclosed, [NAME]);
    assert!(
        start.elapsed() <= Duration::from_secs(11),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_store_that_comes_back() {
    let port = MemoryPort::new();
    port.enqueue(1..=3);
    port.fail_next(Call::Settle, 4, Fault::Unavailable);
    port.fail_next(Call::CloseLease, 2, Fault::Unavailable);
    let world = World::start(port, settings()).await;
    world
        .until("outcomes wait", |status| status.unsettled == 3)
        .await;
    let report = world.tree.drain(Duration::from_secs(60)).await;
    assert!(report.finished, "{report:?}");
    assert_eq!(world.port.count(Status::Completed), 3);
    assert!(world.port.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_crash_during_a_drain_still_gives_the_lease_back() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=3, &[Script::Hang]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("all run", |port| port.running() == 3)
        .await;
    let (report, ()) = tokio::join!(world.tree.drain(Duration::from_secs(60)), async {
        world.until_state(State::Draining).await;
        world.tree.crash(NAME);
    });
    assert_eq!(report.released, 3);
    assert!(world.port.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn idle_and_restarting_workflows_do_not_hold_the_drain() {
    let port = MemoryPort::new();
    port.fail(Call::OpenLease, Fault::Misconfigured("no key"));
    let world = World::start(port, settings()).await;
    world.until_state(State::Idle).await;
    let report = world.tree.drain(Duration::from_secs(60)).await;
    assert!(report.finished);
    assert!(report.elapsed < Duration::from_secs(1));

    let world = World::start(MemoryPort::new(), settings()).await;
    world.until_state(State::Waiting).await;
    world.tree.crash(NAME);
    let report = world.tree.drain(Duration::from_secs(60)).await;
    assert!(report.elapsed < Duration::from_secs(1));
    assert!(world.port.leases().is_empty());
}
