//! Claims by demand, wakes, settles by size and age.

use std::time::Duration;

use gleaner_actors::testing::{Call, MemoryPort, Script, Status};
use gleaner_actors::{Rate, Settings, State};
use tokio::time::Instant;

use crate::support::{NAME, World, settings};

#[tokio::test(start_paused = true)]
async fn a_backlog_is_worked_off_without_waiting_for_the_interval() {
    let port = MemoryPort::new();
    port.enqueue(1..=100);
    let start = Instant::now();
    let world = World::start(port, settings()).await;
    world.port.until_count(Status::Completed, 100).await;
    assert!(
        start.elapsed() < Duration::from_millis(50),
        "{:?}",
        start.elapsed()
    );
    assert!(world.port.claims().iter().all(|claim| claim.limit <= 10));
    assert_eq!(world.status().await.completed, 100);
    world.until_state(State::Waiting).await;
    let last = *world.port.claims().last().unwrap();
    assert!(last.items < last.limit, "the last claim found no more");
}

#[tokio::test(start_paused = true)]
async fn never_more_is_held_than_the_concurrency() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=60, &[Script::Take(Duration::from_millis(100))]);
    let world = World::start(
        port,
        Settings {
            concurrency: 7,
            batch_size: 5,
            ..settings()
        },
    )
    .await;
    world.port.until_count(Status::Completed, 60).await;
    assert_eq!(world.port.most_running(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_wake_is_answered_at_once_and_the_interval_otherwise() {
    let world = World::start(MemoryPort::new(), settings()).await;
    world.until_state(State::Waiting).await;
    let start = Instant::now();
    world.port.enqueue([1]);
    world.tree.wake(NAME);
    world.port.until_count(Status::Completed, 1).await;
    assert!(
        start.elapsed() < Duration::from_millis(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_wake_the_interval_claims() {
    let world = World::start(
        MemoryPort::new(),
        Settings {
            interval: Duration::from_secs(3),
            ..settings()
        },
    )
    .await;
    world.until_state(State::Waiting).await;
    let start = Instant::now();
    world.port.enqueue([1]);
    world.port.until_count(Status::Completed, 1).await;
    assert!(
        start.elapsed() > Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() <= Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_wake_during_a_claim_causes_exactly_one_more() {
    let port = MemoryPort::new();
    port.slow(Call::Claim, Duration::from_millis(100));
    let world = World::start(port, settings()).await;
    world
        .until("a claim is in the air", |status| {
            status.state == State::Running
        })
        .await;
    assert_eq!(world.port.claims().len(), 0);
    for _ in 0..1_000 {
        world.tree.wake(NAME);
    }
    world.until_state(State::Waiting).await;
    assert_eq!(world.port.claims().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn outcomes_settle_by_size_by_age_and_when_nothing_runs() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=4, &[Script::Take(Duration::from_millis(10))]);
    port.enqueue_scripted([5], &[Script::Take(Duration::from_secs(1))]);
    let start = Instant::now();
    let world = World::start(port, settings()).await;
    world.port.until_count(Status::Completed, 4).await;
    assert_eq!(
        world.port.settles(),
        [4],
        "by age, while one item still runs"
    );
    assert!(
        start.elapsed() >= Duration::from_millis(210),
        "{:?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() <= Duration::from_millis(215),
        "{:?}",
        start.elapsed()
    );
    world.port.until_count(Status::Completed, 5).await;
    assert!(
        start.elapsed() < Duration::from_millis(1_010),
        "nothing ran any more"
    );
    assert_eq!(world.port.settles(), [4, 1]);

    world
        .port
        .enqueue_scripted(6..=15, &[Script::Take(Duration::from_millis(10))]);
    world
        .port
        .enqueue_scripted([16], &[Script::Take(Duration::from_secs(1))]);
    let start = Instant::now();
    world.tree.wake(NAME);
    world.port.until_count(Status::Completed, 15).await;
    assert!(start.elapsed() < Duration::from_millis(20), "by size");
    assert_eq!(world.port.settles(), [4, 1, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_settle_does_not_hold_up_the_next_claim() {
    let port = MemoryPort::new();
    port.enqueue(1..=10);
    port.slow(Call::Settle, Duration::from_secs(1));
    let few = Settings {
        concurrency: 5,
        batch_size: 5,
        settle_items: 5,
        ..settings()
    };
    let start = Instant::now();
    let world = World::start(port, few).await;
    let ran = |item| world.port.row(item).is_some_and(|row| row.runs == 1);
    world
        .port
        .until("all have run", |_| (1..=10).all(ran))
        .await;
    assert!(
        start.elapsed() < Duration::from_millis(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.port.count(Status::Completed), 0);
    world.port.until_count(Status::Completed, 10).await;
}

#[tokio::test(start_paused = true)]
async fn outcomes_that_wait_for_their_age_do_not_idle_the_room() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=40, &[Script::Take(Duration::from_millis(10))]);
    port.enqueue_scripted([0], &[Script::Take(Duration::from_secs(3))]);
    let world = World::start(
        port,
        Settings {
            concurrency: 2,
            batch_size: 2,
            ..settings()
        },
    )
    .await;
    let start = Instant::now();
    world
        .port
        .until("all but the slow one are done", |port| {
            port.count(Status::Completed) == 40
        })
        .await;
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_a_ceiling_in_every_window_even_across_a_crash() {
    let port = MemoryPort::new();
    port.enqueue(1..=100);
    let rate = Rate {
        count: 30,
        per: Duration::from_secs(60),
    };
    let world = World::start(
        port,
        Settings {
            rate: Some(rate),
            ..settings()
        },
    )
    .await;
    world.port.until_count(Status::Completed, 30).await;
    world
        .until("it is rate limited", |status| status.rate_limited)
        .await;
    world.tree.crash(NAME);
    world
        .until("it is back", |status| {
            status.incarnation == 2 && status.lease.is_some()
        })
        .await;
    world.port.until_count(Status::Completed, 100).await;
    let claims = world.port.claims();
    for first in &claims {
        let in_window: usize = claims
            .iter()
            .filter(|claim| claim.at >= first.at && claim.at < first.at + rate.per)
            .map(|claim| claim.items)
            .sum();
        assert!(in_window <= 30, "{in_window}");
    }
}

#[tokio::test(start_paused = true)]
async fn pause_stops_claims_and_resume_starts_them() {
    let world = World::start(MemoryPort::new(), settings()).await;
    world.until_state(State::Waiting).await;
    world.tree.pause(NAME).await.unwrap();
    world.until_state(State::Paused).await;
    let claims = world.port.claims().len();
    world.port.enqueue([1]);
    world.tree.wake(NAME);
    let error = world.tree.run_now(NAME).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"workflow\" cannot run now: it is paused"
    );
    tokio::time::advance(Duration::from_secs(4_000)).await;
    world.until_state(State::Paused).await;
    assert_eq!(world.port.claims().len(), claims);
    // Also across a crash.
    world.tree.crash(NAME);
    world
        .until("it is back", |status| status.incarnation == 2)
        .await;
    world.until_state(State::Paused).await;
    assert_eq!(world.port.claims().len(), claims);
    world.tree.resume(NAME).await.unwrap();
    world.port.until_count(Status::Completed, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_a_running_workflow() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=50, &[Script::Take(Duration::from_secs(1))]);
    let world = World::start(
        port,
        Settings {
            concurrency: 1,
            ..settings()
        },
    )
    .await;
    world
        .until("one runs", |status| status.in_flight == 1)
        .await;
    let changed = Settings {
        concurrency: 10,
        ..settings()
    };
    let unknown = [
        (NAME.to_owned(), changed.clone()),
        ("other".to_owned(), settings()),
    ];
    let error = world.tree.reload(unknown.into()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "nothing is called \"other\"; there are workflow"
    );
    assert_eq!(world.status().await.settings.concurrency, 1, "all or none");
    world
        .tree
        .reload([(NAME.to_owned(), changed)].into())
        .await
        .unwrap();
    world
        .until("ten run", |status| status.in_flight == 10)
        .await;
}

#[tokio::test(start_paused = true)]
async fn disabling_drains_and_enabling_starts() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Take(Duration::from_secs(5))]);
    let world = World::start(port, settings()).await;
    world.until("it runs", |status| status.in_flight == 1).await;
    let off = Settings {
        enabled: false,
        ..settings()
    };
    world
        .tree
        .reload([(NAME.to_owned(), off)].into())
        .await
        .unwrap();
    world.until_state(State::Draining).await;
    world.until_state(State::Disabled).await;
    assert_eq!(world.port.row(1).unwrap().status, Status::Completed);
    assert!(world.port.leases().is_empty());
    world.port.enqueue([2]);
    world
        .tree
        .reload([(NAME.to_owned(), settings())].into())
        .await
        .unwrap();
    world.port.until_count(Status::Completed, 2).await;
}
