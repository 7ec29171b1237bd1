//! The heartbeat on its own thread, in real time.

use std::sync::Arc;
use std::time::Duration;

use gleaner_actors::testing::{MemoryHeart, MemoryPort, Script};
use gleaner_actors::{Member, Tree, TreeSettings};
use tokio::time::{Instant, timeout};

use crate::support::settings;

/// Every thread of this runtime is blocked for longer than the lease lives; the heart goes on beating.
#[tokio::test]
async fn a_runtime_hogged_by_a_parser_does_not_lose_the_lease() {
    let port = MemoryPort::new();
    port.enqueue_scripted([1], &[Script::Hang]);
    let tree_settings = TreeSettings {
        lease_ttl: Duration::from_millis(1_000),
        heartbeat: Duration::from_millis(100),
        fence_margin: Duration::from_millis(200),
        ..TreeSettings::default()
    };
    let heart = MemoryHeart::new(&[Arc::clone(&port)]);
    let members = vec![Member::workflow("workflow", Arc::clone(&port), settings())];
    let tree = Tree::start(tree_settings, heart, members, Arc::new(()))
        .await
        .unwrap();
    let patience = Duration::from_secs(10);
    timeout(patience, port.until("it runs", |port| port.running() == 1))
        .await
        .unwrap();
    let lease = port.row(1).unwrap().lease;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1_500) {
        std::hint::spin_loop();
    }
    let status = timeout(patience, tree.status()).await.unwrap().unwrap();
    let workflow = status.workflow("workflow").unwrap();
    assert_eq!(workflow.in_flight, 1);
    assert_eq!(port.row(1).unwrap().lease, lease);
    assert!(status.heartbeat_ok);
    let report = timeout(patience, tree.drain(Duration::ZERO)).await.unwrap();
    assert_eq!(report.released, 1);
}
