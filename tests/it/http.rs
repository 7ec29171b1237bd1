//! The HTTP side of a running program: health, API, dashboard, and what keeps strangers out.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use gleaner::config::Config;
// For `walk/`, which names it as if it were in the program.
pub(crate) use gleaner::http::Routes;
use gleaner::leads::page_curation::PageCuration;
use gleaner::secret::Secret;
use gleaner::settings::ConfigError;
use gleaner_actors::State;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::exchange::{Answer, exchange};
use crate::support::wait::wait_until_by;
use crate::support::{TestApp, TestDatabase, wait_until};

/// A program that has nothing to do, and where it serves.
async fn start(change: impl FnOnce(&mut Config)) -> (TestApp, SocketAddr) {
    let app = TestApp::start_on(TestDatabase::new().await, change).await;
    let address = app.app().http_address().expect("it serves");
    (app, address)
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    exchange(address, &format!("GET {path}"), &[]).await
}

async fn wait_ready(address: SocketAddr) {
    // Readiness waits until the listener has been connected for a while again.
    wait_until_by("it is ready", Duration::from_secs(60), async || {
        get(address, "/health/ready").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn health_is_answered_in_the_words_that_checks_compare_with() {
    let (_app, address) = start(|_| {}).await;
    for path in ["/health", "/health/live"] {
        let answer = get(address, path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, r#"{"status":"ok"}"#),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    wait_ready(address).await;
    let ready = get(address, "/health/ready").await.json();
    assert_eq!(ready["problems"], serde_json::json!([]));
    assert_eq!(
        ready["workflows"].as_array().map(Vec::len),
        Some(::gleaner::areas::workflows().len())
    );
}

#[tokio::test]
async fn every_answer_is_well_formed() {
    let (_app, address) = start(|_| {}).await;
    let head = exchange(address, "HEAD /health", &[]).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some("15"));

    for (request, status, code, allow) in [
        ("GET /nothing", 404, "not_found", None),
        ("GET /api/v1/nothing", 404, "not_found", None),
        ("GET /api/v2/status", 404, "not_found", None),
        (
            "DELETE /health",
            405,
            "method_not_allowed",
            Some("GET,HEAD"),
        ),
        ("POST /", 405, "method_not_allowed", Some("GET,HEAD")),
        (
            "GET /api/v1/workflows/deep-scan/pause",
            405,
            "method_not_allowed",
            Some("POST"),
        ),
        ("GET /metrics", 404, "no_metrics", None),
        ("GET /../../etc/passwd", 404, "not_found", None),
        ("GET /%00", 404, "not_found", None),
    ] {
        let answer = exchange(address, request, &[]).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code),
            "{request}"
        );
        assert_eq!(answer.header("allow"), allow, "{request}");
    }

    let large = exchange(
        address,
        "POST /api/v1/workflows/deep-scan/pause",
        &["X-Requested-By: test", "Content-Length: 10000000"],
    )
    .await;
    assert_eq!(
        (large.status, large.error_code().as_str()),
        (413, "too_large")
    );

    for path in [
        "/",
        "/dashboard.js",
        "/health",
        "/nothing",
        "/api/v1/status",
    ] {
        let answer = get(address, path).await;
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard.js", "text/javascript; charset=utf-8"),
        ("/dashboard.css", "text/css; charset=utf-8"),
        ("/favicon.svg", "image/svg+xml"),
    ] {
        let answer = get(address, path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(kind)),
            "{path}"
        );
    }
}

/// Every path to a value in a document: `nodes[].host` stands for all elements.
fn paths(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if at == "queues" => {
            // By workflow: the names are not the form.
            for field in fields.values() {
                paths(field, "queues.*", into);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let dot = if at.is_empty() { "" } else { "." };
                paths(field, &format!("{at}{dot}{name}"), into);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for element in elements {
                paths(element, &format!("{at}[]"), into);
            }
        }
        _ => {
            into.insert(at.to_owned());
        }
    }
}

#[tokio::test]
async fn the_status_document_keeps_its_form() {
    let database = TestDatabase::new().await;
    database
        .run(
            "INSERT INTO attempt (item_id, attempt, stage, outcome, class, message) VALUES \
             (1, 1, 'place/deep_scan', 'retried', 'timeout', 'old'), \
             (2, 3, 'place/deep_scan', 'failed', 'timeout', 'new'), \
             (3, 5, 'page/curation', 'quarantined', NULL, NULL), \
             (4, 1, 'page/curation', 'completed', NULL, NULL); \
             INSERT INTO attempt (settled_at, item_id, attempt, stage, outcome, class) VALUES \
             (now() - interval '2 hours', 9, 1, 'place/deep_scan', 'failed', 'ancient'); \
             INSERT INTO flag (kind, message) VALUES ('price_jump', 'it jumped')",
        )
        .await;
    let app = TestApp::start_on(database, |config| {
        config.workflows.of_mut::<PageCuration>().enabled = false;
    })
    .await;
    let address = app.app().http_address().expect("it serves");
    wait_until(
        "the queues are counted and the node has reported",
        async || {
            let status = get(address, "/api/v1/status").await.json();
            status["queues"]
                .as_object()
                .is_some_and(|queues| queues.len() == ::gleaner::areas::workflows().len())
                && status["nodes"]
                    .as_array()
                    .is_some_and(|nodes| !nodes.is_empty())
                && status["failures"]
                    .as_array()
                    .is_some_and(|failures| !failures.is_empty())
                && status["flags_open"] == 1
                && status["readiness"]["ready"] == true
        },
    )
    .await;
    let status = get(address, "/api/v1/status").await.json();
    assert_eq!(status["nodes"][0]["alive"], true);
    assert_eq!(status["tree"]["workflows"][5]["state"], "disabled");
    let failures: Vec<String> = status["failures"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|group| {
            let text = |name: &str| group[name].as_str().unwrap_or("?").to_owned();
            format!(
                "{} {} {} {} {}",
                text("stage"),
                text("class"),
                group["failures"],
                group["given_up"],
                group["item"]
            )
        })
        .collect();
    assert_eq!(
        failures,
        [
            "place/deep_scan timeout 2 1 2",
            "page/curation quarantined 1 1 3"
        ]
    );

    let mut form = BTreeSet::new();
    paths(&status, "", &mut form);
    let lines: Vec<String> = form.into_iter().collect();
    insta::assert_snapshot!(lines.join("\n"));
}

async fn ask(address: SocketAddr, path: &str, lines: &[&str]) -> Answer {
    exchange(address, &format!("POST /api/v1/workflows/{path}"), lines).await
}

async fn wait_state(app: &TestApp, name: &str, state: State) {
    wait_until(&format!("{name} is {state}"), async || {
        app.status()
            .await
            .workflow(name)
            .map(|workflow| workflow.state)
            == Some(state)
    })
    .await;
}

#[tokio::test]
async fn workflows_are_told_what_to_do() {
    let (app, address) = start(|_| {}).await;
    wait_ready(address).await;
    let mark = ["X-Requested-By: test"];
    let paused = ask(address, "page-curation/pause", &mark).await;
    assert_eq!(paused.status, 202, "{}", paused.body);
    assert_eq!(
        paused.json(),
        serde_json::json!({"workflow": "page-curation", "asked": "pause"})
    );
    wait_state(&app, "page-curation", State::Paused).await;
    assert_eq!(
        get(address, "/health/ready").await.status,
        200,
        "a pause is no trouble"
    );
    let resumed = ask(
        address,
        "page-curation/resume",
        &["Content-Type: application/json"],
    )
    .await;
    assert_eq!(resumed.status, 202);
    wait_state(&app, "page-curation", State::Waiting).await;
    for action in ["run-now", "unpark"] {
        let path = format!("page-curation/{action}");
        assert_eq!(ask(address, &path, &mark).await.status, 202, "{action}");
    }

    for (path, code) in [
        ("no-such/pause", "unknown_workflow"),
        ("page-curation/drop", "unknown_action"),
        ("%22%3Cscript%3E/pause", "unknown_workflow"),
    ] {
        let answer = ask(address, path, &mark).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, code),
            "{path}"
        );
        assert!(
            !answer.body.contains("script"),
            "what was sent does not come back"
        );
    }
    let before: i64 = app
        .database
        .count("SELECT count(*) FROM workflow_control")
        .await;
    for lines in [
        vec![],
        vec!["Content-Type: application/x-www-form-urlencoded"],
        vec!["Sec-Fetch-Site: cross-site", "X-Requested-By: test"],
        vec![
            "Sec-Fetch-Site: same-site",
            "Content-Type: application/json",
        ],
        vec!["Origin: http://evil.example", "X-Requested-By: test"],
    ] {
        let answer = ask(address, "deep-scan/pause", &lines).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (403, "cross_site"),
            "{lines:?}"
        );
    }
    let after: i64 = app
        .database
        .count("SELECT count(*) FROM workflow_control")
        .await;
    assert_eq!(before, after, "what was refused has left nothing");
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_not_answered_on_loopback() {
    let (_app, address) = start(|_| {}).await;
    for (host, status) in [
        ("Host: 127.0.0.1:8080", 200),
        ("Host: localhost", 200),
        ("Host: [::1]:8080", 200),
        ("Host: rebound.evil.example", 421),
        ("Host: localhost.evil.example:8080", 421),
        ("Host: 10.0.0.1", 421),
    ] {
        for path in ["/health", "/api/v1/status", "/"] {
            let answer = exchange(address, &format!("GET {path}"), &[host]).await;
            assert_eq!(answer.status, status, "{host} {path}");
        }
    }
}

