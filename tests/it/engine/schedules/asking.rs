//! What operators see and ask: the commands, the API, `check-config` and `doctor`.

use serde_json::Value;

use super::{define, due, fire, schedule};
use crate::cli::{Ran, gleaner};
use crate::support::exchange::exchange;
use crate::support::{TestApp, TestDatabase, wait_until};

/// Runs a command with these schedules in its file.
fn with_file(database: &TestDatabase, schedules: &str, arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gleaner.toml");
    std::fs::write(&file, schedules).unwrap();
    let mut all = vec!["--config", file.to_str().unwrap()];
    all.extend(arguments);
    gleaner(Some(database), &all)
}

const TWO: &str = "[schedules.nightly]\ncron = \"30 3 * * *\"\ntime_zone = \"Europe/Berlin\"\nsql = \"SELECT 1\"\n\
                   [schedules.off]\nenabled = false\nevery = \"1h\"\nsql = \"SELECT 1\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_listed_shown_paused_and_asked_for() {
    let database = TestDatabase::new().await;
    let ran = with_file(&database, TWO, &["schedules", "list"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("30 3 * * * Europe/Berlin")
            && ran.stdout.contains("once a process runs"),
        "{ran:?}"
    );
    let ran = with_file(&database, TWO, &["schedules", "pause", "nightly"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("no process is running"), "{ran:?}");
    // As it becomes known, and after a firing that failed.
    let keys = "cron = \"30 3 * * *\"\ntime_zone = \"Europe/Berlin\"\nsql = \"SELECT 1 / 0\"";
    let own = define("nightly", keys);
    let mut conn = due(&database, &own, 1).await;
    database
        .run("UPDATE schedule_control SET run_requested_at = now()")
        .await;
    fire(&mut conn, &own).await;

    let ran = with_file(&database, TWO, &["schedules", "list", "--json"]);
    let listed = ran.json();
    let nightly = &listed["schedules"][0];
    assert_eq!(
        (
            &nightly["name"],
            &nightly["paused"],
            &nightly["last_outcome"],
            &nightly["next_at"]
        ),
        (
            &"nightly".into(),
            &true.into(),
            &"failed".into(),
            &Value::Null
        ),
        "{ran:?}"
    );
    let by = nightly["paused_by"].as_str().unwrap();
    assert!(by.contains('@') && nightly["paused_at"].is_string(), "{by}");
    assert_eq!(nightly["last_error"], "division by zero [22012]");
    let ran = with_file(&database, TWO, &["schedules", "list"]);
    assert!(ran.stdout.contains("nightly: division by zero"), "{ran:?}");

    let ran = with_file(&database, TWO, &["schedules", "resume", "--all"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = with_file(&database, TWO, &["schedules", "show", "nightly", "--json"]);
    let shown = ran.json();
    assert_eq!(
        shown["upcoming"].as_array().map(Vec::len),
        Some(5),
        "{ran:?}"
    );
    assert_eq!(shown["firings"][0]["cause"], "asked");
    assert_eq!(shown["definition"]["cron"], "30 3 * * *");
    let ran = with_file(&database, TWO, &["schedules", "show", "nightly"]);
    assert_eq!(ran.code, 1, "the last firing failed: {ran:?}");
    assert!(ran.stdout.contains("next times"), "{ran:?}");

    for (arguments, told) in [
        (
            &["schedules", "pause", "nix"][..],
            "no schedule is called \"nix\"; there are nightly",
        ),
        (
            &["schedules", "run-now", "off"],
            "no schedule is called \"off\"",
        ),
    ] {
        let ran = with_file(&database, TWO, arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(told), "{ran:?}");
    }
    let ran = gleaner(Some(&database), &["schedules", "run-now", "nightly"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("nobody would fire it"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_lists_shows_and_takes_requests() {
    let database = TestDatabase::new().await;
    database.run("CREATE TABLE witness (n integer)").await;
    let app = TestApp::start_on(database, |config| {
        config.workflows.keep_only(&[]);
        let keys = "cron = \"0 0 1 1 *\"\nsql = \"INSERT INTO witness VALUES (1)\"";
        config.schedules.set("yearly", schedule(keys));
    })
    .await;
    let address = app.app().http_address().unwrap();
    let get = async |path: &str| exchange(address, &format!("GET {path}"), &[]).await;
    let post = async |path: &str| {
        let request = format!("POST {path}");
        exchange(address, &request, &["X-Requested-By: test"]).await
    };
    wait_until("it is known", async || {
        get("/api/v1/schedules").await.json()["data"]["results"][0]["next_at"].is_string()
    })
    .await;
    let answer = post("/api/v1/schedules/yearly/pause").await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.json()["asked"], "pause");
    let shown = get("/api/v1/schedules/yearly").await.json();
    assert_eq!(shown["data"]["schedule"]["paused_by"], "the API", "{shown}");
    assert_eq!(post("/api/v1/schedules/yearly/run-now").await.status, 202);
    wait_until("it has fired", async || {
        app.database.count("SELECT count(*) FROM witness").await == 1
    })
    .await;
    assert_eq!(post("/api/v1/schedules/yearly/resume").await.status, 202);
    wait_until("the firing is told", async || {
        let shown = get("/api/v1/schedules/yearly").await.json();
        shown["data"]["firings"][0]["outcome"] == "completed"
            && shown["data"]["upcoming"].as_array().map(Vec::len) == Some(5)
            && shown["data"]["schedule"]["paused"] == false
    })
    .await;
    for (request, status, code) in [
        ("GET /api/v1/schedules/nix", 404, "unknown_schedule"),
        ("POST /api/v1/schedules/nix/pause", 404, "unknown_schedule"),
        (
            "POST /api/v1/schedules/yearly/explode",
            404,
            "unknown_action",
        ),
        (
            "GET /api/v1/schedules/yearly/pause",
            405,
            "method_not_allowed",
        ),
        ("GET /api/v1/schedules/%00", 404, "unknown_schedule"),
    ] {
        let answer = exchange(address, request, &["X-Requested-By: test"]).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code),
            "{request}"
        );
    }
    let refused = exchange(address, "POST /api/v1/schedules/yearly/pause", &[]).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let described = get("/api/openapi.json").await.json();
    for path in [
        "/api/v1/schedules",
        "/api/v1/schedules/{name}",
        "/api/v1/schedules/{name}/{action}",
    ] {
        assert!(described["paths"][path].is_object(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_schedule_is_told_before_it_fires() {
    let database = TestDatabase::new().await;
    database
        .run(
            "CREATE TABLE invoice (id bigint PRIMARY KEY, total numeric); SELECT gleaner_add_stage('invoice', 'ocr');
             CREATE TABLE plain (id bigint PRIMARY KEY)",
        )
        .await;
    let good = "[schedules.a]\nevery = \"1h\"\nsql = \"DELETE FROM invoice WHERE total > 1\"\n\
                [schedules.b]\nevery = \"1h\"\nqueue = { stage = \"invoice/ocr\", where = \"total IS NULL\" }\n\
                [schedules.c]\nevery = \"1h\"\nsql = \"VACUUM\"\n";
    let ran = with_file(&database, good, &["check-config"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for (keys, told) in [
        (
            "sql = \"DELETE FROM invice\"",
            "schedules.x.sql: cannot be prepared: relation \"invice\" does not exist",
        ),
        (
            "sql = \"DELETE FROM invoice WHERE id = $1\"",
            "schedules.x.sql: has parameters",
        ),
        (
            "queue = { stage = \"invice/ocr\" }",
            "schedules.x.queue.stage: there is no table invice",
        ),
        (
            "queue = { stage = \"plain/ocr\" }",
            "gleaner_add_stage('public.plain', 'ocr') makes it one",
        ),
        (
            "queue = { stage = \"invoice/ocr\", where = \"totl > 1\" }",
            "schedules.x.queue.where: is no condition over the table's columns: column \"totl\" does not exist",
        ),
        (
            "queue = { stage = \"invoice/ocr\", where = \"total\" }",
            "schedules.x.queue.where: is no condition over the table's columns: argument of",
        ),
    ] {
        let file = format!("[schedules.x]\nevery = \"1h\"\n{keys}\n");
        let ran = with_file(&database, &file, &["check-config"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains(told), "{keys}: {ran:?}");
        let ran = with_file(&database, &file, &["doctor", "--json"]);
        let found = ran.json();
        let checks = found["checks"].as_array().unwrap();
        let check = checks
            .iter()
            .find(|check| check["name"] == "schedules")
            .unwrap();
        assert_eq!(check["outcome"], "fail", "{check}");
        assert!(
            check["found"].as_str().unwrap().contains("schedules.x."),
            "{check}"
        );
    }
    // What the file alone shows to be wrong, with key and line.
    for (keys, told) in [
        (
            "cron = \"61 * * * *\"\nsql = \"SELECT 1\"",
            "schedules.x.cron: is no cron expression",
        ),
        (
            "cron = \"* * * * *\"\ntime_zone = \"Mars\"\nsql = \"SELECT 1\"",
            "schedules.x.time_zone: is no time zone",
        ),
        (
            "evry = \"1h\"\nsql = \"SELECT 1\"",
            "schedules.x.evry: no such key; did you mean `every`?",
        ),
        (
            "every = 3\nsql = \"SELECT 1\"",
            "schedules.x.every: expected",
        ),
        (
            "every = \"1h\"\nmissed = \"never\"\nsql = \"SELECT 1\"",
            "schedules.x.missed: expected one of `skip`, `once`, `each`",
        ),
        ("every = \"1h\"", "schedules.x.sql: is missing"),
    ] {
        let file = format!("[schedules.x]\n{keys}\n");
        let ran = with_file(&database, &file, &["check-config"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.stderr.contains(told) && ran.stderr.contains("line "),
            "{keys}: {ran:?}"
        );
    }
    let ran = with_file(
        &database,
        "[schedules.\"a b\"]\nevery = \"1h\"\nsql = \"SELECT 1\"\n",
        &["check-config"],
    );
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("the name of a schedule has"), "{ran:?}");
    // Without a database the file is judged all the same.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gleaner.toml");
    std::fs::write(&file, good).unwrap();
    let ran = gleaner(None, &["--config", file.to_str().unwrap(), "check-config"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stderr.contains("were not looked for in the database"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_of_schedules_that_are_late_or_have_failed() {
    let database = TestDatabase::new().await;
    let keys = "every = \"1h\"\nsql = \"SELECT 1 / 0\"";
    let file = format!("[schedules.x]\n{keys}\n");
    let own = define("x", keys);
    let mut conn = due(&database, &own, 120).await;
    let check = || {
        let found = with_file(&database, &file, &["doctor", "--json"]).json();
        let checks = found["checks"].as_array().unwrap().clone();
        checks
            .into_iter()
            .find(|check| check["name"] == "schedules")
            .unwrap()
    };
    let late = check();
    assert_eq!(late["outcome"], "warn", "{late}");
    assert_eq!(late["found"], "due for more than a minute: x");
    fire(&mut conn, &own).await;
    let failed = check();
    assert_eq!(
        failed["found"],
        "the last firing failed of x: division by zero [22012]"
    );
}
