//! What the engine itself costs per item, and per wake. Prints what it measured; asserts only what an unoptimised build
//! on a busy machine can keep.

use std::sync::Arc;
use std::time::Duration;

use gleaner_actors::testing::{MemoryHeart, MemoryPort, Script};
use gleaner_actors::{Event, Member, Observer, Settings, Tree, TreeSettings};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

const ITEMS: i64 = if cfg!(debug_assertions) {
    20_000
} else {
    200_000
};

#[expect(clippy::print_stdout, reason = "what was measured is the point")]
fn report(line: &str) {
    println!("{line}");
}

/// Counts what is settled.
struct Done {
    completed: watch::Sender<u64>,
}

impl Observer for Done {
    fn observe(&self, event: Event<'_>) {
        if let Event::Settled { report, .. } = event {
            self.completed
                .send_modify(|completed| *completed += report.completed);
        }
    }
}

/// Works off all items; how many there were in a second.
async fn run(settings: Settings, script: Script) -> f64 {
    let port = MemoryPort::new();
    port.enqueue_scripted(1..=ITEMS, &[script]);
    let heart = MemoryHeart::new(&[Arc::clone(&port)]);
    let members = vec![Member::workflow("workflow", Arc::clone(&port), settings)];
    let (completed, mut seen) = watch::channel(0);
    let observer = Arc::new(Done { completed });
    let start = Instant::now();
    let tree = Tree::start(TreeSettings::default(), heart, members, observer)
        .await
        .unwrap();
    let all = ITEMS.unsigned_abs();
    timeout(Duration::from_secs(60), seen.wait_for(|seen| *seen == all))
        .await
        .unwrap()
        .unwrap();
    let taken = start.elapsed();
    drop(tree);
    f64::from(u32::try_from(ITEMS).unwrap()) / taken.as_secs_f64()
}

#[tokio::test]
async fn items_cost_microseconds_on_one_thread() {
    let settings = Settings {
        batch_size: 1_000,
        concurrency: 4_000,
        settle_items: 1_000,
        ..Settings::default()
    };
    let noop = run(settings.clone(), Script::Complete).await;
    report(&format!("no-op items: {noop:.0}/s"));
    let sleeping = run(settings, Script::Take(Duration::from_millis(1))).await;
    report(&format!("items that wait 1 ms: {sleeping:.0}/s"));
    assert!(noop > 5_000.0, "{noop}");
}

#[tokio::test]
async fn a_wake_reaches_the_claim_well_within_a_millisecond() {
    let port = MemoryPort::new();
    let heart = MemoryHeart::new(&[Arc::clone(&port)]);
    let settings = Settings {
        interval: Duration::from_secs(3_600),
        ..Settings::default()
    };
    let members = vec![Member::workflow("workflow", Arc::clone(&port), settings)];
    let tree = Tree::start(TreeSettings::default(), heart, members, Arc::new(()))
        .await
        .unwrap();
    port.until("the first claim", |port| port.claims().len() == 1)
        .await;
    let mut taken = Vec::new();
    for wake in 1..=200 {
        let start = Instant::now();
        tree.wake("workflow");
        port.until("the claim", |port| port.claims().len() == wake + 1)
            .await;
        taken.push(start.elapsed());
    }
    taken.sort_unstable();
    let (median, p99) = (taken[100], taken[198]);
    report(&format!("wake to claim: median {median:?}, p99 {p99:?}"));
    assert!(median < Duration::from_millis(1), "{median:?}");
}
