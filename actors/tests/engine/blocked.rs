//! Rows that somebody else has locked: their outcomes wait by themselves.

use std::time::Duration;

use gleaner_actors::testing::{Call, Fault, MemoryPort, Script, Status};
use gleaner_actors::{Settings, State};
use tokio::time::Instant;

use crate::support::{NAME, World, pass, settings};

#[tokio::test(start_paused = true)]
async fn locked_rows_hold_nobody_up_and_are_recorded_when_the_lock_goes() {
    let port = MemoryPort::new();
    port.enqueue(1..=400);
    port.lock_rows([3, 4, 77, 130, 131, 132, 390]);
    let start = Instant::now();
    let world = World::start(port, settings()).await;
    world.port.until_count(Status::Completed, 393).await;
    assert!(
        start.elapsed() < Duration::from_millis(50),
        "{:?}",
        start.elapsed()
    );
    world
        .until("the others are set aside", |status| status.set_aside == 7)
        .await;
    pass(Duration::from_secs(90)).await;
    let status = world.status().await;
    assert_eq!((status.set_aside, status.unsettled), (7, 7));
    assert_eq!(status.set_aside_by.as_deref(), Some("a test"));
    assert!(status.set_aside_ms >= Some(90_000), "{status:?}");
    assert_eq!(status.store_trouble_ms, None, "a lock is no outage");

    world.port.lock_rows([131]);
    let start = Instant::now();
    world.port.until_count(Status::Completed, 399).await;
    assert!(
        start.elapsed() <= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    world.port.lock_rows([]);
    world.port.until_count(Status::Completed, 400).await;
    world
        .until("nothing is set aside", |status| {
            status.set_aside == 0 && status.set_aside_ms.is_none()
        })
        .await;
    for item in 1..=400 {
        let row = world.port.row(item).unwrap();
        assert_eq!((row.stored, row.runs, row.attempts), (1, 1, 1), "{item}");
        assert_eq!(row.failure, None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_set_aside_is_bounded() {
    let port = MemoryPort::new();
    port.enqueue(1..=1_000);
    port.lock_rows(1..=1_000);
    let settings = Settings {
        concurrency: 30,
        stall_after: Duration::from_secs(10),
        ..settings()
    };
    let world = World::start(port, settings).await;
    world
        .until("the bound is reached", |status| status.set_aside >= 120)
        .await;
    pass(Duration::from_secs(120)).await;
    let status = world.status().await;
    // What was under way when the bound was reached still comes to it.
    assert!((120..=150).contains(&status.set_aside), "{status:?}");
    assert_eq!(status.claimed, u64::try_from(status.set_aside).unwrap());
    assert!(
        status.reason.unwrap().contains("locked by a test"),
        "the status says why"
    );
    assert_eq!(status.restarts, 0, "nothing is wrong with the actor");
    world.port.lock_rows([]);
    world.port.until_count(Status::Completed, 1_000).await;
}

#[tokio::test(start_paused = true)]
async fn locked_rows_do_not_hold_a_drain_past_its_deadline() {
    let port = MemoryPort::new();
    port.enqueue(1..=20);
    port.enqueue_scripted([21, 22], &[Script::Hang]);
    port.lock_rows([5, 6]);
    let world = World::start(port, settings()).await;
    world
        .until("two are set aside", |status| status.set_aside == 2)
        .await;
    let start = Instant::now();
    let report = world.tree.drain(Duration::from_secs(10)).await;
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(10), "it hopes for {took:?}");
    assert!(took <= Duration::from_millis(10_100), "{took:?}");
    assert_eq!((report.released, report.unclosed.len()), (2, 0));
    assert_eq!(world.port.count(Status::Completed), 18);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_as_soon_as_the_lock_goes() {
    let port = MemoryPort::new();
    port.enqueue(1..=20);
    port.lock_rows([5]);
    let world = World::start(port, settings()).await;
    world
        .until("it is set aside", |status| status.set_aside == 1)
        .await;
    let start = Instant::now();
    let (report, ()) = tokio::join!(world.tree.drain(Duration::from_secs(60)), async {
        world.until_state(State::Draining).await;
        pass(Duration::from_secs(5)).await;
        world.port.lock_rows([]);
    });
    assert!(report.finished, "{report:?}");
    assert!(
        start.elapsed() <= Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(world.port.count(Status::Completed), 20);
}

#[tokio::test(start_paused = true)]
async fn an_outage_on_top_of_a_lock_loses_nothing() {
    let port = MemoryPort::new();
    port.enqueue(1..=10);
    port.lock_rows([1, 2, 3]);
    let world = World::start(port, settings()).await;
    world
        .until("three are set aside", |status| status.set_aside == 3)
        .await;
    world.port.fail_next(Call::Settle, 4, Fault::Unavailable);
    world
        .until("trouble shows", |status| status.store_trouble_ms.is_some())
        .await;
    world.port.lock_rows([]);
    world.port.until_count(Status::Completed, 10).await;
    world
        .until("all is well", |status| {
            status.set_aside == 0 && status.store_trouble_ms.is_none()
        })
        .await;
    assert!((1..=10).all(|item| world.port.row(item).unwrap().stored == 1));
}

#[tokio::test(start_paused = true)]
async fn a_lost_claim_does_not_end_claiming_while_something_is_set_aside() {
    let port = MemoryPort::new();
    port.enqueue(1..=5);
    port.lock_rows([1]);
    let world = World::start(port, settings()).await;
    world
        .until("it is set aside", |status| status.set_aside == 1)
        .await;
    world.port.fail_next(Call::Claim, 1, Fault::Unavailable);
    world.tree.wake(NAME);
    pass(Duration::from_secs(30)).await;
    world.port.enqueue([6]);
    world.tree.wake(NAME);
    let start = Instant::now();
    world.port.until_count(Status::Completed, 5).await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_shows() {
    let port = MemoryPort::new();
    port.enqueue(1..=5);
    port.fail_next(Call::Settle, 1, Fault::Hang);
    let world = World::start(port, settings()).await;
    world
        .until("it shows for how long", |status| {
            status.store_silent_ms > Some(12_000)
        })
        .await;
    world.port.enqueue(6..=9);
    world.tree.wake(NAME);
    world.port.until_count(Status::Completed, 4).await;
}
