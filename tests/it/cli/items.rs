//! `items`: filters, and changes that are safe for rows in hand.

use super::{Ran, gleaner};
use crate::support::TestDatabase;

/// Pages of two domains in every status; page 6 is in a worker's hand, page 7 in other software's.
const PAGES: &str = "
    INSERT INTO domain (domain, registrable_domain)
    VALUES ('example.com', 'example.com'), ('blog.example.com', 'example.com'), ('example.org', 'example.org');
    INSERT INTO page (domain_id, url, curation_status, curation_error, status)
    VALUES (1, 'https://example.com/1', 'Error', 'http: 503', 'Archived'),
           (1, 'https://example.com/Contact', 'Error', 'TIMEOUT: 100% \\_', 'New'),
           (2, 'https://blog.example.com/3', 'Error', 'http: 404', 'Maybe'),
           (3, 'https://example.org/4', 'Completed', NULL, 'New'),
           (3, 'https://example.org/5', 'Queued', NULL, 'New'),
           (3, 'https://example.org/6', 'Queued', NULL, 'New'),
           (3, 'https://example.org/7', 'Processing', NULL, 'New'),
           (3, 'https://example.org/8', NULL, NULL, 'New');
    INSERT INTO node (host, pid, version) VALUES ('h', 1, '0.1.0');
    INSERT INTO lease (node_id, workflow, expires_at) VALUES (1, 'page-curation', now() + interval '1 hour');
    UPDATE page SET curation_status = 'Processing', curation_lease = 1, curation_attempts = 2, curation_due_at = NULL WHERE id = 6;
    UPDATE page SET curation_attempts = 4 WHERE curation_status = 'Error';
    UPDATE page SET curation_due_at = now() + interval '1 hour', curation_attempts = 1, curation_error = 'later' WHERE id = 5;
    INSERT INTO attempt (item_id, elapsed_ms, attempt, stage, outcome, class, message)
    VALUES (1, 20, 1, 'page/curation', 'retried', 'http', 'http: 502'), (1, 30, 2, 'page/curation', 'failed', 'http', 'http: 503'),
           (1, 1, 1, 'domain/metadata', 'completed', NULL, NULL);";

async fn pages() -> TestDatabase {
    let database = TestDatabase::new().await;
    database.run(PAGES).await;
    database
}

