//! Leases lost: by a heart that does not beat, by the store's word, by a gap in time.

use std::time::Duration;

use gleaner_actors::Settings;
use gleaner_actors::testing::{Call, Fault, HeartMode, MemoryPort, Script, Status};
use tokio::time::Instant;

use crate::support::{NAME, World, pass, settings};

fn patient() -> Settings {
    Settings {
        timeout: Duration::from_secs(300),
        max_attempts: 10,
        ..settings()
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_renew_stops_its_items_before_anyone_may_take_them() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Hang]);
    let world = World::start(port, patient()).await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    let lease = world.port.row(1).unwrap().lease.unwrap();
    for mode in [HeartMode::Unavailable, HeartMode::Hangs, HeartMode::Panics] {
        world.heart.set(HeartMode::Beats);
        world
            .port
            .until("it runs", |port| port.running() == 1)
            .await;
        pass(Duration::from_secs(30)).await;
        assert_eq!(world.port.running(), 1, "while the heart beats");
        world.heart.set(mode);
        world.port.fail(Call::OpenLease, Fault::Unavailable);
        let start = Instant::now();
        world
            .port
            .until("it is cancelled", |port| port.running() == 0)
            .await;
        // The last beat was at most one heartbeat before; ttl 10 s, margin 2 s.
        assert!(
            start.elapsed() >= Duration::from_secs(5),
            "{mode:?}: {:?}",
            start.elapsed()
        );
        assert!(
            start.elapsed() <= Duration::from_secs(8),
            "{mode:?}: {:?}",
            start.elapsed()
        );
        assert_eq!(world.port.rescue(), 0, "the store still holds the lease");
        world.port.mend();
    }
    assert_ne!(world.port.row(1).unwrap().lease, Some(lease));
    assert_eq!(world.journal.count("lease_lost", NAME), 3);
}

#[tokio::test(start_paused = true)]
async fn self_fencing_does_not_need_the_actor() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Hang]);
    let world = World::start(
        port,
        Settings {
            stall_after: Duration::from_secs(3_000),
            ..patient()
        },
    )
    .await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    world.tree.hang(NAME);
    world.heart.set(HeartMode::Unavailable);
    let start = Instant::now();
    world
        .port
        .until("it is cancelled", |port| port.running() == 0)
        .await;
    assert!(
        start.elapsed() <= Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_short_failure_of_the_heart_costs_nothing() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Take(Duration::from_secs(60))]);
    let world = World::start(port, patient()).await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    world.heart.set(HeartMode::Unavailable);
    pass(Duration::from_secs(4)).await;
    world.heart.set(HeartMode::Beats);
    world.port.until_count(Status::Completed, 1).await;
    assert_eq!(world.port.row(1).unwrap().attempts, 1);
    assert_eq!(world.journal.count("lease_lost", NAME), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_the_store_no_longer_knows_is_given_up_at_the_next_beat() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=3, &[Script::Hang, Script::Complete]);
    let world = World::start(port, patient()).await;
    world
        .port
        .until("all run", |port| port.running() == 3)
        .await;
    let lease = world.port.row(1).unwrap().lease.unwrap();
    world.port.expire(lease);
    let start = Instant::now();
    world.port.until_count(Status::Completed, 3).await;
    assert!(
        start.elapsed() <= Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    world
        .until("it is counted", |status| status.dropped == 3)
        .await;
    assert_eq!(world.journal.count("lease_lost", NAME), 1);
    assert_eq!(world.status().await.restarts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_refused_by_claim_or_settle_is_replaced_at_once() {
    for call in [Call::Claim, Call::Settle] {
        let port = MemoryPort::new();
        port.enqueue(1..=5);
        port.fail_next(call, 1, Fault::LeaseLost);
        let start = Instant::now();
        let world = World::start(port, patient()).await;
        world.port.until_count(Status::Completed, 5).await;
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{call:?}: {:?}",
            start.elapsed()
        );
        assert_eq!(world.journal.count("lease_lost", NAME), 1, "{call:?}");
        assert!((1..=5).all(|item| world.port.row(item).unwrap().stored == 1));
    }
}

#[tokio::test(start_paused = true)]
async fn leases_lost_again_and_again_are_reopened_with_backoff() {
    let port = MemoryPort::new();
    port.fail(Call::Claim, Fault::LeaseLost);
    let world = World::start(port, patient()).await;
    pass(Duration::from_secs(60)).await;
    let lost = world.journal.count("lease_lost", NAME);
    // One every second or two, once the backoff has reached its cap.
    assert!((20..70).contains(&lost), "{lost}");
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_in_time_nothing_finished_under_the_old_lease_is_stored() {
    let port = MemoryPort::new();
    port.enqueue_scripted(
        [1],
        &[Script::Take(Duration::from_secs(1)), Script::Complete],
    );
    let world = World::start(port, patient()).await;
    world
        .port
        .until("it runs", |port| port.running() == 1)
        .await;
    // As with SIGSTOP and SIGCONT: every timer is past at once, the item's result and the fence among them.
    tokio::time::advance(Duration::from_secs(60)).await;
    world.port.rescue();
    world.port.until_count(Status::Completed, 1).await;
    let row = world.port.row(1).unwrap();
    // The process stood still, and lives: nothing is charged.
    assert_eq!((row.attempts, row.stored), (1, 1));
    assert_eq!(world.status().await.stale, 0, "not even tried");
    assert_eq!(world.journal.count("lease_lost", NAME), 1);
}
