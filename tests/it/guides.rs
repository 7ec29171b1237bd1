//! The operators' interface: every query and check of their monitoring guide, unchanged, answers truly.

use gleaner::config::Config;

use crate::support::{TestApp, TestDatabase, wait_until};

const DEEP_SCAN_STATUS: &str = "
-- Check processing status
SELECT\x20
    deep_scan_status,
    COUNT(*) as count
FROM place
GROUP BY deep_scan_status
ORDER BY count DESC;";

const DEEP_SCAN_RECENT: &str = "
-- Check recent activity
SELECT\x20
    id,
    place_id,
    deep_scan_status,
    updated_at
FROM place
WHERE updated_at > NOW() - INTERVAL '1 hour'
ORDER BY updated_at DESC
LIMIT 20;";

const DEEP_SCAN_DUPLICATES: &str = "
-- Check for duplicates (should be 0)
SELECT\x20
    place_id,
    COUNT(*) as duplicate_count
FROM local_business
GROUP BY place_id
HAVING COUNT(*) > 1;";

const EXTRACTION_STATUS: &str = "
-- Check processing status
SELECT\x20
    domain_extraction_status,
    COUNT(*) as count
FROM local_business
GROUP BY domain_extraction_status
ORDER BY count DESC;";

const EXTRACTION_RECENT: &str = "
-- Check recent activity
SELECT\x20
    id,
    name,
    website,
    domain_extraction_status,
    updated_at
FROM local_business
WHERE updated_at > NOW() - INTERVAL '1 hour'
ORDER BY updated_at DESC
LIMIT 20;";

const DOMAINS_CREATED: &str = "
-- Check domains created
SELECT\x20
    COUNT(*) as domains_created_last_hour
FROM domain
WHERE created_at > NOW() - INTERVAL '1 hour';";

const DUPLICATE_PROCESSING: &str = "
-- Check for duplicate processing
SELECT\x20
    place_id,
    COUNT(*) as process_count
FROM local_business
GROUP BY place_id
HAVING COUNT(*) > 1;";

const ERRORS: &str = "
-- Check error details
SELECT\x20
    deep_scan_error,
    COUNT(*) as error_count
FROM place
WHERE deep_scan_status = 'Error'
GROUP BY deep_scan_error
ORDER BY error_count DESC;";

/// Rows in every state, some untouched for hours.
const SEED: &str = "
    INSERT INTO place (place_id, deep_scan_status, deep_scan_error, updated_at) VALUES
        ('a', 'Completed', NULL, now() - interval '3 hours'), ('b', 'Completed', NULL, now() - interval '59 minutes'),
        ('c', 'Completed', NULL, now() - interval '2 minutes'), ('d', 'Error', 'http: 403', now() - interval '4 minutes'),
        ('e', 'Error', 'http: 403', now() - interval '5 hours'), ('f', 'Error', 'timeout: no result within 40s', now() - interval '3 minutes'),
        ('g', 'Queued', NULL, now() - interval '61 minutes');
    INSERT INTO domain (domain, registrable_domain, created_at) VALUES
        ('old.example', 'old.example', now() - interval '2 hours'), ('new.example', 'new.example', now() - interval '5 minutes'),
        ('newer.example', 'newer.example', now());
    INSERT INTO local_business (place_id, name, website, domain_extraction_status, updated_at) VALUES
        ('a', 'A', 'https://new.example/', 'Completed', now() - interval '10 minutes'),
        ('b', 'B', NULL, 'Filtered', now() - interval '5 minutes'),
        ('c', 'C', 'https://old.example', 'Completed', now() - interval '2 days')";

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_guide_runs_unchanged_and_tells_the_truth() {
    let database = TestDatabase::new().await;
    database.run(SEED).await;
    let recent = database.rows(DEEP_SCAN_RECENT).await;
    let recent: Vec<String> = recent
        .iter()
        .map(|row| row.split('|').skip(1).take(2).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(recent, ["c|Completed", "f|Error", "d|Error", "b|Completed"]);
    let extracted = database.rows(EXTRACTION_RECENT).await;
    let extracted: Vec<String> = extracted
        .iter()
        .map(|row| row.split('|').skip(1).take(3).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(
        extracted,
        ["B||Filtered", "A|https://new.example/|Completed"]
    );
    let mut statuses = database.rows(DEEP_SCAN_STATUS).await;
    statuses.sort();
    assert_eq!(statuses, ["Completed|3", "Error|3", "Queued|1"]);
    for (sql, expected) in [
        (EXTRACTION_STATUS, &["Completed|2", "Filtered|1"][..]),
        (DOMAINS_CREATED, &["2"]),
        (ERRORS, &["http: 403|2", "timeout: no result within 40s|1"]),
        (DEEP_SCAN_DUPLICATES, &[]),
        (DUPLICATE_PROCESSING, &[]),
    ] {
        assert_eq!(database.rows(sql).await, expected, "{sql}");
    }
}

/// The same against rows that the program itself has worked.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_program_works_shows_in_the_guide_s_queries() {
    let database = TestDatabase::new().await;
    database
        .run(
            "INSERT INTO local_business (place_id, name, website, updated_at) VALUES
             ('a', 'A', 'https://www.one-example.com/', now() - interval '2 hours'), ('b', 'B', NULL, now() - interval '2 hours'),
             ('c', 'C', 'http://one-example.com/shop', now() - interval '2 hours')",
        )
        .await;
    assert_eq!(database.rows(EXTRACTION_RECENT).await.len(), 0);
    let app = TestApp::start_on(database, only_extraction).await;
    app.database
        .run("UPDATE local_business SET domain_extraction_status = 'Queued'")
        .await;
    app.wait_settled("local_business", "domain_extraction")
        .await;
    assert_eq!(
        app.database.rows(EXTRACTION_STATUS).await,
        ["Completed|2", "Filtered|1"]
    );
    assert_eq!(app.database.rows(EXTRACTION_RECENT).await.len(), 3);
    assert_eq!(app.database.rows(DOMAINS_CREATED).await, ["1"]);
    app.stop().await;
}

fn only_extraction(config: &mut Config) {
    config
        .workflows
        .keep_only(&["domain-extraction".to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_answers_exactly_what_the_guide_expects() {
    let app = TestApp::start_on(TestDatabase::new().await, |_| ()).await;
    let response = get(&app.http("/health")).await;
    assert_eq!(response.0, 200);
    assert_eq!(response.1, r#"{"status":"ok"}"#);
    assert_eq!(get(&app.http("/health/live")).await.0, 200);
    wait_until("it is ready", async || {
        get(&app.http("/health/ready")).await.0 == 200
    })
    .await;
    // All six of the guide's schedulers, and the guide's own words for what they work on.
    let (status, body) = get(&app.http("/api/v1/status")).await;
    assert_eq!(status, 200);
    for name in gleaner::areas::workflows()
        .iter()
        .map(|workflow| workflow.name)
    {
        assert!(body.contains(&format!("\"{name}\"")), "{name}: {body}");
    }
    app.stop().await;
}

async fn get(url: &str) -> (u16, String) {
    crate::support::http::get(url).await
}
