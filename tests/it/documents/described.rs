//! The description of the tenants' API and of the operators' routes: it names every route, and what it says is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gleaner::documents::config::Documents;
use gleaner_parse::protocol::Code;
use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};

use super::isolation::{About, ROUTES};
use crate::support::TestDatabase;
use crate::support::documents::{Ready, Service, Tenant};
use crate::support::exchange::exchange;

/// What operators are served.
const OPERATORS: &[(&str, &str)] = &[
    ("GET", "/api/v1/tenants"),
    ("POST", "/api/v1/tenants"),
    ("PATCH", "/api/v1/tenants/{tenant}"),
    ("GET", "/api/v1/tenants/{tenant}/keys"),
    ("POST", "/api/v1/tenants/{tenant}/keys"),
    ("DELETE", "/api/v1/tenants/{tenant}/keys/{key}"),
];

/// A program, and what it says of itself.
async fn described() -> (Service, Value) {
    let service = Service::start(TestDatabase::new().await, |_| {}).await;
    let document = service.json("/api/openapi.json", "").await;
    (service, document)
}

fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let outsiders = ROUTES.iter().map(|(method, path, ..)| (*method, *path));
    outsiders.chain(OPERATORS.iter().copied())
}

/// What is said of the documents' routes, by method and path.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let others = [
        "/api/crawl/",
        "/api/flags/",
        "/api/notifications/",
        "/api/price",
        "/api/product",
        "/api/v1/schedules",
    ];
    paths
        .iter()
        .filter(|(path, _)| !others.iter().any(|other| path.starts_with(other)))
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

fn operation<'a>(document: &'a Value, method: &str, path: &str) -> &'a Value {
    &document["paths"][path][method.to_lowercase()]
}

/// The codes of a refusal with this status.
fn codes(operation: &Value, status: &str) -> Vec<String> {
    let schema = &operation["responses"][status]["content"]["application/json"]["schema"];
    // Of several files each may be refused by itself.
    let forms = schema["oneOf"].as_array().cloned();
    forms
        .unwrap_or_else(|| vec![schema.clone()])
        .iter()
        .filter_map(|form| form["properties"]["code"]["enum"].as_array())
        .flatten()
        .filter_map(|code| code.as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let (_service, document) = described().await;
    let served: BTreeSet<(String, String)> = routes()
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(operations(&document), served);
    let mut names = BTreeSet::new();
    for (method, path) in routes() {
        let operation = operation(&document, method, path);
        let name = operation["operationId"].as_str().expect("a name");
        assert!(names.insert(name.to_owned()), "{name} stands there twice");
        // What stands in the path is a parameter.
        let parameters = operation["parameters"].as_array();
        let named = |name: &str| {
            parameters.is_some_and(|all| {
                all.iter()
                    .any(|own| own["name"] == *name && own["in"] == "path")
            })
        };
        for part in path.split('/') {
            let name = part.trim_matches(['{', '}']);
            assert!(name == part || named(name), "{method} {path}: {name}");
        }
    }
}

/// Operators' routes are those of their file, and an address of the tenants' own says nothing of them.
#[tokio::test]
async fn operators_routes_are_described_to_operators() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/documents/http/admin.rs");
    let text = fs::read_to_string(file).expect("a file of ours");
    let mut paths: Vec<&str> = OPERATORS.iter().map(|(_, path)| *path).collect();
    paths.dedup();
    assert_eq!(text.matches(".route(").count(), paths.len());
    assert!(
        paths
            .iter()
            .all(|path| text.contains(&format!(".route(\"{path}\"")))
    );

    let service = Service::start(TestDatabase::new().await, |config| {
        "127.0.0.1:0".clone_into(&mut config.section_mut::<Documents>().listen);
    })
    .await;
    let own = service.app.app().outside_addresses()[0];
    let document = exchange(own, "GET /api/openapi.json", &[]).await.json();
    let outsiders: BTreeSet<(String, String)> = ROUTES
        .iter()
        .map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(operations(&document), outsiders);
    assert_eq!(
        document["components"]["schemas"].get("TenantNew"),
        None,
        "operators' forms are shown"
    );
}

