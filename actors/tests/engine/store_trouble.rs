//! A store that is away, for a while.

use std::time::Duration;

use gleaner_actors::State;
use gleaner_actors::testing::{Call, Fault, HeartMode, MemoryPort, Script, Status};
use tokio::time::Instant;

use crate::support::{NAME, World, pass, settings};

#[tokio::test(start_paused = true)]
async fn an_outage_in_any_call_is_waited_out_and_reported_once() {
    for call in [Call::OpenLease, Call::Claim, Call::Settle] {
        let port = MemoryPort::new();
        port.enqueue(1..=5);
        port.fail(call, Fault::Unavailable);
        let world = World::start(port, settings()).await;
        world
            .until("it is in trouble", |status| {
                status.store_trouble_ms > Some(6_000)
            })
            .await;
        let status = world.status().await;
        assert_eq!(status.state, State::Waiting, "{call:?}");
        assert_eq!(
            status.reason.as_deref(),
            Some("store unavailable: the store is unavailable: connection refused")
        );
        let start = Instant::now();
        world.port.mend();
        world.port.until_count(Status::Completed, 5).await;
        assert!(
            start.elapsed() <= Duration::from_secs(5),
            "{call:?}: {:?}",
            start.elapsed()
        );
        world
            .until("it is over", |status| status.store_trouble_ms.is_none())
            .await;
        assert_eq!(world.journal.count("store_trouble", NAME), 1, "{call:?}");
        assert_eq!(world.journal.count("store_recovered", NAME), 1, "{call:?}");
        assert_eq!(world.status().await.restarts, 0);
        assert!((1..=5).all(|item| world.port.row(item).unwrap().stored == 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_settle_whose_answer_was_lost_is_repeated_without_effect() {
    let port = MemoryPort::new();
    port.enqueue(1..=5);
    port.fail_next(Call::Settle, 1, Fault::AnswerLost);
    let world = World::start(port, settings()).await;
    world
        .until("the repetition is counted", |status| status.stale == 5)
        .await;
    assert!((1..=5).all(|item| world.port.row(item).unwrap().stored == 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_settle_recorded_before_the_trouble_is_counted_as_what_it_was() {
    let port = MemoryPort::new();
    port.enqueue(1..=4);
    port.enqueue_scripted([5, 6], &[Script::Filter]);
    port.fail_next(Call::Settle, 2, Fault::HalfDone);
    let world = World::start(port, settings()).await;
    world
        .until("all are counted", |status| {
            status.completed + status.filtered + status.stale == 6
        })
        .await;
    let status = world.status().await;
    assert_eq!((status.completed, status.filtered, status.stale), (4, 2, 0));
    // Half of six, half of the other three, and these two: nothing is sent twice that was recorded.
    assert_eq!(world.port.settles(), [3, 1, 2]);
    assert_eq!(world.journal.count("store_trouble", NAME), 1);
    assert_eq!(world.journal.count("store_recovered", NAME), 1);
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_claim_whose_answer_was_lost_are_taken_back() {
    let port = MemoryPort::new();
    port.enqueue(1..=5);
    port.fail_next(Call::Claim, 1, Fault::AnswerLost);
    let start = Instant::now();
    let world = World::start(port, settings()).await;
    world.port.until_count(Status::Completed, 5).await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.port.leases().len(), 1);
    // Nobody had worked them: nothing is charged.
    assert!((1..=5).all(|item| world.port.row(item).unwrap().attempts == 1));
}

#[tokio::test(start_paused = true)]
async fn a_busy_workflow_takes_back_rows_of_a_lost_claim_too() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=10, &[Script::Take(Duration::from_secs(7))]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("the first run", |port| port.running() == 10)
        .await;
    world
        .port
        .until("the second claim found nothing", |port| {
            port.claims().len() == 2
        })
        .await;
    world.port.fail_next(Call::Claim, 1, Fault::AnswerLost);
    world.port.enqueue([100]);
    world.tree.wake(NAME);
    world.port.until_count(Status::Processing, 11).await;
    // A stream of work that never lets the actor come to rest by itself.
    for item in 200..230 {
        world
            .port
            .enqueue_scripted([item], &[Script::Take(Duration::from_secs(7))]);
        world.tree.wake(NAME);
        pass(Duration::from_secs(1)).await;
    }
    world.port.until_count(Status::Completed, 41).await;
    assert_eq!(world.port.row(100).unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_while_outcomes_cannot_be_recorded() {
    let port = MemoryPort::new();
    port.enqueue(1..=1_000);
    port.fail(Call::Settle, Fault::Unavailable);
    let world = World::start(port, settings()).await;
    world
        .until("it is in trouble", |status| {
            status.store_trouble_ms > Some(5_000)
        })
        .await;
    let held = world.status().await.unsettled;
    assert!(held <= 40, "{held}");
}

#[tokio::test(start_paused = true)]
async fn a_store_away_for_an_hour_loses_nothing() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=30, &[Script::Take(Duration::from_secs(5))]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("twenty run", |port| port.running() == 20)
        .await;
    for call in [Call::OpenLease, Call::Claim, Call::Settle, Call::CloseLease] {
        world.port.fail(call, Fault::Unavailable);
    }
    world.heart.set(HeartMode::Unavailable);
    for _ in 0..60 {
        pass(Duration::from_secs(60)).await;
    }
    let status = world.status().await;
    assert_eq!((status.state, status.restarts), (State::Waiting, 0));
    world.port.mend();
    world.heart.set(HeartMode::Beats);
    world.port.until_count(Status::Completed, 30).await;
    assert!((1..=30).all(|item| world.port.row(item).unwrap().stored == 1));
    assert!((1..=30).all(|item| world.port.row(item).unwrap().attempts == 1));
    assert_eq!(world.journal.count("store_trouble", NAME), 1);
}

/// Item 1 takes longer than a lease lasts without a beat, and the store goes away six times while it runs.
#[tokio::test(start_paused = true)]
async fn an_outage_charges_nobody_who_lives() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=3, &[Script::Take(Duration::from_secs(12))]);
    let world = World::start(port, settings()).await;
    for outage in 1..=6 {
        world
            .port
            .until("all run", |port| port.running() == 3)
            .await;
        world.heart.set(HeartMode::Unavailable);
        for call in [Call::OpenLease, Call::Claim, Call::Settle] {
            world.port.fail(call, Fault::Unavailable);
        }
        pass(Duration::from_secs(11)).await;
        // Another node is faster: it finds the lease ended, and charges its items.
        let rescued = if outage % 2 == 0 {
            world.port.rescue()
        } else {
            0
        };
        assert_eq!(rescued, if outage % 2 == 0 { 3 } else { 0 });
        world.port.mend();
        world.heart.set(HeartMode::Beats);
    }
    world.port.until_count(Status::Completed, 3).await;
    for item in 1..=3 {
        let row = world.port.row(item).unwrap();
        assert_eq!((row.attempts, row.runs, row.stored), (1, 7, 1), "{item}");
    }
    assert_eq!(world.status().await.restarts, 0);
}

/// The store answers everything but beats: what cannot be renewed is not opened, and so nothing is begun in vain.
#[tokio::test(start_paused = true)]
async fn no_lease_is_opened_that_could_not_be_renewed() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=3, &[Script::Take(Duration::from_secs(20))]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("all run", |port| port.running() == 3)
        .await;
    for mode in [HeartMode::Unavailable, HeartMode::Hangs, HeartMode::Panics] {
        world.heart.set(mode);
        pass(Duration::from_secs(70)).await;
        let status = world.status().await;
        assert_eq!(status.state, State::Waiting, "{mode:?}");
        assert_eq!(
            status.reason.as_deref(),
            Some("store unavailable: the store is unavailable: the heartbeat is not answered")
        );
        assert_eq!(world.port.running(), 0, "{mode:?}");
    }
    assert!((1..=3).all(|item| world.port.row(item).unwrap().runs == 1));
    let start = Instant::now();
    world.heart.set(HeartMode::Beats);
    world
        .port
        .until("all run again", |port| port.running() == 3)
        .await;
    assert!(
        start.elapsed() <= Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    world.port.until_count(Status::Completed, 3).await;
    for item in 1..=3 {
        let row = world.port.row(item).unwrap();
        assert_eq!((row.attempts, row.runs), (1, 2), "{item}");
    }
    assert_eq!(world.journal.count("lease_opened", NAME), 2);
    assert_eq!(world.journal.count("store_trouble", NAME), 1);
    assert_eq!(world.journal.count("store_recovered", NAME), 1);
}

/// What an actor holds when it panics may be what it died of, whatever the store did before.
#[tokio::test(start_paused = true)]
async fn a_death_is_charged_and_one_after_the_lease_was_lost_is_not() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Take(Duration::from_secs(20))]);
    let world = World::start(port, settings()).await;
    let runs = |runs| move |port: &MemoryPort| port.row(1).is_some_and(|row| row.runs == runs);
    world.port.until("it runs", runs(1)).await;
    world.tree.crash(NAME);
    world.port.until("it runs again", runs(2)).await;
    assert_eq!(world.port.row(1).unwrap().attempts, 2);
    // The item has been stopped at the fence; the actor dies while it waits for the store.
    world.heart.set(HeartMode::Unavailable);
    world
        .port
        .until("it is stopped", |port| port.running() == 0)
        .await;
    world.tree.crash(NAME);
    pass(Duration::from_secs(5)).await;
    world.heart.set(HeartMode::Beats);
    world.port.until_count(Status::Completed, 1).await;
    assert_eq!(world.port.row(1).unwrap().attempts, 2);
}
