//! Actors that live but do not work.

use std::time::Duration;

use gleaner_actors::testing::{Call, Fault, MemoryPort, Script, Status};
use gleaner_actors::{Settings, State};
use tokio::time::Instant;

use crate::support::{NAME, World, pass, settings};

#[tokio::test(start_paused = true)]
async fn an_actor_that_does_not_answer_is_restarted() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Hang, Script::Complete]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    world.tree.hang(NAME);
    world.until_state(State::Stalled).await;
    let start = Instant::now();
    world.port.until_count(Status::Completed, 1).await;
    assert!(
        start.elapsed() < Duration::from_secs(67),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.journal.count("stalled", NAME), 1);
    assert_eq!(world.status().await.restarts, 1);
    assert_eq!(world.port.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_never_answered_is_a_stall_if_there_is_a_backlog() {
    let port = MemoryPort::new();
    port.fail_next(Call::Claim, 1, Fault::Hang);
    let world = World::start(port, settings()).await;
    pass(Duration::from_secs(300)).await;
    assert_eq!(world.journal.count("stalled", NAME), 0, "nothing was due");
    let start = Instant::now();
    world.port.enqueue([1]);
    world.port.until_count(Status::Completed, 1).await;
    assert!(
        start.elapsed() >= Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() <= Duration::from_secs(71),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.journal.count("stalled", NAME), 1);
}

#[tokio::test(start_paused = true)]
async fn a_settle_that_is_never_answered_is_a_stall() {
    let port = MemoryPort::new();
    port.enqueue(1..=100);
    port.fail_next(Call::Settle, 2, Fault::Hang);
    let world = World::start(port, settings()).await;
    world.port.until_count(Status::Completed, 100).await;
    assert_eq!(world.journal.count("stalled", NAME), 1);
}

#[tokio::test(start_paused = true)]
async fn claims_that_do_not_see_the_backlog_are_a_stall() {
    let port = MemoryPort::new();
    port.enqueue([1]);
    port.hide_backlog(true);
    let world = World::start(port, settings()).await;
    world
        .until("it was restarted", |status| status.restarts == 1)
        .await;
    world.port.hide_backlog(false);
    world.port.until_count(Status::Completed, 1).await;
}

#[tokio::test(start_paused = true)]
async fn long_items_pauses_and_outages_are_no_stall() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Take(Duration::from_secs(500))]);
    let long = Settings {
        timeout: Duration::from_secs(550),
        concurrency: 1,
        ..settings()
    };
    let world = World::start(port, long).await;
    world.port.enqueue([2]);
    world.port.until_count(Status::Completed, 2).await;
    world.tree.pause(NAME).await.unwrap();
    world.port.enqueue([3]);
    pass(Duration::from_secs(500)).await;
    world.tree.resume(NAME).await.unwrap();
    world.port.until_count(Status::Completed, 3).await;
    world.port.fail(Call::Claim, Fault::Unavailable);
    world.port.enqueue([4]);
    world.tree.wake(NAME);
    pass(Duration::from_secs(500)).await;
    assert_eq!(world.journal.count("stalled", NAME), 0);
    assert_eq!(world.status().await.restarts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_notification_is_made_up_for_by_the_watch() {
    let world = World::start(MemoryPort::new(), settings()).await;
    pass(Duration::from_secs(600)).await;
    let start = Instant::now();
    world.port.enqueue([1]);
    world.port.until_count(Status::Completed, 1).await;
    assert!(
        start.elapsed() <= Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.journal.count("stalled", NAME), 0);
}
