//! Everything at once, on several threads in real time: crashes, lost leases, lost answers, failing items.

use std::sync::Arc;
use std::time::Duration;

use gleaner_actors::testing::{Call, Fault, Journal, MemoryHeart, MemoryPort, Script, Status};
use gleaner_actors::{Backoff, Member, Settings, Tree, TreeSettings};
use tokio::time::timeout;

use crate::support::NAME;

const ITEMS: i64 = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_every_item_is_stored_exactly_once() {
    let port = MemoryPort::new();
    port.enqueue(1..=1_000);
    port.enqueue_scripted(1_001..=2_000, &[Script::Take(Duration::from_millis(2))]);
    port.enqueue_scripted(
        2_001..=ITEMS,
        &[
            Script::Retry(None),
            Script::SnoozeItem(Duration::from_millis(1)),
            Script::Take(Duration::from_millis(5)),
            Script::Complete,
        ],
    );
    let settings = Settings {
        interval: Duration::from_millis(20),
        batch_size: 50,
        concurrency: 100,
        max_attempts: i16::MAX,
        backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(2)),
        settle_items: 20,
        settle_age: Duration::from_millis(5),
        ..Settings::default()
    };
    let tree_settings = TreeSettings {
        heartbeat: Duration::from_millis(50),
        max_restarts: u32::MAX,
        restart_backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(5)),
        ..TreeSettings::default()
    };
    let journal = Journal::new();
    let members = vec![Member::workflow(NAME, Arc::clone(&port), settings)];
    let heart = MemoryHeart::new(&[Arc::clone(&port)]);
    let observer = Arc::clone(&journal);
    let tree = Tree::start(tree_settings, heart, members, observer)
        .await
        .unwrap();
    let storm = async {
        for step in 0.. {
            let completed = port.count(Status::Completed);
            let next = completed + 50;
            if next >= usize::try_from(ITEMS).unwrap() {
                break;
            }
            match step % 6 {
                0 => tree.crash(NAME),
                1 => port.fail_next(Call::Settle, 2, Fault::AnswerLost),
                2 => port.fail_next(Call::Claim, 1, Fault::AnswerLost),
                3 => port
                    .leases()
                    .into_iter()
                    .for_each(|lease| port.expire(lease)),
                4 => port.fail_next(Call::Settle, 1, Fault::LeaseLost),
                _ => port.fail_next(Call::OpenLease, 1, Fault::Unavailable),
            }
            port.until("it goes on", |port| port.count(Status::Completed) >= next)
                .await;
        }
        port.mend();
        port.until_count(Status::Completed, usize::try_from(ITEMS).unwrap())
            .await;
    };
    timeout(Duration::from_secs(60), storm).await.unwrap();
    let report = timeout(Duration::from_secs(60), tree.drain(Duration::from_secs(30)))
        .await
        .unwrap();
    assert!(report.finished, "{report:?}");
    assert!((1..=ITEMS).all(|item| port.row(item).unwrap().stored == 1));
    // What an actor that crashed had begun is dropped with it, though not in the same instant.
    timeout(
        Duration::from_secs(5),
        port.until("nothing runs", |port| port.running() == 0),
    )
    .await
    .unwrap();
    assert!(port.leases().is_empty(), "{:?}", port.leases());
    assert!(journal.count("restarted", NAME) > 3);
    assert!(journal.count("lease_lost", NAME) > 3);
}
