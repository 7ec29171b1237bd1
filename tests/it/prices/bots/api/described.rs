//! The description of the bots' API: it is served, it names every route, and what it says is so.

use gleaner::prices::config::Bots;
use serde_json::{Value, json};
use std::path::Path;

use super::{Api, TOKEN};
use crate::documents::isolation::ROUTES;
use crate::support::exchange::exchange;
use crate::support::skip;

#[tokio::test]
async fn every_route_is_described() {
    let api = Api::start(0).await;
    let document = exchange(api.address, "GET /api/openapi.json", &[]).await;
    assert_eq!(
        (document.status, document.header("content-type")),
        (200, Some("application/json"))
    );
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    let of_bots = |path: &str| path.starts_with("/api/crawl/");
    assert_eq!(paths.keys().filter(|path| of_bots(path)).count(), 5);
    for (path, methods) in paths.iter().filter(|(path, _)| of_bots(path)) {
        let responses = methods["post"]["responses"].as_object().expect("responses");
        assert!(
            responses.contains_key("401") && responses.contains_key("503"),
            "{path}"
        );
        // What is described is there, with the last slash and without.
        for path in [path.as_str(), path.trim_end_matches('/')] {
            let answer = exchange(api.address, &format!("GET {path}"), &[]).await;
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, Some("POST")),
                "{path}"
            );
        }
    }
}

/// The lists of the operators stand beside, as they are served; on an address of the bots' own they are neither.
#[tokio::test]
async fn the_lists_are_described_where_they_are_served() {
    let api = Api::start_with(0, |config| {
        "127.0.0.1:0".clone_into(&mut config.section_mut::<Bots>().listen);
    })
    .await;
    let document = exchange(api.address, "GET /api/openapi.json", &[])
        .await
        .json();
    let paths = document["paths"].as_object().expect("paths");
    let lists = paths
        .iter()
        .filter(|(path, _)| !path.starts_with("/api/crawl/") && !is_of_documents(path));
    let mut count = 0;
    for (path, methods) in lists {
        let methods = methods.as_object().expect("methods");
        let known: Vec<String> = methods.keys().map(|name| name.to_uppercase()).collect();
        for path in [path.as_str(), path.trim_end_matches('/')] {
            let path = path.replace("{id}", "1");
            let answer = exchange(
                api.address,
                &format!("DELETE {path}"),
                &["X-Requested-By: test"],
            )
            .await;
            assert_eq!(answer.status, 405, "{path}");
            let allowed = answer.header("allow").unwrap_or_default();
            assert!(
                known.iter().all(|name| allowed.contains(name.as_str())),
                "{path}: {allowed}"
            );
        }
        count += 1;
    }
    // Seven of the prices, three of schedules.
    assert_eq!(count, 10);
    assert_eq!(
        logins(&document).expect("logins").collect::<Vec<_>>(),
        ["admin", "bearer", "session", "tenant"]
    );
    let own = api.app.app().outside_addresses()[0];
    let document = exchange(own, "GET /api/openapi.json", &[]).await.json();
    let paths = document["paths"].as_object().expect("paths");
    let of_bots = paths.keys().filter(|path| !is_of_documents(path));
    assert_eq!(of_bots.count(), 5);
    assert_eq!(
        logins(&document).expect("logins").collect::<Vec<_>>(),
        ["bearer", "session", "tenant"]
    );
    let schemas = document["components"]["schemas"].as_object();
    assert!(schemas.is_some_and(|own| own.contains_key("Job") && !own.contains_key("Flag")));
    let answer = exchange(own, "GET /api/flags/", &[]).await;
    assert_eq!(answer.status, 404);
}

/// Whether tests/it/documents/described.rs looks at this one.
fn is_of_documents(path: &str) -> bool {
    let is_operators = path.starts_with("/api/v1/tenants");
    is_operators || ROUTES.iter().any(|(_, known, ..)| *known == path)
}

/// The ways to log in.
fn logins(document: &Value) -> Option<impl Iterator<Item = &String>> {
    let schemes = document["components"]["securitySchemes"].as_object()?;
    Some(schemes.keys())
}

/// What bounds a request stands in the description of it.
#[tokio::test]
async fn bounds_are_described() {
    let api = Api::start(0).await;
    let document = exchange(api.address, "GET /api/openapi.json", &[])
        .await
        .json();
    let parts = |path: &str| {
        let body = &document["paths"][path]["post"]["requestBody"]["content"];
        body["application/json"]["schema"]["allOf"].clone()
    };
    let pull = parts("/api/crawl/pull/")[1]["properties"].clone();
    assert_eq!(
        pull["max_jobs"],
        json!({ "type": "integer", "minimum": 1, "maximum": 100, "default": 10 })
    );
    assert_eq!(pull["wait_seconds"]["maximum"], 30);
    assert_eq!(pull["domain"]["maxLength"], 255);
    let batch = parts("/api/crawl/submit-batch/")[1]["properties"]["results"].clone();
    assert_eq!(
        (&batch["minItems"], &batch["maxItems"]),
        (&json!(1), &json!(100))
    );
    let submit = parts("/api/crawl/submit/")[1].clone();
    assert_eq!(batch["items"], submit);
    assert_eq!(submit["required"], json!(["job_id", "success"]));
    let amount = &submit["properties"]["price"]["anyOf"];
    assert_eq!(amount[0]["exclusiveMaximum"], 1_000_000_000_000_u64);
    assert_eq!(amount[1]["pattern"], r"^[0-9]{1,12}(\.[0-9]{1,4})?$");
    let close = &document["components"]["schemas"]["Close"];
    assert_eq!(close["additionalProperties"], false);
    assert_eq!(close["properties"]["by"]["maxLength"], 100);
    let close = &document["paths"]["/api/flags/{id}/close/"]["post"];
    assert_eq!(close["requestBody"].get("required"), None);
    let refused = &close["responses"]["409"]["content"]["application/json"]["schema"];
    assert_eq!(
        refused["properties"]["error"]["properties"]["code"]["enum"],
        json!(["not_open"])
    );
}

/// By generated requests, if schemathesis is there, which `./test` installs.
#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_are_answered_as_described() {
    let api = Api::start(50).await;
    api.app
        .database
        .run("UPDATE bot SET rate_limit_per_minute = 1000000")
        .await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/schemathesis.sh");
    let output = tokio::process::Command::new(script)
        .arg(format!("http://{}", api.address))
        .args(["ann", TOKEN, "--max-examples", "15", "--no-color"])
        .output()
        .await
        .expect("the script runs");
    if output.status.code() == Some(127) {
        skip("schemathesis is not installed (pip install schemathesis)");
        return;
    }
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let handed_out = "SELECT sum(jobs_pulled)::bigint FROM bot";
    assert!(
        api.app.database.count(handed_out).await > 0,
        "all were turned away"
    );
}
