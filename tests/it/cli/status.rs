//! `status` and `workflows`: what they say of a database that is missing, empty, at work and in trouble.

use super::gleaner;
use crate::support::TestDatabase;

/// A process that is up, with one workflow in this state.
fn node(state: &str) -> String {
    format!(
        "INSERT INTO node (host, pid, version, status) VALUES ('h', 1, '0.1.0', \
         '{{\"workflows\": [{{\"name\": \"deep-scan\", \"state\": \"{state}\", \"reason\": \"no key\"}}]}}'); \
         INSERT INTO lease (node_id, workflow, expires_at) SELECT max(id), 'x', now() + interval '1 hour' FROM node"
    )
}

#[test]
fn an_unreachable_database_is_told() {
    let ran = gleaner(
        None,
        &[
            "status",
            "--json",
            "--database-url",
            "postgres://127.0.0.1:1/x",
        ],
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    let report = ran.json();
    assert_eq!(report["healthy"], false);
    let problem = report["problems"][0].as_str().unwrap();
    assert!(
        problem.starts_with("cannot connect to the database at 127.0.0.1:1/x"),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_migrations_is_told() {
    let database = TestDatabase::empty().await;
    let ran = gleaner(Some(&database), &["status"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("run `gleaner migrate`"), "{ran:?}");
    for arguments in [&["workflows", "list"][..], &["items", "list", "deep-scan"]] {
        let ran = gleaner(Some(&database), arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("lacks migrations"), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_counted_and_trouble_is_named() {
    let database = TestDatabase::new().await;
    let ran = gleaner(Some(&database), &["status"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("no process is running"), "{ran:?}");

    database.run(&node("waiting")).await;
    database
        .run(
            "INSERT INTO place (place_id, deep_scan_status) SELECT n::text, \
             CASE WHEN n <= 3 THEN 'Queued' WHEN n <= 5 THEN 'Error' WHEN n <= 6 THEN 'Completed' END \
             FROM generate_series(1, 9) AS n; \
             INSERT INTO attempt (item_id, attempt, stage, outcome) VALUES (6, 1, 'place/deep_scan', 'completed')",
        )
        .await;
    let ran = gleaner(Some(&database), &["status", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    assert_eq!(report["healthy"], true);
    let scan = &report["workflows"][0];
    assert_eq!(scan["name"], "deep-scan");
    for (status, rows) in [
        ("Queued", 3),
        ("Error", 2),
        ("Completed", 1),
        ("None", 3),
        ("Filtered", 0),
    ] {
        assert_eq!(scan["counts"][status], rows, "{status}");
    }
    assert_eq!(scan["due"], 3);
    assert!(scan["last_completion_seconds"].as_f64().unwrap() < 60.0);
    assert_eq!(scan["nodes"][0]["state"], "waiting");

    // Rows that wait for longer than stall_after, and nothing is completed.
    database
        .run(
            "DELETE FROM attempt; UPDATE place SET deep_scan_due_at = now() - interval '1 hour' \
             WHERE deep_scan_status = 'Queued'",
        )
        .await;
    let ran = gleaner(Some(&database), &["status"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout
            .contains("problem: deep-scan: 3 rows are due, the oldest for 1h"),
        "{ran:?}"
    );

    // Paused is a wish, parked is not.
    assert_eq!(
        gleaner(Some(&database), &["workflows", "pause", "deep-scan"]).code,
        0
    );
    assert_eq!(gleaner(Some(&database), &["status"]).code, 0);
    database.run("DELETE FROM node").await;
    database.run(&node("parked")).await;
    let ran = gleaner(Some(&database), &["status"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.contains("deep-scan is parked on node"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("no key"), "{ran:?}");

    // Without its key it is a problem only as long as rows wait for it.
    database.run("DELETE FROM node").await;
    database.run(&node("idle")).await;
    let ran = gleaner(Some(&database), &["status"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout
            .contains("problem: deep-scan cannot start on node")
            && ran.stdout.contains("rows queued: 3: no key"),
        "{ran:?}"
    );
    database
        .run("UPDATE place SET deep_scan_status = NULL WHERE deep_scan_status = 'Queued'")
        .await;
    let ran = gleaner(Some(&database), &["status"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("deep-scan is idle: no key"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_rows() {
    let database = TestDatabase::new().await;
    let ran = gleaner(
        Some(&database),
        &["workflows", "pause", "deep-scan", "page-curation", "--json"],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["workflows"][1], "page-curation");
    // Nothing is done when one of several names is wrong.
    assert_eq!(
        gleaner(
            Some(&database),
            &["workflows", "resume", "deep-scan", "nix"]
        )
        .code,
        2
    );
    // Nor when the database refuses one.
    database
        .run(
            "ALTER TABLE workflow_control ADD CONSTRAINT workflow_control_test_check \
             CHECK (workflow <> 'sitemap-import') NOT VALID",
        )
        .await;
    for action in ["pause", "run-now", "unpark"] {
        let names = ["workflows", action, "auto-record", "sitemap-import"];
        assert_ne!(gleaner(Some(&database), &names).code, 0);
    }
    let asked = "SELECT count(*) FROM workflow_control WHERE workflow = 'auto-record'";
    assert_eq!(database.count(asked).await, 0);
    database
        .run("ALTER TABLE workflow_control DROP CONSTRAINT workflow_control_test_check")
        .await;
    // Named twice, asked once; a line for each.
    let names = ["deep-scan", "page-curation", "deep-scan"];
    let ran = gleaner(
        Some(&database),
        &[&["workflows", "pause"][..], &names].concat(),
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>(),
        [
            "pause deep-scan: asked of 0 running processes",
            "pause page-curation: asked of 0 running processes"
        ]
    );
    let paused = "SELECT workflow FROM workflow_control WHERE paused ORDER BY 1";
    assert_eq!(database.rows(paused).await, ["deep-scan", "page-curation"]);
    assert_eq!(
        gleaner(Some(&database), &["workflows", "resume", "--all"]).code,
        0
    );
    assert_eq!(database.rows(paused).await, Vec::<String>::new());

    for (action, column) in [
        ("run-now", "run_requested_at"),
        ("unpark", "unpark_requested_at"),
    ] {
        let ran = gleaner(Some(&database), &["workflows", action, "sitemap-import"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("no process is running"), "{ran:?}");
        let asked = format!("SELECT workflow FROM workflow_control WHERE {column} IS NOT NULL");
        assert_eq!(database.rows(&asked).await, ["sitemap-import"]);
    }
    let list = gleaner(Some(&database), &["workflows", "list", "--json"]).json();
    assert_eq!(
        list["workflows"].as_array().unwrap().len(),
        ::gleaner::areas::workflows().len()
    );
    assert_eq!(list["workflows"][0]["stage"], "place/deep_scan");
}

#[tokio::test(flavor = "multi_thread")]
async fn sitemaps_that_a_budget_ended_are_told() {
    let database = TestDatabase::new().await;
    database.run(&node("waiting")).await;
    let ran = gleaner(Some(&database), &["status"]);
    assert!(!ran.stdout.contains("sitemaps"), "{ran:?}");
    database
        .run(
            "INSERT INTO domain (domain, registrable_domain) VALUES ('shop.example', 'shop.example');
             INSERT INTO sitemap_file (id, domain_id, url, stopped_by) OVERRIDING SYSTEM VALUE
                SELECT 7, id, 'https://shop.example/sitemap.xml', 'root_files' FROM domain;
             INSERT INTO sitemap_budget (registrable_domain, root_id, files, pages, bytes, hosts, ended_by, ended_at)
                VALUES ('shop.example', 7, 500, 1200, 34567, '{shop.example}', 'files', now());
             INSERT INTO sitemap_budget (registrable_domain, files, ended_by, ended_at)
                SELECT 'trap-' || n || '.example', n, 'files', now() - interval '1 hour' FROM generate_series(1, 11) AS n",
        )
        .await;
    let ran = gleaner(Some(&database), &["status"]);
    assert_eq!(ran.code, 0, "a trap is no trouble of ours: {ran:?}");
    assert!(
        ran.stdout.contains(
            "sitemaps of shop.example: files of the root ended the budget after 500 files, 1200 pages, 34567 bytes, 1 hosts"
        ) && ran.stdout.contains("sitemaps: 9 more budgets have ended"),
        "{ran:?}"
    );
    let report = gleaner(Some(&database), &["status", "--json"]).json();
    assert_eq!(report["sitemap_budgets_ended_count"], 12);
    assert_eq!(
        report["sitemap_budgets_ended"][0]["root"],
        "https://shop.example/sitemap.xml"
    );
    let ran = gleaner(Some(&database), &["items", "show", "sitemap-import", "7"]);
    assert!(
        ran.stdout.contains("stopped_by") && ran.stdout.contains("root_files"),
        "{ran:?}"
    );
}
