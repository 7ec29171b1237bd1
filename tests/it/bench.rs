//! `gleaner bench`, small, through the binary: whether its figures are there and make sense, not how good they are.

use std::process::Command;

use serde_json::Value;

use crate::support::TestDatabase;

/// Runs `gleaner bench` in a database of its own; its last line, once the database is as empty as before.
async fn bench(arguments: &[&str]) -> Value {
    let database = TestDatabase::empty().await;
    let output = Command::new(env!("CARGO_BIN_EXE_gleaner"))
        .arg("bench")
        .args(arguments)
        .args(["--json", "--database-url", database.url()])
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");

    let left = database
        .count(
            "SELECT count(*) FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace \
             WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')",
        )
        .await;
    assert_eq!(left, 0, "tables left behind");
    let printed = String::from_utf8(output.stdout).expect("text");
    let last = printed.lines().last().expect("a line");
    serde_json::from_str(last).expect("a JSON object on the last line")
}

fn number(result: &Value, field: &str) -> f64 {
    result[field]
        .as_f64()
        .unwrap_or_else(|| panic!("{field} in {result}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_tells_speed_and_cost() {
    let result = bench(&["drain", "--rows", "1000", "--batch", "100", "--rounds", "1"]).await;
    assert!(number(&result, "rows_per_second") > 10.0, "{result}");
    assert!(
        number(&result, "ceiling_rows_per_second") > 10.0,
        "{result}"
    );
    let share = number(&result, "ceiling_share");
    assert!(share > 0.0 && share < 3.0, "{result}");
    let wal = number(&result, "wal_bytes_per_row");
    assert!(wal > 100.0, "{result}");
    // Two versions per row, by the claim and by the settle, and a few of leases and nodes.
    let dead = number(&result, "dead_versions_per_row");
    assert!((2.0..2.1).contains(&dead), "{result}");
    assert!(result["fsync"].is_string(), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wake_tells_times_in_order() {
    let result = bench(&["wake", "--rate", "50", "--seconds", "2"]).await;
    let times: Vec<f64> = ["p50_ms", "p95_ms", "p99_ms", "max_ms"]
        .iter()
        .map(|field| number(&result, field))
        .collect();
    assert!(times[0] > 0.0 && times.is_sorted(), "{result}");
    assert!(number(&result, "rows") > 20.0, "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn claim_tells_every_size() {
    let result = bench(&["claim", "--queued", "500,2000"]).await;
    let claims = result["claims"].as_array().expect("a list");
    assert_eq!(claims.len(), 2, "{result}");
    assert!(claims.iter().all(|size| number(size, "p50_ms") > 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_hands_every_job_out_once() {
    for more in [&[][..], &["--paced"]] {
        let mut arguments = vec!["pull", "--jobs", "500", "--sites", "50", "--bots", "4"];
        arguments.extend(more);
        let result = bench(&arguments).await;
        assert!(number(&result, "pulls_per_second") > 1.0, "{result}");
        assert_eq!(result["jobs"], 500, "{result}");
        assert_eq!(result["handed_out_twice"], 0, "{result}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schedule_queues_what_is_due() {
    let result = bench(&[
        "schedule", "--urls", "1000", "--sites", "10", "--rounds", "2",
    ])
    .await;
    for times in [
        ["nothing_due_ms", "nothing_due_slowest_ms"],
        ["few_due_ms", "few_due_slowest_ms"],
    ] {
        let [middle, slowest] = times.map(|field| number(&result, field));
        assert!(0.0 < middle && middle <= slowest, "{result}");
    }
    // Two rounds of one in a hundred, and then the rest.
    assert_eq!(result["few_due"], 10, "{result}");
    assert_eq!(result["all_due"], 980, "{result}");
    assert!(number(&result, "resident_before_bytes") > 1e6, "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_tells_queries_and_memory() {
    let result = bench(&["idle", "--seconds", "3"]).await;
    assert!(
        number(&result, "queries_per_second_per_workflow") < 5.0,
        "{result}"
    );
    let memory = number(&result, "resident_bytes");
    assert!(memory > 1e6 && memory < 1e9, "{result}");
}

/// Fifty thousand addresses, the most of one sitemap, take no more memory than is promised.
#[tokio::test(flavor = "multi_thread")]
async fn sitemap_tells_speed_and_stays_within_its_memory() {
    let result = bench(&["sitemap", "--urls", "50000"]).await;
    assert!(number(&result, "urls_per_second") > 100.0, "{result}");
    let growth = number(&result, "growth_bytes");
    assert!(
        1e6 < growth && growth <= number(&result, "growth_aim_bytes"),
        "{result}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn record_tells_speed_and_share() {
    let Some(redis) = crate::support::TestRedis::start().await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("gleaner.toml");
    std::fs::write(&file, format!("[redis]\nurl = \"{}\"\n", redis.url())).expect("a file");
    let result = bench(&[
        "record",
        "--config",
        file.to_str().expect("text"),
        "--results",
        "1000",
        "--batch",
        "100",
        "--rounds",
        "1",
    ])
    .await;
    assert!(number(&result, "results_per_second") > 10.0, "{result}");
    let share = number(&result, "ceiling_share");
    assert!(share > 0.0 && share < 3.0, "{result}");
    let (half, most) = (
        number(&result, "enqueue_p50_ms"),
        number(&result, "enqueue_p99_ms"),
    );
    assert!(0.0 < half && half <= most, "{result}");
    assert_eq!(redis.run("DBSIZE").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn search_tells_times_among_another_tenants_pieces() {
    let few = ["--pieces", "300", "--others", "2", "--other-words", "10"];
    let result = bench(&[&["search"][..], &few].concat()).await;
    assert_eq!(result["others"], 600, "{result}");
    assert_eq!(result["other_words"], 10, "{result}");
    for field in [
        "p95_ms",
        "with_others_cold_p95_ms",
        "with_others_p95_ms",
        "pieces_bytes",
    ] {
        assert!(number(&result, field) > 0.0, "{result}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_tells_when_large_ones_are_ready_and_how_fast_the_api_answers() {
    let Some(pdfium) = crate::documents::child::pdfium() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("gleaner.toml");
    let section = "[workflows.document-processing.options]";
    std::fs::write(&file, format!("{section}\npdfium = {pdfium:?}\n")).expect("a file");
    let config = ["--config", file.to_str().expect("text")];
    let small = ["--alone", "1", "--large", "1", "--users", "3"];
    let result = bench(&[&["documents"][..], &config, &small].concat()).await;
    assert!(number(&result, "child_overhead_ms") > 0.0, "{result}");
    let pdf = &result["pdfs"][0];
    assert!(number(pdf, "bytes") >= 1e6, "{result}");
    assert!(number(pdf, "pages") > 10.0, "{result}");
    assert!(number(pdf, "seconds") > 0.0, "{result}");
    assert_eq!(result["api_failed"], 0, "{result}");
    // Each of them asks once a second, for ten seconds at least.
    assert!(number(&result, "api_requests") > 3.0, "{result}");
    assert!(number(&result, "api_p95_ms") > 0.0, "{result}");
}
