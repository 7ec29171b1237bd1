//! `doctor`: each check against a real database, whole and spoilt.

use serde_json::Value;

use super::{Ran, gleaner};
use crate::support::{TestDatabase, TestRedis};

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
        "row versions",
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

/// `doctor` with the Redis at this URL.
fn doctor_of_redis(url: &str) -> Ran {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("[redis]\nurl = \"{url}\"\n")).expect("written");
    let file = file.path().to_str().expect("a plain path");
    let nowhere = "postgres://127.0.0.1:1/x";
    let arguments = ["doctor", "--json", "--config", file];
    gleaner(
        None,
        &[&arguments[..], &["--database-url", nowhere]].concat(),
    )
}

/// What may cost us entries is told of real servers, and so is that it could not be looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_is_found() {
    for (settings, outcome, texts) in [
        (
            &["--maxmemory-policy", "allkeys-lru"][..],
            "warn",
            &[
                "maxmemory-policy allkeys-lru",
                "neither appendonly nor save",
            ][..],
        ),
        (
            &["--maxmemory-policy", "noeviction"],
            "warn",
            &["neither appendonly nor save"],
        ),
        (&["--appendonly", "yes"], "ok", &["Redis "]),
        (&["--save", "3600 1"], "ok", &["Redis "]),
    ] {
        let Some(redis) = TestRedis::start_with(settings).await else {
            return;
        };
        let report = doctor_of_redis(&redis.url()).json();
        let check = check(&report, "redis");
        assert_eq!(check["outcome"], outcome, "{settings:?}: {check}");
        let found = check["found"].as_str().unwrap();
        assert!(texts.iter().all(|text| found.contains(text)), "{check}");
        let is_told = |text: &str| found.contains(text);
        assert_eq!(is_told("may evict"), texts.len() == 2, "{check}");
        if !settings.contains(&"noeviction") {
            continue;
        }
        for (user, commands, silent) in [
            ("c", "-config", &["could not look whether it keeps"][..]),
            (
                "i",
                "-config -info",
                &[
                    "could not look whether it keeps",
                    "could not look whether it may evict",
                ],
            ),
        ] {
            let rule = format!("ACL SETUSER {user} on >secret ~* &* +@all {commands}");
            assert_eq!(redis.run(&rule).await, "OK");
            let url = format!("redis://{user}:secret@{}", redis.address());
            let report = doctor_of_redis(&url).json();
            let check = self::check(&report, "redis");
            assert_eq!(check["outcome"], "warn", "{check}");
            let found = check["found"].as_str().unwrap();
            assert!(silent.iter().all(|text| found.contains(text)), "{check}");
            assert!(!found.contains("neither"), "{check}");
            assert!(!found.contains("secret"), "{check}");
        }
        let url = format!("redis://c:wrong@{}", redis.address());
        let report = doctor_of_redis(&url).json();
        let found = self::check(&report, "redis")["found"].to_string();
        assert!(found.contains("WRONGPASS"), "{found}");
    }
}
