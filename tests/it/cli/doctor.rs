//! `doctor`: each check against a real database, whole and spoilt.

use serde_json::Value;

use super::gleaner;
use crate::support::TestDatabase;

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    match checks.iter().find(|check| check["name"] == name) {
        Some(check) => check,
        None => panic!("no check {name} in {report}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_database_is_well() {
    let database = TestDatabase::new().await;
    let ran = gleaner(Some(&database), &["doctor", "--json"]);
    let report = ran.json();
    // The one thing that is the server's: a throw-away one may do without.
    let is_on = database.rows("SHOW autovacuum").await == ["on"];
    assert_eq!(
        check(&report, "autovacuum")["outcome"],
        if is_on { "ok" } else { "fail" }
    );
    assert_eq!(
        (ran.code == 0, &report["healthy"]),
        (is_on, &Value::Bool(is_on)),
        "{ran:?}"
    );
    for name in [
        "database",
        "writable",
        "clock",
        "pooler",
        "migrations",
        "schema",
        "workflows",
        "rows in hand",
        "history",
    ] {
        assert_eq!(check(&report, name)["outcome"], "ok", "{report}");
    }
    assert_eq!(check(&report, "deep-scan key")["outcome"], "ok", "{report}");
    assert_eq!(check(&report, "processes")["outcome"], "warn", "{report}");
    let ran = gleaner(Some(&database), &["doctor"]);
    assert!(ran.stdout.contains("ok    schema"), "{ran:?}");
    assert!(ran.stdout.contains("-> start `gleaner run`"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_spoilt_is_found() {
    let database = TestDatabase::new().await;
    database
        .run(
            "DROP INDEX place_deep_scan_held_idx; ALTER TABLE page DISABLE TRIGGER gleaner_2_curation_update; \
             DROP TRIGGER gleaner_1_curation_insert ON page; ALTER TABLE contact SET (autovacuum_enabled = false); \
             INSERT INTO place (place_id, deep_scan_status) VALUES ('a', 'Processing'), ('b', 'Queued'); \
             UPDATE place SET deep_scan_status = 'Processing', deep_scan_lease = 77 WHERE place_id = 'b'; \
             INSERT INTO node (host, pid, version, status) VALUES ('h', 1, '0.0.9', \
                '{\"workflows\": [{\"name\": \"deep-scan\", \"state\": \"parked\", \"reason\": \"no key\"}]}')",
        )
        .await;
    let other = database.client().await;
    other.batch_execute("BEGIN").await.unwrap();
    let ran = gleaner(Some(&database), &["doctor", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let report = ran.json();
    assert_eq!(report["healthy"], false);
    assert_eq!(
        check(&report, "schema")["found"],
        "lacking: enabled trigger gleaner_1_curation_insert on page; enabled trigger gleaner_2_curation_update on page; \
         valid index place_deep_scan_held_idx"
    );
    for (name, outcome, text) in [
        ("schema", "fail", "lacking"),
        ("autovacuum", "fail", "switched off"),
        ("workflows", "fail", "deep-scan parked on node 1: no key"),
        ("rows in hand", "warn", "1 of place/deep_scan"),
        ("processes", "ok", "version 0.0.9"),
        // A second of idling in a transaction is nobody's fault.
        ("transactions", "ok", "none is long"),
    ] {
        let check = check(&report, name);
        assert_eq!(check["outcome"], outcome, "{check}");
        assert!(check["found"].as_str().unwrap().contains(text), "{check}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_worked_is_told() {
    let database = TestDatabase::empty().await;
    let ran = gleaner(Some(&database), &["doctor"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("FAIL  migrations"), "{ran:?}");
    let ran = gleaner(
        None,
        &[
            "doctor",
            "--json",
            "--database-url",
            "postgres://127.0.0.1:1/x",
        ],
    );
    assert_eq!(ran.code, 1);
    assert_eq!(check(&ran.json(), "database")["outcome"], "fail");
    assert_eq!(gleaner(None, &["doctor"]).code, 2);
}