/// What no name can be is the name of nothing.
#[tokio::test]
async fn operators_are_told_that_there_is_no_such_tenant_or_key() {
    let (service, document) = described().await;
    Tenant::create(service.database(), "a").await;
    for (method, path, address) in [
        (
            "GET",
            "/api/v1/tenants/{tenant}/keys",
            "/api/v1/tenants/%00/keys",
        ),
        (
            "GET",
            "/api/v1/tenants/{tenant}/keys",
            "/api/v1/tenants/b/keys",
        ),
        (
            "DELETE",
            "/api/v1/tenants/{tenant}/keys/{key}",
            "/api/v1/tenants/a/keys/%00",
        ),
        (
            "DELETE",
            "/api/v1/tenants/{tenant}/keys/{key}",
            "/api/v1/tenants/a/keys/b",
        ),
    ] {
        let way = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = service.request(way, address, "");
        let answer = request.header("x-requested-by", "test").send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status().as_u16(), 404, "{address}");
        let body: Value = answer.json().await.expect("JSON");
        let form = &operation(&document, method, path)["responses"]["404"]["content"];
        let form = &form["application/json"]["schema"]["properties"]["error"];
        let codes = &form["properties"]["code"]["enum"];
        assert_eq!(*codes, json!([body["error"]["code"]]), "{address}");
    }
}

/// What is answered to nobody, to a stranger, and about a document that there is not, is described with its code.
#[tokio::test]
async fn refusals_are_as_described() {
    let (service, document) = described().await;
    let tenant = Tenant::create(service.database(), "a").await;
    let nobody = "0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b";
    for (method, path, about, _) in ROUTES.iter().copied() {
        let operation = operation(&document, method, path);
        for key in ["", &tenant.key] {
            let address = path.replace("{id}", nobody).replace("{provider}", "none");
            let way = Method::from_bytes(method.as_bytes()).expect("a method");
            let request = service
                .request(way, &address, key)
                .header("tus-resumable", "1.0.0")
                .header("x-requested-by", "test");
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16().to_string();
            let responses = operation["responses"].as_object().expect("responses");
            assert!(
                responses.contains_key(&status),
                "{method} {path} is answered with {status}"
            );
            if key.is_empty() && !matches!(about, About::Nobody | About::Oneself) {
                assert_eq!(status, "401", "{method} {path}");
            }
            if answer.status().is_success() || method == "HEAD" {
                continue;
            }
            let body: Value = answer.json().await.expect("JSON");
            assert_eq!(body["success"], false, "{method} {path}: {body}");
            assert!(body["error"].is_string(), "{method} {path}: {body}");
            let code = body["code"].as_str().expect("a code").to_owned();
            let known = codes(operation, &status);
            assert!(known.contains(&code), "{method} {path}: {status} {code}");
        }
    }
}

/// A method that an address does not know is refused in the API's own form, and told which it knows.
#[tokio::test]
async fn other_methods_are_refused_in_the_apis_own_form() {
    let (service, document) = described().await;
    for (method, path, ..) in ROUTES.iter().copied() {
        let described = codes(operation(&document, method, path), "405");
        assert_eq!(described, ["method_not_allowed"], "{method} {path}");
        let address = path.replace("{id}", "x").replace("{provider}", "x");
        let answer = service
            .request(Method::TRACE, &address, "")
            .header("tus-resumable", "1.0.0")
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status().as_u16(), 405, "{path}");
        let allowed = answer.headers().get("allow");
        let allowed = allowed.and_then(|allow| allow.to_str().ok());
        assert!(
            allowed.is_some_and(|allowed| allowed.split(',').any(|own| own == method)),
            "{path}: {allowed:?} without {method}"
        );
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(
            (&body["success"], &body["code"]),
            (&json!(false), &json!("method_not_allowed")),
            "{path}"
        );
    }
}

