//! Deaths, restarts, parking.

use std::sync::Arc;
use std::time::Duration;

use gleaner_actors::testing::{
    Call, Fault, Journal, MemoryHeart, MemoryPort, Script, Status, until,
};
use gleaner_actors::{Member, State, Tree, TreeSettings};
use tokio::time::Instant;

use crate::support::{NAME, World, settings};

#[tokio::test(start_paused = true)]
async fn a_crashed_actor_is_back_at_work_within_a_moment_and_takes_its_rows_back() {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=5, &[Script::Hang, Script::Complete]);
    let world = World::start(port, settings()).await;
    world
        .port
        .until("all run", |port| port.running() == 5)
        .await;
    let start = Instant::now();
    world.tree.crash(NAME);
    world.port.until_count(Status::Completed, 5).await;
    assert!(
        start.elapsed() <= Duration::from_millis(110),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        world.port.running(),
        0,
        "the old incarnation's items are gone"
    );
    assert_eq!(world.port.leases().len(), 1, "and so is its lease");
    let status = world.status().await;
    assert_eq!((status.incarnation, status.restarts), (2, 1));
    assert_eq!(
        world.port.row(1).unwrap().attempts,
        2,
        "the attempt stays counted"
    );
    assert_eq!(world.journal.count("restarted", NAME), 1);
}

#[tokio::test(start_paused = true)]
async fn counts_survive_a_crash() {
    let port = MemoryPort::new();
    port.enqueue(1..=5);
    let world = World::start(port, settings()).await;
    world
        .until("all are done", |status| status.completed == 5)
        .await;
    world.tree.crash(NAME);
    world
        .until("it is back", |status| status.incarnation == 2)
        .await;
    world.port.enqueue(6..=10);
    world.tree.wake(NAME);
    world
        .until("all are done", |status| status.completed == 10)
        .await;
}

#[tokio::test(start_paused = true)]
async fn wakes_lost_with_the_actor_do_not_silence_the_bell() {
    let world = World::start(MemoryPort::new(), settings()).await;
    world.until_state(State::Waiting).await;
    world.tree.crash(NAME);
    world.tree.wake(NAME);
    world
        .until("it is back", |status| status.incarnation == 2)
        .await;
    world.until_state(State::Waiting).await;
    world.port.enqueue([1]);
    world.tree.wake(NAME);
    let start = Instant::now();
    world.port.until_count(Status::Completed, 1).await;
    assert!(start.elapsed() < Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn one_that_keeps_dying_is_parked_and_the_others_live_on() {
    let ports = [MemoryPort::new(), MemoryPort::new()];
    let members = vec![
        Member::workflow("bad", Arc::clone(&ports[0]), settings()),
        Member::workflow("good", Arc::clone(&ports[1]), settings()),
    ];
    let journal = Journal::new();
    let tree = Tree::start_with_heart_task(
        TreeSettings::default(),
        MemoryHeart::new(&ports),
        members,
        Arc::clone(&journal) as _,
    )
    .await
    .unwrap();
    // A bug in the application's claim kills the actor each time it claims.
    ports[0].enqueue([1]);
    ports[0].fail(Call::Claim, Fault::Panic);
    tree.wake("bad");
    let state = async |name| tree.status().await.unwrap().workflow(name).unwrap().state;
    until("it is parked", || async {
        state("bad").await == State::Parked
    })
    .await;
    let status = tree.status().await.unwrap();
    let bad = status.workflow("bad").unwrap();
    assert_eq!((bad.incarnation, bad.restarts), (6, 5));
    let reason = bad.reason.clone().unwrap();
    assert!(reason.contains("scripted panic in Claim"), "{reason}");
    assert_eq!(journal.count("parked", "bad"), 1);
    until("its lease is closed", || async {
        ports[0].leases().is_empty()
    })
    .await;

    ports[1].enqueue([1]);
    tree.wake("good");
    ports[1].until_count(Status::Completed, 1).await;

    ports[0].mend();
    tree.unpark("bad").await.unwrap();
    ports[0].until_count(Status::Completed, 1).await;
    assert_eq!(journal.count("unparked", "bad"), 1);
    assert!(tree.unpark("nobody").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn deaths_far_apart_do_not_park() {
    let world = World::start(MemoryPort::new(), settings()).await;
    for death in 1..=10 {
        world.tree.crash(NAME);
        world
            .until("it is back", |status| status.incarnation == death + 1)
            .await;
        tokio::time::advance(Duration::from_secs(15)).await;
    }
    world.until_state(State::Waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_misconfigured_workflow_is_idle_until_a_reload() {
    let port = MemoryPort::new();
    port.enqueue([1]);
    port.fail(
        Call::OpenLease,
        Fault::Misconfigured("GOOGLE_KEY is not set"),
    );
    let world = World::start(port, settings()).await;
    world.until_state(State::Idle).await;
    let status = world.status().await;
    assert_eq!(status.reason.as_deref(), Some("GOOGLE_KEY is not set"));
    assert_eq!((status.incarnation, status.restarts), (1, 0));
    tokio::time::advance(Duration::from_secs(4_000)).await;
    world.until_state(State::Idle).await;
    // Still wrong after an unpark.
    world.tree.unpark(NAME).await.unwrap();
    world
        .until("it was tried", |status| status.incarnation == 2)
        .await;
    world.until_state(State::Idle).await;
    world.port.mend();
    world
        .tree
        .reload([(NAME.to_owned(), settings())].into())
        .await
        .unwrap();
    world.port.until_count(Status::Completed, 1).await;
}

#[tokio::test(start_paused = true)]
async fn names_are_unique_and_disabled_ones_do_not_start() {
    let port = MemoryPort::new();
    let member = || Member::workflow(NAME, Arc::clone(&port), settings());
    let heart = MemoryHeart::new(&[]);
    let twice = Tree::start_with_heart_task(
        TreeSettings::default(),
        heart.clone(),
        vec![member(), member()],
        Arc::new(()),
    )
    .await;
    assert_eq!(
        twice.err().unwrap().to_string(),
        "two members of the tree are called \"workflow\""
    );
    let mut disabled = settings();
    disabled.enabled = false;
    let world = World::start(MemoryPort::new(), disabled).await;
    assert_eq!(world.status().await.state, State::Disabled);
    assert_eq!(world.status().await.incarnation, 0);
}

#[test]
fn the_handle_goes_anywhere() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    check::<Tree>();
}