fn ids(ran: &Ran) -> Vec<i64> {
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer = ran.json();
    let items = answer["items"].as_array().expect("items");
    assert_eq!(answer["matching"], items.len());
    let mut ids: Vec<i64> = items
        .iter()
        .map(|item| item["id"].as_i64().expect("a key"))
        .collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_find_what_they_say() {
    let database = pages().await;
    for (filter, expected) in [
        (&[][..], vec![1, 2, 3, 4, 5, 6, 7, 8]),
        (&["--status", "error"], vec![1, 2, 3]),
        (&["--status", "Completed,Queued"], vec![4, 5]),
        (&["--status", "none"], vec![8]),
        (&["--id", "3", "--id", "4,99"], vec![3, 4]),
        (&["--error", "HTTP"], vec![1, 3]),
        (&["--error", "100% \\_"], vec![2]),
        (&["--error", "%"], vec![2]),
        (&["--domain", "https://WWW.Example.com/x"], vec![1, 2, 3]),
        (&["--domain", "blog.example.com"], vec![3]),
        (&["--url-contains", "contact"], vec![2]),
        (&["--url-contains", "' OR true --"], vec![]),
        (&["--where-status", "Maybe"], vec![3]),
        (&["--older-than", "1h"], vec![]),
        (
            &[
                "--older-than",
                "0s",
                "--status",
                "Error",
                "--domain",
                "example.com",
                "--error",
                "404",
            ],
            vec![3],
        ),
    ] {
        let mut arguments = vec!["items", "list", "page-curation", "--json"];
        arguments.extend(filter);
        assert_eq!(
            ids(&gleaner(Some(&database), &arguments)),
            expected,
            "{filter:?}"
        );
    }
    let ran = gleaner(
        Some(&database),
        &["items", "list", "page-curation", "--limit", "2"],
    );
    assert!(ran.stdout.ends_with("2 of 8 rows\n"), "{ran:?}");

    let ran = gleaner(
        Some(&database),
        &["items", "list", "deep-scan", "--url-contains", "x"],
    );
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr
            .contains("rows of place have no address to filter by"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_changes_before_yes() {
    let database = pages().await;
    for verb in ["retry", "cancel"] {
        let ran = gleaner(Some(&database), &["items", verb, "page-curation"]);
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains(&format!("{verb} 3 rows")), "{ran:?}");
        assert!(ran.stdout.contains("nothing changed"), "{ran:?}");
    }
    let changed = "SELECT count(*) FROM page WHERE curation_status = 'Cancelled' OR (id <= 3 AND curation_status <> 'Error')";
    assert_eq!(database.count(changed).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_makes_rows_fresh_and_leaves_those_in_hand_in_hand() {
    let database = pages().await;
    let ran = gleaner(
        Some(&database),
        &[
            "items",
            "retry",
            "page-curation",
            "--yes",
            "--json",
            "--limit",
            "2",
        ],
    );
    assert_eq!(ran.json()["changed"], 2, "{ran:?}");
    let state = "SELECT id, curation_status, curation_attempts, curation_lease, curation_error, \
        curation_due_at <= now() FROM page WHERE id <> 4 AND id <> 8 ORDER BY id";
    let rows = database.rows(state).await;
    assert_eq!(
        rows[..3],
        ["1|Queued|0|||t", "2|Queued|0|||t", "3|Error|4||http: 404|"]
    );

    let ran = gleaner(
        Some(&database),
        &[
            "items",
            "retry",
            "page-curation",
            "--status",
            "Queued,Processing,Error",
            "-y",
            "--json",
        ],
    );
    assert_eq!(ran.json()["changed"], 6, "{ran:?}");
    let rows = database.rows(state).await;
    assert_eq!(
        rows,
        [
            "1|Queued|0|||t",
            "2|Queued|0|||t",
            "3|Queued|0|||t",
            // Waited for its next attempt: due now.
            "5|Queued|0|||t",
            // In hand: stays so, and is to run again after.
            "6|Processing|2|1||t",
            // Other software's: nobody works it.
            "7|Queued|0|||t",
        ]
    );
    // By its key any row may be asked for again.
    let ran = gleaner(
        Some(&database),
        &[
            "items",
            "retry",
            "page-curation",
            "--id",
            "4,8",
            "--yes",
            "--json",
        ],
    );
    assert_eq!(ran.json()["changed"], 2, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_calls_off_what_waits_and_what_runs() {
    let database = pages().await;
    let ran = gleaner(
        Some(&database),
        &[
            "items",
            "cancel",
            "page-curation",
            "--domain",
            "example.org",
            "--yes",
            "--json",
        ],
    );
    assert_eq!(ran.json()["changed"], 3, "{ran:?}");
    assert_eq!(
        database
            .rows("SELECT id, curation_lease FROM page WHERE curation_status = 'Cancelled' ORDER BY id")
            .await,
        // The lease stays until the worker comes back with a result that is dropped.
        ["5|", "6|1", "7|"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_changed_in_chunks() {
    let database = TestDatabase::new().await;
    database
        .run("INSERT INTO place (place_id, deep_scan_status) SELECT n::text, 'Error' FROM generate_series(1, 12001) AS n")
        .await;
    let retry = &["items", "retry", "deep-scan", "--yes", "--json"][..];
    let some = gleaner(Some(&database), &[retry, &["--limit", "5001"]].concat());
    assert_eq!(some.json()["changed"], 5_001, "{some:?}");
    let rest = gleaner(Some(&database), retry);
    assert_eq!(rest.json()["changed"], 7_000, "{rest:?}");
    assert_eq!(
        database
            .count("SELECT count(*) FROM place WHERE deep_scan_status = 'Queued'")
            .await,
        12_001
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_shown_with_its_history() {
    let database = pages().await;
    let answer = gleaner(
        Some(&database),
        &["items", "show", "page-curation", "1", "--json"],
    )
    .json();
    assert_eq!(answer["row"]["curation_error"], "http: 503");
    let attempts = answer["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    let ran = gleaner(Some(&database), &["items", "show", "page-curation", "6"]);
    assert!(
        ran.stdout.contains("in hand of node 1@h, for 59m"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("no attempts"), "{ran:?}");
    let ran = gleaner(Some(&database), &["items", "show", "page-curation", "99"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("page has no row 99"), "{ran:?}");
}