/// The fields of answers are those that are described.
#[tokio::test]
async fn answers_have_the_fields_that_are_described() {
    let (service, document) = described().await;
    let tenant = Tenant::create(service.database(), "a").await;
    let ready = Ready::new("a.txt", &["A kettle.", "Another."]);
    let id = ready.insert(service.database(), &tenant).await;
    for (path, query) in [
        ("/api/documents", ""),
        ("/api/documents/{id}", ""),
        ("/api/documents/{id}/status", ""),
        ("/api/documents/{id}/text", ""),
        ("/api/documents/{id}/text", "?page=1"),
        ("/api/documents/{id}/chunks", ""),
        ("/api/search", "?q=kettle"),
        ("/api/user/stats", ""),
        ("/api/user/profile", ""),
        ("/api/health", ""),
        ("/api/session", ""),
        ("/api/v1/tenants", ""),
        ("/api/v1/tenants/{tenant}/keys", ""),
    ] {
        let address = path.replace("{id}", &id).replace("{tenant}", "a");
        let key = if path.starts_with("/api/v1/") {
            ""
        } else {
            &tenant.key
        };
        let answer = service.json(&format!("{address}{query}"), key).await;
        let content = &operation(&document, "GET", path)["responses"]["200"]["content"];
        let schema = &content["application/json"]["schema"];
        assert!(
            fits(&document, schema, &answer),
            "{path}{query}: {answer} is not {schema}"
        );
    }
}

/// Whether a value has the fields of a form, no others, and all that it must have.
fn fits(document: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return fits(document, target.expect("a form"), value);
    }
    if let Some(forms) = schema["oneOf"].as_array() {
        return forms.iter().any(|form| fits(document, form, value));
    }
    let Some(object) = value.as_object() else {
        let items = value.as_array().zip(schema.get("items"));
        return items.is_none_or(|(own, form)| own.iter().all(|one| fits(document, form, one)));
    };
    let (mut known, mut required) = (serde_json::Map::new(), Vec::new());
    gather(document, schema, &mut known, &mut required);
    // Of an object of any form nothing is said.
    known.is_empty()
        || required.iter().all(|name| object.contains_key(name))
            && object.iter().all(|(name, own)| {
                known
                    .get(name)
                    .is_some_and(|form| fits(document, form, own))
            })
}

/// The fields of a form that may be put together of several.
fn gather(
    document: &Value,
    schema: &Value,
    known: &mut serde_json::Map<String, Value>,
    required: &mut Vec<String>,
) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return gather(document, target.expect("a form"), known, required);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        gather(document, part, known, required);
    }
    known.extend(
        schema["properties"]
            .as_object()
            .cloned()
            .unwrap_or_default(),
    );
    let names = schema["required"].as_array().into_iter().flatten();
    required.extend(names.filter_map(|name| name.as_str().map(str::to_owned)));
}

/// `docs/documents.md` names every path, every code of a refusal, and every reason for which documents fail.
#[tokio::test]
async fn the_guide_names_what_is_described() {
    let (_service, document) = described().await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/documents.md");
    let guide = fs::read_to_string(file).expect("a file of ours");
    for (method, path, ..) in ROUTES.iter().copied() {
        let responses = operation(&document, method, path)["responses"].as_object();
        for status in responses.expect("responses").keys() {
            for code in codes(operation(&document, method, path), status) {
                let row = guide.lines().find(|line| {
                    line.starts_with("| ")
                        && line.contains(&format!("`{code}`"))
                        && line
                            .split('|')
                            .nth(1)
                            .is_some_and(|own| own.contains(status))
                });
                assert!(row.is_some(), "{status} {code} of {method} {path}");
            }
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("parse/src/protocol.rs");
    let protocol = fs::read_to_string(file).expect("a file of ours");
    let named = Regex::new(r#"Self::\w+ => "([a-z_]+)""#).expect("a pattern");
    let known: Vec<Code> = named
        .captures_iter(&protocol)
        .filter_map(|found| serde_json::from_value(json!(found[1])).ok())
        .collect();
    assert!(known.contains(&Code::Internal));
    for code in known {
        let again = if code.is_retryable() { "yes" } else { "no" };
        let row = guide
            .lines()
            .find(|line| line.starts_with(&format!("| `{code}` |")));
        let last = row.and_then(|row| row.trim_end_matches(" |").rsplit('|').next());
        assert!(
            last.is_some_and(|last| last.trim().starts_with(again)),
            "{code}: {row:?}"
        );
    }
}
