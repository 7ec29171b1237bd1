//! Tickers and services.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gleaner_actors::port::PortError;
use gleaner_actors::testing::{MemoryPort, until};
use gleaner_actors::{HelperStatus, Member, Service, State, Tick, TreeSettings};
use tokio::time::Instant;

use crate::support::{World, pass, settings};

/// Counts its runs; does what the run's number says.
struct Counted {
    runs: AtomicU32,
    act: fn(u32) -> Result<(), PortError>,
    forever: bool,
}

impl Counted {
    fn new(act: fn(u32) -> Result<(), PortError>, forever: bool) -> Arc<Self> {
        Arc::new(Self {
            runs: AtomicU32::new(0),
            act,
            forever,
        })
    }

    async fn once(&self) -> Result<(), PortError> {
        (self.act)(self.runs.fetch_add(1, Ordering::Relaxed) + 1)?;
        if self.forever {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }
}

impl Tick for Counted {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        self.once().boxed()
    }
}

impl Service for Counted {
    fn run(&self) -> BoxFuture<'_, Result<(), PortError>> {
        self.once().boxed()
    }
}

fn unavailable() -> PortError {
    PortError::Unavailable("refused".into())
}

async fn world(member: Member) -> World {
    World::start_tree(
        MemoryPort::new(),
        settings(),
        TreeSettings::default(),
        vec![member],
    )
    .await
}

async fn helper(world: &World) -> HelperStatus {
    world
        .tree
        .status()
        .await
        .unwrap()
        .helper("helper")
        .unwrap()
        .clone()
}

#[tokio::test(start_paused = true)]
async fn a_ticker_runs_at_once_and_then_once_per_interval() {
    let job = Counted::new(|_| Ok(()), false);
    let start = Instant::now();
    let world = world(Member::ticker(
        "helper",
        Duration::from_secs(10),
        Arc::clone(&job) as _,
    ))
    .await;
    until("it ran four times", || async { job.runs() == 4 }).await;
    let taken = start.elapsed();
    assert!(
        taken >= Duration::from_secs(30) && taken < Duration::from_millis(30_100),
        "{taken:?}"
    );
    world.tree.run_now("helper").await.unwrap();
    until("it ran again", || async { job.runs() == 5 }).await;
    assert!(start.elapsed() < Duration::from_millis(30_200));
    world.tree.pause("helper").await.unwrap();
    pass(Duration::from_secs(100)).await;
    assert_eq!(job.runs(), 5);
    assert_eq!(helper(&world).await.state, State::Paused);
    world.tree.resume("helper").await.unwrap();
    until("it runs again", || async { job.runs() == 6 }).await;
    assert_eq!(helper(&world).await.failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failing_tick_is_tried_again_on_the_next() {
    let job = Counted::new(
        |run| if run <= 3 { Err(unavailable()) } else { Ok(()) },
        false,
    );
    let world = world(Member::ticker(
        "helper",
        Duration::from_secs(10),
        Arc::clone(&job) as _,
    ))
    .await;
    until("it failed", || async {
        helper(&world).await.failures_in_a_row == 3
    })
    .await;
    let status = helper(&world).await;
    assert_eq!(
        status.last_error.as_deref(),
        Some("the store is unavailable: refused")
    );
    until("it recovered", || async { helper(&world).await.runs == 1 }).await;
    let status = helper(&world).await;
    assert_eq!(
        (
            status.failures,
            status.failures_in_a_row,
            status.incarnation
        ),
        (3, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_panicking_tick_is_restarted_and_at_last_parked() {
    let job = Counted::new(|_| panic!("a bug"), false);
    let world = world(Member::ticker(
        "helper",
        Duration::from_secs(1),
        Arc::clone(&job) as _,
    ))
    .await;
    until("it is parked", || async {
        helper(&world).await.state == State::Parked
    })
    .await;
    assert_eq!(job.runs(), 6);
    let reason = helper(&world).await.reason.unwrap();
    assert!(reason.contains("a bug"), "{reason}");
    world.tree.unpark("helper").await.unwrap();
    until("it is tried again", || async { job.runs() > 6 }).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_ends_is_run_again_with_backoff() {
    let job = Counted::new(
        |run| if run < 5 { Err(unavailable()) } else { Ok(()) },
        true,
    );
    let start = Instant::now();
    let world = world(Member::service("helper", Arc::clone(&job) as _)).await;
    until("it stays", || async { job.runs() == 5 }).await;
    let taken = start.elapsed();
    assert!(
        taken >= Duration::from_millis(750) && taken <= Duration::from_millis(1_600),
        "{taken:?}"
    );
    pass(Duration::from_secs(5_000)).await;
    assert_eq!(job.runs(), 5);
    assert_eq!(helper(&world).await.state, State::Running);
    let report = world.tree.drain(Duration::from_secs(60)).await;
    assert!(report.finished, "a service does not hold up a drain");
}
