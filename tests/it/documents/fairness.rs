//! Shares: a tenant with thousands of documents does not hold up a tenant with one.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gleaner::documents::processing::DocumentProcessing;
use gleaner::store::lease;
use gleaner::store::node;
use gleaner::workflow::Workflow as _;

use super::bench::Bench;
use crate::support::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn one_document_of_another_is_read_before_most_of_a_hundred() {
    let bench = Bench::new().await;
    let (large, small) = (
        bench.tenant("large", 2).await,
        bench.tenant("small", 2).await,
    );
    for number in 0..120 {
        bench
            .add(large, &format!("l{number}"), &format!("page {number}"), 0)
            .await;
    }
    let tree = bench.start(3).await;
    wait_until("the first are read", async || {
        bench.script.began().len() > 10
    })
    .await;
    bench.add(small, "mine", "page mine", 0).await;
    let before = bench.script.began().len();
    bench.settled().await;
    let began = bench.script.began();
    let at = began.iter().position(|name| name == "mine").unwrap();
    assert!(
        at < before + 20,
        "{} others were begun before it",
        at - before
    );
    assert_eq!(began.len(), 121);
    tree.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_has_more_in_hand_than_it_may_and_places_are_filled_all_the_same() {
    let bench = Bench::new().await;
    let (two, three, none) = (
        bench.tenant("two", 2).await,
        bench.tenant("three", 3).await,
        bench.tenant("none", 5).await,
    );
    for number in 0..6 {
        for tenant in [two, three, none] {
            let text = format!("page {number}\nhold");
            bench
                .add(tenant, &format!("{tenant}-{number}"), &text, 0)
                .await;
        }
    }
    bench
        .database
        .run(&format!(
            "UPDATE tenant SET disabled_at = now() WHERE id = {none}"
        ))
        .await;
    let tree = bench.start(8).await;
    bench.wait_reading(5).await;
    let in_hand = "SELECT tenant_id, count(*) FROM documents WHERE process_status = 'Processing' GROUP BY 1 ORDER BY 1";
    let expected = [format!("{two}|2"), format!("{three}|3")];
    assert_eq!(bench.database.rows(in_hand).await, expected);
    // As one is done, the next of the same is begun at once, though no claim was full.
    bench.script.gate.add_permits(1);
    wait_until("another is begun", async || bench.script.began().len() == 6).await;
    assert_eq!(bench.database.rows(in_hand).await, expected);
    bench.script.gate.add_permits(100);
    wait_until("all that may be are done", async || {
        bench
            .database
            .count("SELECT count(*) FROM documents WHERE status = 'ready'")
            .await
            == 12
    })
    .await;
    assert_eq!(bench.script.most.load(Ordering::SeqCst), 5);
    bench
        .database
        .run("UPDATE tenant SET disabled_at = NULL")
        .await;
    bench.settled().await;
    tree.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_documents_leave_one_place_to_the_others() {
    let bench = Bench::new().await;
    for name in ["a", "b", "c", "d"] {
        let tenant = bench.tenant(name, 4).await;
        for number in 0..3 {
            let text = format!("page {name}{number}\nhold");
            bench
                .add(tenant, &format!("large-{name}{number}"), &text, 2)
                .await;
        }
    }
    let tree = bench.start(3).await;
    bench.wait_reading(2).await;
    let tenant = bench.tenant("late", 4).await;
    bench.add(tenant, "small", "page small", 0).await;
    wait_until("the small one is done", async || {
        bench
            .database
            .count("SELECT count(*) FROM documents WHERE filename = 'small' AND status = 'ready'")
            .await
            == 1
    })
    .await;
    assert_eq!(bench.script.reading.load(Ordering::SeqCst), 2);
    bench.script.gate.add_permits(100);
    bench.settled().await;
    tree.drain(Duration::from_secs(5)).await;
}

/// One tenant with 100,000 documents, and 1,999 with ten each.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_costs_the_same_however_many_wait() {
    let bench = Bench::new().await;
    bench
        .database
        .run(
            "INSERT INTO tenant (name) SELECT 'tenant ' || n FROM generate_series(1, 2000) AS n;
             INSERT INTO blob (tenant_id, sha256, bytes, refs) SELECT id, sha256('x'), 1, 1 FROM tenant;
             ALTER TABLE documents DISABLE TRIGGER USER;
             INSERT INTO documents (tenant_id, filename, original_filename, file_size, sha256, process_status, process_due_at)
                 SELECT (SELECT min(id) FROM tenant), 'x', 'x', 1, sha256('x'), 'Queued', now() - interval '1 hour' FROM generate_series(1, 100000);
             INSERT INTO documents (tenant_id, filename, original_filename, file_size, sha256, process_status, process_due_at)
                 SELECT id, 'x', 'x', 1, sha256('x'), 'Queued', now() - interval '1 minute' FROM tenant, generate_series(1, 10)
                 WHERE id > (SELECT min(id) FROM tenant);
             ALTER TABLE documents ENABLE TRIGGER USER;
             ANALYZE documents; ANALYZE tenant",
        )
        .await;
    let mut conn = bench.database.connect().await;
    let node = node::register(&mut conn).await.unwrap();
    let held = lease::open(
        &mut conn,
        node,
        "document-processing",
        Duration::from_secs(600),
    )
    .await
    .unwrap();
    let stage = DocumentProcessing::stage();
    let client = bench.database.client().await;
    let sql = stage.claim_shared_sql().unwrap();
    let mut times = Vec::new();
    for round in 0..20 {
        let explain = format!(
            "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; PREPARE claim{round} (bigint, bigint, float8, bigint) AS {sql};
             EXPLAIN (ANALYZE, TIMING OFF) EXECUTE claim{round} ({}, 4, {}, 3); ROLLBACK",
            held.0,
            f64::from(round) / 20.0
        );
        let lines: Vec<String> = client
            .simple_query(&explain)
            .await
            .unwrap()
            .iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .collect();
        let time = lines
            .iter()
            .find_map(|line| line.strip_prefix("Execution Time: "));
        let time: f64 = time.unwrap().trim_end_matches(" ms").parse().unwrap();
        if round == 19 {
            let plan = lines.join("\n");
            let whole = plan.contains("Seq Scan on documents");
            assert!(!whole, "{plan}");
        }
        times.push(time);
    }
    times.sort_by(f64::total_cmp);
    let median = times[10];
    // Generous, for busy machines; on a quiet one it is a tenth of this.
    assert!(median < 30.0, "{times:?}");

    // Whoever has least comes first: of four claims of four, no tenant has more than its two.
    let mut owners: HashMap<i64, usize> = HashMap::new();
    for _ in 0..4 {
        let claimed = stage.claim_shared(&mut conn, held, 4, 3).await.unwrap();
        assert_eq!(claimed.len(), 4);
        for row in claimed {
            let owner: i64 = bench
                .database
                .scalar(&format!(
                    "SELECT tenant_id FROM documents WHERE id = {}",
                    row.id
                ))
                .await;
            *owners.entry(owner).or_default() += 1;
        }
    }
    assert!(owners.values().all(|held| *held <= 2), "{owners:?}");
    assert!(owners.len() >= 12, "{owners:?}");
}
