//! How far a document is, and how soon its work ends when it is to end.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gleaner::documents::child::Reader;

use super::bench::Bench;
use crate::support::wait_until;

/// From the wish to the end.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_told_as_they_are_read_and_never_taken_back() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let text = "opened 4\npage a\npage b\nhold\npage c\nhold\npage d";
    let document = bench.add(tenant, "x", text, 0).await;
    let tree = bench.start(1).await;
    let columns = "status, step, pages_done, page_count, processing_progress, process_attempts";
    for expected in ["processing|read|2|4|45|1", "processing|read|3|4|65|1"] {
        wait_until(expected, async || {
            bench.of(document, columns).await == expected
        })
        .await;
        bench.script.gate.add_permits(1);
    }
    bench.settled().await;
    assert_eq!(bench.of(document, columns).await, "ready||4|4|100|1");
    tree.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_while_nothing_is_new() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let document = bench
        .add(tenant, "x", "opened 2\npage a\nhold\npage b", 0)
        .await;
    let tree = bench.start(1).await;
    wait_until("a page is told", async || {
        bench.of(document, "pages_done").await == "1"
    })
    .await;
    let version = bench.of(document, "xmin").await;
    // Two looks later it is the same row.
    let since = Instant::now();
    wait_until("some looks have passed", async || {
        since.elapsed() > Duration::from_millis(2_500)
    })
    .await;
    assert_eq!(bench.of(document, "xmin").await, version);
    bench.script.gate.add_permits(1);
    bench.settled().await;
    tree.drain(Duration::from_secs(5)).await;
}

/// What people and other software do to a document in hand, and what stands there afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_a_document_away_ends_its_work_within_two_seconds() {
    for (wish, expected) in [
        (
            "UPDATE documents SET process_status = 'Cancelled'",
            "cancelled|Cancelled|",
        ),
        (
            "UPDATE documents SET status = 'cancelled'",
            "cancelled|Cancelled|",
        ),
        // As the guide has it.
        (
            "UPDATE documents SET status = 'failed' WHERE status = 'processing' AND created_at < NOW() + INTERVAL '1 hour'",
            "failed|Error|stopped",
        ),
        (
            "UPDATE documents SET process_status = 'Cancelled', deleted_at = now()",
            "cancelled|Cancelled|",
        ),
        ("DELETE FROM documents", ""),
    ] {
        let bench = Bench::new().await;
        let tenant = bench.tenant("a", 2).await;
        let document = bench.add(tenant, "x", "page a\nfor-ever", 0).await;
        let tree = bench.start(2).await;
        bench.wait_reading(1).await;
        bench.database.run(wish).await;
        let wished = Instant::now();
        bench.wait_reading(0).await;
        let took = wished.elapsed();
        assert!(took < SOON, "{wish}: {took:?}");
        wait_until("the row is free", async || {
            bench
                .database
                .count("SELECT count(*) FROM documents WHERE process_lease IS NOT NULL")
                .await
                == 0
        })
        .await;
        assert_eq!(
            bench
                .of(document, "status, process_status, error_code")
                .await,
            expected,
            "{wish}"
        );
        let left = "SELECT (SELECT count(*) FROM chunk) + (SELECT count(*) FROM document_page)";
        assert_eq!(bench.database.count(left).await, 0, "{wish}");
        tree.drain(Duration::from_secs(5)).await;
    }
}

/// A result that comes in the same moment is dropped: what was cancelled stays so.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_comes_too_late_is_dropped() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let document = bench.add(tenant, "x", "page a\nhold", 0).await;
    let tree = bench.start(1).await;
    bench.wait_reading(1).await;
    bench
        .database
        .run("UPDATE documents SET status = 'failed' WHERE status = 'processing'")
        .await;
    bench.script.gate.add_permits(1);
    wait_until("the row is free", async || {
        bench.of(document, "process_lease IS NULL").await == "t"
    })
    .await;
    assert_eq!(
        bench.of(document, "status, error_code").await,
        "failed|stopped"
    );
    assert_eq!(bench.database.count("SELECT count(*) FROM chunk").await, 0);
    // And it can be asked for again.
    bench
        .database
        .run("UPDATE documents SET status = 'queued'")
        .await;
    bench.script.gate.add_permits(1);
    bench.settled().await;
    assert_eq!(bench.of(document, "status, error_code").await, "ready|");
    tree.drain(Duration::from_secs(5)).await;
}

/// A child that spins and hears nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_spinning_child_is_killed_when_its_document_is_cancelled() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let document = bench.add(tenant, "x", "whatever", 0).await;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("spins");
    std::fs::write(&program, "#!/bin/sh\nwhile :; do :; done\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let tree = bench.start_with(Arc::new(Reader::by(&program)), 1).await;
    let name = program.to_str().unwrap().to_owned();
    wait_until("it spins", async || running(&name) == 1).await;
    bench
        .database
        .run("UPDATE documents SET status = 'cancelled'")
        .await;
    let wished = Instant::now();
    wait_until("it is gone", async || running(&name) == 0).await;
    assert!(wished.elapsed() < SOON, "{:?}", wished.elapsed());
    wait_until("the row is free", async || {
        bench.of(document, "status, process_lease IS NULL").await == "cancelled|t"
    })
    .await;
    tree.drain(Duration::from_secs(5)).await;
}

/// Processes that have this text among their arguments.
fn running(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&arguments).contains(text)
        })
        .count()
}