#[tokio::test]
async fn the_token_opens_everything_and_health_is_open() {
    let (app, address) = start(|config| config.http.admin_token = Secret::new("s3cret")).await;
    wait_ready(address).await;
    let right = "Authorization: Bearer s3cret";
    for path in ["/api/v1/status", "/metrics"] {
        for wrong in [
            &[][..],
            &["Authorization: Bearer s3cre"],
            &["Authorization: Basic s3cret"],
        ] {
            let answer = exchange(address, &format!("GET {path}"), wrong).await;
            assert_eq!(
                (answer.status, answer.error_code().as_str()),
                (401, "unauthorized"),
                "{path}"
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(
        exchange(address, "GET /api/v1/status", &[right])
            .await
            .status,
        200
    );
    assert_eq!(
        ask(address, "deep-scan/pause", &["X-Requested-By: x"])
            .await
            .status,
        401
    );
    assert_eq!(
        ask(address, "deep-scan/run-now", &[right]).await.status,
        202
    );
    // With a token, a proxy may pass its own name on.
    for path in [
        "/",
        "/dashboard.js",
        "/health",
        "/health/live",
        "/health/ready",
    ] {
        let answer = exchange(
            address,
            &format!("GET {path}"),
            &["Host: gleaner.example.com"],
        )
        .await;
        assert_eq!(answer.status, 200, "{path}");
    }

    // A refused reload may quote a secret: strangers learn only that it was refused.
    let refused = ConfigError::Inconsistent {
        key: "http.admin_token".to_owned(),
        problem: "found hunter2".to_owned(),
    };
    assert!(app.app().reload(Err(refused), None).await.is_err());
    let stranger = get(address, "/health/ready").await;
    assert_eq!(stranger.status, 200, "work goes on");
    assert!(stranger.json()["reload_failure"].is_string());
    assert!(!stranger.body.contains("hunter2"));
    let known = exchange(address, "GET /health/ready", &[right]).await;
    assert!(known.body.contains("hunter2"));
}

#[tokio::test]
async fn a_parked_workflow_is_named() {
    let (app, address) = start(|config| config.engine.max_restarts = 0).await;
    wait_ready(address).await;
    app.app().tree().crash("deep-scan");
    wait_state(&app, "deep-scan", State::Parked).await;
    let answer = get(address, "/health/ready").await;
    let problems = answer.json()["problems"].to_string();
    assert_eq!(answer.status, 503, "{problems}");
    assert!(
        problems.contains("deep-scan: parked (died more than 0 times"),
        "{problems}"
    );
    assert_eq!(get(address, "/health/live").await.status, 200);
}

#[tokio::test]
async fn without_its_database_it_lives_and_says_so() {
    let (app, address) = start(|_| {}).await;
    wait_ready(address).await;
    wait_until("the status page has looked", async || {
        get(address, "/api/v1/status").await.json()["looked_ms_ago"].is_u64()
    })
    .await;
    let name = app.database.name();
    let other = TestDatabase::empty().await;
    // One after the other: those that are cut off connect again at once.
    other
        .run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        .await;
    other
        .run(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await;
    wait_until("it says so", async || {
        let answer = get(address, "/health/ready").await;
        answer.status == 503 && answer.json()["database"] == false
    })
    .await;
    assert_eq!(
        get(address, "/health/live").await.status,
        200,
        "a new start would not help"
    );
    let status = get(address, "/api/v1/status").await;
    assert_eq!(status.status, 200);
    assert!(
        !status.json()["nodes"]
            .as_array()
            .expect("a list")
            .is_empty(),
        "the last look stays"
    );
    let asked = ask(address, "deep-scan/pause", &["X-Requested-By: test"]).await;
    assert_eq!(
        (asked.status, asked.error_code().as_str()),
        (503, "database")
    );
    other
        .run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        .await;
    wait_ready(address).await;
}

#[tokio::test]
async fn a_tree_that_has_stopped_is_not_alive() {
    let (app, address) = start(|_| {}).await;
    app.app().tree().drain(Duration::ZERO).await;
    let answer = get(address, "/health/live").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["reason"], "the actors have stopped");
    assert_eq!(get(address, "/health/ready").await.status, 503);
    assert_eq!(
        get(address, "/api/v1/status").await.json()["tree"],
        Value::Null
    );
}

fn program(database: &TestDatabase, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner"));
    command
        .args(["run", "--database-url", database.url()])
        .env("GLEANER_HTTP__LISTEN", listen)
        .env("GLEANER_WORKFLOWS__DEEP-SCAN__ENABLED", "false")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn the_program_refuses_to_be_reached_from_elsewhere_without_a_token() {
    let database = TestDatabase::new().await;
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        let output = program(&database, listen).output().await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{listen}: {said}");
        assert!(said.contains("http.admin_token"), "{listen}: {said}");
    }
}

#[tokio::test]
async fn the_program_shows_its_metrics() {
    let database = TestDatabase::new().await;
    let mut child = program(&database, "127.0.0.1:0")
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let address: SocketAddr = loop {
        let line = lines
            .next_line()
            .await
            .expect("readable")
            .expect("it serves before it ends");
        if let Some((_, address)) = line.split_once("address=") {
            break address.trim().parse().expect("an address");
        }
    };
    wait_ready(address).await;
    let answer = get(address, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for line in [
        "gleaner_ready 1",
        "gleaner_workflow_healthy{workflow=\"page-curation\"} 1",
        "gleaner_items_settled_total{workflow=\"page-curation\",outcome=\"completed\"} 0",
        "gleaner_heartbeat_failures_total 0",
    ] {
        assert!(
            answer.body.lines().any(|shown| shown == line),
            "{line} is not in\n{}",
            answer.body
        );
    }
    child.kill().await.expect("it ends");
}
